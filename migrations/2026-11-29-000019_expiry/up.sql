SET lock_timeout = '5s';

-- `ttl_seconds`: messages are gone this long after their send. `floor_seq`: all messages up to it are gone, and count as read.
ALTER TABLE conversations
    ADD COLUMN ttl_seconds bigint,
    ADD COLUMN floor_seq   bigint NOT NULL DEFAULT 0;

-- The messages whose contents the sweeper has to erase: a table, not an index of the archive, which building would stop all sends.
-- Rows change only under their conversation's lock.
CREATE TABLE expiring (
    conversation_id uuid        NOT NULL,
    seq             bigint      NOT NULL,
    expires_at      timestamptz NOT NULL,
    PRIMARY KEY (conversation_id, seq)
);
CREATE INDEX expiring_next ON expiring (expires_at);

-- `extra` of a message has `expires_at` too, also after the erasure. From that time on the message is a stub, erased or not: by the
-- clock of the database, at the begin of the statement. (A view with the volatile clock_timestamp() could not use an order of an index.)
CREATE OR REPLACE VIEW messages_now AS
SELECT m.conversation_id, m.seq, m.id, m.sender_id, m.client_msg_id, m.created_at,
       COALESCE(g.stub, m.kind) AS kind,
       CASE WHEN g.stub IS NULL THEN COALESCE(s.content, m.content) ELSE '{}'::json END AS content,
       CASE WHEN g.stub IS NULL THEN COALESCE(s.length, m.length, octet_length(m.content::text)) ELSE 2 END AS length,
       CASE WHEN s.seq IS NOT NULL OR m.extra IS NOT NULL THEN json_build_object(
           'change_seq', s.change_seq, 'version', s.version, 'edited_at', s.edited_at,
           'recalled_at', s.recalled_at, 'recalled_by', s.recalled_by,
           'reactions', s.reactions, 'author_told_at', s.author_told_at, 'extra', m.extra,
           'pinned_at', s.pinned_at, 'pinned_by', s.pinned_by) END AS changes
FROM messages m
LEFT JOIN LATERAL (
    SELECT * FROM message_states
    WHERE conversation_id = m.conversation_id AND seq BETWEEN m.seq AND m.seq ORDER BY seq LIMIT 1
) AS s ON true
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN s.recalled_at IS NOT NULL THEN 'recalled'
        WHEN m.content IS NULL OR (m.extra ->> 'expires_at')::timestamptz <= statement_timestamp() THEN 'expired'
    END AS stub
) AS g;
