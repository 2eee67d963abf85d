-- A page of conversations by id, each with the number of its full blocks that are not in the index.
SELECT c.id, c.last_seq / $1 - COALESCE(n.block + 1, 0) FROM (
    SELECT id, last_seq FROM conversations
    WHERE id > COALESCE($2, '00000000-0000-0000-0000-000000000000') ORDER BY id LIMIT $3
) AS c LEFT JOIN LATERAL (
    SELECT block FROM search_blocks WHERE conversation_id = c.id ORDER BY block DESC LIMIT 1
) AS n ON true
ORDER BY c.id
