//! The reference: pgbench runs the same work in plain SQL, without batching.

use crate::deployment::{Deployment, TARGET, run};
use crate::load::histogram;
use hdrhistogram::Histogram;
use std::fs;
use std::path::Path;
use std::time::Duration;
use tokio::process::Command;

pub struct Reference {
    pub rate: f64,
    pub transactions: usize,
    /// In microseconds.
    pub latency: Histogram<u64>,
}

/// Runs a script of this directory with prepared statements and generic plans, the fastest settings. A CHECKPOINT before, so that
/// neither side writes the dirty pages of the other.
pub async fn pgbench(on: &Deployment, script: &str, clients: usize, time: Duration) -> Reference {
    on.sql("CHECKPOINT").await;
    let dir = Path::new(TARGET).join("bench");
    let log = dir.join("pgbench");
    let logs = || {
        let files = fs::read_dir(&dir).unwrap().map(|file| file.unwrap().path());
        files.filter(|file| file.to_str().unwrap().contains("/pgbench."))
    };
    // Logs of an interrupted run, whose last line may be incomplete.
    logs().for_each(|file| fs::remove_file(file).unwrap());
    let script = format!("{}/benches/{script}", env!("CARGO_MANIFEST_DIR"));
    let said = run(
        Command::new("pgbench")
            .env("PGOPTIONS", "-c plan_cache_mode=force_generic_plan")
            .args(["-n", "-M", "prepared", "-j", &clients.min(2).to_string()])
            .args(["-c", &clients.to_string()])
            .args(["-T", &time.as_secs().max(1).to_string()])
            .args(["-D", &format!("users={}", on.people.len())])
            .args(["--log", "--log-prefix", log.to_str().unwrap()])
            .args(["-f", &script, &on.database_url]),
        "",
    )
    .await;
    let after = |name: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(name));
        let value = line.unwrap_or_else(|| panic!("no {name:?} in {said}"));
        value.split_whitespace().next().unwrap().to_owned()
    };
    assert_eq!(after("number of failed transactions: "), "0", "{said}");
    // One line per transaction: client, number, microseconds …
    let mut latency = histogram();
    for file in logs() {
        for line in fs::read_to_string(&file).unwrap().lines() {
            let micros = line.split(' ').nth(2).unwrap().parse().unwrap();
            latency.record(micros).unwrap();
        }
        fs::remove_file(file).unwrap();
    }
    Reference {
        rate: after("tps = ").parse().unwrap(),
        transactions: after("number of transactions actually processed: ")
            .parse()
            .unwrap(),
        latency,
    }
}
