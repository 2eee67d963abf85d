SET lock_timeout = '5s';

-- Mutes that outlive leaving: of people who were members, were muted when they left, and are muted again when they come
-- back before that time. Rows change only under their conversation's lock, as those of members do.
CREATE TABLE mutes (
    conversation_id uuid        NOT NULL,
    user_id         uuid        NOT NULL,
    muted_until     timestamptz NOT NULL,
    PRIMARY KEY (conversation_id, user_id)
);
