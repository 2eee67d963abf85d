//! The table of inbox events is the one place that lists them: everything that an event needs elsewhere is there.

use std::collections::BTreeSet;
use tideline::http::openapi;
use tideline::model::events::EVENTS;

const SYNC: &str = include_str!("../../../sdk/javascript/src/sync.js");
const TYPES: &str = include_str!("../../../sdk/javascript/src/tideline.d.ts");
const INTEGRATING: &str = include_str!("../../../docs/INTEGRATING.md");

#[test]
fn every_event_has_a_schema_an_sdk_handler_and_a_row_in_integrating() {
    let document = serde_json::to_value(openapi::document()).unwrap();
    let schema = &document["components"]["schemas"]["Entry"]["discriminator"]["mapping"];
    let documented: BTreeSet<_> = schema.as_object().unwrap().keys().cloned().collect();
    let kinds: BTreeSet<_> = EVENTS.iter().map(|event| event.kind.to_owned()).collect();
    assert_eq!(documented, kinds);

    let list = SYNC.split_once("ENTRY_KINDS = [").unwrap().1;
    let list = list.split_once(']').unwrap().0;
    let handled = list
        .split(", ")
        .map(|kind| kind.trim_matches('"').to_owned());
    assert_eq!(handled.collect::<BTreeSet<_>>(), kinds);

    for kind in &kinds {
        assert!(
            TYPES.contains(&format!("kind: \"{kind}\"")),
            "{kind}: no type in the SDK"
        );
        assert!(
            INTEGRATING.contains(&format!("\n| `{kind}` |")),
            "{kind}: no row in INTEGRATING"
        );
    }
}

#[test]
fn names_of_events_are_unique() {
    let names: BTreeSet<_> = EVENTS.iter().map(|event| event.name).collect();
    assert_eq!(names.len(), EVENTS.len());
}
