-- The messages that are already stored under the keys of sends. LATERAL and LIMIT force one key look-up per message, BETWEEN and
-- ORDER BY force its index (decision 0002): otherwise the planner reads all messages of the conversations.
SELECT m.* FROM unnest($1, $2, $3) AS k(conversation_id, sender_id, client_msg_id)
CROSS JOIN LATERAL (
    SELECT conversation_id, seq, id, sender_id, client_msg_id, kind, content::text AS content, created_at
    FROM messages WHERE conversation_id = k.conversation_id AND sender_id = k.sender_id
        AND client_msg_id BETWEEN k.client_msg_id AND k.client_msg_id ORDER BY client_msg_id LIMIT 1
) AS m
