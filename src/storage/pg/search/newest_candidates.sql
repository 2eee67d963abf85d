-- The newest blocks with these lexemes, of conversations that are given by id, each with its floor. A binary search finds the conversation
-- of a block. It is no condition that the key of the table could answer: the planner would take that for a short way and read the lexemes
-- of all blocks of the conversations.
SELECT conversation_id, block, newest_at FROM search_blocks
WHERE tokens @@ ($1::text)::tsquery AND ($2::uuid[])[width_bucket(conversation_id, $3)] = conversation_id
    AND block * $4 >= ($5::bigint[])[width_bucket(conversation_id, $6)]
    AND newest_at >= COALESCE($7, '-infinity') AND newest_at < COALESCE($8, 'infinity')
ORDER BY newest_at DESC, conversation_id DESC, block DESC LIMIT $9
