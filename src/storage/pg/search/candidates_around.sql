-- The blocks with these lexemes that have messages before and after a time, or at that time. See newest_candidates.sql.
SELECT conversation_id, block, newest_at FROM search_blocks
WHERE tokens @@ ($1::text)::tsquery AND ($2::uuid[])[width_bucket(conversation_id, $3)] = conversation_id
    AND block * $4 >= ($5::bigint[])[width_bucket(conversation_id, $6)]
    AND newest_at >= $7 AND oldest_at <= $8
