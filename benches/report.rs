//! What was measured: a table in the terminal, and all of it as JSON.

use crate::deployment::TARGET;
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;

/// What is aimed at, and beyond that.
#[derive(Clone, Copy)]
pub enum Goal {
    AtLeast(f64, f64),
    AtMost(f64, f64),
    /// It is good to know.
    None,
}

/// A line of the table: a value of each round.
pub struct Line {
    pub row: u8,
    pub what: &'static str,
    pub unit: &'static str,
    pub ours: Vec<f64>,
    /// The same in the same round by which ours is judged; ours is judged by itself when there is none.
    pub reference: Vec<f64>,
    pub goal: Goal,
    /// Our own share of a core in each round: near 1, we were the limit.
    pub generator: Vec<f64>,
}

impl Line {
    /// Something that is good to know.
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

    /// Says it before the table is made, for who waits, and for a run that is cut short.
    pub fn tell(&self) {
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

/// Of the rounds.
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

/// Three digits, or all that are before the point.
fn short(number: f64) -> String {
    match number.abs() {
        100.0.. => format!("{number:.0}"),
        10.0.. => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}

/// Prints a table; columns are as wide as they must be.
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

/// Where a report of this name goes. That of a debug build says nothing, and overwrites no other.
pub fn file(name: &str) -> PathBuf {
    let debug = if cfg!(debug_assertions) { "debug-" } else { "" };
    PathBuf::from(format!("{TARGET}/bench/{debug}{name}"))
}

/// Prints the table, and writes the report.
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
