//! docs/INTEGRATING.md leaves out nothing that a program has to switch on. `tests/integrators` runs its programs.

use serde_json::Value;
use tideline::http::openapi;
use tideline::http::problem::Code;

const DOCUMENT: &str = include_str!("../../docs/INTEGRATING.md");

fn names(word: &str) -> bool {
    DOCUMENT.contains(&format!("`{word}`"))
}

#[test]
fn it_says_what_to_do_with_every_code_and_every_kind() {
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

#[test]
fn the_paths_that_it_names_are_paths_of_the_api() {
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
