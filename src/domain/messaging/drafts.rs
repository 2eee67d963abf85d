//! Drafts: one for each conversation, shared by the devices of the caller.
//!
//! Each device names the version that it has seen, so that none overwrites the text of another one. A draft is void when the caller has
//! sent a message above its `after_seq`: a device that was offline cannot bring back what was sent since.

use crate::domain::messaging::own_change::{OwnChange, own_change};
use crate::engine::admission::Admission;
use crate::engine::admission::load_shedding::Priority;
use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::model::account::Caller;
use crate::model::content::Content;
use crate::model::events::own::DRAFT;
use crate::model::ids::{ConvSeq, ConversationId};
use crate::model::page::{DraftCursor, Page, PageSize, to_cursor};
use crate::model::rate_limit::Policy;
use crate::model::wire::content::StoredBody;
use crate::model::wire::draft::Draft;
use crate::storage::pg::messaging::{drafts as rows, members};
use serde_json::value::RawValue;
use std::time::Duration;

/// A draft is stored at most every two seconds, also without a general rate limit.
const POLICY: Policy = Policy {
    name: "drafts",
    interval: Duration::from_secs(2),
    burst: 1,
};

/// A draft to store.
pub struct NewDraft {
    /// The version that the device has seen.
    pub version: i64,
    /// The content, a custom one.
    pub content: Content,
    /// The latest seq that the device knows.
    pub after_seq: ConvSeq,
}

/// A stored draft.
pub struct StoredDraft {
    /// The draft.
    pub draft: Draft,
    /// The same draft was stored before.
    pub replayed: bool,
}

/// Stores a draft.
pub async fn put(
    delivery: &Delivery,
    caller: Caller,
    id: ConversationId,
    new: NewDraft,
) -> Result<StoredDraft, Error> {
    let content = RawValue::from_string(new.content.json().to_owned())?;
    own_change(delivery, "draft", caller, id, move |conn, view, at| {
        let head = view.last_seq;
        if new.after_seq > head {
            let detail = format!("must not be beyond the latest seq, {head}");
            return Ok(Err(Error::invalid("/after_seq", detail)));
        }
        let stored = rows::get(conn, caller.user, id)?;
        let is_same = |content: &RawValue| {
            new.content.is_same(&StoredBody {
                kind: new.content.kind().to_owned(),
                content: content.to_owned(),
            })
        };
        let is_same =
            stored.after_seq == new.after_seq && stored.content.as_deref().is_some_and(is_same);
        let replayed = is_same && stored.version == new.version + 1;
        if replayed || is_same && stored.version == new.version {
            let answer = StoredDraft {
                draft: stored,
                replayed,
            };
            let entries = Vec::new();
            return Ok(Ok(OwnChange { answer, entries }));
        }
        if stored.version != new.version {
            let present = stored.unless_sent(view.sent_seq);
            return Ok(Err(Error::DraftConflict(Box::new(present))));
        }
        if let Some(quota) = stored.at.and_then(|last| POLICY.too_soon(last, at)) {
            return Ok(Err(Error::RateLimited(quota)));
        }
        let draft = Draft {
            conversation_id: id,
            version: new.version + 1,
            content: Some(content.clone()),
            after_seq: new.after_seq,
            at: Some(at),
        };
        rows::put(conn, caller.user, &draft, at)?;
        Ok(Ok(OwnChange {
            answer: StoredDraft {
                draft,
                replayed: false,
            },
            entries: vec![(&DRAFT, head)],
        }))
    })
    .await
}

/// Deletes the draft of this version, unless it is deleted already.
pub async fn delete(
    delivery: &Delivery,
    caller: Caller,
    id: ConversationId,
    version: i64,
) -> Result<(), Error> {
    own_change(
        delivery,
        "delete_draft",
        caller,
        id,
        move |conn, view, _| {
            let stored = rows::get(conn, caller.user, id)?;
            if stored.version != version {
                let present = stored.unless_sent(view.sent_seq);
                return Ok(Err(Error::DraftConflict(Box::new(present))));
            }
            let mut entries = Vec::new();
            if stored.content.is_some() {
                rows::delete(conn, caller.user, id)?;
                entries.push((&DRAFT, view.last_seq));
            }
            let answer = ();
            Ok(Ok(OwnChange { answer, entries }))
        },
    )
    .await
}

/// A page of the caller's drafts, ordered by conversation.
pub async fn page(
    delivery: &Delivery,
    admission: &Admission,
    caller: Caller,
    after: Option<DraftCursor>,
    limit: PageSize,
) -> Result<Page<Draft>, Error> {
    admission.admit(Priority::History)?;
    let (items, last) = delivery
        .pg
        .read("drafts", move |conn| {
            let after = after.map(|cursor| cursor.after);
            let (page, more) = rows::page(conn, caller.user, after, limit)?;
            let last = page.last().filter(|_| more);
            let last = last.map(|last| last.conversation_id);
            let ids: Vec<_> = page.iter().map(|one| one.conversation_id).collect();
            let sent = members::sent(conn, caller.user, &ids)?;
            let present = |draft: Draft| {
                let sent_seq = sent.get(&draft.conversation_id);
                draft.unless_sent(sent_seq.copied().unwrap_or_default())
            };
            let items = page.into_iter().map(present);
            let items: Vec<_> = items.filter(|draft| draft.content.is_some()).collect();
            Ok((items, last))
        })
        .await?;
    let next_cursor = last
        .map(|after| to_cursor(&DraftCursor { after }))
        .transpose()?;
    Ok(Page { items, next_cursor })
}
