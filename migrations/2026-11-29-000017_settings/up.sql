SET lock_timeout = '5s';

-- Of a member: `cleared_seq` is the seq up to which the member has cleared the history, `sent_seq` that of the newest message that
-- the member has sent, by which a draft is void. None is indexed, so updates stay HOT.
ALTER TABLE members
    ADD COLUMN cleared_seq   bigint  NOT NULL DEFAULT 0,
    ADD COLUMN sent_seq      bigint  NOT NULL DEFAULT 0,
    ADD COLUMN marked_unread boolean NOT NULL DEFAULT false;

-- The user has hidden a message or cleared a history: pages of this inbox look for hidden messages.
ALTER TABLE timelines ADD COLUMN hides boolean NOT NULL DEFAULT false;

-- The three tables below change only under the lock of their user's row of `timelines`. A row exists only while its user is a member.

-- `hides` is the number of rows of `hidden_messages`. A null `notify` means the user's own default.
CREATE TABLE conversation_settings (
    user_id         uuid        NOT NULL,
    conversation_id uuid        NOT NULL,
    notify          text,
    notify_until    timestamptz,
    pinned_at       timestamptz,
    archived        boolean     NOT NULL DEFAULT false,
    hidden_through  bigint,
    nickname        text,
    hides           integer     NOT NULL DEFAULT 0,
    PRIMARY KEY (user_id, conversation_id)
) WITH (fillfactor = 80);
CREATE INDEX conversation_settings_pinned ON conversation_settings (user_id) WHERE pinned_at IS NOT NULL;

-- A null `content`: the draft is deleted. The row stays, with its version.
CREATE TABLE drafts (
    user_id         uuid        NOT NULL,
    conversation_id uuid        NOT NULL,
    version         bigint      NOT NULL,
    content         json,
    after_seq       bigint      NOT NULL,
    at              timestamptz NOT NULL,
    PRIMARY KEY (user_id, conversation_id)
) WITH (fillfactor = 80);

CREATE TABLE hidden_messages (
    user_id         uuid   NOT NULL,
    conversation_id uuid   NOT NULL,
    seq             bigint NOT NULL,
    PRIMARY KEY (user_id, conversation_id, seq)
);
