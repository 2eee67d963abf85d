-- The messages that were stored before under the keys of sends. LATERAL and LIMIT leave one plan, a key look-up each, BETWEEN
-- and ORDER BY one index for it (decision 0002): the planner's other idea was to read all messages of the conversations,
-- which grows with them.
SELECT m.* FROM unnest($1, $2, $3) AS k(conversation_id, sender_id, client_msg_id)
CROSS JOIN LATERAL (
    SELECT conversation_id, seq, id, sender_id, client_msg_id, kind, content::text AS content, created_at
    FROM messages WHERE conversation_id = k.conversation_id AND sender_id = k.sender_id
        AND client_msg_id BETWEEN k.client_msg_id AND k.client_msg_id ORDER BY client_msg_id LIMIT 1
) AS m
