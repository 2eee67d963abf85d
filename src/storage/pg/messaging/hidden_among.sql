-- The messages that a user has hidden or cleared. LATERAL, BETWEEN and LIMIT force key look-ups (decision 0002).
SELECT k.conversation_id, k.seq FROM unnest($1, $2) AS k(conversation_id, seq)
LEFT JOIN LATERAL (
    SELECT cleared_seq FROM members WHERE conversation_id = k.conversation_id AND user_id = $3 LIMIT 1
) AS m ON true
LEFT JOIN LATERAL (
    SELECT cleared_seq FROM former_members
    WHERE conversation_id = k.conversation_id AND user_id = $4 AND joined_seq < k.seq ORDER BY joined_seq DESC LIMIT 1
) AS f ON true
LEFT JOIN LATERAL (
    SELECT seq FROM hidden_messages
    WHERE user_id = $5 AND conversation_id = k.conversation_id AND seq BETWEEN k.seq AND k.seq ORDER BY seq LIMIT 1
) AS h ON true
WHERE k.seq <= m.cleared_seq OR k.seq <= f.cleared_seq OR h.seq IS NOT NULL
