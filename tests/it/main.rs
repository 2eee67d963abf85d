//! The integration tests, on real PostgreSQL and Redis: a folder per area or floor, a file per noun. `tests/support` is the
//! harness.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::allow_attributes
)]

#[path = "../support/mod.rs"]
mod support;

mod desk {
    mod desks;
    mod seats;
}

mod engine {
    mod faults;
    mod limits;
    mod overload;
    mod writer;
}

mod http {
    mod cors;
    mod errors;
    mod headers;
    mod hostile;
    mod integrating;
    mod openapi;
    mod parking;
    mod postman;
    mod protocol;
    mod violations;
    mod web;
}

mod identity {
    mod accounts;
    mod authorization;
    mod devices;
    mod names;
    mod passwords;
    pub mod tokens;
}

mod media {
    mod access;
    mod avatars;
    mod collection;
    mod crashes;
    mod decoder;
    mod decoder_process;
    mod disk;
    mod pictures;
    mod quotas;
    mod races;
    mod s3;
    mod scan;
    mod uploads;
}

mod messaging {
    mod bans;
    mod changes;
    mod cleared;
    mod conversations;
    mod drafts;
    mod expiry;
    mod forwards;
    mod groups;
    mod hidden;
    mod members;
    mod messages;
    mod pins;
    mod privacy;
    mod proofs;
    mod reactions;
    mod read_fanout;
    mod receipts;
    mod replies;
    mod rules;
    mod scheduled;
    mod settings;
}

mod operations {
    mod config;
    mod deploy;
    mod dev;
    mod diagnostics;
    mod metrics;
    mod partitions;
    mod readiness;
    mod retention;
    mod secrets;
    mod startup;
}

mod people {
    pub mod account_end;
    mod blocks;
    mod contacts;
    mod erasure;
    mod presence;
    mod presence_flapping;
    mod presence_nodes;
    mod presence_permissions;
    mod presence_rides;
    mod presence_seen;
    mod privacy;
    mod profiles;
    mod requests;
    mod search;
    mod usernames;
}

mod search {
    mod index;
    mod oracle;
    mod privacy;
    mod words;
}

mod storage {
    mod cluster;
    mod contents;
    mod plans;
    mod postgres;
    mod tls;
}

mod sync {
    mod events;
    mod inbox;
    mod nodes;
    mod notices;
    mod typing;
    mod unread;
}

mod log;
mod properties;
