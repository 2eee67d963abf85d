//! A check of JSON values against the schemas of the OpenAPI document.

use crate::support::id;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Where a value violates its schema, for the part of JSON Schema that the document uses.
pub fn faults(document: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let mut found = Vec::new();
    check(document, schema, value, at, &mut found);
    if let (Some(members), Some(known)) = (value.as_object(), declared(document, schema, value)) {
        let unknown = members.keys().filter(|name| !known.contains(*name));
        found.extend(unknown.map(|name| format!("{at}/{name} is not in the schema")));
    }
    found
}

fn target<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema.get("$ref").and_then(Value::as_str) {
        Some(there) => document.pointer(&there[1..]).unwrap(),
        None => schema,
    }
}

fn parts<'a>(schema: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    schema
        .get(name)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn check(document: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let schema = target(document, schema);
    for part in parts(schema, "allOf") {
        check(document, part, value, at, found);
    }
    if schema.get("oneOf").is_some() {
        let fits = |part: &&Value| {
            let mut faults = Vec::new();
            check(document, part, value, at, &mut faults);
            faults.is_empty()
        };
        let fitting = parts(schema, "oneOf").filter(fits).count();
        if fitting != 1 {
            found.push(format!("{at} fits {fitting} of oneOf: {value}"));
        }
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        // 1.0 is an integer.
        Value::Number(number) if number.as_f64().is_some_and(|it| it.fract() != 0.0) => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    match schema.get("type") {
        Some(Value::String(one)) if one != kind => found.push(format!("{at} is no {one}: {value}")),
        Some(Value::Array(some)) if !some.contains(&json!(kind)) => {
            found.push(format!("{at} is {kind}: {value}"));
        }
        _ => {}
    }
    if schema.get("enum").is_some() && !parts(schema, "enum").any(|one| one == value) {
        found.push(format!("{at} is none of the enum: {value}"));
    }
    if schema.get("minimum").and_then(Value::as_i64) > value.as_i64() && value.is_i64() {
        found.push(format!("{at} is below the minimum: {value}"));
    }
    let is_text = |format: &str, good: bool| {
        (schema["format"] == format && value.is_string() && !good)
            .then(|| format!("{at} is no {format}: {value}"))
    };
    let text = value.as_str().unwrap_or("");
    found.extend(is_text("uuid", uuid::Uuid::try_parse(text).is_ok()));
    // RFC 3339, UTC, milliseconds, Z.
    found.extend(is_text(
        "date-time",
        text.len() == 24 && text.ends_with('Z'),
    ));
    for name in parts(schema, "required").filter_map(Value::as_str) {
        if value.is_object() && value.get(name).is_none() {
            found.push(format!("{at}/{name} is missing"));
        }
    }
    if let (Some(items), Some(values)) = (schema.get("items"), value.as_array()) {
        for (n, value) in values.iter().enumerate() {
            found.extend(faults(document, items, value, &format!("{at}/{n}")));
        }
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, property) in properties.into_iter().flatten() {
        if let Some(value) = value.get(name) {
            found.extend(faults(document, property, value, &format!("{at}/{name}")));
        }
    }
}

/// The declared members of a schema; `None` if any are allowed.
fn declared(document: &Value, schema: &Value, value: &Value) -> Option<BTreeSet<String>> {
    let schema = target(document, schema);
    let mut known = BTreeSet::new();
    if let Some(properties) = schema.get("properties") {
        known.extend(properties.as_object().unwrap().keys().cloned());
    } else if schema["type"] == "object" || schema["type"] == json!(["object", "null"]) {
        return None;
    }
    let fits = |part: &&Value| {
        let mut faults = Vec::new();
        check(document, part, value, "", &mut faults);
        faults.is_empty()
    };
    for part in parts(schema, "allOf").chain(parts(schema, "oneOf").filter(fits)) {
        known.extend(declared(document, part, value)?);
    }
    Some(known)
}

#[test]
fn schema_check_finds_violations() {
    let document: Value = serde_json::from_str(&tideline::http::openapi::json().unwrap()).unwrap();
    let schema = json!({"$ref": "#/components/schemas/Message"});
    let good = json!({"id": id(), "conversation_id": id(), "seq": 1, "sender_id": id(), "client_msg_id": id(),
        "kind": "text", "content": {"text": "hi"}, "created_at": "2026-11-20T09:30:00.123Z"});
    assert_eq!(faults(&document, &schema, &good, ""), [""; 0]);
    for (name, bad) in [
        ("seq", json!(-1)),
        ("seq", json!("1")),
        ("id", json!("1")),
        ("kind", json!("emoji")),
        ("content", json!({"text": "hi", "bold": true})),
        ("created_at", json!("2026-11-20T09:30:00Z")),
        ("password", json!("x")),
    ] {
        let mut message = good.clone();
        message[name] = bad;
        assert!(
            !faults(&document, &schema, &message, "").is_empty(),
            "{message}"
        );
    }
}
