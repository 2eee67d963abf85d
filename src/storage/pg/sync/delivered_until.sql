-- The time before which every message is among the entries of an inbox up to a seq. Entries of one transaction have the same time, so
-- the time of the entry at the seq is excluded if the next entry has it too. At the head no entry is read. A look-up of an entry reads
-- each partition, since a seq does not name its time.
SELECT COALESCE(CASE WHEN t.last_seq <= p.seq THEN t.last_at + interval '1 microsecond' END, e.until) AS until
FROM unnest($1, $2) WITH ORDINALITY AS p(user_id, seq, place)
LEFT JOIN LATERAL (SELECT last_seq, last_at FROM timelines WHERE user_id = p.user_id LIMIT 1) AS t ON true
LEFT JOIN LATERAL (
    SELECT min(at) + CASE WHEN max(at) > min(at) THEN interval '1 microsecond' ELSE interval '0' END AS until
    FROM inbox WHERE t.last_seq > p.seq AND receiver_id = p.user_id AND seq BETWEEN p.seq AND p.seq + 1
) AS e ON true
ORDER BY p.place
