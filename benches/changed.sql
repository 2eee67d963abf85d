-- After fill.sql: one message of each conversation, 5 % of all, has been edited.
INSERT INTO message_states (conversation_id, seq, change_seq, version, content, length, edited_at)
    SELECT id, 1 + n % 20, 1, 2, content, 70, now()
    FROM pairs, (SELECT '{"text":"sixty other characters of small talk, as people send them."}'::json AS content) c;
UPDATE conversations SET change_seq = 1;
VACUUM (ANALYZE) message_states, conversations;
