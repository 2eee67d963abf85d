-- One statement is one snapshot: the head and the page belong together. Each message is one key look-up in one partition;
-- BETWEEN and ORDER BY leave one index for it (decision 0002), and a key that is null finds nothing. Always at least one row,
-- for the head.
WITH sized AS (
    SELECT p.seq, p.at, p.kind AS entry_kind, p.conversation_id, p.ref_seq, p.unread,
           m.id, m.sender_id, m.client_msg_id, m.kind, m.content, m.created_at,
           COALESCE(sum(m.length) OVER (ORDER BY p.seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before
    FROM (
        SELECT seq, at, kind, conversation_id, ref_seq, unread,
               CASE WHEN kind IN ('message', 'mention') THEN ref_seq END AS message_seq
        FROM inbox WHERE receiver_id = $1 AND seq > $2 ORDER BY seq LIMIT $3
    ) AS p
    LEFT JOIN LATERAL (
        SELECT id, sender_id, client_msg_id, kind, content::text AS content, octet_length(content::text) AS length, created_at
        FROM messages
        WHERE conversation_id = p.conversation_id AND seq BETWEEN p.message_seq AND p.message_seq ORDER BY seq LIMIT 1
    ) AS m ON true
)
SELECT t.head, j.*
FROM (SELECT COALESCE((SELECT last_seq FROM timelines WHERE user_id = $4), 0) AS head) AS t
LEFT JOIN sized j ON j.before < $5
