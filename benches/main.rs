//! Speed and endurance, measured on a private deployment that is thrown away.
//!
//! `make bench` prints a table with a line for each goal, and writes `target/bench/report.json` and `sends.svg`. Rates of one
//! machine mean little: where there is a reference, both sides run in turn on the same PostgreSQL, never together, and the
//! ratio of the medians is the result. Ours is all of it: HTTP, tokens, checks, commits, announcements, a line in the log.
//! We compete with what we measure for the processor, so our own share is told; near 1.0 of a core we were the limit. An
//! answer that is not what it should be ends the run. `make soak` is half an hour of everything, see `soak`.

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
mod crowd;
mod deployment;
mod load;
mod plot;
mod reference;
mod report;
mod rows;
mod soak;

use crate::deployment::Ground;
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
    #[arg(long, value_delimiter = ',', default_value = "1,2,3,4,5,6,7,9,11,8")]
    row: Vec<u8>,
    /// Rounds, of which the median counts
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Connections that send
    #[arg(long, default_value_t = 64)]
    clients: usize,
    /// People, each with a conversation with the next one
    #[arg(long, default_value_t = 10_000)]
    users: usize,
    /// Parked waits of rows 4 and 5
    #[arg(long, default_value_t = 18_000)]
    parked: usize,
    /// Archived messages of row 8
    #[arg(long, default_value_t = 10_000_000)]
    archived: usize,
    #[command(subcommand)]
    task: Option<Task>,
    /// That is what cargo says
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Task {
    /// Half an hour of everything that people do: memory, files and connections must stay as they are
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

/// Something has gone wrong on a thread or in a task of ours.
static FAILED: Notify = Notify::const_new();

fn main() -> ExitCode {
    let options = Options::parse();
    let say = std::panic::take_hook();
    let first = std::sync::Once::new();
    std::panic::set_hook(Box::new(move |panic| {
        // The others fall over it.
        first.call_once(|| say(panic));
        FAILED.notify_one();
    }));
    // Each parked wait is a file of ours, too.
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    // On this one thread, which leaves the other cores alone and tells the kernel when we are gone.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let stop = StopSignal::new().unwrap();
        // Whatever ends first, the servers end with what is dropped here.
        tokio::select! {
            code = run(&options) => code,
            () = FAILED.notified() => ExitCode::FAILURE,
            () = stop.received() => ExitCode::from(130),
        }
    })
}

async fn run(options: &Options) -> ExitCode {
    let ground = Ground::start().await;
    let good = match options.task {
        Some(Task::Soak { minutes }) => soak::run(&ground, minutes).await,
        None => {
            bench(&ground, options).await;
            true
        }
    };
    ground.stop();
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

async fn bench(ground: &Ground, options: &Options) {
    let mut lines = Vec::new();
    for row in &options.row {
        eprintln!("row {row} …");
        let measured = match row {
            1 => rows::sends::measure(ground, options).await,
            2 => rows::delivery::measure(ground, options).await,
            3 => rows::fetch::measure(ground, options).await,
            4 => rows::parked::memory(ground, options).await,
            5 => rows::parked::processor(ground, options).await,
            6 => rows::group::group(ground, options).await,
            7 => rows::group::channel(ground, options).await,
            8 => rows::archive::measure(ground, options).await,
            9 => rows::reconnect::measure(ground, options).await,
            11 => rows::nodes::measure(ground, options).await,
            _ => panic!("there is no row {row}"),
        };
        measured.iter().for_each(Line::tell);
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
    });
    report::publish(&lines, &conditions);
}
