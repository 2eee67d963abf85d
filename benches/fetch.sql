-- A page of 20 new messages and the latest seq of the inbox, as a direct query of the tables.
\set n random(0, :users - 1)
\set since random(0, 20)
SELECT i.seq, i.at, i.kind, i.conversation_id, i.unread, m.id, m.seq, m.sender_id, m.client_msg_id, m.kind, m.content,
    m.created_at, (SELECT last_seq FROM timelines WHERE user_id = md5('u' || :n)::uuid) AS head
FROM (
    SELECT * FROM inbox WHERE receiver_id = md5('u' || :n)::uuid AND seq > :since ORDER BY seq LIMIT 20
) i
CROSS JOIN LATERAL (
    SELECT * FROM messages WHERE conversation_id = i.conversation_id AND seq = i.ref_seq LIMIT 1
) m
ORDER BY i.seq;
