//! Plots throughput and latency against the offered load.

use crate::report::file;
use std::fmt::Write as _;
use std::fs;

pub struct Point {
    /// Sends per second.
    pub offered: f64,
    /// Sends per second.
    pub answered: f64,
    pub p99_ms: f64,
}

/// The size of the plot area, and its margins.
const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 70.0;
const TOP: f64 = 40.0;

/// Writes `sends.svg`: answered sends per second on the left axis, the 99th percentile in milliseconds on the right, logarithmic.
pub fn write(points: &[Point]) {
    let most = points.iter().map(|it| it.offered).fold(1.0, f64::max);
    let slowest = points.iter().map(|it| it.p99_ms).fold(10.0, f64::max);
    let decades = slowest.log10().ceil();
    let x = |offered: f64| LEFT + WIDTH * offered / most;
    let left = |answered: f64| TOP + HEIGHT * (1.0 - answered / most);
    // The axis begins at 0.1 ms.
    let right = |ms: f64| TOP + HEIGHT * (1.0 - (ms.max(0.1).log10() + 1.0) / (decades + 1.0));
    let curve = |colour: &str, y: &dyn Fn(&Point) -> f64| {
        let mut marks = String::new();
        let mut line = String::new();
        for point in points {
            let (x, y) = (x(point.offered), y(point));
            let _infallible = write!(line, "{x:.1},{y:.1} ");
            let _infallible = write!(
                marks,
                r#"<circle cx="{x:.1}" cy="{y:.1}" r="3" fill="{colour}"/>"#
            );
        }
        format!(
            r#"<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>{marks}"#
        )
    };
    let text = |x: f64, y: f64, anchor: &str, colour: &str, says: &str| {
        format!(
            r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" fill="{colour}">{says}</text>"#
        )
    };
    let (throughput, latency, axis) = ("#1a5fb4", "#c64600", "#555");
    let (bottom, end) = (TOP + HEIGHT, LEFT + WIDTH);
    let mut parts = vec![
        format!(
            r#"<rect x="{LEFT}" y="{TOP}" width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="{axis}"/>"#
        ),
        text(LEFT, TOP - 14.0, "start", throughput, "answered, sends/s"),
        text(end, TOP - 14.0, "end", latency, "99th percentile, ms"),
        text(
            LEFT + WIDTH / 2.0,
            bottom + 40.0,
            "middle",
            axis,
            "offered, sends/s",
        ),
    ];
    for quarter in 0..=4 {
        let at = most * f64::from(quarter) / 4.0;
        let says = format!("{at:.0}");
        parts.push(text(x(at), bottom + 18.0, "middle", axis, &says));
        parts.push(text(LEFT - 6.0, left(at) + 4.0, "end", throughput, &says));
    }
    let mut ms = 0.1;
    while ms <= 10_f64.powf(decades) * 1.01 {
        parts.push(text(
            end + 6.0,
            right(ms) + 4.0,
            "start",
            latency,
            &format!("{}", (ms * 10.0).round() / 10.0),
        ));
        ms *= 10.0;
    }
    parts.push(curve(throughput, &|point| left(point.answered)));
    parts.push(curve(latency, &|point| right(point.p99_ms)));
    let (width, height) = (end + 60.0, bottom + 60.0);
    let svg = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12"><rect width="{width}" height="{height}" fill="white"/>{}</svg>"#,
        parts.join("\n")
    );
    fs::write(file("sends.svg"), svg + "\n").unwrap();
}
