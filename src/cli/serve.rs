//! `tideline serve`.

use crate::cli::logging::TARGET;
use crate::config::Config;
use crate::node::{Node, StopSignal};
use std::error::Error;

/// Runs a node until SIGTERM or Ctrl-C, then drains it.
pub(super) async fn run(config: Config) -> Result<(), Box<dyn Error>> {
    let stop = StopSignal::new()?;
    let node = Node::start(config).await?;
    log::info!(target: TARGET, "listening on http://{}", node.address);
    if let Some(address) = node.metrics_address {
        log::info!(target: TARGET, "metrics on http://{address}/metrics");
    }
    stop.received().await;
    Ok(node.stop().await?)
}
