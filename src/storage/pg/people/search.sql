-- The people in use whose usernames are in a range, of the first ones by name: those that can be found by a user.
SELECT u.id, u.kind, u.username, u.display_name, u.avatar_url, u.status_emoji, u.status_text, u.status_until, u.rev, u.created_at, u.deleted
FROM (
    SELECT id, username, privacy FROM users
    WHERE state = 'active' AND username COLLATE "C" >= $1 AND username COLLATE "C" < $2 ORDER BY username COLLATE "C" LIMIT $3
) AS n
LEFT JOIN LATERAL (SELECT blocked_id FROM blocks WHERE blocker_id = $4 AND blocked_id = n.id LIMIT 1) AS own ON true
CROSS JOIN LATERAL (SELECT * FROM users_now WHERE id = n.id LIMIT 1) AS u
WHERE own.blocked_id IS NULL AND COALESCE((n.privacy ->> 'discoverable')::boolean, $5)
ORDER BY n.username COLLATE "C" LIMIT $6
