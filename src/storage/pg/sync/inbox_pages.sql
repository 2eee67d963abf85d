-- Pages of several inboxes, each with its head. One statement has one snapshot, so head and page are consistent. Seqs have no
-- gaps, so a page is a range of seqs, and no plan can read more. Each message is one key look-up in one partition: BETWEEN and
-- ORDER BY force the index (decision 0002), and a null key finds nothing. Pages are cut by the stored lengths, so that only
-- returned contents are read. Each inbox has at least one row, for its head.
SELECT r.place, COALESCE(t.last_seq, 0) AS head, COALESCE(t.hides, false) AS hides,
       j.seq, j.at, j.entry_kind, j.conversation_id, j.ref_seq, j.unread,
       j.id, j.sender_id, j.client_msg_id, j.kind, j.content, j.created_at, j.changes
FROM unnest($1, $2, $3) WITH ORDINALITY AS r(receiver, since, size, place)
LEFT JOIN timelines t ON t.user_id = r.receiver
LEFT JOIN LATERAL (
    SELECT p.seq, p.at, p.kind AS entry_kind, p.conversation_id, p.ref_seq, p.unread,
           m.id, m.sender_id, m.client_msg_id, m.kind, m.content, m.created_at, m.changes,
           COALESCE(sum(m.length) OVER (ORDER BY p.seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before
    FROM (
        SELECT seq, at, kind, conversation_id, ref_seq, unread,
               CASE WHEN kind = ANY($4) THEN ref_seq END AS message_seq
        FROM inbox WHERE receiver_id = r.receiver AND seq > r.since AND seq <= r.since + r.size
    ) AS p
    LEFT JOIN LATERAL (
        SELECT * FROM messages_now
        WHERE conversation_id = p.conversation_id AND seq BETWEEN p.message_seq AND p.message_seq ORDER BY seq LIMIT 1
    ) AS m ON true
) AS j ON j.before < $5
