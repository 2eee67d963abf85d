//! Access tokens made by hand, as an attacker would make them.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::{Sha256, Sha384};

/// The header of an access token.
pub fn header() -> Value {
    json!({"alg": "HS256", "typ": "at+jwt"})
}

/// The claims of an access token.
pub fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64.decode(payload).unwrap()).unwrap()
}

/// A token of these parts, signed with this key: with HS384 when the header says so, otherwise with HS256.
pub fn forge(header: &Value, claims: &Value, key: &str) -> String {
    let part = |value: &Value| BASE64.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let mac = if header["alg"] == "HS384" {
        Hmac::<Sha384>::new_from_slice(key.as_bytes())
            .unwrap()
            .chain_update(&signed)
            .finalize()
            .into_bytes()
            .to_vec()
    } else {
        Hmac::<Sha256>::new_from_slice(key.as_bytes())
            .unwrap()
            .chain_update(&signed)
            .finalize()
            .into_bytes()
            .to_vec()
    };
    format!("{signed}.{}", BASE64.encode(mac))
}

/// A copy of a JSON object with one member changed or removed (`None`).
pub fn with(object: &Value, name: &str, value: Option<Value>) -> Value {
    let mut object = object.clone();
    let members = object.as_object_mut().unwrap();
    match value {
        Some(value) => members.insert(name.to_owned(), value),
        None => members.remove(name),
    };
    object
}
