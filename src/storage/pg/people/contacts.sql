-- Contacts as their owner sees them. The CTE `c` has their rows.
SELECT u.id, u.kind, u.username, u.display_name, u.avatar_url, u.status_emoji, u.status_text, u.status_until, u.rev, u.created_at, u.deleted,
       c.state, c.alias, c.tags, c.starred, c.created_at AS added_at, c.friends_since
FROM c CROSS JOIN LATERAL (SELECT * FROM users_now WHERE id = c.contact_id LIMIT 1) AS u
ORDER BY c.contact_id
