-- What is read of locked conversations, in one round trip: first their members (`id` is null), then the messages that
-- were stored before under the keys of a send. LATERAL and LIMIT leave one plan for the latter, a key look-up each: the
-- planner's other idea was to read all messages of the conversations, which grows with them.
SELECT conversation_id, user_id, read_seq AS seq, clock_timestamp() AS at,
       NULL::uuid AS id, NULL::uuid AS client_msg_id, NULL AS kind, NULL AS content
FROM members WHERE conversation_id = ANY($1)
UNION ALL
SELECT m.* FROM unnest($2, $3, $4) AS k(conversation_id, sender_id, client_msg_id)
CROSS JOIN LATERAL (
    SELECT conversation_id, sender_id, seq, created_at, id, client_msg_id, kind, content::text
    FROM messages WHERE conversation_id = k.conversation_id AND sender_id = k.sender_id
        AND client_msg_id = k.client_msg_id LIMIT 1
) AS m
