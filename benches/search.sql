-- :searched messages of eleven words, of which every tenth is Chinese or Japanese and the others follow the law of Zipf. The first person
-- is in 500 conversations with a third of them, one of which has half of those. The conversations go on for 29 days each, and end on
-- different days of 270.
SET synchronous_commit = off;
CREATE TEMP TABLE made AS
    SELECT n, md5('searched' || n)::uuid AS id, GREATEST(2, CASE
        WHEN n = 1 THEN :searched / 6 WHEN n <= 500 THEN :searched / 3000 ELSE :searched * 2 / 3 / :others END) AS size
    FROM generate_series(1, 500 + :others) n;
INSERT INTO conversations (id, kind, title, member_count, last_seq, created_at, updated_at)
    SELECT id, 'group', 'c' || n, 1, size, now(), now() FROM made;
INSERT INTO members (conversation_id, user_id, role, joined_seq, read_seq, joined_at)
    SELECT made.id, u.id, 'owner', 0, size, now() FROM made JOIN users u ON u.username = CASE WHEN n <= 500 THEN 'seed0' ELSE 'seed1' END;
INSERT INTO messages (conversation_id, seq, id, sender_id, client_msg_id, kind, content, created_at)
    SELECT id, seq, gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'text', json_build_object('text', (
        SELECT string_agg(CASE WHEN random() < 0.1 THEN (ARRAY['上海', '会议', '東京', '我家在上海东边', '会議', '明日'])[1 + floor(random() * 6)::int]
            ELSE 'w' || lpad(floor(exp(random() * ln(30000)))::int::text, 5, '0') END, ' ') FROM generate_series(1, 11) g WHERE g > seq * 0)),
        now() - interval '30 days' - n % 270 * interval '1 day' + seq::float / size * interval '29 days'
    FROM made CROSS JOIN LATERAL generate_series(1, size) seq;
VACUUM (FREEZE, ANALYZE) messages, conversations, members;
