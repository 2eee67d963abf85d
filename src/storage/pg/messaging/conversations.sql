-- Conversations as a member sees them. The CTE `me` has the caller's row of `members` for each. The last message is included
-- only if it is visible to the caller, and `message_hidden` says that the caller has hidden it; the peer only in direct
-- conversations. LATERAL and LIMIT force key look-ups, BETWEEN and ORDER BY force their index (decision 0002). The condition on
-- `kind` keeps the members of groups and channels unread.
SELECT c.id, c.kind, c.title, c.avatar_media_id, c.switch_seq, c.public, c.member_count, c.last_seq, c.change_seq,
       c.ttl_seconds,
       c.created_at, c.updated_at,
       me.role, GREATEST(me.read_seq, c.floor_seq) AS read_seq,
       GREATEST(me.mentioned_seq, c.all_seq) > GREATEST(me.read_seq, c.floor_seq) AS may_have_mentions, me.joined_seq, me.cleared_seq,
       me.marked_unread, me.muted_until,
       s.notify, s.notify_until, s.pinned_at IS NOT NULL AS pinned, COALESCE(s.archived, false) AS archived, s.hidden_through,
       s.nickname,
       u.id AS peer_id, u.kind AS peer_kind, u.username AS peer_username, u.display_name AS peer_display_name,
       u.avatar_url AS peer_avatar_url, u.status_emoji AS peer_status_emoji, u.status_text AS peer_status_text,
       u.status_until AS peer_status_until, u.rev AS peer_rev, u.created_at AS peer_created_at,
       u.deleted AS peer_deleted,
       CASE WHEN u.read_receipts AND own.read_receipts THEN p.read_seq END AS peer_read_seq,
       lm.id AS message_id, lm.sender_id AS message_sender_id, lm.client_msg_id AS message_client_msg_id,
       lm.kind AS message_kind, lm.content AS message_content, lm.created_at AS message_created_at,
       lm.changes AS message_changes, h.seq IS NOT NULL AS message_hidden,
       c.leads_post OR c.kind = 'channel' AS leads_post, c.leads_pin AND c.kind <> 'direct' AS leads_pin, c.slow_seconds,
       pm.parent_id, pm.parent_seq, COALESCE(lm.length, 0)::bigint AS length
FROM me
CROSS JOIN LATERAL (SELECT * FROM conversations WHERE id = me.conversation_id LIMIT 1) AS c
LEFT JOIN LATERAL (
    SELECT * FROM conversation_settings WHERE user_id = me.user_id AND conversation_id = me.conversation_id LIMIT 1
) AS s ON true
LEFT JOIN LATERAL (
    SELECT * FROM messages_now
    WHERE c.last_seq > GREATEST(me.joined_seq, me.cleared_seq) AND conversation_id = c.id AND seq BETWEEN c.last_seq AND c.last_seq
    ORDER BY seq LIMIT 1
) AS lm ON true
LEFT JOIN LATERAL (
    SELECT seq FROM hidden_messages
    WHERE s.hides > 0 AND user_id = me.user_id AND conversation_id = c.id AND seq BETWEEN c.last_seq AND c.last_seq
    ORDER BY seq LIMIT 1
) AS h ON true
LEFT JOIN LATERAL (
    SELECT user_id, read_seq FROM members WHERE c.kind = 'direct' AND conversation_id = c.id AND user_id <> me.user_id LIMIT 1
) AS p ON true
LEFT JOIN LATERAL (SELECT * FROM users_now WHERE id = p.user_id LIMIT 1) AS u ON true
LEFT JOIN LATERAL (
    SELECT c.parent_id, c.parent_seq FROM members
    WHERE c.parent_id IS NOT NULL AND conversation_id = c.parent_id AND user_id = me.user_id
        AND c.parent_seq > GREATEST(joined_seq, cleared_seq) LIMIT 1
) AS pm ON true
LEFT JOIN LATERAL (SELECT read_receipts FROM users WHERE c.kind = 'direct' AND id = me.user_id LIMIT 1) AS own ON true
