-- All writes of a transaction to locked conversations and advanced timelines. The four parts write to different tables, so one
-- statement does them in one round trip, which costs as much as a few rows. Each part may be empty. Conversations and members
-- are found by the row handles that were read under the lock (decision 0019); the numbers of rows found are returned.
WITH appended AS (
    INSERT INTO messages (conversation_id, seq, id, sender_id, client_msg_id, kind, content, created_at, length, extra)
    SELECT c, s, i, u, m, k, j::json, t, octet_length(j), x::json
    FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9) AS n(c, s, i, u, m, k, j, x, t)
), advanced AS (
    UPDATE conversations c
    SET last_seq = n.last_seq, change_seq = n.change_seq, all_seq = n.all_seq, updated_at = n.at
    FROM unnest($10, $11, $12, $13, $14) AS n(place, last_seq, change_seq, all_seq, at) WHERE c.ctid = n.place RETURNING 1
), read AS (
    UPDATE members m
    SET read_seq = n.read_seq, mentioned_seq = n.mentioned_seq, marked_unread = n.marked_unread, cleared_seq = n.cleared_seq,
        sent_seq = n.sent_seq
    FROM unnest($15, $16, $17, $18, $19, $20) AS n(place, read_seq, mentioned_seq, marked_unread, cleared_seq, sent_seq)
    WHERE m.ctid = n.place RETURNING 1
), delivered AS (
    INSERT INTO inbox (receiver_id, seq, at, kind, conversation_id, ref_seq, unread)
    SELECT r, s, t, k, c, f, n FROM unnest($21, $22, $23, $24, $25, $26, $27) AS e(r, s, t, k, c, f, n)
)
SELECT (SELECT count(*) FROM advanced), (SELECT count(*) FROM read)
