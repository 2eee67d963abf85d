-- After ring.sql: 20 messages in each of its conversations, interleaved, and so 40 entries in each inbox.
CREATE TEMP TABLE sent AS
    SELECT id AS conversation, seq, a, b, row_number() OVER (ORDER BY seq, n) AS position
    FROM pairs, generate_series(1, 20) seq;
INSERT INTO messages (conversation_id, seq, id, sender_id, client_msg_id, kind, content, created_at)
    SELECT conversation, seq, gen_random_uuid(), a, gen_random_uuid(), 'text',
        '{"text":"sixty characters of small talk, as people send them all day."}', now()
    FROM sent ORDER BY position;
UPDATE conversations SET last_seq = 20;
INSERT INTO inbox (receiver_id, seq, at, kind, conversation_id, ref_seq, unread)
    SELECT u, row_number() OVER (PARTITION BY u ORDER BY position), now(), 'message', conversation, seq,
        CASE WHEN u = a THEN 0 ELSE seq END
    FROM sent, unnest(ARRAY[a, b]) u ORDER BY position;
INSERT INTO timelines (user_id, last_seq, last_at) SELECT a, 40, now() FROM pairs;
VACUUM (ANALYZE) messages, inbox, timelines;
