//! docs/INTEGRATING.md covers everything that a program must handle. `tests/integrators` runs its programs.

use serde_json::Value;
use tideline::http::kit::problem::Code;
use tideline::http::openapi;

const DOCUMENT: &str = include_str!("../../../docs/INTEGRATING.md");

fn names(word: &str) -> bool {
    DOCUMENT.contains(&format!("`{word}`"))
}

#[test]
fn integrating_covers_every_code_and_kind() {
    for code in Code::ALL {
        assert!(names(code.as_str()), "{} is not there", code.as_str());
    }
    let document: Value = serde_json::to_value(openapi::document()).unwrap();
    for family in ["Entry", "Message"] {
        let kinds = &document["components"]["schemas"][family]["discriminator"]["mapping"];
        for kind in kinds.as_object().unwrap().keys() {
            assert!(names(kind), "{family} {kind} is not there");
        }
    }
}

/// The rows of its outbox table: code, status and action.
fn outbox() -> Vec<[&'static str; 3]> {
    let (_, table) = DOCUMENT
        .split_once("| response to a send | status | the outbox |\n|---|---|---|\n")
        .unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let rows = table.lines().map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        cells.try_into().unwrap()
    });
    rows.collect()
}

#[test]
fn integrating_gives_an_outbox_action_for_every_code() {
    let rows = outbox();
    let (no_answer, rows) = rows.split_first().unwrap();
    assert_eq!(no_answer[1..], ["any", "repeat"]);
    let mut listed: Vec<_> = rows
        .iter()
        .map(|[code, ..]| code.trim_matches('`'))
        .collect();
    let mut all: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    listed.sort_unstable();
    all.sort_unstable();
    assert_eq!(listed, all);
    for code in Code::ALL {
        let name = format!("`{}`", code.as_str());
        let [_, status, outbox] = rows.iter().find(|[one, ..]| *one == name).unwrap();
        assert_eq!(*status, code.status().as_u16().to_string(), "{name}");
        let resyncs = [Code::CursorAhead, Code::EpochChanged, Code::InboxTrimmed];
        let expected = match code.status().as_u16() {
            401 => "log in",
            408 | 429 | 500..=599 => "repeat",
            _ if resyncs.contains(code) => "start over",
            _ => "give up",
        };
        assert_eq!(*outbox, expected, "{name}");
        let explained = format!("- **{outbox}**: ");
        assert!(DOCUMENT.contains(&explained), "{outbox} is not explained");
    }
}

#[test]
fn integrating_names_only_existing_paths() {
    let document: Value = serde_json::to_value(openapi::document()).unwrap();
    let paths: Vec<Vec<&str>> = document["paths"]
        .as_object()
        .unwrap()
        .keys()
        .map(|path| path.split('/').collect())
        .collect();
    let end = ['?', '"', '`', ' ', '\n', '\''];
    let named = DOCUMENT.match_indices("/v1/").map(|(at, _)| {
        let path = DOCUMENT[at..].split(end).next().unwrap();
        path.trim_end_matches(['.', ','])
    });
    let mut count = 0;
    for path in named.filter(|path| *path != "/v1/auth/") {
        count += 1;
        let parts: Vec<_> = path.split('/').collect();
        // A variable of the document, of Python or of JavaScript stands for an id.
        let is_one = |there: &Vec<&str>| {
            there.len() == parts.len()
                && there.iter().zip(&parts).all(|(there, part)| {
                    there == part || (there.contains('{') && part.contains('{'))
                })
        };
        assert!(paths.iter().any(is_one), "{path} is not of the API");
    }
    assert!(count > 10, "only {count} paths found");
}
