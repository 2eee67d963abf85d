-- The people whose audience of a setting does not have a user: nobody, or contacts without the user.
SELECT a.id FROM (
    SELECT u.id, COALESCE(u.privacy ->> $1, $2) AS audience FROM unnest($3) AS w(id)
    CROSS JOIN LATERAL (SELECT id, privacy FROM users WHERE id = w.id LIMIT 1) AS u
) AS a
LEFT JOIN LATERAL (
    SELECT owner_id FROM contacts WHERE a.audience = 'contacts' AND owner_id = a.id AND contact_id = $4 LIMIT 1
) AS c ON true
WHERE a.audience = 'nobody' OR a.audience = 'contacts' AND c.owner_id IS NULL
