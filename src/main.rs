//! The command line.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use clap::{Parser, Subcommand};
use env_logger::Target;
use std::cell::Cell;
use std::error::Error;
use std::io::{BufWriter, IsTerminal, Write, stderr, stdout};
use std::time::{Duration, Instant};
use tideline::clock::random_bytes;
use tideline::config::{self, Config, environment};
#[cfg(feature = "dev")]
use tideline::dev;
use tideline::domain::identity::accounts;
use tideline::domain::identity::seeding;
use tideline::domain::operations::retention;
use tideline::domain::sync::unread;
use tideline::engine;
use tideline::http::openapi;
use tideline::model::account::{Password, Username};
use tideline::model::name::{Name, is_name};
use tideline::model::time::Timestamp;
use tideline::model::violation::Violation;
use tideline::node::handles::Handles;
use tideline::node::{LEAVING, Node, StopSignal};
use tideline::storage::pg::operations::instance;
use tideline::storage::pg::stop_connecting;
use tideline::telemetry::lines::BufferedStderr;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A message backend for chat. The environment configures it: see .env.example.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve; reads the environment
    Serve,
    /// Bring the database's schema up to date
    Migrate,
    /// Print the OpenAPI document
    Openapi,
    #[cfg(feature = "dev")]
    /// Everything on one machine: a private PostgreSQL and Redis, migrations, serve
    Dev {
        /// Where the data is kept between runs
        #[arg(long, default_value = ".tideline")]
        dir: std::path::PathBuf,
    },
    /// For operators
    #[command(subcommand)]
    Admin(Admin),
}

#[derive(Subcommand)]
enum Admin {
    /// Make an account, also where registration is closed, and print it as a JSON line with its password
    CreateUser {
        /// 3 to 32 of a-z, 0-9, '_', '.' and '-'
        #[arg(long)]
        username: String,
        /// What other people see; the username when not given
        #[arg(long)]
        display_name: Option<String>,
        /// 8 to 128 Unicode code points; a random one when not given
        #[arg(long)]
        password: Option<String>,
    },
    /// Make or find the users seed0, seed1 …, and print a JSON line with a day's token for each: for load tests and QA
    Seed {
        /// How many
        #[arg(long)]
        users: usize,
    },
    /// Drop inbox entries before a moment, while nodes may serve: devices that have not fetched them start over
    ExpireInbox {
        /// A time such as 2026-11-20T09:30:00Z
        #[arg(long)]
        before: Timestamp,
    },
    /// After a backup was restored, before any node serves: begin a new epoch, so that every device starts over
    NewEpoch,
    /// Replace all unread counts in Redis by those of PostgreSQL, while nodes may serve, and print how many there were
    RebuildUnread,
}

/// Users of one transaction of the seed.
const SEED_BATCH: usize = 1_000;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let filter = environment("RUST_LOG").unwrap_or_else(|| "info".to_owned());
    let lines = BufferedStderr::start()?;
    // People at a terminal see each line at once, and in colour.
    let target = match stderr().is_terminal() {
        true => Target::Stderr,
        false => Target::Pipe(Box::new(lines.clone())),
    };
    env_logger::Builder::new()
        .target(target)
        // It calls it an error when a client sends what is no HTTP: nobody should write such lines from outside.
        .filter_module("actix_http::h1::dispatcher", log::LevelFilter::Off)
        .parse_filters(&filter)
        .init();
    for sentence in config::unknown_variables() {
        log::warn!("{sentence}");
    }
    let result = run(arguments.command);
    if let Err(error) = &result {
        // The sentence, and not its debug form, which is what returning it would print.
        log::error!("{error}");
    }
    lines.write_out();
    stop_connecting(LEAVING);
    std::process::exit(i32::from(result.is_err()))
}

fn run(command: Command) -> Result<(), Box<dyn Error>> {
    match command {
        Command::Serve => {
            let config = Config::load(&environment)?;
            let runtime = runtime()?;
            let result = runtime.block_on(serve(config));
            // Dropping it would wait for what hangs.
            runtime.shutdown_background();
            result
        }
        Command::Migrate => {
            for name in instance::migrate(&config::database_url(&environment)?.0)? {
                log::info!("migrated: {name}");
            }
            Ok(())
        }
        Command::Openapi => Ok(stdout().write_all(openapi::json()?.as_bytes())?),
        #[cfg(feature = "dev")]
        Command::Dev { dir } => Ok(dev::run(&dir, &runtime()?)?),
        Command::Admin(Admin::CreateUser {
            username,
            display_name,
            password,
        }) => {
            let config = Config::load(&environment)?;
            runtime()?.block_on(create_user(config, &username, display_name, password))
        }
        Command::Admin(Admin::Seed { users }) => {
            let config = Config::load(&environment)?;
            runtime()?.block_on(seed(config, users))
        }
        Command::Admin(Admin::ExpireInbox { before }) => {
            let config = Config::load(&environment)?;
            runtime()?.block_on(async {
                let app = Handles::open_for_command(config).await?;
                let gone =
                    retention::expire_before(&app.delivery, before, progress("entries dropped"))
                        .await
                        .map_err(|error| match error {
                            engine::error::Error::Invalid(faults) => {
                                faults.iter().map(Violation::sentence).collect()
                            }
                            error => format!("not all entries were dropped: {error:?}"),
                        })?;
                Ok(writeln!(stdout(), r#"{{"dropped":{gone}}}"#)?)
            })
        }
        Command::Admin(Admin::NewEpoch) => {
            let config = Config::load(&environment)?;
            runtime()?.block_on(async {
                let app = Handles::open_for_command(config).await?;
                let epoch =
                    retention::new_epoch(&app.delivery, progress("inbox heads moved")).await?;
                Ok(writeln!(stdout(), r#"{{"epoch":"{epoch}"}}"#)?)
            })
        }
        Command::Admin(Admin::RebuildUnread) => {
            let config = Config::load(&environment)?;
            runtime()?.block_on(rebuild_unread(config))
        }
    }
}

/// The requests run on threads of their own; this one is for announcing, sweeping and blocking work.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
}

/// Tells a person at a terminal how far a command is, each second on a line of its own.
fn progress(what: &'static str) -> impl Fn(usize) + Send + 'static {
    let (shown, last) = (stderr().is_terminal(), Cell::new(Instant::now()));
    move |done| {
        if shown && last.get().elapsed() >= Duration::from_secs(1) {
            last.set(Instant::now());
            log::info!("{what}: {done}");
        }
    }
}

async fn serve(config: Config) -> Result<(), Box<dyn Error>> {
    let stop = StopSignal::new()?;
    let node = Node::start(config).await?;
    log::info!("listening on http://{}", node.address);
    if let Some(address) = node.metrics_address {
        log::info!("metrics on http://{address}/metrics");
    }
    stop.received().await;
    Ok(node.stop().await?)
}

async fn create_user(
    config: Config,
    username: &str,
    display_name: Option<String>,
    password: Option<String>,
) -> Result<(), Box<dyn Error>> {
    let name = Username::parse(username)
        .ok_or_else(|| format!("--username {username:?} {}", Username::RULE))?;
    let display_name = display_name.map(Name::from);
    if let Some(display_name) = &display_name {
        is_name(64)(display_name, &()).map_err(|fault| format!("--display-name {fault}"))?;
    }
    let password = password.unwrap_or_else(|| BASE64_URL_SAFE_NO_PAD.encode(random_bytes::<18>()));
    let parsed = Password::parse(password.clone())
        .ok_or_else(|| format!("--password {}", Password::RULE))?;
    let app = Handles::open_for_command(config).await?;
    let user = accounts::create(&app.auth, name, parsed, display_name.map(String::from))
        .await
        .map_err(|error| format!("the account was not made: {error:?}"))?;
    let line =
        serde_json::json!({"username": user.username, "user_id": user.id, "password": password});
    Ok(writeln!(stdout(), "{line}")?)
}

async fn seed(config: Config, users: usize) -> Result<(), Box<dyn Error>> {
    let app = Handles::open_for_command(config).await?;
    let (mut out, made) = (BufWriter::new(stdout().lock()), progress("users"));
    for from in (0..users).step_by(SEED_BATCH) {
        let to = users.min(from + SEED_BATCH);
        let seeded = seeding::seed(&app.auth, from, to)
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

async fn rebuild_unread(config: Config) -> Result<(), Box<dyn Error>> {
    let app = Handles::open_for_command(config).await?;
    let done = unread::rebuild_all(&app.delivery, progress("users"))
        .await
        .map_err(|error| format!("not all counts were rebuilt, so run it again: {error}"))?;
    let line = serde_json::json!({"rebuilt": done.rebuilt, "wrong": done.wrong});
    Ok(writeln!(stdout(), "{line}")?)
}
