//! Sets up the log of the process: its filter, its destination and the form of its lines.

use crate::config::LogFormat;
use crate::telemetry::log_writer::BufferedStderr;
use env_logger::Target;
use log::{Level, Record};
use serde::Serialize;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::{panic, thread};

/// The target of the lines that the command line logs, which is the name of the program.
pub(super) const TARGET: &str = "tideline";

/// Starts the log. The caller flushes the buffer that is returned before the process ends.
pub(super) fn start(format: LogFormat, filter: &str) -> io::Result<BufferedStderr> {
    let buffer = BufferedStderr::start()?;
    // At a terminal each line is shown immediately, and in colour.
    let target = match io::stderr().is_terminal() {
        true => Target::Stderr,
        false => Target::Pipe(Box::new(buffer.clone())),
    };
    let mut builder = env_logger::Builder::new();
    builder
        .target(target)
        // Actix logs an error for each request that is not HTTP: a client must not be able to cause such lines.
        .filter_module("actix_http::h1::dispatcher", log::LevelFilter::Off)
        .parse_filters(filter);
    if format == LogFormat::Json {
        builder.format(|out, record| {
            let time = out.timestamp_millis();
            write_json(out, format_args!("{time}"), record)
        });
        log_panics(buffer.clone());
    }
    builder.init();
    Ok(buffer)
}

/// Logs panics, because the standard library prints them as text. A filter does not hide them.
fn log_panics(buffer: BufferedStderr) {
    let standard = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if !log::log_enabled!(target: TARGET, Level::Error) {
            return standard(panic);
        }
        let thread = thread::current();
        let name = thread.name().unwrap_or("<unnamed>");
        log::error!(target: TARGET, "thread '{name}' {panic}");
        // A panic of the main thread ends the process.
        buffer.write_out();
    }));
}

/// A line of the log. The fields are documented in `docs/OPERATIONS.md`.
#[derive(Serialize)]
struct JsonLine<'a> {
    time: fmt::Arguments<'a>,
    level: &'a str,
    target: &'a str,
    message: fmt::Arguments<'a>,
}

fn write_json(
    out: &mut impl Write,
    time: fmt::Arguments<'_>,
    record: &Record<'_>,
) -> io::Result<()> {
    let line = JsonLine {
        time,
        level: record.level().as_str(),
        target: record.target(),
        message: *record.args(),
    };
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::write_json;
    use log::{Level, Record};

    #[test]
    fn any_message_is_one_line_of_json() {
        let all: String = ('\0'..='\u{a0}')
            .chain("\u{2028}\u{1f980}".chars())
            .collect();
        for message in [
            "",
            "plain",
            "\"},{\"level\":\"ERROR",
            "a\nb\r\n",
            "\\",
            &all,
        ] {
            let mut line = Vec::new();
            write_json(
                &mut line,
                format_args!("2026-11-20T09:30:00.125Z"),
                &Record::builder()
                    .level(Level::Warn)
                    .target("tideline::node")
                    .args(format_args!("{message}"))
                    .build(),
            )
            .unwrap();
            let line = String::from_utf8(line).unwrap();
            let line = line.strip_suffix('\n').unwrap();
            assert!(!line.contains(['\n', '\r']), "{line}");
            let expected = serde_json::json!({
                "time": "2026-11-20T09:30:00.125Z",
                "level": "WARN",
                "target": "tideline::node",
                "message": message,
            });
            let parsed: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(parsed, expected);
        }
    }
}
