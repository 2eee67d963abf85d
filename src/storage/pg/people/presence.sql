-- What decides whether the people of pairs see each other's presence: accounts in use, blocks in both directions, what each has chosen,
-- and whether each is on the list of the other.
SELECT v.id AS viewer_id, p.id AS person_id, v.audience_rev AS viewer_rev, p.audience_rev AS person_rev,
    v.state = 'active' AND p.state = 'active' AND b.blocker_id IS NULL AND o.blocker_id IS NULL AS may_meet,
    v.privacy ->> 'presence' AS viewer_presence, v.privacy ->> 'last_seen' AS viewer_last_seen,
    p.privacy ->> 'presence' AS person_presence, p.privacy ->> 'last_seen' AS person_last_seen,
    c.owner_id IS NOT NULL AS viewer_lists, d.owner_id IS NOT NULL AS person_lists, s.at AS last_seen_at
FROM unnest($1, $2) AS w(viewer, person)
CROSS JOIN LATERAL (SELECT id, audience_rev, state, privacy FROM users WHERE id = w.viewer LIMIT 1) AS v
CROSS JOIN LATERAL (SELECT id, audience_rev, state, privacy FROM users WHERE id = w.person LIMIT 1) AS p
LEFT JOIN LATERAL (SELECT blocker_id FROM blocks WHERE blocker_id = v.id AND blocked_id = p.id LIMIT 1) AS b ON true
LEFT JOIN LATERAL (SELECT blocker_id FROM blocks WHERE blocker_id = p.id AND blocked_id = v.id LIMIT 1) AS o ON true
LEFT JOIN LATERAL (SELECT owner_id FROM contacts WHERE owner_id = v.id AND contact_id = p.id LIMIT 1) AS c ON true
LEFT JOIN LATERAL (SELECT owner_id FROM contacts WHERE owner_id = p.id AND contact_id = v.id LIMIT 1) AS d ON true
LEFT JOIN LATERAL (SELECT at FROM last_seen WHERE user_id = p.id LIMIT 1) AS s ON true
