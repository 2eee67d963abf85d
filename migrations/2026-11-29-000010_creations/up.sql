SET lock_timeout = '5s';

-- A repeated create must be the same request, and gets the same answer: the hash of the request, and the users that were refused.
-- Both are null in rows that are older than these columns.
ALTER TABLE client_conversations
    ADD COLUMN request_hash bytea,
    ADD COLUMN refused      uuid[];
