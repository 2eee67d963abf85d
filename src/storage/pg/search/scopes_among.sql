-- See scopes.sql: of these conversations, those that the user is in.
SELECT m.conversation_id, GREATEST(m.joined_seq, m.cleared_seq, c.floor_seq), c.last_seq, COALESCE(n.block + 1, 0) * $1
FROM (SELECT DISTINCT id FROM unnest($2) AS w(id)) AS w CROSS JOIN LATERAL (
    SELECT conversation_id, joined_seq, cleared_seq FROM members WHERE conversation_id = w.id AND user_id = $3 LIMIT 1
) AS m CROSS JOIN LATERAL (
    SELECT last_seq, floor_seq FROM conversations WHERE id = m.conversation_id LIMIT 1
) AS c LEFT JOIN LATERAL (
    SELECT block FROM search_blocks WHERE conversation_id = m.conversation_id ORDER BY block DESC LIMIT 1
) AS n ON true
ORDER BY m.conversation_id
