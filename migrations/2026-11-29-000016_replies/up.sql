SET lock_timeout = '5s';

-- What a message has beside its content: {reply_to, reply_sender, root_seq, mention_all}. Null for most messages.
ALTER TABLE messages ADD COLUMN extra json;

-- `mentioned_seq` is the last message that names the member, `all_seq` the last one that names everyone: without a higher one than
-- the read position, nothing is counted.
ALTER TABLE members ADD COLUMN mentioned_seq bigint NOT NULL DEFAULT 0;
ALTER TABLE conversations ADD COLUMN all_seq bigint NOT NULL DEFAULT 0;

-- The replies to a message, and to its replies. A table, not an index of the archive: building that would stop all sends.
CREATE TABLE replies (
    conversation_id uuid   NOT NULL,
    root_seq        bigint NOT NULL,
    seq             bigint NOT NULL,
    PRIMARY KEY (conversation_id, root_seq, seq)
);

-- The messages that name a user. `gone`: the user is no longer named in it. Only the index begins with the user, so that a list of the
-- newest cannot read the primary key instead.
CREATE TABLE mentions (
    user_id         uuid        NOT NULL,
    conversation_id uuid        NOT NULL,
    seq             bigint      NOT NULL,
    at              timestamptz NOT NULL,
    gone            boolean     NOT NULL DEFAULT false,
    PRIMARY KEY (conversation_id, user_id, seq)
);
CREATE INDEX mentions_newest ON mentions (user_id, at, conversation_id, seq);

-- The same by message: the users whom a recall or an edit concerns.
CREATE TABLE message_mentions (
    conversation_id uuid   NOT NULL,
    seq             bigint NOT NULL,
    user_id         uuid   NOT NULL,
    PRIMARY KEY (conversation_id, seq, user_id)
);

-- The messages that name everyone.
CREATE TABLE mentions_all (
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
       CASE WHEN s.seq IS NOT NULL OR m.extra IS NOT NULL THEN json_build_object(
           'change_seq', s.change_seq, 'version', s.version, 'edited_at', s.edited_at,
           'recalled_at', s.recalled_at, 'recalled_by', s.recalled_by,
           'reactions', s.reactions, 'author_told_at', s.author_told_at, 'extra', m.extra) END AS changes
FROM messages m
LEFT JOIN LATERAL (
    SELECT * FROM message_states
    WHERE conversation_id = m.conversation_id AND seq BETWEEN m.seq AND m.seq ORDER BY seq LIMIT 1
) AS s ON true;
