-- Requests as one side sees them. The CTE `r` has their rows.
SELECT u.id, u.kind, u.username, u.display_name, u.avatar_url, u.status_emoji, u.status_text, u.status_until, u.rev, u.created_at, u.deleted,
       r.outgoing, r.message, r.mutual_count, r.created_at AS asked_at, r.expires_at, r.expires_at <= now() AS expired
FROM r CROSS JOIN LATERAL (SELECT * FROM users_now WHERE id = r.peer_id LIMIT 1) AS u
ORDER BY r.peer_id, r.outgoing
