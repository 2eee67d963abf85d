-- After ring.sql: :archived messages, spread evenly over the server's ring. They are a year old, so they have no inbox entries.
SET synchronous_commit = off;
CREATE TEMP TABLE ours AS SELECT id, a FROM pairs WHERE id = md5('ours' || n)::uuid;
INSERT INTO messages (conversation_id, seq, id, sender_id, client_msg_id, kind, content, created_at)
    SELECT ours.id, seq, gen_random_uuid(), a, gen_random_uuid(), 'text',
        '{"text":"sixty characters of small talk, as people send them all day."}', now() - interval '1 year'
    FROM ours, generate_series(1, :archived / :users) seq;
UPDATE conversations c SET last_seq = :archived / :users FROM ours WHERE c.id = ours.id;
UPDATE members SET read_seq = :archived / :users FROM ours WHERE conversation_id = ours.id;
VACUUM (FREEZE, ANALYZE) messages, conversations, members;
