-- Everything that a transaction writes to locked conversations and advanced timelines. The four parts touch different tables,
-- so one statement does them in one round trip, which costs as much as a few rows; each part may be empty. (The ids of the
-- conversations stand twice because a distributed PostgreSQL prunes its shards by `= ANY`.) Members are looked up one by one
-- and taken by their place, which nobody changes under the lock: joined, the planner would read all members of the
-- conversations, of whom it expects as few as there are on average.
WITH appended AS (
    INSERT INTO messages (conversation_id, seq, id, sender_id, client_msg_id, kind, content, created_at)
    SELECT c, s, i, u, m, k, j::json, t FROM unnest($1, $2, $3, $4, $5, $6, $7, $8) AS n(c, s, i, u, m, k, j, t)
), advanced AS (
    UPDATE conversations c SET last_seq = n.last_seq, updated_at = n.at
    FROM unnest($9, $10, $11) AS n(id, last_seq, at) WHERE c.id = n.id AND c.id = ANY($12)
), read AS (
    UPDATE members m SET read_seq = n.read_seq
    FROM unnest($13, $14, $15) AS n(conversation_id, user_id, read_seq) CROSS JOIN LATERAL (
        SELECT ctid FROM members WHERE conversation_id = n.conversation_id AND user_id = n.user_id LIMIT 1
    ) AS place
    WHERE m.ctid = place.ctid
)
INSERT INTO inbox (receiver_id, seq, at, kind, conversation_id, ref_seq, unread)
SELECT r, s, t, k, c, f, n FROM unnest($16, $17, $18, $19, $20, $21, $22) AS e(r, s, t, k, c, f, n)
