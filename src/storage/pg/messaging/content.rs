//! Message content as it is stored.

use crate::model::wire::content::StoredBody;
use crate::storage::error::{StorageError, StorageResult};
use serde_json::value::RawValue;

/// The body of a stored message. The writer has serialized its content from a checked value, so it is valid JSON.
pub(in crate::storage::pg) fn stored_body(kind: String, json: String) -> StorageResult<StoredBody> {
    let content =
        RawValue::from_string(json).map_err(|error| StorageError::Bug(error.to_string()))?;
    Ok(StoredBody { kind, content })
}
