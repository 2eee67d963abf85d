SET lock_timeout = '5s';

-- `last_seq` is the head of the archive: the counter row that hands out seqs under its lock. Room is left on the
-- pages (fillfactor) so that counter updates stay HOT; no counter is indexed for the same reason.
CREATE TABLE conversations (
    id           uuid PRIMARY KEY,
    kind         text        NOT NULL,
    title        text,
    last_seq     bigint      NOT NULL DEFAULT 0,
    member_count integer     NOT NULL,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL
) WITH (fillfactor = 70);

-- One direct conversation per pair, found by the ordered pair.
CREATE TABLE direct_pairs (
    low_user_id     uuid NOT NULL,
    high_user_id    uuid NOT NULL,
    conversation_id uuid NOT NULL,
    PRIMARY KEY (low_user_id, high_user_id),
    CHECK (low_user_id < high_user_id)
);

-- Rows change only under their conversation's lock.
CREATE TABLE members (
    conversation_id uuid        NOT NULL,
    user_id         uuid        NOT NULL,
    role            text        NOT NULL,
    joined_seq      bigint      NOT NULL,
    read_seq        bigint      NOT NULL,
    joined_at       timestamptz NOT NULL,
    muted_until     timestamptz,
    PRIMARY KEY (conversation_id, user_id)
) WITH (fillfactor = 70);
CREATE INDEX members_by_user ON members (user_id, conversation_id);
