SET lock_timeout = '5s';

-- `change_seq` numbers the changes of a conversation's messages, as `last_seq` numbers the messages: under the row's lock.
ALTER TABLE conversations ADD COLUMN change_seq bigint NOT NULL DEFAULT 0;

-- Null: erased by a recall. The row stays, since its seq, its id and its client_msg_id are used for good.
ALTER TABLE messages ALTER COLUMN content DROP NOT NULL;

-- The present state of each message that has changed since it was stored, with the number of its last change. `content` is the
-- present version, if that is not the first, which the archive has.
CREATE TABLE message_states (
    conversation_id uuid    NOT NULL,
    seq             bigint  NOT NULL,
    change_seq      bigint  NOT NULL,
    version         integer NOT NULL DEFAULT 1,
    content         json,
    length          integer,
    edited_at       timestamptz,
    recalled_at     timestamptz,
    recalled_by     uuid,
    PRIMARY KEY (conversation_id, seq)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
CREATE UNIQUE INDEX message_states_changes ON message_states (conversation_id, change_seq);
CREATE INDEX message_states_recalled ON message_states (conversation_id, seq) WHERE recalled_at IS NOT NULL;

-- The versions between the first, which the archive has, and the present one, which the state has.
CREATE TABLE message_versions (
    conversation_id uuid        NOT NULL,
    seq             bigint      NOT NULL,
    version         integer     NOT NULL,
    content         json        NOT NULL,
    at              timestamptz NOT NULL,
    PRIMARY KEY (conversation_id, seq, version)
);

-- When users left a conversation: entries of their inboxes show messages as of this time.
CREATE TABLE former_members (
    conversation_id uuid        NOT NULL,
    user_id         uuid        NOT NULL,
    left_at         timestamptz NOT NULL,
    PRIMARY KEY (conversation_id, user_id)
);

-- The only reader of contents: a message as it is now. `changes` is null for a message that has not changed. LATERAL, BETWEEN and
-- LIMIT force one key look-up per message.
CREATE VIEW messages_now AS
SELECT m.conversation_id, m.seq, m.id, m.sender_id, m.client_msg_id, m.created_at,
       CASE WHEN m.content IS NULL OR s.recalled_at IS NOT NULL THEN 'recalled' ELSE m.kind END AS kind,
       CASE WHEN m.content IS NULL OR s.recalled_at IS NOT NULL THEN '{}'::json
            ELSE COALESCE(s.content, m.content) END AS content,
       CASE WHEN m.content IS NULL OR s.recalled_at IS NOT NULL THEN 2
            ELSE COALESCE(s.length, m.length, octet_length(m.content::text)) END AS length,
       CASE WHEN s.seq IS NOT NULL THEN json_build_object(
           'change_seq', s.change_seq, 'version', s.version, 'edited_at', s.edited_at,
           'recalled_at', s.recalled_at, 'recalled_by', s.recalled_by) END AS changes
FROM messages m
LEFT JOIN LATERAL (
    SELECT * FROM message_states
    WHERE conversation_id = m.conversation_id AND seq BETWEEN m.seq AND m.seq ORDER BY seq LIMIT 1
) AS s ON true;
