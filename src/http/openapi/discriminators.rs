//! Schemas of things that come in kinds, such as messages and entries of the inbox.
//!
//! In the code the kinds of a thing are an enum, flattened into what they have in common. The document would show that as
//! an `allOf` of a `oneOf`, which generators of clients do not understand: one left out everything that has to do with
//! messages. So the document spells each kind out, as a plain object with a name of its own, and the thing is a `oneOf`
//! of them that `kind` tells apart. What has members of another thing and some of its own is a plain object too.

use std::collections::{BTreeMap, BTreeSet};
use utoipa::openapi::schema::AdditionalProperties;
use utoipa::openapi::{Discriminator, Object, OneOf, Ref, RefOr, Schema, Type};

/// What tells kinds apart.
const KIND: &str = "kind";

/// Where the document keeps its schemas.
const SCHEMAS: &str = "#/components/schemas/";

/// A thing that comes in kinds. The name of a kind goes between a prefix and a suffix: `TextMessage`, `SendText`.
struct Family {
    name: &'static str,
    prefix: &'static str,
    suffix: &'static str,
    /// The server refuses members that it does not know.
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

/// Spells every kind out, and drops the schemas that were only there to be flattened.
pub fn expand_variants(schemas: &mut Schemas) {
    let mut flattened = BTreeSet::new();
    for family in FAMILIES {
        let Some(RefOr::T(thing)) = schemas.get(family.name).cloned() else {
            continue;
        };
        let (kinds, shared) = split(schemas, &thing, &mut flattened);
        let (mut one_of, mut mapping) = (OneOf::new(), Vec::new());
        one_of.description = description(&thing);
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
            let kind = name_of(&object).unwrap_or_default();
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
            // The other thing is there for itself, and stays.
            merge_properties(schemas, &schema, &mut object, &mut BTreeSet::new());
            schemas.insert(name, Schema::Object(object).into());
        }
    }
}

/// The kinds of a thing, and what they share.
fn split(
    schemas: &Schemas,
    thing: &Schema,
    flattened: &mut BTreeSet<String>,
) -> (Vec<RefOr<Schema>>, Vec<RefOr<Schema>>) {
    let parts = match thing {
        Schema::AllOf(all_of) => all_of.items.clone(),
        other => vec![RefOr::T(other.clone())],
    };
    let (mut kinds, mut shared) = (Vec::new(), Vec::new());
    for part in parts {
        match open(schemas, &part) {
            Some(Schema::OneOf(one_of)) => {
                flattened.extend(target(&part));
                kinds.extend(one_of.items.clone());
            }
            _ => shared.push(part),
        }
    }
    (kinds, shared)
}

/// Puts the members of a part into an object.
fn merge_properties(
    schemas: &Schemas,
    part: &RefOr<Schema>,
    into: &mut Object,
    flattened: &mut BTreeSet<String>,
) {
    flattened.extend(target(part));
    match open(schemas, part) {
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

/// The name that a part refers to.
fn target(part: &RefOr<Schema>) -> Option<String> {
    match part {
        RefOr::Ref(there) => Some(there.ref_location.strip_prefix(SCHEMAS)?.to_owned()),
        RefOr::T(_) => None,
    }
}

/// A part, or what it refers to.
fn open<'a>(schemas: &'a Schemas, part: &'a RefOr<Schema>) -> Option<&'a Schema> {
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

/// The one value of an object's `kind`.
fn name_of(object: &Object) -> Option<String> {
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
