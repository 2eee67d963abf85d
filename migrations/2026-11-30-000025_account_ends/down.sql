SET lock_timeout = '5s';

-- Without the column a former name would resolve to its owner.
DELETE FROM usernames WHERE reserved_until IS NOT NULL;
DROP VIEW users_now;
DROP INDEX contacts_by_person, contact_requests_by_peer, usernames_reserved, usernames_former, users_erasing, users_search;
ALTER TABLE usernames DROP COLUMN reserved_until, ALTER COLUMN user_id SET NOT NULL;
ALTER TABLE users
    DROP COLUMN state,
    DROP COLUMN deactivated_by,
    DROP COLUMN erase_at,
    DROP COLUMN renamed_at;
CREATE VIEW users_now AS
SELECT id, username, display_name, avatar_url, rev, created_at, read_receipts,
       CASE WHEN status_until <= now() THEN 'auto' ELSE availability END AS availability,
       CASE WHEN status_until <= now() THEN NULL ELSE status_emoji END AS status_emoji,
       CASE WHEN status_until <= now() THEN NULL ELSE status_text END AS status_text,
       CASE WHEN status_until <= now() THEN NULL ELSE status_until END AS status_until
FROM users;
