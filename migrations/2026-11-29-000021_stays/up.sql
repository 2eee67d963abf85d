SET lock_timeout = '5s';

-- One row for each time that a user was a member: the greatest `joined_seq` below the seq of a message says in which of them the user
-- has received it. Messages up to `cleared_seq` the user had cleared.
ALTER TABLE former_members
    ADD COLUMN joined_seq  bigint NOT NULL DEFAULT 0,
    ADD COLUMN cleared_seq bigint NOT NULL DEFAULT 0,
    DROP CONSTRAINT former_members_pkey,
    ADD PRIMARY KEY (conversation_id, user_id, joined_seq);
