SET lock_timeout = '5s';

-- A repeated create has to be the same request, and gets the same answer: a hash of what was asked, and who was left out.
-- Both are null of what was made before there were these columns.
ALTER TABLE client_conversations
    ADD COLUMN request_hash bytea,
    ADD COLUMN refused      uuid[];
