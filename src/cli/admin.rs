//! `tideline admin`: the commands of operators. Each prints its result as JSON on standard output.

use crate::cli::logging::TARGET;
use crate::clock::{new_id, random_bytes};
use crate::config::Config;
use crate::domain::desk::desks::{self, NewDesk};
use crate::domain::identity::accounts;
use crate::domain::identity::seeding;
use crate::domain::operations::retention;
use crate::domain::search::indexing;
use crate::domain::sync::unread;
use crate::engine::error;
use crate::model::account::{Password, Username};
use crate::model::ids::ClientDeskId;
use crate::model::name::{Name, is_name};
use crate::model::time::Timestamp;
use crate::model::wire::user::UserKind;
use crate::model::wire::violation::Violation;
use crate::node::handles::Handles;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use clap::Subcommand;
use std::cell::Cell;
use std::error::Error;
use std::io::{BufWriter, IsTerminal, Write, stderr, stdout};
use std::time::{Duration, Instant};

#[derive(Subcommand)]
pub(super) enum Admin {
    /// Create an account, also when registration is closed, and print it as a JSON line with its password
    CreateUser {
        /// 3 to 32 of a-z, 0-9, '_', '.' and '-'
        #[arg(long)]
        username: String,
        /// The name that others see; the username when not given
        #[arg(long)]
        display_name: Option<String>,
        /// 8 to 128 Unicode code points; a random one when not given
        #[arg(long)]
        password: Option<String>,
    },
    /// Create a service desk, also when the server is closed for desks, and print it as a JSON line
    CreateDesk {
        /// 3 to 32 of a-z, 0-9, '_', '.' and '-'
        #[arg(long)]
        username: String,
        /// The name that customers see; the username when not given
        #[arg(long)]
        display_name: Option<String>,
        /// The username of its first admin
        #[arg(long)]
        admin: String,
    },
    /// Create or find the users seed0, seed1 …, and print a JSON line with a token for one day for each: for load tests and QA
    Seed {
        /// How many
        #[arg(long)]
        users: usize,
    },
    /// Delete inbox entries before a time, while nodes may serve: devices that have not fetched them resync
    ExpireInbox {
        /// A time such as 2026-11-20T09:30:00Z
        #[arg(long)]
        before: Timestamp,
    },
    /// After a backup was restored, before any node serves: begin a new epoch, so that every device resyncs
    NewEpoch,
    /// Replace all unread counts in Redis by those of PostgreSQL, while nodes may serve, and print how many there were
    RebuildUnread,
    /// The index of the search
    #[command(subcommand)]
    Search(SearchCommand),
}

#[derive(Subcommand)]
pub(super) enum SearchCommand {
    /// Make the index again, while nodes may serve, and print how many blocks of 32 messages it has
    Rebuild,
}

/// Users that `seed` makes in one transaction.
const SEED_BATCH: usize = 1_000;

/// How often a command shows its progress.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

pub(super) async fn run(command: Admin, config: Config) -> Result<(), Box<dyn Error>> {
    match command {
        Admin::CreateUser {
            username,
            display_name,
            password,
        } => create_user(config, &username, display_name, password).await,
        Admin::CreateDesk {
            username,
            display_name,
            admin,
        } => create_desk(config, &username, display_name, &admin).await,
        Admin::Seed { users } => seed(config, users).await,
        Admin::ExpireInbox { before } => expire_inbox(config, before).await,
        Admin::NewEpoch => new_epoch(config).await,
        Admin::RebuildUnread => rebuild_unread(config).await,
        Admin::Search(SearchCommand::Rebuild) => rebuild_search(config).await,
    }
}

async fn create_user(
    config: Config,
    username: &str,
    display_name: Option<String>,
    password: Option<String>,
) -> Result<(), Box<dyn Error>> {
    let (name, display_name) = names(username, display_name)?;
    let password = password.unwrap_or_else(|| BASE64_URL_SAFE_NO_PAD.encode(random_bytes::<18>()));
    let parsed = Password::parse(password.clone())
        .ok_or_else(|| format!("--password {}", Password::RULE))?;
    let handles = Handles::open_for_command(config).await?;
    let user = accounts::create(&handles.auth, name, parsed, display_name)
        .await
        .map_err(|error| format!("the account was not made: {error:?}"))?;
    let line =
        serde_json::json!({"username": user.username, "user_id": user.id, "password": password});
    Ok(writeln!(stdout(), "{line}")?)
}

/// The names of a new user.
fn names(
    username: &str,
    display_name: Option<String>,
) -> Result<(Username, Option<String>), Box<dyn Error>> {
    let name = Username::new_name(username)
        .ok_or_else(|| format!("--username {username:?} {}", Username::RULE))?;
    let display_name = display_name.map(Name::from);
    if let Some(display_name) = &display_name {
        is_name(64)(display_name, &()).map_err(|fault| format!("--display-name {fault}"))?;
    }
    Ok((name, display_name.map(String::from)))
}

async fn create_desk(
    config: Config,
    username: &str,
    display_name: Option<String>,
    admin: &str,
) -> Result<(), Box<dyn Error>> {
    let (name, display_name) = names(username, display_name)?;
    let handles = Handles::open_for_command(config).await?;
    let found = match Username::parse(admin) {
        Some(admin) => accounts::user_by_name(&handles.auth, admin).await,
        None => Ok(None),
    };
    let found = found.map_err(|error| format!("the admin was not found: {error:?}"))?;
    let found = found.filter(|user| user.kind == UserKind::Person && !user.deleted);
    let admin = found.ok_or_else(|| format!("--admin {admin:?} is nobody's username"))?;
    let new = NewDesk {
        display_name: display_name.unwrap_or_else(|| name.as_str().to_owned()),
        username: name,
        client_id: ClientDeskId(new_id()),
    };
    let (desk, _) = desks::create_for(&handles.delivery, admin.id, new)
        .await
        .map_err(|error| format!("the desk was not made: {error:?}"))?;
    let line =
        serde_json::json!({"username": desk.username, "desk_id": desk.id, "admin_id": admin.id});
    Ok(writeln!(stdout(), "{line}")?)
}

async fn seed(config: Config, users: usize) -> Result<(), Box<dyn Error>> {
    let handles = Handles::open_for_command(config).await?;
    let (mut out, made) = (BufWriter::new(stdout().lock()), progress("users"));
    for from in (0..users).step_by(SEED_BATCH) {
        let to = users.min(from + SEED_BATCH);
        let seeded = seeding::seed(&handles.auth, from, to)
            .await
            .map_err(|error| format!("seeding failed: {error:?}"))?;
        for user in seeded {
            let line = serde_json::json!({
                "username": user.username,
                "user_id": user.user,
                "device_id": user.device,
                "access_token": user.access_token,
            });
            writeln!(out, "{line}")?;
        }
        made(to);
    }
    Ok(out.flush()?)
}

async fn expire_inbox(config: Config, before: Timestamp) -> Result<(), Box<dyn Error>> {
    let handles = Handles::open_for_command(config).await?;
    let dropped = retention::expire_before(&handles.delivery, before, progress("entries dropped"))
        .await
        .map_err(|error| match error {
            error::Error::Invalid(faults) => faults.iter().map(Violation::sentence).collect(),
            error => format!("not all entries were dropped: {error:?}"),
        })?;
    Ok(writeln!(stdout(), r#"{{"dropped":{dropped}}}"#)?)
}

async fn new_epoch(config: Config) -> Result<(), Box<dyn Error>> {
    let handles = Handles::open_for_command(config).await?;
    let epoch = retention::new_epoch(&handles.delivery, progress("inbox heads moved")).await?;
    Ok(writeln!(stdout(), r#"{{"epoch":"{epoch}"}}"#)?)
}

async fn rebuild_unread(config: Config) -> Result<(), Box<dyn Error>> {
    let handles = Handles::open_for_command(config).await?;
    let done = unread::rebuild_all(&handles.delivery, progress("users"))
        .await
        .map_err(|error| format!("not all counts were rebuilt, so run it again: {error}"))?;
    let line = serde_json::json!({"rebuilt": done.rebuilt, "wrong": done.wrong});
    Ok(writeln!(stdout(), "{line}")?)
}

async fn rebuild_search(config: Config) -> Result<(), Box<dyn Error>> {
    let handles = Handles::open_for_command(config).await?;
    let done = indexing::rebuild(&handles.delivery, progress("conversations"))
        .await
        .map_err(|error| format!("the index is not whole, so run it again: {error:?}"))?;
    let blocks = done.blocks;
    writeln!(stdout(), r#"{{"blocks":{blocks}}}"#)?;
    match done.failed.as_slice() {
        [] => Ok(()),
        failed => {
            let all: Vec<_> = failed.iter().map(ToString::to_string).collect();
            let all = all.join(" ");
            Err(format!("run it again: these conversations are not in it whole: {all}").into())
        }
    }
}

/// At a terminal, logs how far a command is, at most once per [`PROGRESS_INTERVAL`].
fn progress(what: &'static str) -> impl Fn(usize) + Send + 'static {
    let (shown, last) = (stderr().is_terminal(), Cell::new(Instant::now()));
    move |done| {
        if shown && last.get().elapsed() >= PROGRESS_INTERVAL {
            last.set(Instant::now());
            log::info!(target: TARGET, "{what}: {done}");
        }
    }
}
