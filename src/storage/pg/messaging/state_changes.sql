-- All writes of a transaction to the states of messages, under the locks of their conversations. The parts write to different rows.
-- Each part may be empty. The number of erased messages is returned.
WITH states AS (
    INSERT INTO message_states AS s
        (conversation_id, seq, change_seq, version, content, length, edited_at, recalled_at, recalled_by)
    SELECT c, q, n, v, j::json, octet_length(j), e, ra, rb
    FROM unnest($1, $2, $3, $4, $5, $6, $7, $8) AS n(c, q, n, v, j, e, ra, rb)
    ON CONFLICT (conversation_id, seq) DO UPDATE SET
        change_seq = excluded.change_seq, version = excluded.version, content = excluded.content, length = excluded.length,
        edited_at = excluded.edited_at, recalled_at = excluded.recalled_at, recalled_by = excluded.recalled_by
), versions AS (
    INSERT INTO message_versions (conversation_id, seq, version, content, at)
    SELECT c, q, v, j::json, t FROM unnest($9, $10, $11, $12, $13) AS n(c, q, v, j, t)
), forgotten AS (
    DELETE FROM message_versions v USING unnest($14, $15) AS e(c, q) WHERE v.conversation_id = e.c AND v.seq = e.q
), erased AS (
    UPDATE messages m SET content = NULL, length = NULL
    FROM unnest($16, $17) AS e(c, q) WHERE m.conversation_id = e.c AND m.seq BETWEEN e.q AND e.q RETURNING 1
)
SELECT count(*) FROM erased
