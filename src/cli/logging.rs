//! Sets up the log of the process: its filter, its destination and the form of its lines.

use crate::config::environment;
use crate::telemetry::lines::BufferedStderr;
use env_logger::Target;
use std::io::{self, IsTerminal};

/// The target of the lines that the command line logs, which is the name of the program.
pub(super) const TARGET: &str = "tideline";

/// Starts the log. The caller flushes the buffer that is returned before the process ends.
pub(super) fn start() -> io::Result<BufferedStderr> {
    let filter = environment("RUST_LOG").unwrap_or_else(|| "info".to_owned());
    let buffer = BufferedStderr::start()?;
    // At a terminal each line is shown at once, and in colour.
    let target = match io::stderr().is_terminal() {
        true => Target::Stderr,
        false => Target::Pipe(Box::new(buffer.clone())),
    };
    env_logger::Builder::new()
        .target(target)
        // Actix logs an error for each request that is not HTTP: a client must not be able to cause such lines.
        .filter_module("actix_http::h1::dispatcher", log::LevelFilter::Off)
        .parse_filters(&filter)
        .init();
    Ok(buffer)
}
