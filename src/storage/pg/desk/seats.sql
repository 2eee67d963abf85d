-- Seats that are not removed, with their users. The CTE `s` has their rows.
SELECT u.id, u.kind, u.username, u.display_name, u.avatar_url, u.status_emoji, u.status_text, u.status_until, u.rev, u.created_at, u.deleted,
       s.desk_id, s.role, s.alias, s.skills, s.capacity::bigint, s.load, s.available, s.why, s.missed, s.given_at, s.version
FROM s CROSS JOIN LATERAL (SELECT * FROM users_now WHERE id = s.user_id LIMIT 1) AS u
WHERE s.removed_at IS NULL
ORDER BY s.desk_id, s.user_id
