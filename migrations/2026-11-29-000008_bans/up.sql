SET lock_timeout = '5s';

-- Who may neither join a group or channel nor be added to it. Rows change only under their conversation's lock, as those
-- of members do.
CREATE TABLE bans (
    conversation_id uuid        NOT NULL,
    user_id         uuid        NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (conversation_id, user_id)
);
