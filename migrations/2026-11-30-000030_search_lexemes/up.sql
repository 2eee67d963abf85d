SET lock_timeout = '5s';

-- Lexemes that are no words begin with `=` now: before, the beginnings of their names were found as words. The indexer writes them again;
-- until then every block may have anything.
UPDATE search_blocks SET tokens = '*', marked = true, version = version + 1;
