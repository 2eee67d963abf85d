//! Environment variables.

use crate::support::SECRET;
use std::collections::BTreeSet;
use std::process::Command;
use tideline::config::Config;

/// A configuration with this variable and the required ones.
fn load(name: &str, value: &str) -> Config {
    let config = Config::load(&|asked| match asked {
        _ if asked == name => Some(value.to_owned()),
        "DATABASE_URL" => Some("postgres://localhost/tideline".to_owned()),
        "REDIS_URL" => Some("redis://localhost".to_owned()),
        "TIDELINE_JWT_SECRET" => Some(SECRET.to_owned()),
        _ => None,
    });
    config.unwrap()
}

#[test]
fn unknown_variables_are_warned_about_with_a_suggestion() {
    let output = Command::new(env!("CARGO_BIN_EXE_tideline"))
        .arg("serve")
        .env_clear()
        .env("TIDELINE_JWT_SECRT", "canary-of-a-secret")
        .env("TIDELINE_FANOUT_LIMITS", "5")
        .env("TIDELINE_DRAIN_SECS", "5")
        // Known: a variable of the server, one of programs that use it, and one that is not ours.
        .env("TIDELINE_DRAIN_SECONDS", "5")
        .env("TIDELINE_URL", "http://localhost")
        .env("TIDE", "high")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let warnings: BTreeSet<_> = said
        .lines()
        .filter_map(|line| Some(line.split_once(" WARN ")?.1.split_once("TIDELINE")?.1))
        .collect();
    let expected = [
        "_DRAIN_SECS is no variable of Tideline: did you mean TIDELINE_DRAIN_SECONDS?",
        "_FANOUT_LIMITS is no variable of Tideline: did you mean TIDELINE_FANOUT_LIMIT?",
        "_JWT_SECRT is no variable of Tideline: did you mean TIDELINE_JWT_SECRET?",
    ];
    assert!(warnings.iter().eq(&expected), "{said}");
    assert!(!said.contains("canary"), "{said}");
}

#[test]
fn redis_url_scheme_is_case_insensitive() {
    let config = load("REDIS_URL", "REDISS+Cluster://Ann@localhost");
    assert_eq!(config.redis_url.0, "rediss+cluster://Ann@localhost");
}

#[test]
fn ipv4_mapped_proxy_networks_are_ipv4_networks() {
    let proxies = |text: &str| {
        let networks = load("TIDELINE_TRUSTED_PROXIES", text).trusted_proxies;
        let networks: Vec<_> = networks.iter().map(ToString::to_string).collect();
        networks.join(", ")
    };
    for (written, network) in [
        ("10.0.0.0/8, fd00::/8", "10.0.0.0/8, fd00::/8"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:10.1.2.3", "10.1.2.3/32"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("::/0", "::/0"),
    ] {
        assert_eq!(proxies(written), network);
    }
}
