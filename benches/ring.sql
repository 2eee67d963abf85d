-- Two rings of :users direct conversations, user n with user n + 1: one between the seeded users, for the server, and one
-- between users of its own, for pgbench, so that neither side locks the other's rows. Same tables, same size. Ids are
-- computed from n by md5, so that no lookups are needed.
CREATE TEMP TABLE pairs AS
    SELECT n, md5('ours' || n)::uuid AS id, a.user_id AS a, b.user_id AS b
    FROM generate_series(0, :users - 1) n
    JOIN usernames a ON a.username = 'seed' || n
    JOIN usernames b ON b.username = 'seed' || (n + 1) % :users
    UNION ALL
    SELECT n, md5('c' || n)::uuid, md5('u' || n)::uuid, md5('u' || (n + 1) % :users)::uuid
    FROM generate_series(0, :users - 1) n;

INSERT INTO conversations (id, kind, member_count, created_at, updated_at)
    SELECT id, 'direct', 2, now(), now() FROM pairs;
INSERT INTO direct_pairs (low_user_id, high_user_id, conversation_id)
    SELECT least(a, b), greatest(a, b), id FROM pairs;
INSERT INTO members (conversation_id, user_id, role, joined_seq, read_seq, joined_at)
    SELECT id, u, 'member', 0, 0, now() FROM pairs, unnest(ARRAY[a, b]) u;
VACUUM (ANALYZE) conversations, direct_pairs, members;
