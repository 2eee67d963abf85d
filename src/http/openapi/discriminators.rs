//! Schemas of types with several kinds, such as messages and inbox entries.
//!
//! In the code, the kinds are an enum that is flattened into a struct of the common fields. utoipa describes that as an `allOf` of
//! a `oneOf`, which client generators do not understand: one of them dropped every schema that contains messages. So the document
//! has a plain, named object for each kind, and the type is a `oneOf` of them with `kind` as the discriminator. A schema that
//! extends another one with its own fields becomes a plain object too.

use std::collections::{BTreeMap, BTreeSet};
use utoipa::openapi::schema::AdditionalProperties;
use utoipa::openapi::{Discriminator, Object, OneOf, Ref, RefOr, Schema, Type};

/// The name of the discriminator.
const KIND: &str = "kind";

/// The prefix of references to schemas.
const SCHEMAS: &str = "#/components/schemas/";

/// A type with several kinds. The schema of a kind is named prefix, kind, suffix: `TextMessage`, `SendText`.
struct Family {
    name: &'static str,
    prefix: &'static str,
    suffix: &'static str,
    /// The server rejects unknown fields.
    is_closed: bool,
}

const FAMILIES: &[Family] = &[
    Family {
        name: "Message",
        prefix: "",
        suffix: "Message",
        is_closed: false,
    },
    Family {
        name: "Entry",
        prefix: "",
        suffix: "Entry",
        is_closed: false,
    },
    Family {
        name: "SendMessage",
        prefix: "Send",
        suffix: "",
        is_closed: true,
    },
    Family {
        name: "CreateConversationRequest",
        prefix: "Create",
        suffix: "Request",
        is_closed: true,
    },
];

type Schemas = BTreeMap<String, RefOr<Schema>>;

/// Adds a schema for every kind, and removes the schemas that were only flattened into them.
pub fn expand_variants(schemas: &mut Schemas) {
    let mut flattened = BTreeSet::new();
    for family in FAMILIES {
        let Some(RefOr::T(schema)) = schemas.get(family.name).cloned() else {
            continue;
        };
        let (kinds, shared) = split(schemas, &schema, &mut flattened);
        let (mut one_of, mut mapping) = (OneOf::new(), Vec::new());
        one_of.description = description(&schema);
        for kind in kinds {
            let mut object = Object::with_type(Type::Object);
            if let RefOr::T(kind) = &kind {
                object.description = description(kind);
            }
            for part in [&kind].into_iter().chain(&shared) {
                merge_properties(schemas, part, &mut object, &mut flattened);
            }
            if family.is_closed {
                let closed = AdditionalProperties::FreeForm(false);
                object.additional_properties = Some(Box::new(closed));
            }
            let kind = kind_of(&object).unwrap_or_default();
            let name = format!("{}{}{}", family.prefix, capitalised(&kind), family.suffix);
            mapping.push((kind, format!("{SCHEMAS}{name}")));
            one_of.items.push(Ref::from_schema_name(&name).into());
            schemas.insert(name, Schema::Object(object).into());
        }
        one_of.discriminator = Some(Discriminator::with_mapping(KIND, mapping));
        schemas.insert(family.name.to_owned(), Schema::OneOf(one_of).into());
    }
    schemas.retain(|name, _| !flattened.contains(name));
    for (name, schema) in schemas.clone() {
        if let RefOr::T(Schema::AllOf(all_of)) = &schema {
            let mut object = Object::with_type(Type::Object);
            object.description = all_of.description.clone();
            // The extended schema is used elsewhere, and stays.
            merge_properties(schemas, &schema, &mut object, &mut BTreeSet::new());
            schemas.insert(name, Schema::Object(object).into());
        }
    }
}

/// The kinds of a type, and the schemas of their common fields.
fn split(
    schemas: &Schemas,
    schema: &Schema,
    flattened: &mut BTreeSet<String>,
) -> (Vec<RefOr<Schema>>, Vec<RefOr<Schema>>) {
    let parts = match schema {
        Schema::AllOf(all_of) => all_of.items.clone(),
        other => vec![RefOr::T(other.clone())],
    };
    let (mut kinds, mut shared) = (Vec::new(), Vec::new());
    for part in parts {
        match resolve(schemas, &part) {
            Some(Schema::OneOf(one_of)) => {
                flattened.extend(target(&part));
                kinds.extend(one_of.items.clone());
            }
            _ => shared.push(part),
        }
    }
    (kinds, shared)
}

/// Copies the properties of a part into an object.
fn merge_properties(
    schemas: &Schemas,
    part: &RefOr<Schema>,
    into: &mut Object,
    flattened: &mut BTreeSet<String>,
) {
    flattened.extend(target(part));
    match resolve(schemas, part) {
        Some(Schema::Object(object)) => {
            into.properties.extend(object.properties.clone());
            into.required.extend(object.required.clone());
        }
        Some(Schema::AllOf(all_of)) => {
            for part in &all_of.items {
                merge_properties(schemas, part, into, flattened);
            }
        }
        _ => {}
    }
}

/// The name of the schema that a part refers to.
fn target(part: &RefOr<Schema>) -> Option<String> {
    match part {
        RefOr::Ref(there) => Some(there.ref_location.strip_prefix(SCHEMAS)?.to_owned()),
        RefOr::T(_) => None,
    }
}

/// The schema of a part, which may be a reference.
fn resolve<'a>(schemas: &'a Schemas, part: &'a RefOr<Schema>) -> Option<&'a Schema> {
    match part {
        RefOr::T(schema) => Some(schema),
        RefOr::Ref(_) => match schemas.get(&target(part)?)? {
            RefOr::T(schema) => Some(schema),
            RefOr::Ref(_) => None,
        },
    }
}

fn description(schema: &Schema) -> Option<String> {
    match schema {
        Schema::Object(object) => object.description.clone(),
        Schema::OneOf(one_of) => one_of.description.clone(),
        Schema::AllOf(all_of) => all_of.description.clone(),
        _ => None,
    }
}

/// The only value of an object's `kind`.
fn kind_of(object: &Object) -> Option<String> {
    match object.properties.get(KIND)? {
        RefOr::T(Schema::Object(kind)) => {
            let name = kind.enum_values.as_ref()?.first()?;
            Some(name.as_str()?.to_owned())
        }
        _ => None,
    }
}

fn capitalised(name: &str) -> String {
    let mut letters = name.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}
