//! The Postman collection covers the whole API and contains no secrets. `postman/run` runs it.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use tideline::http::openapi;

const COLLECTION: &str = include_str!("../../../postman/tideline.postman_collection.json");
const ENVIRONMENT: &str = include_str!("../../../postman/tideline.postman_environment.json");

/// The folders, in their order.
const FOLDERS: &[&str] = &[
    "Sign up",
    "Direct chat",
    "Messages that change",
    "Groups",
    "Sync and long-poll",
    "Large groups and channels",
    "Devices",
    "People",
    "Blocks",
    "Media",
    "Service desk",
    "Account ends",
    "Errors",
];

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn folders(collection: &Value) -> Vec<(&str, &[Value])> {
    let folders = list(&collection["item"]).iter();
    folders
        .map(|one| (one["name"].as_str().unwrap(), list(&one["item"])))
        .collect()
}

/// The lines of a script of an item.
fn script(item: &Value, listen: &str) -> String {
    let events = item["event"].as_array().into_iter().flatten();
    let lines = events
        .filter(|event| event["listen"] == listen)
        .flat_map(|event| list(&event["script"]["exec"]))
        .map(|line| line.as_str().unwrap());
    lines.collect::<Vec<_>>().join("\n")
}

/// Method, path and names of the query parameters of each operation.
fn operations() -> BTreeMap<String, (String, String, BTreeSet<String>)> {
    let document = serde_json::to_value(openapi::document()).unwrap();
    let mut operations = BTreeMap::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, it) in methods.as_object().unwrap() {
            let parameters = it["parameters"].as_array().into_iter().flatten();
            let query = parameters
                .filter(|one| one["in"] == "query")
                .map(|one| one["name"].as_str().unwrap().to_owned());
            operations.insert(
                it["operationId"].as_str().unwrap().to_owned(),
                (method.to_uppercase(), path.clone(), query.collect()),
            );
        }
    }
    operations
}

/// Whether a path of the collection, with `{{variables}}`, is one of the document's, with `{parameters}`.
fn is_path(ours: &[Value], documented: &str) -> bool {
    let documented: Vec<_> = documented.split('/').skip(1).collect();
    ours.len() == documented.len()
        && ours.iter().zip(documented).all(|(ours, documented)| {
            let ours = ours.as_str().unwrap();
            ours == documented || (documented.starts_with('{') && !ours.is_empty())
        })
}

#[test]
fn collection_contains_exactly_the_operations() {
    let collection = parse(COLLECTION);
    let folders = folders(&collection);
    let names: Vec<_> = folders.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, FOLDERS);
    let operations = operations();
    let mut met = BTreeSet::new();
    let mut titles = BTreeSet::new();
    for item in folders.iter().flat_map(|(_, items)| *items) {
        let name = item["name"].as_str().unwrap();
        assert!(titles.insert(name), "{name} is there twice");
        let (id, case) = name.split_once(": ").unwrap_or((name, "-"));
        assert!(!case.is_empty(), "{name}");
        let (method, path, parameters) = operations
            .get(id)
            .unwrap_or_else(|| panic!("{name}: no such operation"));
        let (request, url) = (&item["request"], &item["request"]["url"]);
        assert_eq!(request["method"], method.as_str(), "{name}");
        assert!(is_path(list(&url["path"]), path), "{name} is not {path}");
        let mut raw = format!("{{{{base_url}}}}/{}", {
            let parts = list(&url["path"]).iter().map(|part| part.as_str().unwrap());
            parts.collect::<Vec<_>>().join("/")
        });
        let query = url["query"].as_array().into_iter().flatten();
        for (at, one) in query.enumerate() {
            let (key, value) = (one["key"].as_str().unwrap(), one["value"].as_str().unwrap());
            assert!(parameters.contains(key), "{name}: no parameter {key}");
            raw.push_str(&format!("{}{key}={value}", if at == 0 { '?' } else { '&' }));
        }
        assert_eq!(url["raw"], raw.as_str(), "{name}");
        assert_eq!(url["host"], serde_json::json!(["{{base_url}}"]), "{name}");
        met.insert(id.to_owned());
    }
    assert_eq!(met, operations.into_keys().collect());
}

#[test]
fn every_request_has_a_description_and_assertions() {
    let collection = parse(COLLECTION);
    for (folder, items) in folders(&collection) {
        assert!(items.len() > 5, "{folder} is no story");
        for item in items {
            let name = &item["name"];
            let text = item["request"]["description"].as_str().unwrap_or_default();
            assert!(text.ends_with(['.', '?']), "{name} is not explained");
            let script = script(item, "test");
            let (tests, facts) = (
                script.matches("pm.test(").count(),
                script.matches("pm.expect(").count(),
            );
            assert!(
                tests >= 2,
                "{name} asserts too little: {tests} of two tests"
            );
            assert!(facts >= 1, "{name} asserts nothing but the status");
        }
    }
}

#[test]
fn every_variable_is_declared_and_set_by_a_script() {
    let collection = parse(COLLECTION);
    let declared: BTreeSet<_> = list(&collection["variable"])
        .iter()
        .map(|one| {
            // A value would be a token, or an id of one server.
            assert_eq!(one["value"], "", "{}", one["key"]);
            one["key"].as_str().unwrap()
        })
        .collect();
    let environment = parse(ENVIRONMENT);
    let [base_url] = list(&environment["values"]) else {
        panic!("the environment says where the server is, and nothing else");
    };
    assert_eq!(base_url["key"], "base_url");
    assert_eq!(base_url["value"], "http://127.0.0.1:8080");

    let used = COLLECTION.split("{{").skip(1);
    for name in used.map(|rest| rest.split("}}").next().unwrap()) {
        // `$guid` is Postman's own; names that a script builds are not checked.
        let is_local = ["base_url", "$guid", "long_text"].contains(&name) || name.contains('"');
        assert!(is_local || declared.contains(name), "{name} is unknown");
    }
    for name in declared {
        // Names used in a loop are in a list: as `["ann", "ben"]` for `ann_name`, or in full.
        let spelt = format!(r#"\"{name}\""#);
        let person = format!(r#"\"{}\""#, name.trim_end_matches("_name"));
        assert!(
            COLLECTION.contains(&spelt)
                || (name.ends_with("_name") && COLLECTION.contains(&person)),
            "no script fills {name}"
        );
    }
}

#[test]
fn collection_contains_no_secrets() {
    for text in [COLLECTION, ENVIRONMENT] {
        // Tokens are JWTs, which all begin like this.
        assert!(!text.contains("eyJ") && !text.contains("/home/"));
        for rest in text.split("://").skip(1) {
            let host = rest.split(['/', '"', '`', '\\', ' ']).next().unwrap();
            let is_ours = ["schema.getpostman.com", "127.0.0.1:8080"].contains(&host);
            assert!(is_ours || host.ends_with(".example"), "{host}");
        }
        let password = r#"\"password\": \""#;
        for rest in text.split(password).skip(1) {
            let is_variable = rest.starts_with("{{") || rest.starts_with("not her password");
            assert!(is_variable, "a password is committed");
        }
        // The format of Postman's export: indented, with a final newline.
        assert!(text.starts_with("{\n  \"") && text.ends_with("\n}\n"));
    }
}
