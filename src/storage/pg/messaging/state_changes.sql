-- The new states of messages with their old versions and new reactions, under the locks of their conversations. The parts write to
-- different tables. Each part may be empty.
WITH versions AS (
    INSERT INTO message_versions (conversation_id, seq, version, content, at)
    SELECT c, q, v, j::json, t FROM unnest($1, $2, $3, $4, $5) AS n(c, q, v, j, t)
), reacted AS (
    INSERT INTO reactions (conversation_id, seq, emoji, user_id, at)
    SELECT c, q, e, u, t FROM unnest($6, $7, $8, $9, $10) AS n(c, q, e, u, t)
), to_erase AS (
    INSERT INTO erasures (conversation_id, seq) SELECT c, q FROM unnest($11, $12) AS n(c, q)
)
INSERT INTO message_states AS s (conversation_id, seq, change_seq, version, content, length, edited_at, recalled_at, recalled_by,
    reactions, author_told_at, pinned_at, pinned_by)
SELECT c, q, n, v, j::json, octet_length(j), e, ra, rb, r::json, a, pa, pb
FROM unnest($13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24)
    AS n(c, q, n, v, j, e, ra, rb, r, a, pa, pb)
ON CONFLICT (conversation_id, seq) DO UPDATE SET
    change_seq = excluded.change_seq, version = excluded.version, content = excluded.content, length = excluded.length,
    edited_at = excluded.edited_at, recalled_at = excluded.recalled_at, recalled_by = excluded.recalled_by,
    reactions = excluded.reactions, author_told_at = excluded.author_told_at, pinned_at = excluded.pinned_at, pinned_by = excluded.pinned_by
