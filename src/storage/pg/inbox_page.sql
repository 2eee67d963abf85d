-- One statement is one snapshot: the head and the page belong together. The page is materialised before the archive is
-- looked at, so that each message is one key look-up in one partition. Always at least one row, for the head.
WITH page AS MATERIALIZED (
    SELECT seq, at, kind, conversation_id, ref_seq, unread
    FROM inbox WHERE receiver_id = $1 AND seq > $2 ORDER BY seq LIMIT $3
), joined AS (
    SELECT p.seq, p.at, p.kind AS entry_kind, p.conversation_id, p.ref_seq, p.unread,
           m.id, m.sender_id, m.client_msg_id, m.kind, m.content::text AS content, m.created_at,
           sum(COALESCE(octet_length(m.content::text), 0)) OVER (ORDER BY p.seq)
               - COALESCE(octet_length(m.content::text), 0) AS before
    FROM page p
    LEFT JOIN LATERAL (
        SELECT * FROM messages
        WHERE p.kind = 'message' AND conversation_id = p.conversation_id AND seq = p.ref_seq LIMIT 1
    ) AS m ON true
)
SELECT t.head, j.*
FROM (SELECT COALESCE((SELECT last_seq FROM timelines WHERE user_id = $4), 0) AS head) AS t
LEFT JOIN joined j ON j.before < $5
ORDER BY j.seq
