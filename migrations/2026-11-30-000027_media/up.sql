SET lock_timeout = '5s';

-- An upload, and later the picture, video or file. Its bytes are objects of the media store.
CREATE TABLE media (
    owner_id        uuid        NOT NULL,
    id              uuid        NOT NULL,
    client_media_id uuid        NOT NULL,
    kind            text        NOT NULL,
    name            text        NOT NULL,
    -- The request that created it, to recognise a repeat.
    declared        text        NOT NULL,
    -- As declared, and from `ready` on as found.
    mime            text        NOT NULL,
    size            bigint      NOT NULL,
    sha256          bytea,
    width           integer,
    height          integer,
    duration_ms     bigint,
    thumbhash       bytea,
    variants        json        NOT NULL DEFAULT '[]',
    state           text        NOT NULL,
    reason          text,
    -- The part of the keys of its objects that the last run of the processing has chosen.
    object_id       uuid,
    -- A run of the processing that has not renewed this is taken over.
    lease_until     timestamptz,
    tries           integer     NOT NULL DEFAULT 0,
    -- Its share of the owner's usage.
    reserved        bigint      NOT NULL,
    created_at      timestamptz NOT NULL,
    -- Null: a message refers to it.
    expires_at      timestamptz,
    PRIMARY KEY (owner_id, id),
    UNIQUE (owner_id, client_media_id)
) WITH (fillfactor = 80);

CREATE INDEX media_due ON media (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX media_leases ON media (lease_until) WHERE lease_until IS NOT NULL;

-- The parts of an upload that have come, each an object.
CREATE TABLE media_parts (
    owner_id  uuid    NOT NULL,
    media_id  uuid    NOT NULL,
    part      integer NOT NULL,
    size      integer NOT NULL,
    store_key text    NOT NULL,
    -- The client may send it to the store itself: it is looked for when the upload is completed.
    is_direct boolean NOT NULL DEFAULT false,
    PRIMARY KEY (owner_id, media_id, part)
);

-- What a user has reserved. Its row is locked before the rows of the user's media.
CREATE TABLE media_usage (
    owner_id uuid    PRIMARY KEY,
    bytes    bigint  NOT NULL,
    uploads  integer NOT NULL
) WITH (fillfactor = 70);

-- The media of a message. A row is written with the message and deleted with its content.
CREATE TABLE message_media (
    conversation_id uuid   NOT NULL,
    seq             bigint NOT NULL,
    role            text   NOT NULL,
    media_id        uuid   NOT NULL,
    owner_id        uuid   NOT NULL,
    PRIMARY KEY (conversation_id, seq, role)
);

CREATE INDEX message_media_by_media ON message_media (media_id);

-- Messages to send later refer to media too.
CREATE INDEX scheduled_media ON scheduled ((content ->> 'media_id'));
CREATE INDEX scheduled_posters ON scheduled ((content ->> 'poster_media_id'));

-- Media that have lost a reference, for the collector, which looks whether there is another one.
CREATE TABLE media_candidates (
    owner_id uuid        NOT NULL,
    media_id uuid        NOT NULL,
    at       timestamptz NOT NULL,
    PRIMARY KEY (owner_id, media_id, at)
);

CREATE INDEX media_candidates_due ON media_candidates (at);

-- Objects to delete. A key is written here before its object, and removed by the transaction that keeps the object: so no object is
-- without a row, and none has to be found by listing the store.
CREATE TABLE blob_deletions (
    store_key text        PRIMARY KEY,
    due_at    timestamptz NOT NULL,
    tries     integer     NOT NULL DEFAULT 0,
    -- It was deleted once.
    is_again  boolean     NOT NULL DEFAULT false
);

CREATE INDEX blob_deletions_due ON blob_deletions (due_at);

-- The media store of this database: the store has an object of this name. Another directory has not.
CREATE TABLE media_store (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    id        uuid    NOT NULL
);
