-- The approximate length of what entries without a message carry: a conversation's last message, or lists of members.
SELECT e.seq, COALESCE(CASE
    WHEN e.kind = ANY($1) THEN (
        SELECT l.length FROM conversations c CROSS JOIN LATERAL (
            SELECT length FROM messages_now
            WHERE conversation_id = c.id AND seq BETWEEN c.last_seq AND c.last_seq ORDER BY seq LIMIT 1
        ) AS l WHERE c.id = e.conversation_id)
    WHEN e.kind = ANY($2) THEN (
        SELECT 40 * (cardinality(added) + cardinality(removed)) + octet_length(changed::text)
        FROM member_changes WHERE conversation_id = e.conversation_id AND seq = e.ref_seq)
END, 0)::bigint AS length
FROM unnest($3, $4, $5, $6) AS e(seq, kind, conversation_id, ref_seq)
