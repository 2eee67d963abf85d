//! Text and numbers are stored exactly, or rejected.

use super::{holds, newcomers};
use crate::support::{id, text};
use proptest::char;
use proptest::collection::vec;
use proptest::num::f64;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::{Index, select};
use serde_json::{Value, json};
use tideline::model::wire::content::TEXT_BYTES;

/// JSON as it is sent, and whether it may be stored.
#[derive(Clone, Debug)]
struct Json {
    raw: String,
    /// Has no lone surrogates, NUL characters, raw control characters or numbers out of range.
    good: bool,
    /// Levels of nesting.
    depth: usize,
}

/// A string and its spelling in JSON, without the quotes. Invalid spellings have no string.
#[derive(Clone, Debug)]
struct Spelt {
    raw: String,
    meaning: Option<String>,
}

impl Spelt {
    fn joined(parts: &[Self]) -> Self {
        Self {
            raw: parts.iter().map(|part| part.raw.as_str()).collect(),
            meaning: parts.iter().map(|part| part.meaning.as_deref()).collect(),
        }
    }

    fn json(&self) -> Json {
        Json {
            raw: format!("\"{}\"", self.raw),
            good: self.meaning.is_some(),
            depth: 0,
        }
    }
}

fn escaped(c: char) -> String {
    let mut units = [0; 2];
    let units = c.encode_utf16(&mut units).iter();
    units.map(|unit| format!("\\u{unit:04x}")).collect()
}

/// Any character, and more of the difficult ones: combining marks, direction marks, the ends of planes, noncharacters, and
/// characters that HTML or JavaScript treat specially.
fn characters() -> impl Strategy<Value = char> {
    let nasty = "\u{301}\u{e9}\u{200d}\u{202e}\u{2066}\u{feff}\u{fffd}\u{fffe}\u{ffff}\u{10000}\u{1f44b}\u{1f3fd}\
        \u{e0001}\u{10ffff}\u{7f}\u{80}\u{2028}\u{d7ff}\u{e000}\"\\/<&'%$";
    prop_oneof![3 => char::any(), 2 => select(nasty.chars().collect::<Vec<_>>())]
}

/// A character as itself or escaped, which is always valid.
fn clean() -> impl Strategy<Value = Spelt> {
    (characters(), any::<bool>()).prop_filter_map("NUL", |(c, escape)| {
        let raw = match c {
            '\0' => return None,
            '"' | '\\' if !escape => format!("\\{c}"),
            c if escape || c < ' ' => escaped(c),
            c => c.to_string(),
        };
        Some(Spelt {
            raw,
            meaning: Some(c.to_string()),
        })
    })
}

/// Invalid: a lone surrogate (followed by text that cannot complete it), a NUL, a raw control character.
fn dirt() -> impl Strategy<Value = Spelt> {
    let raw = prop_oneof![
        (0xd800..=0xdfff_u16).prop_map(|unit| format!("\\u{unit:04x}x")),
        Just("\\u0000".to_owned()),
        char::range('\0', '\u{1f}').prop_map(String::from),
        Just("\\x".to_owned()),
    ];
    raw.prop_map(|raw| Spelt { raw, meaning: None })
}

fn strings(length: usize) -> impl Strategy<Value = Spelt> {
    let clean = move || vec(clean(), 0..length);
    prop_oneof![
        6 => clean().prop_map(|parts| Spelt::joined(&parts)),
        1 => (clean(), dirt(), clean()).prop_map(|(before, dirt, after)| {
            Spelt::joined(&[before, vec![dirt], after].concat())
        }),
    ]
}

/// Strings with a length near a limit, in bytes.
fn long_strings(limit: usize) -> impl Strategy<Value = Spelt> {
    (strings(12), limit - 2..limit + 3).prop_map(|(spelt, length)| {
        let have = spelt.meaning.as_ref().map_or(0, String::len);
        let raw = "y".repeat(length.saturating_sub(have));
        let meaning = Some(raw.clone());
        Spelt::joined(&[spelt, Spelt { raw, meaning }])
    })
}

fn numbers() -> impl Strategy<Value = Json> {
    let good = "0 -0 -0.0 0e9 1E+2 1.0 5e-324 1e308 1e-400 0.1000000000000000055511151231257827 9007199254740993 \
        18446744073709551615 18446744073709551616 -9223372036854775808 -9223372036854775809 123456789012345678901234567890";
    let bad = "1e400 -1e400 NaN Infinity 01 +1 1. .5 0x1 1e";
    let known = |list: &'static str, good: bool| {
        select(list.split_whitespace().collect::<Vec<_>>())
            .prop_map(move |raw| (raw.to_owned(), good))
    };
    let finite = f64::NORMAL | f64::SUBNORMAL | f64::ZERO;
    prop_oneof![
        8 => known(good, true),
        1 => known(bad, false),
        4 => any::<i64>().prop_map(|n| (n.to_string(), true)),
        4 => any::<u64>().prop_map(|n| (n.to_string(), true)),
        4 => finite.prop_map(|n| (format!("{n:e}"), true)),
        4 => finite.prop_map(|n| (json!(n).to_string(), true)),
    ]
    .prop_map(|(raw, good)| Json {
        raw,
        good,
        depth: 0,
    })
}

fn array(items: &[Json]) -> Json {
    let raw: Vec<_> = items.iter().map(|item| item.raw.as_str()).collect();
    Json {
        raw: format!("[{}]", raw.join(" ,\n")),
        good: items.iter().all(|item| item.good),
        depth: 1 + items.iter().map(|item| item.depth).max().unwrap_or(0),
    }
}

fn object(members: &[(Spelt, Json)]) -> Json {
    let values: Vec<_> = members.iter().map(|(_, value)| value.clone()).collect();
    // The index makes the keys different.
    let raw: Vec<_> = (0..)
        .zip(members)
        .map(|(n, (key, value))| format!("\"{n}{}\" : {}", key.raw, value.raw))
        .collect();
    Json {
        raw: format!("{{{}}}", raw.join(",\t")),
        good: members
            .iter()
            .all(|(key, value)| key.meaning.is_some() && value.good),
        depth: array(&values).depth,
    }
}

/// Objects of any values.
fn objects() -> impl Strategy<Value = Json> {
    let constants = select(&["null", "true", "false", "{}", "[]"][..]).prop_map(|raw| Json {
        raw: raw.to_owned(),
        good: true,
        depth: usize::from(raw.len() == 2),
    });
    let leaf = prop_oneof![
        1 => constants,
        3 => numbers(),
        2 => strings(8).prop_map(|spelt| spelt.json()),
    ];
    let member = |value| vec((strings(4), value), 0..4);
    let value = leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|items| array(&items)),
            member(inner.boxed()).prop_map(|members| object(&members)),
        ]
    });
    let deep = prop_oneof![4 => 97..104_usize, 1 => 104..140_usize].prop_map(|levels| {
        let end = array(&[]);
        (1..levels).fold(end, |inner, _| array(&[inner]))
    });
    let value = prop_oneof![6 => value.boxed(), 1 => deep.boxed()];
    vec((strings(4), value), 0..5).prop_map(|members| object(&members))
}

/// A message to send: its kind and content, and whether it must be stored.
#[derive(Clone, Debug)]
struct Draft {
    kind: &'static str,
    content: String,
    good: bool,
}

fn drafts() -> impl Strategy<Value = Draft> {
    let of_string = |kind: &'static str, limit: usize| {
        move |spelt: Spelt| Draft {
            kind,
            content: format!(r#"{{"{kind}":{}}}"#, spelt.json().raw),
            good: spelt
                .meaning
                .is_some_and(|text| (1..=limit).contains(&text.len())),
        }
    };
    prop_oneof![
        3 => strings(40).prop_map(of_string("text", TEXT_BYTES)),
        1 => long_strings(TEXT_BYTES).prop_map(of_string("text", TEXT_BYTES)),
        2 => strings(20).prop_map(of_string("emoji", 64)),
        1 => long_strings(64).prop_map(of_string("emoji", 64)),
        // A hundred levels, including the object.
        4 => objects().prop_map(|json| Draft {
            kind: "custom",
            good: json.good && json.depth <= 100,
            content: json.raw,
        }),
    ]
}

#[test]
fn content_is_stored_unchanged_or_rejected() {
    holds(40, vec(drafts(), 1..6), async |app, drafts| {
        let [ann, ben] = newcomers(app).await;
        let chat = ann.direct(&ben).await;
        let path = format!("/conversations/{chat}/messages");
        let mut stored = Vec::new();
        for draft in drafts {
            let body = format!(
                r#"{{"client_msg_id":"{}","kind":"{}","content":{}}}"#,
                id(),
                draft.kind,
                draft.content
            );
            let answer = ann.send_bytes("POST", &path, body.clone()).await;
            if draft.good {
                let message = answer.ok(201);
                let sent: Value = serde_json::from_str(&draft.content).unwrap();
                assert_eq!(
                    (&message["kind"], &message["content"]),
                    (&json!(draft.kind), &sent)
                );
                stored.push((body, message));
            } else {
                answer.problem(400, "validation");
            }
        }
        let messages: Vec<_> = stored.iter().map(|(_, message)| message).collect();
        assert_eq!(json!(ben.history(&chat, 0).await), json!(messages));
        let entries = ben.entries(1).await;
        let delivered: Vec<_> = entries.iter().map(|entry| &entry["message"]).collect();
        assert_eq!(delivered, messages);
        for (body, message) in &stored {
            let again = ann.send_bytes("POST", &path, body.clone()).await;
            assert_eq!(&again.ok(200), message);
        }
    });
}

/// Checks the generator: each spelling has the meaning that the tests above expect.
#[test]
fn json_spellings_have_the_expected_meaning() {
    let config = proptest::test_runner::Config {
        failure_persistence: None,
        ..Default::default()
    };
    proptest::test_runner::TestRunner::new(config)
        .run(&strings(20), |spelt| {
            let read: Option<String> = serde_json::from_str(&spelt.json().raw).ok();
            let without_nul = read.filter(|text| !text.contains('\0'));
            assert_eq!(without_nul, spelt.meaning);
            Ok(())
        })
        .unwrap();
}

/// A change to the bytes of a valid body.
#[derive(Clone, Debug)]
enum Harm {
    Replaced(Vec<u8>),
    Cut(Index),
    Flipped(Index, u8),
    Inserted(Index, Vec<u8>),
}

fn harms() -> impl Strategy<Value = Harm> {
    let bytes = || vec(any::<u8>(), 0..60);
    prop_oneof![
        1 => bytes().prop_map(Harm::Replaced),
        1 => any::<Index>().prop_map(Harm::Cut),
        3 => (any::<Index>(), 0..8_u8).prop_map(|(at, bit)| Harm::Flipped(at, bit)),
        2 => (any::<Index>(), bytes()).prop_map(|(at, bytes)| Harm::Inserted(at, bytes)),
    ]
}

impl Harm {
    fn done_to(&self, body: &Value) -> Vec<u8> {
        let mut body = body.to_string().into_bytes();
        match self {
            Self::Replaced(other) => return other.clone(),
            Self::Cut(at) => body.truncate(at.index(body.len())),
            Self::Flipped(at, bit) => {
                let at = at.index(body.len());
                body[at] ^= 1 << bit;
            }
            Self::Inserted(at, bytes) => {
                let at = at.index(body.len());
                body.splice(at..at, bytes.iter().copied());
            }
        }
        body
    }
}

#[test]
fn arbitrary_bytes_are_accepted_or_rejected_with_a_problem() {
    holds(48, vec((0..5_usize, harms()), 1..8), async |app, harms| {
        let [ann, ben] = newcomers(app).await;
        let chat = ann.direct(&ben).await;
        ann.send(&chat, "something to read").await;
        for (which, harm) in &harms {
            let (method, path, body) = match which {
                0 => ("POST", format!("/conversations/{chat}/messages"), text("x")),
                1 => (
                    "POST",
                    format!("/conversations/{chat}/messages/batch"),
                    json!({"messages": [text("x"), text("y")]}),
                ),
                2 => (
                    "PUT",
                    format!("/conversations/{chat}/read"),
                    json!({"seq": 1}),
                ),
                3 => ("PATCH", "/me".to_owned(), json!({"display_name": "Ann"})),
                _ => (
                    "POST",
                    "/conversations".to_owned(),
                    json!({"kind": "direct", "user_id": ben.id}),
                ),
            };
            let answer = ann.send_bytes(method, &path, harm.done_to(&body)).await;
            match answer.status {
                200 | 201 => {
                    // Each message of a batch has a status of its own.
                    let results = answer.body["results"].as_array();
                    let statuses = results.into_iter().flatten().map(|one| &one["status"]);
                    let known = [json!(200), json!(201), json!(400)];
                    assert!(statuses.clone().all(|status| known.contains(status)));
                }
                // An id that no other message has.
                404 => drop(answer.problem(404, "not_found")),
                _ => drop(answer.problem(400, "validation")),
            }
        }
    });
}
