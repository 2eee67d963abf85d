//! The command line: its arguments, and the way to the code of each command.

mod admin;
mod logging;
mod serve;

use crate::cli::admin::Admin;
use crate::cli::logging::TARGET;
use crate::config::{self, Config, environment};
#[cfg(feature = "dev")]
use crate::dev;
use crate::engine::media::decode;
use crate::http::openapi;
use crate::node::LEAVING;
use crate::storage::pg::operations::instance;
use crate::storage::pg::stop_connecting;
use clap::{Parser, Subcommand};
use log::Level;
use std::error::Error;
use std::io::{self, Write, stderr, stdin, stdout};
use std::process::ExitCode;
use tokio::runtime::{self, Runtime};

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
    /// Inspect one upload, for a node that starts this as its child
    #[command(hide = true)]
    Decode,
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

/// Runs the command of the process's arguments. An error of the command is logged, and the exit code is 1.
pub fn run() -> io::Result<ExitCode> {
    let arguments = Arguments::parse();
    if let Command::Decode = arguments.command {
        // It reads bytes that anybody may have made: it gets no configuration, and it has no log.
        decode::confine()?;
        decode::run(stdin().lock(), stdout().lock())?;
        return Ok(ExitCode::SUCCESS);
    }
    let format = config::log_format(&environment);
    let filter = config::log_filter(&environment);
    let log = logging::start(
        format.as_ref().copied().unwrap_or_default(),
        filter.as_deref().unwrap_or("info"),
    )?;
    for sentence in config::unknown_variables() {
        log::warn!(target: TARGET, "{sentence}");
    }
    let result = match format.and(filter) {
        Ok(_) => dispatch(arguments.command),
        Err(error) => Err(error.into()),
    };
    if let Err(error) = &result {
        // Its sentence. Returned from `main`, the error would be printed in its debug form.
        if log::log_enabled!(target: TARGET, Level::Error) {
            log::error!(target: TARGET, "{error}");
        } else {
            writeln!(stderr(), "{error}")?;
        }
    }
    log.write_out();
    stop_connecting(LEAVING);
    Ok(ExitCode::from(u8::from(result.is_err())))
}

fn dispatch(command: Command) -> Result<(), Box<dyn Error>> {
    match command {
        Command::Serve => {
            let config = Config::load(&environment)?;
            let runtime = runtime()?;
            let result = runtime.block_on(serve::run(config));
            // Dropping the runtime would wait for blocking calls that do not return.
            runtime.shutdown_background();
            result
        }
        Command::Migrate => {
            for name in instance::migrate(&config::database_url(&environment)?.0)? {
                log::info!(target: TARGET, "migrated: {name}");
            }
            Ok(())
        }
        // Has run already.
        Command::Decode => Ok(()),
        Command::Openapi => Ok(stdout().write_all(openapi::json()?.as_bytes())?),
        #[cfg(feature = "dev")]
        Command::Dev { dir } => Ok(dev::run(&dir, &runtime()?)?),
        Command::Admin(command) => {
            let config = Config::load(&environment)?;
            runtime()?.block_on(admin::run(command, config))
        }
    }
}

/// The HTTP workers have threads of their own; this runtime is for the publisher, the tasks and blocking calls.
fn runtime() -> io::Result<Runtime> {
    runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
}
