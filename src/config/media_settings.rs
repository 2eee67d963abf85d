//! Reads the settings of the media store.

use crate::config::media::MediaConfig;
use crate::config::{ConfigError, Lookup, number, option};

const OPTIONS: [&str; 7] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ALLOW_HTTP",
    "AWS_VIRTUAL_HOSTED_STYLE_REQUEST",
];

const MIB: i64 = 1024 * 1024;

/// All settings; none without `TIDELINE_MEDIA_URL`.
pub(super) fn load(lookup: Lookup<'_>) -> Result<Option<MediaConfig>, ConfigError> {
    let options = OPTIONS.into_iter();
    let options = options.filter_map(|name| Some((name.to_ascii_lowercase(), lookup(name)?)));
    let config = MediaConfig {
        url: String::new(),
        direct: option(lookup, "TIDELINE_MEDIA_DIRECT")?,
        redirect: option(lookup, "TIDELINE_MEDIA_REDIRECT")?,
        bytes: number(lookup, "TIDELINE_MEDIA_BYTES", 100 * MIB, 1, 1 << 40)?,
        quota: number(lookup, "TIDELINE_MEDIA_QUOTA", 10_240 * MIB, 1, 1 << 50)?,
        total: Some(number(lookup, "TIDELINE_MEDIA_TOTAL", 0, 0, 1 << 60)?)
            .filter(|total| *total > 0),
        least_free: 5,
        scan: scan(lookup)?,
        public_url: public_url(lookup)?,
        store_options: options.collect(),
    };
    let Some(url) = lookup("TIDELINE_MEDIA_URL") else {
        return Ok(None);
    };
    let is_known = url
        .strip_prefix("file://")
        .is_some_and(|path| path.starts_with('/'))
        || url
            .strip_prefix("s3://")
            .is_some_and(|bucket| !bucket.is_empty() && !bucket.starts_with('/'));
    if !is_known {
        return Err(ConfigError::Bad(
            "TIDELINE_MEDIA_URL",
            url,
            "file:// and an absolute path, or s3:// and a bucket, such as file:///var/lib/tideline/media, s3://media/tideline",
        ));
    }
    if (config.direct || config.redirect) && url.starts_with("file://") {
        return Err(ConfigError::Bad(
            "TIDELINE_MEDIA_URL",
            url,
            "of s3:// if TIDELINE_MEDIA_DIRECT or TIDELINE_MEDIA_REDIRECT is on: clients cannot reach a directory",
        ));
    }
    Ok(Some(MediaConfig { url, ..config }))
}

fn scan(lookup: Lookup<'_>) -> Result<Option<String>, ConfigError> {
    let Some(text) = lookup("TIDELINE_MEDIA_SCAN") else {
        return Ok(None);
    };
    let address = text.strip_prefix("clamd://").filter(|address| {
        let port = address
            .rsplit_once(':')
            .map(|(_, port)| port.parse::<u16>());
        port.is_some_and(|port| port.is_ok())
    });
    match address {
        Some(address) => Ok(Some(address.to_owned())),
        None => Err(ConfigError::Bad(
            "TIDELINE_MEDIA_SCAN",
            text,
            "clamd://, a host, a colon and a port, such as clamd://127.0.0.1:3310",
        )),
    }
}

fn public_url(lookup: Lookup<'_>) -> Result<Option<String>, ConfigError> {
    let Some(text) = lookup("TIDELINE_MEDIA_PUBLIC_URL") else {
        return Ok(None);
    };
    let host = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    if host.is_some_and(|host| {
        !host.is_empty() && !host.ends_with('/') && !host.contains(['?', '#', ' '])
    }) {
        return Ok(Some(text));
    }
    Err(ConfigError::Bad(
        "TIDELINE_MEDIA_PUBLIC_URL",
        text,
        "an http or https URL without a slash at the end, such as https://media.example",
    ))
}
