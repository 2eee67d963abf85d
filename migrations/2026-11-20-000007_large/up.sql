SET lock_timeout = '5s';

-- `switch_seq` says of a large conversation that messages above it are in the archive only: read fan-out, for good. A
-- public one lets anybody in who has its id.
ALTER TABLE conversations
    ADD COLUMN switch_seq bigint,
    ADD COLUMN public     boolean NOT NULL DEFAULT false;

-- Of whom the conversation is large: so the few large ones of a user are found without looking at all of them, and those
-- who have none pay nothing.
ALTER TABLE members ADD COLUMN large boolean NOT NULL DEFAULT false;
CREATE INDEX members_large ON members (user_id) WHERE large;
