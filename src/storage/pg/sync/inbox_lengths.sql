-- The approximate length of what entries without a message carry: a conversation's last message, lists of members, or a draft.
SELECT e.seq, COALESCE(CASE
    WHEN e.kind = ANY($1) THEN (
        SELECT l.length FROM conversations c CROSS JOIN LATERAL (
            SELECT length FROM messages_now
            WHERE conversation_id = c.id AND seq BETWEEN c.last_seq AND c.last_seq ORDER BY seq LIMIT 1
        ) AS l WHERE c.id = e.conversation_id)
    WHEN e.kind = ANY($2) THEN (
        SELECT 40 * (cardinality(added) + cardinality(removed)) + octet_length(changed::text)
        FROM member_changes WHERE conversation_id = e.conversation_id AND seq = e.ref_seq)
    WHEN e.kind = ANY($3) THEN (
        SELECT octet_length(content::text) FROM drafts WHERE user_id = $4 AND conversation_id = e.conversation_id)
END, 0)::bigint AS length
FROM unnest($5, $6, $7, $8) AS e(seq, kind, conversation_id, ref_seq)
