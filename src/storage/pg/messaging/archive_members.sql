-- The members of locked conversations: all of those with write fan-out, and the given ones of large conversations.
SELECT conversation_id, user_id, ctid, GREATEST(joined_seq, cleared_seq) AS visible_after, read_seq, role <> 'member' AS leads,
       role = 'owner' AS owns, mentioned_seq, marked_unread, cleared_seq, sent_seq, muted_until, clock_timestamp() AS now
FROM members WHERE conversation_id = ANY($1)
UNION ALL
SELECT m.* FROM unnest($2, $3) AS w(conversation_id, user_id)
CROSS JOIN LATERAL (
    SELECT conversation_id, user_id, ctid, GREATEST(joined_seq, cleared_seq), read_seq, role <> 'member',
           role = 'owner', mentioned_seq, marked_unread, cleared_seq, sent_seq, muted_until, clock_timestamp()
    FROM members WHERE conversation_id = w.conversation_id AND user_id = w.user_id LIMIT 1
) AS m
