-- The messages that are already stored under the keys of sends: as they were sent, null after a recall, and as they are now.
-- LATERAL and LIMIT force one key look-up per message, BETWEEN and ORDER BY force its index (decision 0002): otherwise the planner
-- reads all messages of the conversations.
SELECT n.*, m.sent_kind, m.sent_content, m.sent_extra FROM unnest($1, $2, $3) AS k(conversation_id, sender_id, client_msg_id)
CROSS JOIN LATERAL (
    SELECT conversation_id, seq, kind AS sent_kind, content::text AS sent_content, extra::text AS sent_extra
    FROM messages WHERE conversation_id = k.conversation_id AND sender_id = k.sender_id
        AND client_msg_id BETWEEN k.client_msg_id AND k.client_msg_id ORDER BY client_msg_id LIMIT 1
) AS m
CROSS JOIN LATERAL (
    SELECT * FROM messages_now WHERE conversation_id = m.conversation_id AND seq BETWEEN m.seq AND m.seq ORDER BY seq LIMIT 1
) AS n
