//! `tideline dev`: a node with a private PostgreSQL and Redis, without any set-up.
//!
//! [`services`] runs the two servers; the integration tests use it too.

pub mod services;

use crate::clock;
use crate::config::{Config, ConfigError, environment, is_empty};
use crate::node::{Node, ServeError, StopSignal};
use crate::storage::error::StorageError;
use crate::storage::pg::operations::instance;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use services::{Data, Services, ServicesError};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use tokio::runtime::Runtime;

/// The variable with the address of the metrics.
const METRICS_BIND: &str = "TIDELINE_METRICS_BIND";

/// Its default in this command.
const METRICS: &str = "127.0.0.1:8081";

/// The variable with the drain time.
const DRAIN: &str = "TIDELINE_DRAIN_SECONDS";

/// The variable with the media store.
const MEDIA_URL: &str = "TIDELINE_MEDIA_URL";

/// Why `tideline dev` failed.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// The private PostgreSQL or Redis.
    #[error(transparent)]
    Services(#[from] ServicesError),
    /// A setting.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The migrations.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The node.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The files of the directory.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Runs both servers and a node until a signal, then stops all three.
pub fn run(dir: &Path, runtime: &Runtime) -> Result<(), DevError> {
    let services = Services::start(dir, Data::Kept)?;
    let result = runtime.block_on(serve(&services));
    services.stop();
    result
}

async fn serve(services: &Services) -> Result<(), DevError> {
    let database_url = services.database_url();
    let secret_file = jwt_secret(services.data_dir())?;
    let config = Config::load(&|name| match name {
        "DATABASE_URL" => Some(database_url.clone()),
        "REDIS_URL" => Some(services.redis_url()),
        "TIDELINE_JWT_SECRET" => None,
        "TIDELINE_JWT_SECRET_FILE" => Some(secret_file.to_string_lossy().into_owned()),
        // `serve` has no default. Here there is one, because other machines cannot reach it.
        METRICS_BIND => environment(METRICS_BIND)
            .or_else(|| (!is_empty(METRICS_BIND)).then(|| METRICS.to_owned())),
        // Short, because no load balancer has to notice the drain.
        MEDIA_URL => environment(MEDIA_URL).or_else(|| Some(media_url(services.data_dir()))),
        DRAIN => environment(DRAIN).or_else(|| Some("3".to_owned())),
        other => environment(other),
    })?;
    instance::migrate(&database_url)?;
    let stop = StopSignal::new()?;
    let node = Node::start(config).await?;
    let url = format!("http://{}", node.address);
    let env = services.data_dir().join("env");
    write_private(
        &env,
        &format!(
            "DATABASE_URL='{database_url}'\nREDIS_URL='{}'\nTIDELINE_JWT_SECRET_FILE='{}'\nTIDELINE_URL='{url}'\n",
            services.redis_url(),
            secret_file.display(),
        ),
    )?;
    node.until_ready().await;
    let metrics = match node.metrics_address {
        Some(address) => format!("http://{address}/metrics"),
        None => format!("none, {METRICS_BIND} is empty"),
    };
    greet(&url, &metrics, services.data_dir(), &env)?;
    stop.received().await;
    Ok(node.stop().await?)
}

/// The media store of this directory.
fn media_url(dir: &Path) -> String {
    format!("file://{}", dir.join("media").display())
}

/// The file with the key of this directory's tokens, created by the first run.
fn jwt_secret(dir: &Path) -> io::Result<PathBuf> {
    let path = dir.join("jwt.secret");
    if !path.exists() {
        let secret = BASE64_STANDARD.encode(clock::random_bytes::<48>());
        write_private(&path, &secret)?;
    }
    Ok(path)
}

/// Writes a file atomically that only this user may read.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(&new)?.write_all(text.as_bytes())?;
    std::fs::rename(new, path)
}

fn greet(url: &str, metrics: &str, data: &Path, env: &Path) -> io::Result<()> {
    let text = include_str!("greeting.txt")
        .replace("{url}", url)
        .replace("{metrics}", metrics)
        .replace("{data}", &data.display().to_string())
        .replace("{env}", &env.display().to_string());
    io::stdout().write_all(text.as_bytes())
}
