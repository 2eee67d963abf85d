-- The last version of each message that was stored before a reader left its conversation, of several times the one after receiving the
-- message; the first one, if that is not known.
-- Recalled messages are left out. LATERAL, BETWEEN and LIMIT force key look-ups (decision 0002).
SELECT k.reader, k.conversation_id, k.seq, COALESCE(v.version, 1) AS version, COALESCE(v.content, m.content)::text AS content, v.at
FROM unnest($1, $2, $3) AS k(reader, conversation_id, seq)
CROSS JOIN LATERAL (
    SELECT content FROM messages
    WHERE conversation_id = k.conversation_id AND seq BETWEEN k.seq AND k.seq ORDER BY seq LIMIT 1
) AS m
LEFT JOIN LATERAL (
    SELECT left_at FROM former_members WHERE conversation_id = k.conversation_id AND user_id = k.reader AND joined_seq < k.seq
    ORDER BY joined_seq DESC LIMIT 1
) AS f ON true
LEFT JOIN LATERAL (
    SELECT version, content, at FROM (
        SELECT version, content, at FROM message_versions WHERE conversation_id = k.conversation_id AND seq = k.seq
        UNION ALL
        (SELECT version, content, edited_at FROM message_states
         WHERE conversation_id = k.conversation_id AND seq BETWEEN k.seq AND k.seq ORDER BY seq LIMIT 1)
    ) AS stored WHERE content IS NOT NULL AND at <= f.left_at ORDER BY version DESC LIMIT 1
) AS v ON true
WHERE m.content IS NOT NULL
