-- One direct message in one transaction: the work of the server for a send, without batching. Ids are computed from n by md5,
-- so that there are no lookups that the server would not make. \gset keeps values for later statements.
\set n random(0, :users - 1)
BEGIN;
SELECT id AS conversation, last_seq + 1 AS seq, md5('u' || :n)::uuid AS sender, gen_random_uuid() AS client_msg
    FROM conversations WHERE id = md5('c' || :n)::uuid FOR UPDATE \gset
SELECT seq FROM messages
    WHERE conversation_id = :conversation AND sender_id = :sender AND client_msg_id = :client_msg;
SELECT min(user_id::text) AS low, max(user_id::text) AS high, min(read_seq) AS read, clock_timestamp() AS at
    FROM members WHERE conversation_id = :conversation \gset
WITH heads AS (
    INSERT INTO timelines AS t (user_id, last_seq, last_at) VALUES (:low, 1, :at), (:high, 1, :at)
        ON CONFLICT (user_id) DO UPDATE
            SET last_seq = t.last_seq + 1, last_at = greatest(t.last_at, excluded.last_at)
        RETURNING user_id, last_seq
) SELECT max(last_seq) FILTER (WHERE user_id = :low) AS low_seq,
        max(last_seq) FILTER (WHERE user_id = :high) AS high_seq FROM heads \gset
INSERT INTO messages (conversation_id, seq, id, sender_id, client_msg_id, kind, content, created_at)
    VALUES (:conversation, :seq, gen_random_uuid(), :sender, :client_msg, 'text',
        '{"text":"sixty characters of small talk, as people send them all day."}', :at);
UPDATE conversations SET last_seq = :seq, updated_at = :at WHERE id = :conversation;
UPDATE members SET read_seq = :seq WHERE conversation_id = :conversation AND user_id = :sender;
INSERT INTO inbox (receiver_id, seq, at, kind, conversation_id, ref_seq, unread) VALUES
    (:low, :low_seq, :at, 'message', :conversation, :seq,
        CASE WHEN :low::uuid = :sender THEN 0 ELSE :seq::bigint - :read::bigint END),
    (:high, :high_seq, :at, 'message', :conversation, :seq,
        CASE WHEN :high::uuid = :sender THEN 0 ELSE :seq::bigint - :read::bigint END);
COMMIT;
