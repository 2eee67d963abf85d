SET lock_timeout = '5s';

-- The head of every receiver's timeline: the counter row of the inbox. `last_at` is the time of its newest entry.
CREATE TABLE timelines (
    user_id  uuid PRIMARY KEY,
    last_seq bigint      NOT NULL,
    last_at  timestamptz NOT NULL
) WITH (fillfactor = 70);

-- The sync library: slim references into the archive. `ref_seq` is the message's seq in its conversation or the
-- position read up to; `unread` is the conversation's count as of the entry. The server itself makes the weekly
-- partitions ahead of time and drops the expired ones (tasks/partitions).
CREATE TABLE inbox (
    receiver_id     uuid        NOT NULL,
    seq             bigint      NOT NULL,
    at              timestamptz NOT NULL,
    kind            text        NOT NULL,
    conversation_id uuid        NOT NULL,
    ref_seq         bigint      NOT NULL,
    unread          bigint      NOT NULL,
    PRIMARY KEY (receiver_id, seq, at)
) PARTITION BY RANGE (at);
