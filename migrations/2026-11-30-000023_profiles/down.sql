DROP VIEW users_now;
ALTER TABLE users DROP COLUMN avatar_url, DROP COLUMN bio, DROP COLUMN attributes, DROP COLUMN rev, DROP COLUMN availability,
    DROP COLUMN status_emoji, DROP COLUMN status_text, DROP COLUMN status_until, DROP COLUMN privacy;
