-- All versions of a message: the first is in the archive, the present one in its state. After a recall there is none. LATERAL,
-- BETWEEN and LIMIT force key look-ups (decision 0002).
SELECT v.version, v.content::text AS content, v.at
FROM (SELECT $1::uuid AS conversation_id, $2::bigint AS seq) AS k
CROSS JOIN LATERAL (
    (SELECT 1 AS version, content, created_at AS at FROM messages
     WHERE conversation_id = k.conversation_id AND seq BETWEEN k.seq AND k.seq ORDER BY seq LIMIT 1)
    UNION ALL
    SELECT version, content, at FROM message_versions WHERE conversation_id = k.conversation_id AND seq = k.seq
    UNION ALL
    (SELECT version, content, edited_at FROM message_states
     WHERE conversation_id = k.conversation_id AND seq BETWEEN k.seq AND k.seq ORDER BY seq LIMIT 1)
) AS v WHERE v.content IS NOT NULL ORDER BY v.version
