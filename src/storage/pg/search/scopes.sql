-- The conversations of a user, each with the seq above which messages are visible, its newest seq, and how far it is in the index.
SELECT m.conversation_id, GREATEST(m.joined_seq, m.cleared_seq, c.floor_seq), c.last_seq, COALESCE(n.block + 1, 0) * $1
FROM members m CROSS JOIN LATERAL (
    SELECT last_seq, floor_seq FROM conversations WHERE id = m.conversation_id LIMIT 1
) AS c LEFT JOIN LATERAL (
    SELECT block FROM search_blocks WHERE conversation_id = m.conversation_id ORDER BY block DESC LIMIT 1
) AS n ON true
WHERE m.user_id = $2 ORDER BY m.conversation_id
