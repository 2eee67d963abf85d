-- Blocks of a conversation that may have anything, also those that are there, with the times of their first and last messages. BETWEEN, ORDER BY and LIMIT force one key look-up each
-- (decision 0002).
INSERT INTO search_blocks AS b (conversation_id, block, oldest_at, newest_at, tokens)
SELECT $1, w.block, o.created_at, n.created_at, '*' FROM unnest($2, $3, $4) AS w(block, first, last)
CROSS JOIN LATERAL (
    SELECT created_at FROM messages WHERE conversation_id = $5 AND seq BETWEEN w.first AND w.first ORDER BY seq LIMIT 1
) AS o
CROSS JOIN LATERAL (
    SELECT created_at FROM messages WHERE conversation_id = $6 AND seq BETWEEN w.last AND w.last ORDER BY seq LIMIT 1
) AS n
ON CONFLICT (conversation_id, block) DO UPDATE SET tokens = '*', marked = true, version = b.version + 1
