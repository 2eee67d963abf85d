-- New blocks of a conversation, with the times of their first and last messages. BETWEEN, ORDER BY and LIMIT force one key look-up each
-- (decision 0002).
INSERT INTO search_blocks (conversation_id, block, oldest_at, newest_at, tokens)
SELECT $1, b.block, o.created_at, n.created_at, '*' FROM unnest($2, $3, $4) AS b(block, first, last)
CROSS JOIN LATERAL (
    SELECT created_at FROM messages WHERE conversation_id = $5 AND seq BETWEEN b.first AND b.first ORDER BY seq LIMIT 1
) AS o
CROSS JOIN LATERAL (
    SELECT created_at FROM messages WHERE conversation_id = $6 AND seq BETWEEN b.last AND b.last ORDER BY seq LIMIT 1
) AS n
ON CONFLICT DO NOTHING
