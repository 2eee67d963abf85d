-- A migration that waits for its lock makes every later reader wait behind it, so none waits long.
SET lock_timeout = '5s';

-- One row: the life of this database. Clients hold on to the epoch; after a backup was restored the operator starts a
-- new one, so that nobody takes the seqs of the old life for those of the new.
CREATE TABLE instance (
    only_row   boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    epoch      uuid        NOT NULL DEFAULT gen_random_uuid(),
    started_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO instance DEFAULT VALUES;
