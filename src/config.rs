//! The one place that reads the environment. A bad value stops the start with a sentence that names the variable, the
//! value (never a secret) and what is allowed.

#![expect(clippy::disallowed_methods, reason = "this is the place")]

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A value that must not reach a log.
#[derive(Clone)]
pub struct Secret<T>(pub T);

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// Everything that can be set.
#[derive(Clone, Debug)]
pub struct Config {
    /// `DATABASE_URL`
    pub database_url: Secret<String>,
    /// `REDIS_URL`
    pub redis_url: Secret<String>,
    /// `TIDELINE_BIND`
    pub bind: SocketAddr,
    /// `TIDELINE_JWT_SECRET` or the content of `TIDELINE_JWT_SECRET_FILE`
    pub jwt_secret: Secret<Vec<u8>>,
    /// `TIDELINE_ACCESS_TOKEN_SECONDS`
    pub access_token: Duration,
    /// `TIDELINE_REFRESH_TOKEN_DAYS`
    pub refresh_token: Duration,
    /// `TIDELINE_REGISTRATION`: anybody may sign up.
    pub open_registration: bool,
    /// `TIDELINE_WORKERS`
    pub workers: usize,
    /// `TIDELINE_WRITERS`
    pub writers: u32,
    /// `TIDELINE_DB_POOL`
    pub db_pool: u32,
    /// `TIDELINE_INBOX_RETENTION_DAYS`
    pub inbox_retention_days: u32,
    /// `TIDELINE_DRAIN_SECONDS`
    pub drain: Duration,
}

/// A variable that is missing or cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not set, and there is no default.
    #[error("{0} is required: {1}")]
    Missing(&'static str, &'static str),
    /// Set to something that is not allowed.
    #[error("{0} is {1:?}, but must be {2}")]
    Bad(&'static str, String, &'static str),
}

/// Where variables are looked up: the environment, or a test's own list.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Looks up in the environment. An empty variable is the same as none.
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The smallest key that HS256 deserves.
pub const SECRET_BYTES: usize = 32;

/// The URL of the database, for the commands that need nothing else.
pub fn database_url(lookup: Lookup<'_>) -> Result<Secret<String>, ConfigError> {
    lookup("DATABASE_URL")
        .map(Secret)
        .ok_or(ConfigError::Missing(
            "DATABASE_URL",
            "a libpq URL or keywords, such as postgres://tideline@localhost/tideline",
        ))
}

impl Config {
    /// Reads and checks every variable.
    pub fn load(lookup: Lookup<'_>) -> Result<Self, ConfigError> {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let small = u32::try_from(cores).unwrap_or(u32::MAX);
        let writers = number(lookup, "TIDELINE_WRITERS", small.clamp(1, 8), 1, 64)?;
        Ok(Self {
            database_url: database_url(lookup)?,
            redis_url: redis_url(lookup)?,
            bind: bind(lookup)?,
            jwt_secret: jwt_secret(lookup)?,
            access_token: Duration::from_secs(number(
                lookup,
                "TIDELINE_ACCESS_TOKEN_SECONDS",
                900,
                1,
                86_400,
            )?),
            refresh_token: Duration::from_secs(
                86_400 * number(lookup, "TIDELINE_REFRESH_TOKEN_DAYS", 30, 1, 3_650)?,
            ),
            open_registration: registration(lookup)?,
            // The other half is for the writers, PostgreSQL and Redis; alone on two cores, one is faster than two.
            workers: number(lookup, "TIDELINE_WORKERS", (cores / 2).clamp(1, 64), 1, 256)?,
            writers,
            db_pool: number(
                lookup,
                "TIDELINE_DB_POOL",
                writers + (small * 4).clamp(8, 64),
                writers + 1,
                1_000,
            )?,
            inbox_retention_days: number(lookup, "TIDELINE_INBOX_RETENTION_DAYS", 30, 1, 3_650)?,
            drain: Duration::from_secs(number(lookup, "TIDELINE_DRAIN_SECONDS", 10, 1, 300)?),
        })
    }
}

fn registration(lookup: Lookup<'_>) -> Result<bool, ConfigError> {
    match lookup("TIDELINE_REGISTRATION").as_deref() {
        None | Some("open") => Ok(true),
        Some("closed") => Ok(false),
        Some(other) => Err(ConfigError::Bad(
            "TIDELINE_REGISTRATION",
            other.to_owned(),
            "open or closed",
        )),
    }
}

fn redis_url(lookup: Lookup<'_>) -> Result<Secret<String>, ConfigError> {
    let url = lookup("REDIS_URL").ok_or(ConfigError::Missing(
        "REDIS_URL",
        "such as redis://localhost:6379",
    ))?;
    if is_redis_url(&url) {
        Ok(Secret(url))
    } else {
        Err(ConfigError::Bad(
            "REDIS_URL",
            "…".to_owned(),
            "redis://[user:password@]host[:port][/database]",
        ))
    }
}

fn is_redis_url(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("redis://") else {
        return false;
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let server = authority
        .rsplit_once('@')
        .map_or(authority, |(_, server)| server);
    let (host, port) = match server.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        Some(_) | None => (server, "6379"),
    };
    let database = path.split('?').next().unwrap_or(path);
    !host.is_empty()
        && port.parse::<u16>().is_ok()
        && (database.is_empty() || database.parse::<u32>().is_ok())
}

fn bind(lookup: Lookup<'_>) -> Result<SocketAddr, ConfigError> {
    let text = lookup("TIDELINE_BIND").unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    text.parse().map_err(|_not_an_address| {
        ConfigError::Bad(
            "TIDELINE_BIND",
            text,
            "an address and a port, such as 127.0.0.1:8080",
        )
    })
}

fn jwt_secret(lookup: Lookup<'_>) -> Result<Secret<Vec<u8>>, ConfigError> {
    const WHAT: &str = "at least 32 bytes, such as the output of: openssl rand -base64 48";
    let (name, secret) = match (
        lookup("TIDELINE_JWT_SECRET"),
        lookup("TIDELINE_JWT_SECRET_FILE").map(PathBuf::from),
    ) {
        (Some(secret), _) => ("TIDELINE_JWT_SECRET", secret.into_bytes()),
        (None, Some(path)) => ("TIDELINE_JWT_SECRET_FILE", secret_file(&path)?),
        (None, None) => return Err(ConfigError::Missing("TIDELINE_JWT_SECRET", WHAT)),
    };
    if secret.len() < SECRET_BYTES {
        return Err(ConfigError::Bad(name, "…".to_owned(), WHAT));
    }
    Ok(Secret(secret))
}

fn secret_file(path: &Path) -> Result<Vec<u8>, ConfigError> {
    std::fs::read(path)
        .map(|bytes| bytes.trim_ascii().to_vec())
        .map_err(|error| {
            ConfigError::Bad(
                "TIDELINE_JWT_SECRET_FILE",
                format!("{}: {error}", path.display()),
                "a readable file",
            )
        })
}

fn number<T>(
    lookup: Lookup<'_>,
    name: &'static str,
    default: T,
    min: T,
    max: T,
) -> Result<T, ConfigError>
where
    T: std::str::FromStr + PartialOrd + fmt::Display,
{
    let Some(text) = lookup(name) else {
        return Ok(default);
    };
    match text.parse() {
        Ok(value) if value >= min && value <= max => Ok(value),
        Ok(_) | Err(_) => Err(ConfigError::Bad(
            name,
            text,
            Box::leak(format!("a whole number from {min} to {max}").into_boxed_str()),
        )),
    }
}
