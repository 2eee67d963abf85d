SET lock_timeout = '5s';

-- The number of what decides who sees a user's presence: privacy settings, blocks by the user and the user's contacts. A permission that
-- was found under this number of both people holds as long as neither moves.
ALTER TABLE users ADD COLUMN audience_rev integer NOT NULL DEFAULT 0;

-- When a user was last online. It is written when a device goes, not while it stays.
CREATE TABLE last_seen (
    user_id uuid        PRIMARY KEY,
    at      timestamptz NOT NULL
) WITH (fillfactor = 70);
