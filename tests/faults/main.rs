//! The guarantees under every fault: a load, a nemesis, and a checker of what the clients saw.
//!
//! Many devices talk to two nodes with their own PostgreSQL and Redis (`load`), while something breaks and is healed
//! (`nemesis`). Every request and its answer are recorded (`history`). Afterwards, sends of unknown outcome are settled,
//! everything is read back (`outcomes`), and a pure function (`checker`) judges it all by the contract. `seeded_defects` proves
//! that the checker detects violations. `make faults` runs the matrix.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::allow_attributes
)]

#[path = "../support/mod.rs"]
#[expect(
    dead_code,
    unused_imports,
    reason = "the harness is shared with the other tests, which use all of it"
)]
mod support;

mod checker;
mod clients;
mod deployment;
mod environment;
mod history;
mod load;
mod nemesis;
mod outcomes;
mod report;
mod seeded_defects;

use crate::deployment::Deployment;
use crate::environment::Environment;
use crate::history::History;
use crate::report::{Round, report};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tideline::config::environment;

/// One run: load, fault, heal, settle, read back. `calm` passes before the first fault, and twice that after the last one.
async fn run(fault: &str, seed: u64, time: Duration, calm: Duration) -> History {
    let deployment = Arc::new(Deployment::start(Environment::set_up(fault, seed)).await);
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let nemesis = async {
        tokio::time::sleep(calm).await;
        nemesis::strike(&deployment, fault, seed, time).await;
        tokio::time::sleep(2 * calm).await;
        stop.send(true).unwrap();
    };
    tokio::join!(load::run(&deployment, seed, stopped), nemesis);
    outcomes::finish_uploads(&deployment).await;
    outcomes::settle(&deployment).await;
    let outcomes = outcomes::read_back(&deployment, &deployment.urls()).await;
    let logs = deployment
        .nodes
        .iter()
        .map(|node| node.lock().unwrap().process.log());
    let bugs = logs.flatten().filter(|line| line.contains("bug:"));
    deployment
        .recorder
        .finish(deployment.cast.clone(), outcomes, bugs.collect())
}

/// The time before the fault in a short run.
const SHORT: Duration = Duration::from_millis(1_500);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/faults")
}

fn history_file(fault: &str, seed: u64) -> PathBuf {
    folder()
        .join(seed.to_string())
        .join(format!("{fault}.jsonl"))
}

/// Part of `cargo test`: the checker against seeded defects, and two simultaneous faults.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn seeded_defects_are_detected() {
    let history = run("calm", 1, Duration::ZERO, 2 * SHORT).await;
    let file = folder().join("healthy.jsonl");
    history.write(&file);
    seeded_defects::verify(&History::read(&file));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn guarantees_hold_while_nodes_and_redis_are_killed() {
    let history = run("node-killed+redis-killed", 2, 4 * SHORT, SHORT).await;
    let found = checker::check(&history);
    assert!(found.is_empty(), "{found:#?}");
}

/// `make faults`: by default every fault, three seeds each. `FAULT`, `SEED`, `ROUNDS` and `SECONDS` choose.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "takes half an hour"]
async fn matrix() {
    let number = |name: &str, default: u64| {
        let value = environment(name).filter(|value| !value.is_empty());
        value.map_or(default, |value| value.parse().unwrap())
    };
    let (first, rounds, seconds) = (
        number("SEED", 1),
        number("ROUNDS", 3),
        number("SECONDS", 12),
    );
    let chosen = environment("FAULT").filter(|value| !value.is_empty());
    let faults: Vec<&str> = match &chosen {
        Some(chosen) => chosen.split(',').collect(),
        None => nemesis::FAULTS.to_vec(),
    };
    let conditions = format!(
        "{}: two nodes in debug builds, PostgreSQL with fsync, Redis, clients and checker on one machine of {} cores. {seconds} s of \
         fault in each run, between {:?} and {:?} of calm.",
        versions(),
        std::thread::available_parallelism().unwrap(),
        2 * SHORT,
        4 * SHORT,
    );
    let mut all = Vec::new();
    for fault in faults {
        for seed in first..first + rounds {
            let began = Instant::now();
            let history = run(fault, seed, Duration::from_secs(seconds), 2 * SHORT).await;
            history.write(&history_file(fault, seed));
            let round = Round::of(fault, seed, &history);
            eprintln!("{} {:?}", round.row(), began.elapsed());
            all.push(round);
            std::fs::write(folder().join("report.md"), report(&conditions, &all)).unwrap();
        }
    }
    let broken = all.iter().filter(|round| !round.violations.is_empty());
    let broken: Vec<_> = broken
        .map(|round| format!("{} {}", round.fault, round.seed))
        .collect();
    assert!(
        broken.is_empty(),
        "broken promises: {broken:?}; target/faults/report.md says more"
    );
}

/// The versions and the machine.
fn versions() -> String {
    let said = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let output = std::process::Command::new(words[0])
            .args(&words[1..])
            .output();
        let output = output.map(|output| String::from_utf8(output.stdout).unwrap());
        let said = output.unwrap_or_default();
        // The rest of the line says how it was built.
        said.split(" sha=").next().unwrap().trim().to_owned()
    };
    let lines = [
        "git describe --always --dirty",
        "uname -srm",
        "psql --version",
        "redis-server --version",
    ];
    lines.map(said).join(", ")
}

/// A mutant that no longer applies proves nothing, and `make mutants` takes hours.
#[test]
fn every_mutant_applies() {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR"));
    for patch in std::fs::read_dir(tree.join("tests/faults/mutants")).unwrap() {
        let patch = patch.unwrap().path();
        if patch
            .extension()
            .is_none_or(|extension| extension != "patch")
        {
            continue;
        }
        let text = std::fs::read_to_string(&patch).unwrap();
        assert!(text.contains("\nRed: "), "{}", patch.display());
        let mut git = std::process::Command::new("git");
        let git = git.args(["apply", "--check"]).arg(&patch);
        let said = git.current_dir(tree).output().unwrap();
        assert!(said.status.success(), "{said:?}");
    }
}

/// Judges a recorded run again: `HISTORY=target/faults/1/node-killed.jsonl`.
#[test]
#[ignore = "needs a recorded run"]
fn replay() {
    let file = environment("HISTORY").unwrap();
    let found = checker::check(&History::read(Path::new(&file)));
    assert!(found.is_empty(), "{found:#?}");
}
