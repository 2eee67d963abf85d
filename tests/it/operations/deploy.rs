//! The files of `deploy/` name existing variables, metrics and addresses. (`make check` runs Compose and promtool on them.)

use serde_json::Value;
use std::collections::BTreeSet;

const FILES: [(&str, &str); 3] = [
    ("compose.yaml", include_str!("../../../deploy/compose.yaml")),
    (
        "kubernetes/tideline.yaml",
        include_str!("../../../deploy/kubernetes/tideline.yaml"),
    ),
    (
        "systemd/tideline.service",
        include_str!("../../../deploy/systemd/tideline.service"),
    ),
];

/// The words of a text that begin with one of these prefixes.
fn words<'a>(text: &'a str, prefixes: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(move |word| prefixes.iter().any(|prefix| word.starts_with(prefix)))
}

#[test]
fn deployment_files_name_known_variables() {
    let example = include_str!("../../../.env.example");
    let known: BTreeSet<_> = example
        .lines()
        .filter_map(|line| line.strip_prefix('#')?.split_once('='))
        .map(|(name, _)| name)
        .collect();
    for (file, text) in FILES {
        let used: BTreeSet<_> = words(text, &["TIDELINE_"]).collect();
        assert!(used.is_subset(&known), "{file}: {used:?}");
        assert!(!used.is_empty(), "{file} sets nothing");
    }
}

#[test]
fn dashboard_queries_name_documented_metrics() {
    let dashboard = include_str!("../../../deploy/grafana/tideline.json");
    let dashboard: Value = serde_json::from_str(dashboard).unwrap();
    let operations = include_str!("../../../docs/OPERATIONS.md");
    let panels = dashboard["panels"].as_array().unwrap();
    let mut shown = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_i64()), "{panel}");
        let targets = panel["targets"].as_array();
        assert!(panel["type"] == "row" || targets.is_some(), "{panel}");
        for target in targets.into_iter().flatten() {
            let expression = target["expr"].as_str().unwrap();
            for series in words(expression, &["tideline_", "process_"]) {
                let bare = ["_bucket", "_sum", "_count"]
                    .iter()
                    .find_map(|part| series.strip_suffix(part));
                let name = bare.unwrap_or(series).to_owned();
                let row = format!("\n| `{name}` |");
                assert!(operations.contains(&row), "{name} is not documented");
                shown.insert(name);
            }
        }
    }
    assert!(shown.len() >= 15, "{shown:?}");
}
