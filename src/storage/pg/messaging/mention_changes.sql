-- Users that messages name, messages that name everyone, and replies, under the locks of their conversations. Each part may be empty.
WITH named AS (
    INSERT INTO mentions (user_id, conversation_id, seq, at, gone)
    SELECT u, c, q, t, g FROM unnest($1, $2, $3, $4, $5) AS n(u, c, q, t, g)
    ON CONFLICT (user_id, conversation_id, seq) DO UPDATE SET gone = excluded.gone
), by_message AS (
    INSERT INTO message_mentions (conversation_id, seq, user_id)
    SELECT c, q, u FROM unnest($6, $7, $8) AS n(c, q, u) ON CONFLICT DO NOTHING
), everyone AS (
    INSERT INTO mentions_all (conversation_id, seq) SELECT c, q FROM unnest($9, $10) AS n(c, q)
)
INSERT INTO replies (conversation_id, root_seq, seq) SELECT c, r, q FROM unnest($11, $12, $13) AS n(c, r, q)
