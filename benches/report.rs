//! The results: a table in the terminal, and a JSON report.

use crate::deployment::TARGET;
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;

/// A goal, and a stretch goal.
#[derive(Clone, Copy)]
pub enum Goal {
    AtLeast(f64, f64),
    AtMost(f64, f64),
    /// A fact without a goal.
    None,
}

/// A line of the table, with a value for each round.
pub struct Line {
    pub row: u8,
    pub what: &'static str,
    pub unit: &'static str,
    pub ours: Vec<f64>,
    /// The reference value of each round. If empty, our value itself is compared with the goal.
    pub reference: Vec<f64>,
    pub goal: Goal,
    /// The load generator's share of a core in each round. Near 1, the generator was the limit.
    pub generator: Vec<f64>,
}

impl Line {
    /// A line without a goal.
    pub fn fact(row: u8, what: &'static str, unit: &'static str, ours: Vec<f64>) -> Self {
        Self {
            row,
            what,
            unit,
            ours,
            reference: Vec::new(),
            goal: Goal::None,
            generator: Vec::new(),
        }
    }

    fn ratio(&self) -> Option<f64> {
        let reference = Spread::of(&self.reference)?;
        Some(Spread::of(&self.ours)?.median / reference.median)
    }

    fn verdict(&self) -> &'static str {
        let judged = self.ratio().or(Spread::of(&self.ours).map(|it| it.median));
        let Some(judged) = judged else { return "" };
        let (met, beyond) = match self.goal {
            Goal::AtLeast(goal, stretch) => (judged >= goal, judged >= stretch),
            Goal::AtMost(goal, stretch) => (judged <= goal, judged <= stretch),
            Goal::None => return "",
        };
        match (met, beyond) {
            _ if cfg!(debug_assertions) => "",
            (_, true) => "beyond",
            (true, false) => "met",
            (false, false) => "missed",
        }
    }

    fn goal(&self) -> String {
        let times = if self.reference.is_empty() { "" } else { "×" };
        match self.goal {
            Goal::AtLeast(goal, stretch) => format!("≥ {goal}{times} ({stretch}{times})"),
            Goal::AtMost(goal, stretch) => format!("≤ {goal}{times} ({stretch}{times})"),
            Goal::None => String::new(),
        }
    }

    fn cells(&self) -> [String; 8] {
        [
            self.row.to_string(),
            format!("{}, {}", self.what, self.unit),
            Spread::text(&self.ours),
            Spread::text(&self.reference),
            self.ratio().map_or(String::new(), short),
            self.goal(),
            self.verdict().to_owned(),
            Spread::text(&self.generator),
        ]
    }

    /// Prints the line to stderr before the table is complete, in case the run is interrupted.
    pub fn print_now(&self) {
        let cells: Vec<_> = self
            .cells()
            .into_iter()
            .filter(|it| !it.is_empty())
            .collect();
        eprintln!("  {}", cells.join("  "));
    }

    fn json(&self) -> Value {
        json!({
            "row": self.row,
            "what": self.what,
            "unit": self.unit,
            "ours": Spread::json(&self.ours),
            "reference": Spread::json(&self.reference),
            "ratio": self.ratio(),
            "goal": self.goal(),
            "verdict": self.verdict(),
            "generator_cores": Spread::json(&self.generator),
        })
    }
}

/// Statistics of the rounds.
struct Spread {
    median: f64,
    min: f64,
    max: f64,
}

impl Spread {
    fn of(rounds: &[f64]) -> Option<Self> {
        let mut sorted = rounds.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (low, high) = ((sorted.len().checked_sub(1)?) / 2, sorted.len() / 2);
        Some(Self {
            median: f64::midpoint(sorted[low], sorted[high]),
            min: sorted[0],
            max: sorted[sorted.len() - 1],
        })
    }

    fn text(rounds: &[f64]) -> String {
        Self::of(rounds).map_or(String::new(), |it| {
            let [median, min, max] = [it.median, it.min, it.max].map(short);
            if rounds.len() == 1 {
                median
            } else {
                format!("{median} ({min}–{max})")
            }
        })
    }

    fn json(rounds: &[f64]) -> Value {
        Self::of(rounds).map_or(
            Value::Null,
            |it| json!({"median": it.median, "min": it.min, "max": it.max, "rounds": rounds}),
        )
    }
}

/// Three significant digits, or all digits before the decimal point.
fn short(number: f64) -> String {
    match number.abs() {
        100.0.. => format!("{number:.0}"),
        10.0.. => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}

/// Prints a table with aligned columns.
fn print(rows: &[[String; 8]]) {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<_> = (0..8).map(|column| width(column).unwrap()).collect();
    for row in rows {
        let cells = row.iter().zip(&widths);
        let cells: Vec<_> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        println!("{}", cells.join("  ").trim_end());
    }
}

/// The path of a report. A debug build has its own reports, because its numbers mean nothing.
pub fn file(name: &str) -> PathBuf {
    let debug = if cfg!(debug_assertions) { "debug-" } else { "" };
    PathBuf::from(format!("{TARGET}/bench/{debug}{name}"))
}

/// Prints the table and writes the report.
pub fn publish(lines: &[Line], conditions: &Value) {
    let head = [
        "row",
        "measure",
        "ours",
        "reference",
        "ratio",
        "goal",
        "",
        "generator",
    ];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(lines.iter().map(Line::cells));
    print(&rows);
    let lines: Vec<_> = lines.iter().map(Line::json).collect();
    let report = json!({"conditions": conditions, "lines": lines});
    fs::write(file("report.json"), format!("{report:#}\n")).unwrap();
}
