SET lock_timeout = '5s';

-- `last_change` is the head of the conversation's member changes, handed out under its lock as `last_seq` is. `blocked`
-- says of a direct conversation that one of the two blocks the other: the truth is in `blocks`, and both change under
-- the conversation's lock, so that a send sees it with the row that it locks anyway.
ALTER TABLE conversations
    ADD COLUMN last_change bigint  NOT NULL DEFAULT 0,
    ADD COLUMN blocked     boolean NOT NULL DEFAULT false;

-- The creator's own ids of groups: a repeated create finds the group that it has made.
CREATE TABLE client_conversations (
    creator_id             uuid NOT NULL,
    client_conversation_id uuid NOT NULL,
    conversation_id        uuid NOT NULL,
    PRIMARY KEY (creator_id, client_conversation_id)
);

-- Who joined, left and changed, once; the inbox entries of kind 'members' refer to it by (conversation_id, seq).
-- `changed` is a list of {user_id, role, muted_until}, as it goes out.
CREATE TABLE member_changes (
    conversation_id uuid   NOT NULL,
    seq             bigint NOT NULL,
    actor_id        uuid   NOT NULL,
    added           uuid[] NOT NULL,
    removed         uuid[] NOT NULL,
    changed         json   NOT NULL,
    PRIMARY KEY (conversation_id, seq)
);

CREATE TABLE blocks (
    blocker_id uuid        NOT NULL,
    blocked_id uuid        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (blocker_id, blocked_id)
);
