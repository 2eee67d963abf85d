SET lock_timeout = '5s';

-- `reactions` is a list of {emoji, count}, in the order of first use. `author_told_at` is the time of the last entry about reactions
-- in the author's inbox, where not every member gets one.
ALTER TABLE message_states
    ADD COLUMN reactions      json,
    ADD COLUMN author_told_at timestamptz;

-- Rows change only under their conversation's lock.
CREATE TABLE reactions (
    conversation_id uuid        NOT NULL,
    seq             bigint      NOT NULL,
    emoji           text        NOT NULL,
    user_id         uuid        NOT NULL,
    at              timestamptz NOT NULL,
    PRIMARY KEY (conversation_id, seq, emoji, user_id)
) PARTITION BY HASH (conversation_id);

CREATE TABLE reactions_0 PARTITION OF reactions FOR VALUES WITH (MODULUS 8, REMAINDER 0);
CREATE TABLE reactions_1 PARTITION OF reactions FOR VALUES WITH (MODULUS 8, REMAINDER 1);
CREATE TABLE reactions_2 PARTITION OF reactions FOR VALUES WITH (MODULUS 8, REMAINDER 2);
CREATE TABLE reactions_3 PARTITION OF reactions FOR VALUES WITH (MODULUS 8, REMAINDER 3);
CREATE TABLE reactions_4 PARTITION OF reactions FOR VALUES WITH (MODULUS 8, REMAINDER 4);
CREATE TABLE reactions_5 PARTITION OF reactions FOR VALUES WITH (MODULUS 8, REMAINDER 5);
CREATE TABLE reactions_6 PARTITION OF reactions FOR VALUES WITH (MODULUS 8, REMAINDER 6);
CREATE TABLE reactions_7 PARTITION OF reactions FOR VALUES WITH (MODULUS 8, REMAINDER 7);

-- Recalled messages whose rows in `reactions` are still to be deleted.
CREATE TABLE erasures (
    conversation_id uuid   NOT NULL,
    seq             bigint NOT NULL,
    PRIMARY KEY (conversation_id, seq)
);

CREATE OR REPLACE VIEW messages_now AS
SELECT m.conversation_id, m.seq, m.id, m.sender_id, m.client_msg_id, m.created_at,
       CASE WHEN m.content IS NULL OR s.recalled_at IS NOT NULL THEN 'recalled' ELSE m.kind END AS kind,
       CASE WHEN m.content IS NULL OR s.recalled_at IS NOT NULL THEN '{}'::json
            ELSE COALESCE(s.content, m.content) END AS content,
       CASE WHEN m.content IS NULL OR s.recalled_at IS NOT NULL THEN 2
            ELSE COALESCE(s.length, m.length, octet_length(m.content::text)) END AS length,
       CASE WHEN s.seq IS NOT NULL THEN json_build_object(
           'change_seq', s.change_seq, 'version', s.version, 'edited_at', s.edited_at,
           'recalled_at', s.recalled_at, 'recalled_by', s.recalled_by,
           'reactions', s.reactions, 'author_told_at', s.author_told_at) END AS changes
FROM messages m
LEFT JOIN LATERAL (
    SELECT * FROM message_states
    WHERE conversation_id = m.conversation_id AND seq BETWEEN m.seq AND m.seq ORDER BY seq LIMIT 1
) AS s ON true;
