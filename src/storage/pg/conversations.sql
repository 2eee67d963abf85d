-- Conversations as the member `me` sees them: the last message only when it is visible, the peer of direct ones.
SELECT c.id, c.kind, c.title, c.member_count, c.last_seq, c.created_at, c.updated_at,
       me.role, me.read_seq, me.joined_seq, me.muted_until,
       u.id AS peer_id, u.username AS peer_username, u.display_name AS peer_display_name,
       u.created_at AS peer_created_at,
       lm.id AS message_id, lm.sender_id AS message_sender_id, lm.client_msg_id AS message_client_msg_id,
       lm.kind AS message_kind, lm.content::text AS message_content, lm.created_at AS message_created_at
FROM members me
JOIN conversations c ON c.id = me.conversation_id
LEFT JOIN LATERAL (
    SELECT * FROM messages WHERE conversation_id = c.id AND seq = c.last_seq AND c.last_seq > me.joined_seq LIMIT 1
) AS lm ON true
LEFT JOIN members p ON c.kind = 'direct' AND p.conversation_id = c.id AND p.user_id <> me.user_id
LEFT JOIN users u ON u.id = p.user_id
