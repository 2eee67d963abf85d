SET lock_timeout = '5s';

-- Messages of a large conversation above `switch_seq` are only in the archive: read fan-out, which never ends. Any user who has
-- the id of a public conversation may join it.
ALTER TABLE conversations
    ADD COLUMN switch_seq bigint,
    ADD COLUMN public     boolean NOT NULL DEFAULT false;

-- `large` is a copy of the conversation's state. The partial index finds the few large conversations of a user without reading the
-- others, and users without one cost nothing.
ALTER TABLE members ADD COLUMN large boolean NOT NULL DEFAULT false;
CREATE INDEX members_large ON members (user_id) WHERE large;
