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
DROP TABLE mentions_all;
DROP TABLE message_mentions;
DROP TABLE mentions;
DROP TABLE replies;
ALTER TABLE conversations DROP COLUMN all_seq;
ALTER TABLE members DROP COLUMN mentioned_seq;
ALTER TABLE messages DROP COLUMN extra;
