SET lock_timeout = '5s';

-- The index of the search: for 32 seqs of a conversation (block * 32 + 1 to block * 32 + 32) what their messages have, as lexemes that
-- the server makes: words, kinds, senders. `*` stands for anything: the block is new, or one of its messages has changed (`marked`), or
-- it has too many lexemes. Rows are inserted and marked only under their conversation's lock; `version` counts the marks. The index is a
-- filter. The archive says what a message is.
CREATE TABLE search_blocks (
    conversation_id uuid        NOT NULL,
    block           bigint      NOT NULL,
    version         integer     NOT NULL DEFAULT 0,
    marked          boolean     NOT NULL DEFAULT true,
    oldest_at       timestamptz NOT NULL,
    newest_at       timestamptz NOT NULL,
    tokens          tsvector    NOT NULL,
    PRIMARY KEY (conversation_id, block)
) PARTITION BY HASH (conversation_id);

-- Statistics of the lexemes would cost an ANALYZE seconds, and lead the planner to read all blocks of a conversation for a word that is
-- neither rare nor common. Stored apart, lexemes leave the rows so short that a bitmap of them stays exact.
DO $$
DECLARE part text;
BEGIN
    FOR remainder IN 0..7 LOOP
        part := 'search_blocks_' || remainder;
        EXECUTE format(
            'CREATE TABLE %I PARTITION OF search_blocks FOR VALUES WITH (MODULUS 8, REMAINDER %s)
             WITH (toast_tuple_target = 128, autovacuum_analyze_threshold = 2000000000)', part, remainder);
        EXECUTE format('ALTER TABLE %I ALTER COLUMN tokens SET STATISTICS 0', part);
        BEGIN
            EXECUTE format('ALTER TABLE %I ALTER COLUMN tokens SET COMPRESSION lz4', part);
        EXCEPTION WHEN feature_not_supported THEN
            -- This PostgreSQL was built without it.
        END;
    END LOOP;
END $$;

CREATE INDEX search_blocks_tokens ON search_blocks USING gin (tokens) WITH (fastupdate = on, gin_pending_list_limit = 1024);
-- Few at any time: those whose lexemes are to be written.
CREATE INDEX search_blocks_marked ON search_blocks (conversation_id, block) WHERE marked;
