SET lock_timeout = '5s';

-- `leads_post` and `leads_pin`: only the owner and the admins may. `slow_seconds` is the least time between two messages of another
-- member. `parent_id` and `parent_seq` are the message to which a group was created. None is indexed, so updates stay HOT.
ALTER TABLE conversations
    ADD COLUMN leads_post   boolean NOT NULL DEFAULT false,
    ADD COLUMN leads_pin    boolean NOT NULL DEFAULT true,
    ADD COLUMN slow_seconds integer NOT NULL DEFAULT 0,
    ADD COLUMN parent_id    uuid,
    ADD COLUMN parent_seq   bigint;

-- Off: messages of the person that others forward do not name the person.
ALTER TABLE users ADD COLUMN forward_name boolean NOT NULL DEFAULT true;

ALTER TABLE message_states
    ADD COLUMN pinned_at timestamptz,
    ADD COLUMN pinned_by uuid;

-- The pinned messages of a conversation, each with the number of the change that pinned it, which gives their order. Rows change only
-- under their conversation's lock, with the states.
CREATE TABLE pins (
    conversation_id uuid   NOT NULL,
    seq             bigint NOT NULL,
    change_seq      bigint NOT NULL,
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
           'reactions', s.reactions, 'author_told_at', s.author_told_at, 'extra', m.extra,
           'pinned_at', s.pinned_at, 'pinned_by', s.pinned_by) END AS changes
FROM messages m
LEFT JOIN LATERAL (
    SELECT * FROM message_states
    WHERE conversation_id = m.conversation_id AND seq BETWEEN m.seq AND m.seq ORDER BY seq LIMIT 1
) AS s ON true;
