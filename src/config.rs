//! The only place that reads the environment. A bad value stops the start with an error that names the variable, the value
//! (never a secret) and what is allowed.

#![expect(clippy::disallowed_methods, reason = "this is the only place")]

pub mod media;
mod media_hosts;
mod media_settings;
pub mod origins;
pub mod presence;
mod privacy;
mod proxies;
mod rate_limit;

use crate::config::media::MediaConfig;
use crate::config::origins::Origins;
use crate::config::presence::PresenceTimings;
use crate::model::wire::people::privacy::EffectivePrivacy;
use ipnet::IpNet;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A value that must not be logged.
#[derive(Clone)]
pub struct Secret<T>(pub T);

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// All settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// `DATABASE_URL`
    pub database_url: Secret<String>,
    /// `REDIS_URL`
    pub redis_url: Secret<String>,
    /// `TIDELINE_BIND`
    pub bind: SocketAddr,
    /// `TIDELINE_METRICS_BIND`
    pub metrics_bind: Option<SocketAddr>,
    /// `TIDELINE_JWT_SECRET` or the content of `TIDELINE_JWT_SECRET_FILE`
    pub jwt_secret: Secret<Vec<u8>>,
    /// `TIDELINE_ACCESS_TOKEN_SECONDS`
    pub access_token: Duration,
    /// `TIDELINE_REFRESH_TOKEN_DAYS`
    pub refresh_token: Duration,
    /// `TIDELINE_DESKS`: anyone may create service desks.
    pub desks_open: bool,
    /// `TIDELINE_REGISTRATION`: anyone may register.
    pub open_registration: bool,
    /// `TIDELINE_RATE_LIMIT`; none: off.
    pub rate_limit: Option<RateLimit>,
    /// `TIDELINE_WAITS_PER_ADDRESS`, if rate limits are on: an office shares one address, but no address may take all connections.
    pub waits_per_address: u32,
    /// `TIDELINE_TRUSTED_PROXIES`
    pub trusted_proxies: Vec<IpNet>,
    /// `TIDELINE_CORS_ORIGINS`
    pub cors_origins: Origins,
    /// `TIDELINE_TRUSTED_MEDIA_HOSTS`: hosts as in URLs, `*.` and a host, or `*`.
    pub trusted_media_hosts: Vec<String>,
    /// `TIDELINE_WORKERS`
    pub workers: usize,
    /// `TIDELINE_WRITERS`
    pub writers: u32,
    /// `TIDELINE_DB_POOL`
    pub db_pool: u32,
    /// `TIDELINE_INBOX_RETENTION_DAYS`
    pub inbox_retention_days: u32,
    /// `TIDELINE_FANOUT_LIMIT`: a group with more members has read fan-out.
    pub fanout_limit: usize,
    /// `TIDELINE_MEMBERS_LIMIT`: the most members of a group.
    pub members_limit: usize,
    /// `TIDELINE_RECALL_SECONDS`: how long after its send a sender may recall a message.
    pub recall_seconds: i64,
    /// `TIDELINE_EDIT_SECONDS`: how long after its send a message may be edited.
    pub edit_seconds: i64,
    /// `TIDELINE_EDIT_HISTORY`: who reads the old versions of a message.
    pub edit_history: EditHistory,
    /// `TIDELINE_MENTION_ALL_LIMIT`: in a conversation with more members, only the owner and the admins name everyone.
    pub mention_all_limit: usize,
    /// `TIDELINE_REACTION_FANOUT`: the most members of a conversation of which each gets an entry for a reaction.
    pub reaction_fanout: usize,
    /// `TIDELINE_TYPING_MEMBERS`: the most members of a conversation in which people see who types; 0: nobody does.
    pub typing_members: i32,
    /// `TIDELINE_PRESENCE`: people see who is online.
    pub presence: bool,
    /// `TIDELINE_SEARCH`: search in messages, and its index.
    pub search: bool,
    /// The pause between two rounds of the indexer; none: this node does not index. It is no variable: the tests set it.
    pub index_pause: Option<Duration>,
    /// The times of presence.
    pub presence_timings: PresenceTimings,
    /// `TIDELINE_RECEIPTS`: people see who has read their messages.
    pub receipts: bool,
    /// `TIDELINE_ERASE_DAYS`: how long after its deletion an account is erased.
    pub erase_days: i32,
    /// `TIDELINE_PRIVACY`: what holds for users who have chosen nothing.
    pub privacy: EffectivePrivacy,
    /// The settings of the media store, if there is one.
    pub media: Option<MediaConfig>,
    /// The program that decodes media: this one.
    pub decoder: PathBuf,
    /// `TIDELINE_DRAIN_SECONDS`
    pub drain: Duration,
    /// `TIDELINE_LOG`
    pub log: LogFormat,
}

/// Who reads the old versions of an edited message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EditHistory {
    /// Every member that may read the message.
    #[default]
    Members,
    /// The sender, the owner and the admins.
    Leads,
    /// Nobody: they are not stored.
    Off,
}

/// The form of the log's lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// An object a line, for programs.
    Json,
}

/// The requests that a user, or an address without a valid token, may make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests per second, on average.
    pub per_second: u32,
    /// Requests in one burst.
    pub burst: u32,
}

/// A variable that is missing or invalid.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not set, and there is no default.
    #[error("{0} is required: {1}")]
    Missing(&'static str, &'static str),
    /// Set to a value that is not allowed.
    #[error("{0} is {1:?}, but must be {2}")]
    Bad(&'static str, String, &'static str),
}

/// Looks up a variable: in the environment, or in a list of a test.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Looks up a variable in the environment. An empty variable counts as not set.
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Whether a variable is set to the empty string. Where the default is not empty, this means "none".
pub fn is_empty(name: &str) -> bool {
    std::env::var(name).is_ok_and(|value| value.is_empty())
}

/// The variable that `tideline dev` writes for the integrator's programs, besides those of the server.
const URL: &str = "TIDELINE_URL";

/// A warning for each variable with the prefix `TIDELINE_` that is not read: its name is probably misspelt.
pub fn unknown_variables() -> Vec<String> {
    let names = known_variables();
    std::env::vars_os()
        .filter_map(|(name, _)| name.into_string().ok())
        .filter(|name| name.starts_with("TIDELINE_") && !names.contains(name))
        .filter_map(|name| {
            let nearest = names
                .iter()
                .min_by_key(|known| strsim::levenshtein(known, &name))?;
            Some(format!(
                "{name} is no variable of Tideline: did you mean {nearest}?"
            ))
        })
        .collect()
}

/// All names: those that are looked up if only the required variables are set.
fn known_variables() -> BTreeSet<String> {
    let names = RefCell::new(BTreeSet::from([URL.to_owned()]));
    let _config = Config::load(&|name| {
        names.borrow_mut().insert(name.to_owned());
        match name {
            "DATABASE_URL" => Some("postgres://localhost".to_owned()),
            "REDIS_URL" => Some("redis://localhost".to_owned()),
            "TIDELINE_JWT_SECRET" => Some("x".repeat(SECRET_BYTES)),
            _ => None,
        }
    });
    names.into_inner()
}

/// The shortest key for HS256 (RFC 7518, section 3.2).
pub const SECRET_BYTES: usize = 32;

/// The URL of the database, for commands that need no other setting.
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
            bind: address(lookup, "TIDELINE_BIND")?
                .unwrap_or(SocketAddr::from(([127, 0, 0, 1], 8080))),
            metrics_bind: address(lookup, "TIDELINE_METRICS_BIND")?,
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
            desks_open: open(lookup, "TIDELINE_DESKS", ["closed", "open"])?,
            open_registration: open(lookup, "TIDELINE_REGISTRATION", ["open", "closed"])?,
            rate_limit: rate_limit::load(lookup)?,
            waits_per_address: number(lookup, "TIDELINE_WAITS_PER_ADDRESS", 10_000, 1, 1_000_000)?,
            trusted_proxies: proxies::trusted_proxies(lookup)?,
            cors_origins: cors_origins(lookup)?,
            trusted_media_hosts: trusted_media_hosts(lookup)?,
            // The other cores are for the writers, PostgreSQL and Redis. On two cores one worker is faster than two.
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
            fanout_limit: number(lookup, "TIDELINE_FANOUT_LIMIT", 500, 2, 5_000)?,
            members_limit: number(lookup, "TIDELINE_MEMBERS_LIMIT", 100_000, 2, 1_000_000)?,
            recall_seconds: seconds_after_send(lookup, "TIDELINE_RECALL_SECONDS")?,
            edit_seconds: seconds_after_send(lookup, "TIDELINE_EDIT_SECONDS")?,
            edit_history: edit_history(lookup)?,
            mention_all_limit: number(lookup, "TIDELINE_MENTION_ALL_LIMIT", 50, 0, 1_000_000)?,
            reaction_fanout: number(lookup, "TIDELINE_REACTION_FANOUT", 10, 0, 5_000)?,
            typing_members: number(lookup, "TIDELINE_TYPING_MEMBERS", 100, 0, 5_000)?,
            presence: switch(lookup, "TIDELINE_PRESENCE")?,
            presence_timings: PresenceTimings::default(),
            search: switch(lookup, "TIDELINE_SEARCH")?,
            index_pause: Some(Duration::from_millis(200)),
            receipts: switch(lookup, "TIDELINE_RECEIPTS")?,
            erase_days: number(lookup, "TIDELINE_ERASE_DAYS", 14, 0, 3_650)?,
            privacy: privacy::defaults(lookup)?,
            media: media_settings::load(lookup)?,
            // Also after an upgrade has replaced its file.
            decoder: PathBuf::from("/proc/self/exe"),
            drain: Duration::from_secs(number(lookup, "TIDELINE_DRAIN_SECONDS", 10, 2, 300)?),
            log: log_format(lookup)?,
        })
    }
}

/// The form of the log's lines, which is set before the rest is read.
pub fn log_format(lookup: Lookup<'_>) -> Result<LogFormat, ConfigError> {
    let words = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    word(lookup, "TIDELINE_LOG", words, "text or json")
}

/// Which lines of the log are written.
pub fn log_filter(lookup: Lookup<'_>) -> Result<String, ConfigError> {
    let filter = lookup("RUST_LOG").unwrap_or_else(|| "info".to_owned());
    match env_filter::Builder::new().try_parse(&filter) {
        Ok(_) => Ok(filter),
        Err(_) => Err(ConfigError::Bad(
            "RUST_LOG",
            filter,
            "a level such as info, or levels of modules such as warn,tideline=debug",
        )),
    }
}

fn seconds_after_send(lookup: Lookup<'_>, name: &'static str) -> Result<i64, ConfigError> {
    number(lookup, name, 172_800, -1, 3_153_600_000)
}

fn edit_history(lookup: Lookup<'_>) -> Result<EditHistory, ConfigError> {
    let words = [
        ("members", EditHistory::Members),
        ("leads", EditHistory::Leads),
        ("off", EditHistory::Off),
    ];
    let name = "TIDELINE_EDIT_HISTORY";
    word(lookup, name, words, "members, leads or off")
}

/// A feature that is on unless it is switched off.
fn switch(lookup: Lookup<'_>, name: &'static str) -> Result<bool, ConfigError> {
    let words = [("on", true), ("off", false)];
    word(lookup, name, words, "on or off")
}

/// A feature that is off unless it is switched on.
fn option(lookup: Lookup<'_>, name: &'static str) -> Result<bool, ConfigError> {
    let words = [("off", false), ("on", true)];
    word(lookup, name, words, "on or off")
}

/// Whether anyone may create something. The first of the words is the default.
fn open(
    lookup: Lookup<'_>,
    name: &'static str,
    words: [&'static str; 2],
) -> Result<bool, ConfigError> {
    let words = words.map(|word| (word, word == "open"));
    word(lookup, name, words, "open or closed")
}

fn cors_origins(lookup: Lookup<'_>) -> Result<Origins, ConfigError> {
    let Some(text) = lookup("TIDELINE_CORS_ORIGINS") else {
        return Ok(Origins::Same);
    };
    Origins::parse(&text).ok_or(ConfigError::Bad(
        "TIDELINE_CORS_ORIGINS",
        text,
        "*, or origins with commas between them, as browsers write them: in lower case, without the default port, a path \
         or a slash at the end, such as https://app.example, http://localhost:3000",
    ))
}

fn trusted_media_hosts(lookup: Lookup<'_>) -> Result<Vec<String>, ConfigError> {
    let text = lookup("TIDELINE_TRUSTED_MEDIA_HOSTS").unwrap_or_default();
    media_hosts::parse(&text).ok_or(ConfigError::Bad(
        "TIDELINE_TRUSTED_MEDIA_HOSTS",
        text,
        "*, or hosts with commas between them, in lower case, with a port unless it is the scheme's default, or *. and a host for \
         its subdomains, such as media.example, *.cdn.example, 10.0.0.7:9000",
    ))
}

fn redis_url(lookup: Lookup<'_>) -> Result<Secret<String>, ConfigError> {
    let url = lookup("REDIS_URL").ok_or(ConfigError::Missing(
        "REDIS_URL",
        "such as redis://localhost:6379",
    ))?;
    // Schemes are case-insensitive.
    let url = match url.split_once("://") {
        Some((scheme, rest)) => format!("{}://{rest}", scheme.to_ascii_lowercase()),
        None => url,
    };
    if is_redis_url(&url) {
        Ok(Secret(url))
    } else {
        Err(ConfigError::Bad(
            "REDIS_URL",
            "…".to_owned(),
            "redis://[user:password@]host[:port][/database], or redis+cluster://[user:password@]host[:port],… with some servers \
             of a cluster, or either with rediss for TLS",
        ))
    }
}

fn is_redis_url(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else {
        return false;
    };
    // The redis crate reads `#insecure` as "skip certificate verification".
    if rest.contains('#') {
        return false;
    }
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let servers = authority
        .rsplit_once('@')
        .map_or(authority, |(_, servers)| servers);
    let is_server = |server: &str| {
        let (host, port) = match server.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port),
            Some(_) | None => (server, "6379"),
        };
        !host.is_empty() && port.parse::<u16>().is_ok()
    };
    let database = path.split('?').next().unwrap_or(path);
    match scheme {
        "redis" | "rediss" => {
            is_server(servers) && (database.is_empty() || database.parse::<u32>().is_ok())
        }
        // A cluster has one database.
        "redis+cluster" | "rediss+cluster" => servers.split(',').all(is_server) && path.is_empty(),
        _ => false,
    }
}

fn address(lookup: Lookup<'_>, name: &'static str) -> Result<Option<SocketAddr>, ConfigError> {
    let parse = |text: String| {
        text.parse().map_err(|_not_an_address| {
            ConfigError::Bad(name, text, "an address and a port, such as 127.0.0.1:8080")
        })
    };
    lookup(name).map(parse).transpose()
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

/// The value of one of a few words; the first is the default.
fn word<T: Copy, const N: usize>(
    lookup: Lookup<'_>,
    name: &'static str,
    words: [(&'static str, T); N],
    allowed: &'static str,
) -> Result<T, ConfigError> {
    let text = lookup(name);
    let mut words = words.into_iter();
    words
        .find(|(word, _)| text.as_ref().is_none_or(|text| text == word))
        .map(|(_, value)| value)
        .ok_or_else(|| ConfigError::Bad(name, text.unwrap_or_default(), allowed))
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
