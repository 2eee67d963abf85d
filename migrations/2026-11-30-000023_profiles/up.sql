SET lock_timeout = '5s';

-- `rev` is the number of the profile: it grows with each change that others can see. `availability` and the `status_` columns end at
-- `status_until`, by comparison. `privacy` has what the person has chosen; a missing member is the operator's default.
ALTER TABLE users
    ADD COLUMN avatar_url   text,
    ADD COLUMN bio          text,
    ADD COLUMN attributes   json,
    ADD COLUMN rev          bigint NOT NULL DEFAULT 1,
    ADD COLUMN availability text   NOT NULL DEFAULT 'auto',
    ADD COLUMN status_emoji text,
    ADD COLUMN status_text  text,
    ADD COLUMN status_until timestamptz,
    ADD COLUMN privacy      json;

-- What others see of a user, with the status as it is now, and the setting that pages of conversations need.
CREATE VIEW users_now AS
SELECT id, username, display_name, avatar_url, rev, created_at, read_receipts,
       CASE WHEN status_until <= now() THEN 'auto' ELSE availability END AS availability,
       CASE WHEN status_until <= now() THEN NULL ELSE status_emoji END AS status_emoji,
       CASE WHEN status_until <= now() THEN NULL ELSE status_text END AS status_text,
       CASE WHEN status_until <= now() THEN NULL ELSE status_until END AS status_until
FROM users;
