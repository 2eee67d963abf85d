-- Fills the database: other users with conversations, and 1,000 messages in each existing conversation. It satisfies the
-- invariants that the harness checks in the end. Times go three weeks ahead, for which the inbox has partitions.
CREATE TEMP TABLE strangers AS SELECT n, gen_random_uuid() AS id FROM generate_series(1, 120) AS n;
INSERT INTO users (id, username, display_name, password_hash) SELECT id, 'stranger' || n, 'Stranger', '!' FROM strangers;
INSERT INTO usernames SELECT username, id FROM users WHERE username LIKE 'stranger%';
INSERT INTO devices (user_id, id, platform, refresh_hash, refresh_expires_at, revoked_at)
SELECT s.id, gen_random_uuid(), 'web', '', now(), CASE d WHEN 2 THEN now() - interval '90 days' END
FROM strangers s CROSS JOIN generate_series(1, 3) AS d;
INSERT INTO blocks SELECT a.id, b.id FROM strangers a JOIN strangers b ON b.n IN (a.n + 11, a.n + 12, a.n + 13);
INSERT INTO contacts (owner_id, contact_id, state, created_at, friends_since)
SELECT a.id, b.id, 'friend', now(), now() FROM strangers a JOIN strangers b ON a.n <> b.n AND abs(a.n - b.n) <= 30;
INSERT INTO contact_requests (user_id, peer_id, outgoing, created_at, expires_at)
SELECT a.id, b.id, a.n < b.n, now(), now() + interval '30 days' FROM strangers a JOIN strangers b ON abs(a.n - b.n) BETWEEN 31 AND 60;
INSERT INTO client_conversations
SELECT id, gen_random_uuid(), gen_random_uuid() FROM strangers CROSS JOIN generate_series(1, 3);

INSERT INTO bans SELECT c.id, gen_random_uuid() FROM conversations c CROSS JOIN generate_series(1, 100) WHERE c.kind = 'group';
INSERT INTO mutes
SELECT c.id, gen_random_uuid(), now() FROM conversations c CROSS JOIN generate_series(1, 100) WHERE c.kind = 'group';

-- The members of every group with read fan-out, and their changes.
INSERT INTO members (conversation_id, user_id, role, joined_seq, read_seq, joined_at, large)
SELECT c.id, s.id, 'member', c.last_seq, c.last_seq, c.updated_at, true
FROM conversations c CROSS JOIN strangers s WHERE c.kind = 'group' AND c.switch_seq IS NOT NULL;
UPDATE conversations SET member_count = member_count + 120 WHERE kind = 'group' AND switch_seq IS NOT NULL;
INSERT INTO member_changes
SELECT c.id, c.last_change + n, gen_random_uuid(), '{}', '{}', '[]'
FROM conversations c CROSS JOIN generate_series(1, 100) AS n;
UPDATE conversations SET last_change = last_change + 100;
INSERT INTO conversation_settings (user_id, conversation_id, notify) SELECT user_id, conversation_id, 'none' FROM members
ON CONFLICT DO NOTHING;

CREATE TEMP TABLE news AS
SELECT c.id AS conversation_id, c.last_seq + n AS seq, c.switch_seq, c.updated_at + n * interval '30 minutes' AS at
FROM conversations c CROSS JOIN generate_series(1, 1000) AS n;
INSERT INTO messages
SELECT conversation_id, seq, gen_random_uuid(), (SELECT id FROM strangers WHERE n = 1), gen_random_uuid(),
       'text', '{"text": "a line of a history"}', at
FROM news;
UPDATE conversations c SET last_seq = n.seq, updated_at = n.at
FROM (SELECT conversation_id, max(seq) AS seq, max(at) AS at FROM news GROUP BY 1) AS n WHERE n.conversation_id = c.id;

-- A third of them were edited twice, and three users have reacted to them.
INSERT INTO message_states (conversation_id, seq, change_seq, version, content, length, edited_at, reactions,
    pinned_at, pinned_by)
SELECT n.conversation_id, n.seq, c.change_seq + row_number() OVER (PARTITION BY n.conversation_id ORDER BY n.seq),
       3, '{"text": "new"}', 15, n.at, '[{"emoji": "x", "count": 3}]',
       CASE WHEN n.seq % 12 = 0 THEN n.at END, CASE WHEN n.seq % 12 = 0 THEN gen_random_uuid() END
FROM news n JOIN conversations c ON c.id = n.conversation_id WHERE n.seq % 3 = 0;
UPDATE conversations c SET change_seq = s.head
FROM (SELECT conversation_id, max(change_seq) AS head FROM message_states GROUP BY 1) AS s WHERE s.conversation_id = c.id;
INSERT INTO message_versions
SELECT n.conversation_id, n.seq, 2, '{"text": "less new"}', n.at FROM news n WHERE n.seq % 3 = 0;
INSERT INTO pins SELECT conversation_id, seq, change_seq FROM message_states WHERE pinned_at IS NOT NULL ON CONFLICT DO NOTHING;
INSERT INTO reactions
SELECT n.conversation_id, n.seq, 'x', s.id, n.at FROM news n JOIN strangers s ON s.n <= 3 WHERE n.seq % 3 = 0;

-- Every tenth names ann and everyone, and replies to the one before. The one after it expires.
INSERT INTO message_mentions SELECT n.conversation_id, n.seq, u.id FROM news n JOIN users u ON u.username = 'ann' WHERE n.seq % 10 = 0;
INSERT INTO mentions SELECT m.user_id, m.conversation_id, m.seq, now() FROM message_mentions m ON CONFLICT DO NOTHING;
INSERT INTO mentions_all SELECT conversation_id, seq FROM news WHERE seq % 10 = 0;
UPDATE messages m SET extra = json_build_object('reply_to', m.seq - 1, 'root_seq', m.seq - 1, 'mention_all', true)
FROM news n WHERE m.conversation_id = n.conversation_id AND m.seq = n.seq AND n.seq % 10 = 0;
INSERT INTO replies SELECT conversation_id, seq - 1, seq FROM news WHERE seq % 10 = 0;
INSERT INTO expiring SELECT conversation_id, seq, '2100-01-01T00:00:00Z' FROM news WHERE seq % 10 = 1;
UPDATE messages m SET extra = '{"expires_at": "2100-01-01T00:00:00Z"}'
FROM news n WHERE m.conversation_id = n.conversation_id AND m.seq = n.seq AND n.seq % 10 = 1;
INSERT INTO former_members
SELECT c.id, gen_random_uuid(), now() FROM conversations c CROSS JOIN generate_series(1, 100) WHERE c.kind = 'group';

INSERT INTO hidden_messages SELECT m.user_id, n.conversation_id, n.seq
FROM news n JOIN members m ON m.conversation_id = n.conversation_id WHERE n.seq % 100 = 0;
UPDATE conversation_settings s SET hides = h.n
FROM (SELECT user_id, conversation_id, count(*) AS n FROM hidden_messages GROUP BY 1, 2) AS h
WHERE h.user_id = s.user_id AND h.conversation_id = s.conversation_id;
UPDATE timelines SET hides = true WHERE user_id IN (SELECT user_id FROM hidden_messages);
UPDATE members m SET sent_seq = c.last_seq FROM conversations c
WHERE c.id = m.conversation_id AND m.user_id = (SELECT id FROM strangers WHERE n = 1);
INSERT INTO inbox
SELECT t.user_id, t.last_seq + row_number() OVER (PARTITION BY t.user_id ORDER BY n.at, n.seq),
       greatest(t.last_at, n.at), 'message', n.conversation_id, n.seq, n.seq - m.read_seq
FROM news n JOIN members m ON m.conversation_id = n.conversation_id AND n.switch_seq IS NULL
JOIN timelines t ON t.user_id = m.user_id;
UPDATE timelines t SET last_seq = i.seq, last_at = i.at
FROM (SELECT receiver_id, max(seq) AS seq, max(at) AS at FROM inbox GROUP BY 1) AS i WHERE i.receiver_id = t.user_id;

-- Each other user in direct conversations with two more and with ann, without messages.
CREATE TEMP TABLE pairs AS
SELECT gen_random_uuid() AS id, least(a.id, b.id) AS low, greatest(a.id, b.id) AS high
FROM strangers a JOIN (SELECT * FROM strangers UNION ALL SELECT -1, id FROM users WHERE username = 'ann') AS b
    ON b.n IN (a.n + 1, a.n + 2, -1);
INSERT INTO direct_pairs SELECT low, high, id FROM pairs;
INSERT INTO conversations (id, kind, member_count, created_at, updated_at) SELECT id, 'direct', 2, now(), now() FROM pairs;
INSERT INTO members (conversation_id, user_id, role, joined_seq, read_seq, joined_at)
SELECT id, unnest(ARRAY[low, high]), 'member', 0, 0, now() FROM pairs;
INSERT INTO conversation_settings (user_id, conversation_id, notify, pinned_at)
SELECT m.user_id, p.id, 'none', CASE WHEN u.username = 'ann' AND p.id < '10000000-0000-0000-0000-000000000000' THEN now() END
FROM pairs p JOIN members m ON m.conversation_id = p.id JOIN users u ON u.id = m.user_id;
INSERT INTO drafts (user_id, conversation_id, version, content, after_seq, at)
SELECT user_id, conversation_id, 1, '{"text": "a line of a draft"}', 0, now()
FROM pairs p JOIN members m ON m.conversation_id = p.id;
INSERT INTO scheduled (user_id, client_msg_id, conversation_id, send_at, kind, content)
SELECT m.user_id, gen_random_uuid(), p.id, '2100-01-01T00:00:00Z', 'text', '{"text": "later"}'
FROM pairs p JOIN members m ON m.conversation_id = p.id JOIN users u ON u.id = m.user_id WHERE u.username <> 'ann';

-- Media of other users, of which some are in messages of conversations without them. They have no objects: the test deletes these rows
-- in the end.
INSERT INTO media (owner_id, id, client_media_id, kind, name, declared, mime, size, state, reserved, created_at, expires_at, lease_until)
SELECT s.id, gen_random_uuid(), gen_random_uuid(), 'file', 'plan.bin', '{}', 'text/plain', 10,
    CASE WHEN m = 1 THEN 'processing' WHEN m < 4 THEN 'uploading' ELSE 'ready' END, 10, now(),
    CASE WHEN m < 5 THEN now() + interval '1 day' END, CASE WHEN m = 1 THEN now() + interval '1 day' END
FROM strangers s CROSS JOIN generate_series(1, 30) AS m;
INSERT INTO media_usage (owner_id, bytes, uploads) SELECT id, 300, 3 FROM strangers;
INSERT INTO media_parts (owner_id, media_id, part, size, store_key)
SELECT owner_id, id, p, 10, id || '/' || p FROM media CROSS JOIN generate_series(1, 3) AS p WHERE state = 'uploading';
INSERT INTO message_media (conversation_id, seq, role, media_id, owner_id)
SELECT gen_random_uuid(), n, 'content', id, owner_id FROM media CROSS JOIN generate_series(1, 3) AS n WHERE state = 'ready';
INSERT INTO media_candidates (owner_id, media_id, at) SELECT id, gen_random_uuid(), now() FROM strangers WHERE n > 115;
INSERT INTO blob_deletions (store_key, due_at) SELECT 'x/' || n, now() + interval '1 day' FROM generate_series(1, 5000) AS n;
