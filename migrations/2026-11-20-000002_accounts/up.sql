SET lock_timeout = '5s';

CREATE TABLE users (
    id            uuid PRIMARY KEY,
    username      text        NOT NULL,
    display_name  text        NOT NULL,
    password_hash text        NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now()
);

-- What must be unique has a table keyed by it: a unique key on users could not be distributed by users.id later.
CREATE TABLE usernames (
    username text PRIMARY KEY,
    user_id  uuid NOT NULL
);

-- One row a device. The refresh token is kept as a hash only. `refresh_generation` counts its rotations;
-- `previous_hash` is the token before it, good for a repeat until its successor was used (`refresh_confirmed`).
CREATE TABLE devices (
    user_id            uuid        NOT NULL,
    id                 uuid        NOT NULL,
    name               text,
    platform           text        NOT NULL,
    created_at         timestamptz NOT NULL DEFAULT now(),
    last_seen_at       timestamptz NOT NULL DEFAULT now(),
    revoked_at         timestamptz,
    refresh_hash       bytea       NOT NULL,
    refresh_expires_at timestamptz NOT NULL,
    refresh_generation bigint      NOT NULL DEFAULT 0,
    previous_hash      bytea,
    rotated_at         timestamptz,
    refresh_confirmed  boolean     NOT NULL DEFAULT true,
    PRIMARY KEY (user_id, id)
) WITH (fillfactor = 80);

-- Every node reloads the freshly revoked devices every two seconds.
CREATE INDEX devices_revoked ON devices (revoked_at) WHERE revoked_at IS NOT NULL;
