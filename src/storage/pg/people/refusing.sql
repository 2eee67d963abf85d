-- The people whose audience of a setting does not have a user: nobody, or contacts without the user. An account that is not in use
-- has no audience.
SELECT a.id FROM (
    SELECT u.id, CASE state WHEN 'active' THEN COALESCE(u.privacy ->> $1, $2) ELSE 'nobody' END AS audience FROM unnest($3) AS w(id)
    CROSS JOIN LATERAL (SELECT id, privacy, state FROM users WHERE id = w.id LIMIT 1) AS u
) AS a
LEFT JOIN LATERAL (
    SELECT owner_id FROM contacts WHERE a.audience = 'contacts' AND owner_id = a.id AND contact_id = $4 LIMIT 1
) AS c ON true
WHERE a.audience = 'nobody' OR a.audience = 'contacts' AND c.owner_id IS NULL
