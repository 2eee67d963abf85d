-- After ring.sql: 100 messages in each of its conversations, all of them edited.
INSERT INTO messages (conversation_id, seq, id, sender_id, client_msg_id, kind, content, created_at)
    SELECT id, seq, gen_random_uuid(), a, gen_random_uuid(), 'text',
        '{"text":"sixty characters of small talk, as people send them all day."}', now()
    FROM pairs, generate_series(1, 100) seq ORDER BY id, seq;
INSERT INTO message_states (conversation_id, seq, change_seq, version, content, length, edited_at)
    SELECT id, seq, seq, 2, '{"text":"sixty other characters of small talk, as people send them."}', 70, now()
    FROM pairs, generate_series(1, 100) seq ORDER BY id, seq;
UPDATE conversations SET last_seq = 100, change_seq = 100;
VACUUM (ANALYZE) messages, message_states, conversations;
