//! The command line.

use clap::{Parser, Subcommand};
use std::error::Error;
use std::io::{BufWriter, Write, stdout};
use std::path::PathBuf;
use tideline::app::App;
use tideline::config::{self, Config, environment};
use tideline::domain::accounts;
use tideline::http::openapi;
use tideline::server::Node;
use tideline::storage::pg::instance;
use tideline::{dev, server};

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
    /// Everything on one machine: a private PostgreSQL and Redis, migrations, serve
    Dev {
        /// Where the data is kept between runs
        #[arg(long, default_value = ".tideline")]
        dir: PathBuf,
    },
    /// For operators
    #[command(subcommand)]
    Admin(Admin),
}

#[derive(Subcommand)]
enum Admin {
    /// Make or find the users seed0, seed1 …, and print a JSON line with a day's token for each: for load tests and QA
    Seed {
        /// How many
        #[arg(long)]
        users: usize,
    },
}

/// Users of one transaction of the seed.
const SEED_BATCH: usize = 1_000;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let filter = environment("RUST_LOG").unwrap_or_else(|| "info".to_owned());
    env_logger::Builder::new().parse_filters(&filter).init();
    let result = run(arguments.command);
    if let Err(error) = &result {
        // The sentence, and not its debug form, which is what returning it would print.
        log::error!("{error}");
        std::process::exit(1);
    }
    result
}

fn run(command: Command) -> Result<(), Box<dyn Error>> {
    match command {
        Command::Serve => {
            let config = Config::load(&environment)?;
            runtime()?.block_on(async {
                let node = Node::start(config).await?;
                log::info!("listening on http://{}", node.address);
                server::stop_signal().await?;
                Ok(node.stop().await?)
            })
        }
        Command::Migrate => {
            for name in instance::migrate(&config::database_url(&environment)?.0)? {
                log::info!("migrated: {name}");
            }
            Ok(())
        }
        Command::Openapi => Ok(stdout().write_all(openapi::json()?.as_bytes())?),
        Command::Dev { dir } => Ok(dev::run(&dir, &runtime()?)?),
        Command::Admin(Admin::Seed { users }) => {
            let config = Config::load(&environment)?;
            runtime()?.block_on(seed(config, users))
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

async fn seed(config: Config, users: usize) -> Result<(), Box<dyn Error>> {
    let app = App::open(config).await?;
    let mut out = BufWriter::new(stdout().lock());
    for from in (0..users).step_by(SEED_BATCH) {
        let to = users.min(from + SEED_BATCH);
        let seeded = accounts::seed(&app, from, to)
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
    }
    Ok(out.flush()?)
}
