//! A message to store, as a client sends it.

use crate::http::kit::optional::given;
use crate::http::kit::problem::Problem;
use crate::model::content::Content;
use crate::model::ids::{ClientMsgId, ConvSeq};
use crate::model::message::{EXPIRES_IN, NewMessage, SendOptions};
use crate::model::strict::Strict;
use crate::model::wire::content::TypedContent;
use crate::model::wire::message_ref::MessageRef;
use crate::model::wire::violation::Violation;
use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;

/// A message to store.
#[derive(Debug, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct SendMessage {
    #[garde(skip)]
    pub(super) client_msg_id: ClientMsgId,
    #[garde(skip)]
    #[serde(default, deserialize_with = "given")]
    pub(super) kind: Option<String>,
    #[garde(skip)]
    #[serde(default, deserialize_with = "given")]
    pub(super) content: Option<Strict>,
    #[garde(skip)]
    #[serde(default, deserialize_with = "given")]
    pub(super) reply_to: Option<i64>,
    #[garde(skip)]
    #[serde(default, deserialize_with = "given")]
    pub(super) mention_all: Option<bool>,
    #[garde(skip)]
    #[serde(default, deserialize_with = "given")]
    pub(super) expires_in: Option<i64>,
    #[garde(skip)]
    #[serde(default, deserialize_with = "given")]
    pub(super) forward: Option<MessageRef>,
}

/// A message to store.
#[derive(Debug, ToSchema)]
#[expect(
    dead_code,
    reason = "the schema of SendMessage, whose content is checked by kind"
)]
#[schema(as = SendMessage)]
pub struct SendMessageSchema {
    /// The sender's own id of the message, preferably a UUIDv7. A repeat with the same id, kind and content is always the same
    /// message. Responses have the id in lower case: compare ids as UUIDs, not as strings.
    client_msg_id: ClientMsgId,
    /// The kind and content.
    #[schema(inline = false)]
    #[serde(flatten)]
    content: TypedContent,
    /// The seq of the message to which it replies. Its sender is named as if mentioned.
    #[schema(nullable = false, minimum = 1)]
    reply_to: Option<i64>,
    /// Names everyone in the conversation. In one with more than `limits.mention_all` members only the owner and the admins may.
    #[schema(nullable = false)]
    mention_all: Option<bool>,
    /// The message expires this number of seconds after its send, or earlier, if the conversation's `message_ttl_seconds` says so.
    #[schema(nullable = false, minimum = 10, maximum = 31536000)]
    expires_in: Option<i64>,
}

/// A message to forward: its kind and content are copied, without its mentions. The copy shows the first author, unless the author has
/// switched that off, and never the conversation. It cannot be edited, and a recall of the first message does not reach it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the schema of a SendMessage that forwards")]
#[schema(as = ForwardMessage)]
pub struct ForwardMessageSchema {
    /// The sender's own id of the message, as of any other message. A repeat with the same id and `forward` is always the same message.
    client_msg_id: ClientMsgId,
    /// A message that the caller sees.
    forward: MessageRef,
    /// The seq of the message to which it replies.
    #[schema(nullable = false, minimum = 1)]
    reply_to: Option<i64>,
    /// Names everyone in the conversation.
    #[schema(nullable = false)]
    mention_all: Option<bool>,
    /// The message expires this number of seconds after its send, or earlier, if the conversation's `message_ttl_seconds` says so.
    #[schema(nullable = false, minimum = 10, maximum = 31536000)]
    expires_in: Option<i64>,
}

/// A message to store, or one to forward.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "the schema of SendMessage in both its forms")]
#[serde(untagged)]
#[schema(as = NewMessage)]
pub enum NewMessageSchema {
    /// A message with a kind and a content.
    Written(SendMessageSchema),
    /// A copy of another message.
    Forward(ForwardMessageSchema),
}

impl SendMessage {
    /// Parses it. The pointers of violations begin with the prefix.
    pub(super) fn parse(self, prefix: &str) -> Result<NewMessage, Problem> {
        let reply_to = self.reply_to.map(|seq| ConvSeq::parse("/reply_to", seq));
        let reply_to = reply_to
            .transpose()
            .map_err(|one| Problem::invalid(vec![one.inside(prefix)]))?;
        if reply_to == Some(ConvSeq(0)) {
            let violation = Violation::new("/reply_to", "must be at least 1").inside(prefix);
            return Err(Problem::invalid(vec![violation]));
        }
        if let Some(seconds) = self.expires_in
            && !EXPIRES_IN.contains(&seconds)
        {
            let detail = format!("must be {} to {}", EXPIRES_IN.start(), EXPIRES_IN.end());
            let violation = Violation::new("/expires_in", detail).inside(prefix);
            return Err(Problem::invalid(vec![violation]));
        }
        let content = match (self.kind, self.content, self.forward) {
            (Some(kind), Some(content), None) => Content::parse(&kind, content).map(Some),
            (None, None, Some(_)) => Ok(None),
            (_, _, Some(_)) => {
                let detail = "must not be given together with kind and content";
                Err(vec![Violation::new("/forward", detail)])
            }
            (None, _, None) => Err(vec![Violation::new("/kind", "is required")]),
            (Some(_), None, None) => Err(vec![Violation::new("/content", "is required")]),
        };
        let content = content.map_err(|violations| {
            Problem::invalid(violations.iter().map(|one| one.inside(prefix)).collect())
        })?;
        Ok(NewMessage {
            client_msg_id: self.client_msg_id,
            content,
            options: SendOptions {
                reply_to,
                mention_all: self.mention_all.unwrap_or(false),
                expires_in: self.expires_in,
                forward: self.forward,
            },
        })
    }
}
