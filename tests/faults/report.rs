//! The result of a run, and the table of all runs.

use crate::checker::{Violation, back_after, check, wakes};
use crate::history::{Class, History};
use std::fmt::Write;
use std::time::Duration;

pub struct Round {
    pub fault: String,
    pub seed: u64,
    ok: usize,
    fail: usize,
    unknown: usize,
    messages: usize,
    back: Duration,
    wakes: usize,
    wake_p99: Duration,
    pub violations: Vec<Violation>,
}

impl Round {
    pub fn of(fault: &str, seed: u64, history: &History) -> Self {
        let count = |class| history.ops.iter().filter(|op| op.class() == class).count();
        let wakes = wakes(history);
        let p99 = wakes.get(wakes.len().saturating_sub(1) * 99 / 100);
        Self {
            fault: fault.to_owned(),
            seed,
            ok: count(Class::Ok),
            fail: count(Class::Fail),
            unknown: count(Class::Unknown),
            messages: history.ops.iter().map(|op| op.acknowledged().len()).sum(),
            back: Duration::from_micros(back_after(history)),
            wakes: wakes.len(),
            wake_p99: Duration::from_micros(p99.copied().unwrap_or(0)),
            violations: check(history),
        }
    }

    /// Its row of the table.
    pub fn row(&self) -> String {
        let mut names: Vec<_> = self.violations.iter().map(|one| one.name).collect();
        names.dedup();
        let verdict = if names.is_empty() {
            "holds".to_owned()
        } else {
            names.join(", ")
        };
        format!(
            "| {} | {} | {} | {} | {} | {} | {} ms | {} | {} ms | {verdict} |",
            self.fault,
            self.seed,
            self.ok,
            self.fail,
            self.unknown,
            self.messages,
            self.back.as_millis(),
            self.wakes,
            self.wake_p99.as_millis(),
        )
    }
}

/// The whole report.
pub fn report(conditions: &str, rounds: &[Round]) -> String {
    let mut text = format!(
        "# Faults\n\n{conditions}\n\n\
         *ok*, *fail* (refused: not done) and *unknown* count requests; *sent* messages that were acknowledged, repeats \
         included; *back within* is how long after the last healing a request was begun that failed; *p99 wake* is from the \
         sender's answer to the waiter's.\n\n\
         | fault | seed | ok | fail | unknown | sent | back within | wakes | p99 wake | guarantees |\n\
         |---|---|---|---|---|---|---|---|---|---|\n"
    );
    for round in rounds {
        let _infallible = writeln!(text, "{}", round.row());
    }
    for round in rounds.iter().filter(|round| !round.violations.is_empty()) {
        let _infallible = writeln!(text, "\n## {}, seed {}\n", round.fault, round.seed);
        for one in &round.violations {
            let short: String = one.what.chars().take(600).collect();
            let _infallible = writeln!(text, "- **{}**: {short}", one.name);
        }
    }
    text
}
