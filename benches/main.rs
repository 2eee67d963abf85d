//! Benchmarks and the soak test, on a private, temporary deployment.
//!
//! `make bench` prints a table with a line for each goal, and writes `target/bench/report.json` and `sends.svg`. Absolute rates
//! depend on the machine. If there is a reference, both sides run alternately on the same PostgreSQL, and the result is the ratio
//! of the medians. Our side includes everything: HTTP, tokens, checks, commits, publishing, an access log line. The load
//! generator shares the processor with the server, so its own share is reported: near 1.0 of a core, the generator was the
//! limit. An unexpected response ends the run. `make soak` runs all operations for half an hour, see `soak`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::allow_attributes,
    missing_docs
)]

mod client;
mod deployment;
mod devices;
mod load;
mod nginx;
mod plot;
mod reference;
mod report;
mod rows;
mod slow;
mod soak;

use crate::deployment::Environment;
use crate::report::Line;
use clap::{Parser, Subcommand};
use serde_json::json;
use std::process::ExitCode;
use std::time::Duration;
use tideline::node::StopSignal;
use tokio::sync::Notify;

/// Measures Tideline on this machine.
#[derive(Parser)]
pub struct Options {
    /// Only these rows of the table, with commas
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "1,2,3,4,5,6,7,9,11,12,13,14,15,16,17,18,19,20,21,8"
    )]
    row: Vec<u8>,
    /// Rounds; the median is the result
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Connections that send messages
    #[arg(long, default_value_t = 64)]
    clients: usize,
    /// People, each with a direct conversation with the next person
    #[arg(long, default_value_t = 10_000)]
    users: usize,
    /// Parked waits of rows 4 and 5
    #[arg(long, default_value_t = 18_000)]
    parked: usize,
    /// Archived messages of row 8
    #[arg(long, default_value_t = 10_000_000)]
    archived: usize,
    /// Messages of row 20
    #[arg(long, default_value_t = 1_000_000)]
    searched: usize,
    #[command(subcommand)]
    task: Option<Task>,
    /// Cargo passes this option
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Task {
    /// Runs all operations for half an hour: memory, files and connections must not grow
    Soak {
        #[arg(long, default_value_t = 30.0)]
        minutes: f64,
    },
}

impl Options {
    fn time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

/// A thread or task of this program has panicked.
static FAILED: Notify = Notify::const_new();

fn main() -> ExitCode {
    let options = Options::parse();
    let print = std::panic::take_hook();
    let first = std::sync::Once::new();
    std::panic::set_hook(Box::new(move |panic| {
        // Later panics are consequences of the first.
        first.call_once(|| print(panic));
        FAILED.notify_one();
    }));
    // Each parked wait needs an open file here too.
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    // A single thread leaves the other cores to the server. `setpriv --pdeathsig` ends the servers when this thread ends.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let stop = StopSignal::new().unwrap();
        // In every case, the servers end when their handles are dropped here.
        tokio::select! {
            code = run(&options) => code,
            () = FAILED.notified() => ExitCode::FAILURE,
            () = stop.received() => ExitCode::from(130),
        }
    })
}

async fn run(options: &Options) -> ExitCode {
    let environment = Environment::start().await;
    let passed = match options.task {
        Some(Task::Soak { minutes }) => soak::run(&environment, minutes).await,
        None => {
            bench(&environment, options).await;
            true
        }
    };
    environment.stop();
    if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

async fn bench(environment: &Environment, options: &Options) {
    let mut lines = Vec::new();
    for row in &options.row {
        eprintln!("row {row} …");
        let measured = match row {
            1 => rows::sends::measure(environment, options).await,
            2 => rows::delivery::measure(environment, options).await,
            3 => rows::fetch::measure(environment, options).await,
            4 => rows::parked::memory(environment, options).await,
            5 => rows::parked::processor(environment, options).await,
            6 => rows::group::group(environment, options).await,
            7 => rows::group::channel(environment, options).await,
            8 => rows::archive::measure(environment, options).await,
            9 => rows::reconnect::measure(environment, options).await,
            11 => rows::nodes::measure(environment, options).await,
            12 => rows::changes::measure(environment, options).await,
            13 => rows::changes::unchanged(environment, options).await,
            14 => rows::group::storm(environment, options).await,
            15 => rows::presence::unused(environment, options).await,
            16 => rows::presence::subscribers(environment, options).await,
            17 => rows::media::transfers(environment, options).await,
            18 => rows::media::pictures(environment, options).await,
            19 => rows::media::slow_clients(environment, options).await,
            20 => rows::search::pages(environment, options).await,
            21 => rows::search::sends(environment, options).await,
            _ => panic!("there is no row {row}"),
        };
        measured.iter().for_each(Line::print_now);
        lines.extend(measured);
    }
    let conditions = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "cores": std::thread::available_parallelism().unwrap().get(),
        "rounds": options.rounds,
        "seconds": options.seconds,
        "clients": options.clients,
        "users": options.users,
        "parked": options.parked,
        "archived": options.archived,
        "searched": options.searched,
    });
    report::publish(&lines, &conditions);
}
