SET lock_timeout = '5s';

-- Messages to send later, each under its client_msg_id. `options` is what a send has beside its content. `claimed_until`: a node is
-- sending the message. The row is deleted after the send, so a node that dies in between leaves it, and the repeated send is a replay.
CREATE TABLE scheduled (
    user_id         uuid        NOT NULL,
    client_msg_id   uuid        NOT NULL,
    conversation_id uuid        NOT NULL,
    send_at         timestamptz NOT NULL,
    kind            text        NOT NULL,
    content         json        NOT NULL,
    options         json,
    claimed_until   timestamptz,
    PRIMARY KEY (user_id, client_msg_id)
) WITH (fillfactor = 80);
CREATE INDEX scheduled_next ON scheduled (send_at);

-- Those that could not be sent: entries refer to them by their number. Rows change only under their user's timeline lock.
CREATE TABLE scheduled_failures (
    user_id       uuid   NOT NULL,
    number        bigint NOT NULL,
    client_msg_id uuid   NOT NULL,
    code          text   NOT NULL,
    detail        text   NOT NULL,
    PRIMARY KEY (user_id, number)
);
