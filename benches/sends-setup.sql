-- Two rings of :users direct conversations, user n with user n+1: one between the seeded users, for the server, and one
-- between users of its own, for pgbench, so that neither side meets the other's counters. Same tables, same size.
-- In: seeds.tsv (user_id, access_token). Out: pairs.tsv (conversation_id, access_token of the sender), shuffled.
\set ON_ERROR_STOP on
BEGIN;
CREATE TEMP TABLE seeds (n serial, user_id uuid, token text);
\copy seeds (user_id, token) FROM 'seeds.tsv'

CREATE TEMP TABLE pairs ON COMMIT DROP AS
    SELECT gen_random_uuid() AS id, s.user_id AS a, coalesce(next.user_id, first.user_id) AS b, s.token
    FROM seeds s LEFT JOIN seeds next ON next.n = s.n + 1 JOIN seeds first ON first.n = 1
    UNION ALL  -- ids that sends-reference.sql computes from n
    SELECT md5('c' || n)::uuid, md5('u' || n)::uuid, md5('u' || (n + 1) % :users)::uuid, NULL
    FROM generate_series(0, :users - 1) n;

INSERT INTO conversations (id, kind, member_count, created_at, updated_at)
    SELECT id, 'direct', 2, now(), now() FROM pairs;
INSERT INTO direct_pairs (low_user_id, high_user_id, conversation_id)
    SELECT least(a, b), greatest(a, b), id FROM pairs;
INSERT INTO members (conversation_id, user_id, role, joined_seq, read_seq, joined_at)
    SELECT id, u, 'member', 0, 0, now() FROM pairs, unnest(ARRAY[a, b]) u;

\copy (SELECT id, token FROM pairs WHERE token IS NOT NULL ORDER BY md5(id::text)) TO 'pairs.tsv'
COMMIT;
VACUUM (ANALYZE) conversations, direct_pairs, members;
