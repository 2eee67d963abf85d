SET lock_timeout = '5s';

-- The people on a user's list. `state` is `contact`, which only the owner knows of, or `friend`, which has a row on both sides. The rows
-- of `users` of both people guard the rows of a pair in these two tables (decision 0024).
CREATE TABLE contacts (
    owner_id      uuid        NOT NULL,
    contact_id    uuid        NOT NULL,
    state         text        NOT NULL,
    alias         text,
    tags          text[]      NOT NULL DEFAULT '{}',
    starred       boolean     NOT NULL DEFAULT false,
    created_at    timestamptz NOT NULL,
    friends_since timestamptz,
    PRIMARY KEY (owner_id, contact_id)
) WITH (fillfactor = 80);
CREATE INDEX contacts_friends ON contacts (owner_id, contact_id) WHERE state = 'friend';

-- A request has a row for the user who asked (`outgoing`), and one for the user who was asked unless that user blocks the other or has
-- declined. It is pending until `ended_at`, or `expires_at`.
CREATE TABLE contact_requests (
    user_id      uuid        NOT NULL,
    peer_id      uuid        NOT NULL,
    outgoing     boolean     NOT NULL,
    message      text,
    mutual_count integer,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    ended_at     timestamptz,
    PRIMARY KEY (user_id, outgoing, peer_id)
) WITH (fillfactor = 80);
-- Requests that were taken back stay for a while, and lists and counts do not read them.
CREATE INDEX contact_requests_open ON contact_requests (user_id, outgoing, peer_id) WHERE ended_at IS NULL;
CREATE INDEX contact_requests_expiry ON contact_requests (expires_at);
