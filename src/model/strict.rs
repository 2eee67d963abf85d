//! JSON without duplicate keys, which parsers read differently, and without NUL characters, which PostgreSQL cannot store.
//! (serde_json itself refuses unpaired surrogates, numbers beyond a double and nesting beyond 127 levels.)
//!
//! Free JSON, such as the content of a message, is read by this visitor alone. The visitor of `serde_json::Value` (1.0) reads an
//! object whose only key is `$serde_json::private::RawValue` as JSON text, without these checks (docs/UPSTREAM.md).

use crate::model::wire::violation::Violation;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::{Map, Number, Value};
use std::fmt;

/// A JSON value that was parsed strictly.
#[derive(Debug)]
pub struct Strict(pub Value);

impl Strict {
    /// Parses JSON text.
    pub fn parse(text: &[u8]) -> Result<Self, Violation> {
        serde_json::from_slice(text).map_err(|error| Violation::new("", sentence(&error)))
    }
}

/// The error text for invalid JSON, with its position.
fn sentence(error: &serde_json::Error) -> String {
    let (line, column) = (error.line(), error.column());
    let said = error.to_string();
    let ours = said
        .strip_suffix(&format!(" at line {line} column {column}"))
        .unwrap_or(&said);
    let fault = match (error.classify(), ours) {
        (Category::Data, ours) => ours,
        (Category::Eof, _) => "is no complete JSON: it ends",
        (_, "recursion limit exceeded") => "is nested too deep",
        (_, "number out of range") => "has a number beyond the range of a double",
        (_, "lone leading surrogate in hex escape" | "unexpected end of hex escape") => {
            "has an unpaired surrogate"
        }
        (Category::Io | Category::Syntax, _) => "is not valid JSON",
    };
    format!("{fault} at line {line}, column {column}")
}

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

fn without_nul<E: Error>(text: &str) -> Result<(), E> {
    if text.contains('\0') {
        Err(E::custom("has a NUL character"))
    } else {
        Ok(())
    }
}

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("has a number beyond the range of a double"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        without_nul(value)?;
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        without_nul(&value)?;
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            without_nul(&key)?;
            let Strict(value) = entries.next_value()?;
            if map.contains_key(&key) {
                return Err(A::Error::custom(format!("has the duplicate key {key:?}")));
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}
