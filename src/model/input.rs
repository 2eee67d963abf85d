//! Reads JSON values and query strings into the types of the contract. Errors name their place and have our own texts: those of
//! serde_json and serde_urlencoded name neither the field nor what is allowed (docs/UPSTREAM.md).

use crate::model::strict::Strict;
use crate::model::wire::violation::Violation;
use serde::de::value::MapAccessDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, Expected, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Number, Value};
use std::fmt;

/// Reads a value of the contract from strictly parsed JSON.
pub fn json<T: DeserializeOwned>(Strict(value): Strict) -> Result<T, Violation> {
    T::deserialize(Input::Json(value)).map_err(|fault| {
        let escaped = |step: &String| format!("/{}", step.replace('~', "~0").replace('/', "~1"));
        let pointer: String = fault.path.iter().rev().map(escaped).collect();
        Violation::new(&pointer, fault.detail)
    })
}

/// Reads the parameters of a query string. Duplicate and unknown ones are errors.
pub fn query<T: DeserializeOwned>(text: &str) -> Result<T, Violation> {
    let parameters = form_urlencoded::parse(text.as_bytes())
        .map(|(name, value)| (name.into_owned(), Input::Text(value.into_owned())));
    T::deserialize(MapAccessDeserializer::new(Members::of(parameters)))
        .map_err(|fault| Violation::new(&fault.path.concat(), fault.detail))
}

/// An error and its place: the steps of the path, the last one first.
#[derive(Debug)]
struct Fault {
    path: Vec<String>,
    detail: String,
}

impl Fault {
    fn new(detail: impl Into<String>) -> Self {
        Self {
            path: Vec::new(),
            detail: detail.into(),
        }
    }

    fn inside(mut self, step: impl Into<String>) -> Self {
        self.path.push(step.into());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    /// The error text of a type of the contract, such as [`crate::model::time::NotATime`].
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn missing_field(name: &'static str) -> Self {
        Self::new("is required").inside(name)
    }

    fn unknown_field(name: &str, _: &'static [&'static str]) -> Self {
        Self::new("is not known here").inside(name)
    }

    fn duplicate_field(name: &'static str) -> Self {
        Self::new("must not be given twice").inside(name)
    }

    fn unknown_variant(_: &str, variants: &'static [&'static str]) -> Self {
        Self::new(format!("must be one of {}", variants.join(", ")))
    }

    fn invalid_type(_: Unexpected<'_>, _: &dyn Expected) -> Self {
        Self::new("is of the wrong type")
    }

    fn invalid_value(_: Unexpected<'_>, _: &dyn Expected) -> Self {
        Self::new("is out of range")
    }

    fn invalid_length(_: usize, _: &dyn Expected) -> Self {
        Self::new("is of the wrong length")
    }
}

/// A value to read.
enum Input {
    Json(Value),
    /// The value of a query parameter.
    Text(String),
}

impl Input {
    fn text(self, rule: impl FnOnce() -> String) -> Result<String, Fault> {
        match self {
            Self::Json(Value::String(text)) | Self::Text(text) => Ok(text),
            Self::Json(_) => Err(Fault::new(rule())),
        }
    }

    fn integer(&self) -> Result<i64, Fault> {
        let read = match self {
            Self::Json(Value::Number(number)) => integer(number),
            Self::Text(text) if !text.starts_with('+') => text.parse().ok(),
            Self::Json(_) | Self::Text(_) => None,
        };
        read.ok_or_else(|| Fault::new("must be a 64-bit integer"))
    }
}

/// An integer in the sense of JSON Schema: a number without a fraction, in any notation (`1.0`, `1e3`, `-0`).
fn integer(number: &Number) -> Option<i64> {
    const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
    number.as_i64().or_else(|| {
        let double = number.as_f64()?;
        (double.fract() == 0.0 && double.abs() < TWO_TO_63).then_some(double as i64)
    })
}

macro_rules! integers {
    ($($name:ident)*) => {$(
        fn $name<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            visitor.visit_i64(self.integer()?)
        }
    )*};
}

impl<'de> Deserializer<'de> for Input {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self {
            Self::Json(Value::Null) => visitor.visit_unit(),
            Self::Json(Value::Bool(value)) => visitor.visit_bool(value),
            Self::Json(Value::Number(number)) => {
                if let Some(value) = number.as_i64() {
                    visitor.visit_i64(value)
                } else if let Some(value) = number.as_u64() {
                    visitor.visit_u64(value)
                } else {
                    visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN))
                }
            }
            Self::Json(Value::String(text)) | Self::Text(text) => visitor.visit_string(text),
            Self::Json(Value::Array(items)) => visitor.visit_seq(Items {
                items: items.into_iter(),
                place: 0,
            }),
            Self::Json(Value::Object(map)) => {
                let members = map
                    .into_iter()
                    .map(|(name, value)| (name, Self::Json(value)));
                visitor.visit_map(Members::of(members))
            }
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let value = match &self {
            Self::Json(Value::Bool(value)) => Some(*value),
            Self::Text(text) => text.parse().ok(),
            Self::Json(_) => None,
        };
        visitor.visit_bool(value.ok_or_else(|| Fault::new("must be true or false"))?)
    }

    integers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_string(self.text(|| "must be a string".to_owned())?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_string(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self {
            Self::Json(Value::Null) => visitor.visit_none(),
            Self::Json(_) | Self::Text(_) => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self {
            Self::Json(Value::Array(_)) => self.deserialize_any(visitor),
            Self::Json(_) | Self::Text(_) => Err(Fault::new("must be an array")),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self {
            Self::Json(Value::Object(_)) => self.deserialize_any(visitor),
            Self::Json(_) | Self::Text(_) => Err(Fault::new("must be an object")),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let name = self.text(|| format!("must be one of {}", variants.join(", ")))?;
        visitor.visit_enum(name.into_deserializer())
    }

    forward_to_deserialize_any! {
        i128 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

/// The members of an object, or the parameters of a query.
struct Members<I> {
    members: I,
    member: Option<(String, Input)>,
}

impl<I> Members<I> {
    fn of(members: I) -> Self {
        Self {
            members,
            member: None,
        }
    }
}

impl<'de, I: Iterator<Item = (String, Input)>> MapAccess<'de> for Members<I> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Fault> {
        self.member = self.members.next();
        self.member
            .as_ref()
            .map(|(name, _)| seed.deserialize(name.as_str().into_deserializer()))
            .transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let (name, value) = self
            .member
            .take()
            .ok_or_else(|| Fault::new("is required"))?;
        seed.deserialize(value).map_err(|fault| fault.inside(name))
    }
}

/// The items of an array.
struct Items {
    items: std::vec::IntoIter<Value>,
    place: usize,
}

impl<'de> SeqAccess<'de> for Items {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Fault> {
        let Some(item) = self.items.next() else {
            return Ok(None);
        };
        let place = self.place;
        self.place += 1;
        seed.deserialize(Input::Json(item))
            .map(Some)
            .map_err(|fault| fault.inside(place.to_string()))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}
