SET lock_timeout = '5s';

DROP TABLE seats;
DROP TABLE client_desks;
DROP TABLE desks;
DROP VIEW users_now;
ALTER TABLE users DROP COLUMN kind;
CREATE VIEW users_now AS
SELECT id, username, display_name, avatar_url, rev, created_at, read_receipts,
       CASE WHEN status_until <= now() THEN 'auto' ELSE availability END AS availability,
       CASE WHEN status_until <= now() THEN NULL ELSE status_emoji END AS status_emoji,
       CASE WHEN status_until <= now() THEN NULL ELSE status_text END AS status_text,
       CASE WHEN status_until <= now() THEN NULL ELSE status_until END AS status_until,
       state = 'deleted' AS deleted
FROM users;
