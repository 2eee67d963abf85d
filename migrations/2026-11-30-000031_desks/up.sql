SET lock_timeout = '5s';

ALTER TABLE users ADD COLUMN kind text NOT NULL DEFAULT 'person' CONSTRAINT users_kind CHECK (kind IN ('person', 'desk'));

CREATE OR REPLACE VIEW users_now AS
SELECT id, username, display_name, avatar_url, rev, created_at, read_receipts,
       CASE WHEN status_until <= now() THEN 'auto' ELSE availability END AS availability,
       CASE WHEN status_until <= now() THEN NULL ELSE status_emoji END AS status_emoji,
       CASE WHEN status_until <= now() THEN NULL ELSE status_text END AS status_text,
       CASE WHEN status_until <= now() THEN NULL ELSE status_until END AS status_until,
       state = 'deleted' AS deleted,
       kind
FROM users;

-- A desk is a user to whom customers write. `skills` are named by their places, from 0: the order is for good.
CREATE TABLE desks (
    id     uuid   PRIMARY KEY,
    skills text[] NOT NULL DEFAULT '{}'
);

-- Creators' ids of desks: a repeated request finds the desk that the first one has created.
CREATE TABLE client_desks (
    creator_id     uuid,
    client_desk_id uuid,
    desk_id        uuid NOT NULL,
    PRIMARY KEY (creator_id, client_desk_id)
);

-- Who serves a desk. `skills` has a bit for each skill of the desk. A removed seat stays without
-- the name of its user, so that its version never goes back.
CREATE TABLE seats (
    desk_id    uuid,
    user_id    uuid,
    role       text        NOT NULL CONSTRAINT seats_role CHECK (role IN ('admin', 'supervisor', 'agent')),
    alias      text,
    skills     bigint      NOT NULL,
    capacity   smallint    NOT NULL CONSTRAINT seats_capacity CHECK (capacity BETWEEN 1 AND 100),
    load       smallint    NOT NULL DEFAULT 0,
    available  boolean     NOT NULL DEFAULT false,
    why        text,
    missed     smallint    NOT NULL DEFAULT 0,
    given_at   timestamptz NOT NULL DEFAULT now(),
    removed_at timestamptz,
    version    bigint      NOT NULL DEFAULT 1,
    PRIMARY KEY (desk_id, user_id)
) WITH (fillfactor = 70);
CREATE INDEX seats_by_user ON seats (user_id, desk_id);
