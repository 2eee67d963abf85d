//! Stores messages.

use crate::clock;
use crate::engine::error::Error;
use crate::engine::media::sources::MediaSource;
use crate::engine::writer::command::{CommandTarget, Rule};
use crate::engine::writer::commands::attached::Attached;
use crate::engine::writer::state::{Plan, State};
use crate::model::content::Content;
use crate::model::events::message::{MENTION, MESSAGE};
use crate::model::ids::{ClientMsgId, ConvSeq, MediaId, MessageId, UserId};
use crate::model::message::{Extra, NewMessage};
use crate::model::moved::Moved;
use crate::model::time::Timestamp;
use crate::model::wire::content::StoredBody;
use crate::model::wire::message::{Forward, Message, MessageState};
use crate::model::wire::message_ref::MessageRef;
use crate::storage::pg::messaging::archive::{MemberRow, Presence, StoredSend};
use crate::storage::pg::messaging::mentions::NamedUser;
use crate::storage::pg::sync::inbox::NewEntry;
use chrono::TimeDelta;
use serde_json::value::RawValue;
use std::collections::HashMap;

/// Stores messages of the caller, in this order. The refusal of one does not stop the next.
pub struct Send {
    /// The messages.
    pub messages: Vec<NewMessage>,
    /// A conversation with more members lets only its owner and admins name everyone.
    pub mention_all_limit: usize,
    /// The messages that they forward, as they were read before.
    pub sources: HashMap<MessageRef, Result<Source, Error>>,
    /// Where the media are that they refer to, as far as the caller may use them.
    pub media: HashMap<MediaId, MediaSource>,
    /// What the path of media follows in the `url` of a message.
    pub media_base: Option<String>,
}

/// A message to forward.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its content.
    pub content: Content,
    /// Its first author, and when the author stored it.
    pub origin: Forward,
}

/// A stored message.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The message as stored.
    pub message: Message,
    /// It was stored before: a replay gets the first answer.
    pub replayed: bool,
}

impl Rule for Send {
    type Answer = Vec<Result<Sent, Error>>;

    fn client_msg_ids(&self) -> Vec<ClientMsgId> {
        self.messages
            .iter()
            .map(|message| message.client_msg_id)
            .collect()
    }

    fn mentions(&self) -> Vec<UserId> {
        let mentions = self.messages.iter().flat_map(|message| message.mentions());
        mentions.copied().collect()
    }

    fn replies(&self) -> Vec<ConvSeq> {
        let messages = self.messages.iter();
        messages.filter_map(|one| one.options.reply_to).collect()
    }

    fn forwards(&self) -> Vec<MessageRef> {
        let messages = self.messages.iter();
        let forwarded = messages.filter_map(|one| one.options.forward);
        let via = self.media.values().filter_map(|source| source.via);
        forwarded.chain(via).collect()
    }

    fn media(&self) -> Vec<(UserId, MediaId)> {
        let media = self.media.iter();
        media.map(|(id, source)| (source.owner, *id)).collect()
    }

    fn mentions_all(&self) -> bool {
        self.messages.iter().any(|one| one.options.mention_all)
    }

    fn entries(&self, receivers: i64) -> i64 {
        let all = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        // A mention adds one entry, which is the only one in a large conversation.
        let mentions = self.messages.iter().map(|message| message.mentions().len());
        let of_all = if self.mentions_all() { 2 } else { 1 };
        // The user to whom a message replies gets an entry too.
        receivers * of_all * all(self.messages.len())
            + all(mentions.sum())
            + all(self.messages.len())
    }

    fn settle(&self, at: CommandTarget, plan: &mut Plan, state: &mut State) -> Self::Answer {
        let messages = self.messages.iter();
        messages
            .map(|new| self.send(at, new, plan, state))
            .collect()
    }

    fn may_be_replay(answer: &Self::Answer) -> bool {
        answer.iter().any(Result::is_err)
    }
}

impl Send {
    fn send(
        &self,
        at: CommandTarget,
        new: &NewMessage,
        plan: &mut Plan,
        state: &mut State,
    ) -> Result<Sent, Error> {
        let (id, sender) = (at.conversation, at.user);
        let key = (id, sender, new.client_msg_id);
        // Before membership, mute and block: the sender of a stored message gets it back, whatever has changed since.
        // Duplicates inside one batch are found here too. The first one is stored.
        if let Some(stored) = state.stored.get(&key) {
            // After a recall or the end of its time there is nothing left to compare. Of a forward the options say what it copied.
            let is_same = |sent: &StoredBody| {
                let content = new.content.as_ref();
                content.is_none_or(|content| content.is_same(sent))
            };
            let is_repeated = stored.message.is_stub()
                || stored.sent.as_ref().is_some_and(is_same) && stored.options == new.options;
            return if is_repeated {
                Ok(Sent {
                    message: stored.message.clone(),
                    replayed: true,
                })
            } else {
                Err(Error::ClientMsgIdReused)
            };
        }
        let conversation = state.conversations.get_mut(&id).ok_or(Error::NotFound)?;
        let seq = conversation.last_seq.next();
        let (blocked, large) = (conversation.blocked, conversation.large);
        let leads_post = conversation.leads_post;
        let too_soon = conversation.too_soon(sender);
        let expires_in = new.options.expires_in.into_iter();
        let expires_in = expires_in.chain(conversation.ttl_seconds).min();
        let expires_at =
            expires_in.map(|seconds| Timestamp(conversation.at.0 + TimeDelta::seconds(seconds)));
        let is_small = conversation.member_count <= self.mention_all_limit;
        let own = conversation.member(sender)?;
        if own.muted_until.is_some_and(|until| until > own.now) {
            return Err(Error::Muted);
        }
        if blocked {
            return Err(Error::Blocked);
        }
        if leads_post && !own.can_moderate {
            return Err(Error::Forbidden("only the owner and admins post here"));
        }
        if let Some(left) = too_soon.filter(|_| !own.can_moderate) {
            return Err(Error::SlowMode(left));
        }
        if new.options.mention_all && !is_small && !own.can_moderate {
            let why = "only the owner and admins name everyone in a conversation with this number of members";
            return Err(Error::Forbidden(why));
        }
        let replied = match new.options.reply_to {
            None => None,
            Some(to) => {
                let found = state.messages.get(&(id, to));
                let found = found.filter(|one| own.visible_after < to && !one.is_stub());
                let detail =
                    "must be the seq of a message that the caller may see and that is not gone";
                Some(found.ok_or_else(|| Error::invalid("/reply_to", detail))?)
            }
        };
        let source = match &new.options.forward {
            None => None,
            Some(of) => {
                let read = self.sources.get(of).ok_or(Error::NotFound)?;
                // It may be gone, or the sender may have left, since it was read.
                match state.forwarded.get(&(sender, *of)) {
                    None => return Err(Error::NotFound),
                    Some(Presence::Gone) => return Err(Error::MessageGone),
                    Some(Presence::There) => Some(read.as_ref().map_err(Error::clone)?),
                }
            }
        };
        let content = source.map(|source| &source.content);
        let content = content
            .or(new.content.as_ref())
            .ok_or_else(|| Error::Internal("a message without a content".to_owned()))?;
        let origin = source.map(|source| source.origin);
        let root_seq = replied.map(|one| one.root_seq());
        let extra = Extra {
            reply_to: new.options.reply_to,
            reply_sender: replied.map(|one| one.sender_id),
            root_seq,
            mention_all: new.options.mention_all,
            expires_in: new.options.expires_in,
            expires_at,
            forward: new.options.forward,
            forward_sender: origin.and_then(|origin| origin.sender_id),
            forward_created_at: origin.map(|origin| origin.created_at),
        };
        let json = match content.media() {
            None => content.json().to_owned(),
            Some(named) => {
                let media = Attached::find(
                    &self.media,
                    &state.media,
                    &state.forwarded,
                    (sender, content.kind()),
                    named,
                )?;
                let content = media.content(self.media_base.as_deref(), id, seq, named);
                plan.media.extend(media.references(id, seq));
                serde_json::to_string(&content)?
            }
        };
        let raw = RawValue::from_string(json.clone())
            .map_err(|error| Error::Internal(error.to_string()))?;
        // Sending a message marks it as read.
        own.read_seq = seq;
        own.marked_unread = false;
        own.sent_seq = seq;
        plan.changes.positions.insert(own.place, own.positions());
        let message = Message {
            id: MessageId(clock::new_id()),
            conversation_id: id,
            seq,
            sender_id: sender,
            client_msg_id: new.client_msg_id,
            body: StoredBody {
                kind: content.kind().to_owned(),
                content: raw,
            },
            created_at: conversation.at,
            state: MessageState::of(extra),
        };
        conversation.last_seq = seq;
        conversation.updated_at = conversation.at;
        conversation.sent.insert(sender, conversation.at);
        if new.options.mention_all {
            conversation.all_seq = seq;
            plan.mentions.all.push((id, seq));
        }
        if let Some(at) = expires_at {
            plan.expiring.push(((id, seq), at));
        }
        if let Some(root) = root_seq {
            plan.mentions.replies.push(((id, seq), root));
        }
        let head = conversation.head();
        plan.changes.heads.insert(conversation.place, head);
        let entry = |member: &MemberRow, event| NewEntry {
            receiver: member.user,
            event,
            conversation: id,
            ref_seq: seq,
            unread: seq.0 - member.read_seq.0,
            large,
        };
        let members = &conversation.members;
        if large {
            plan.move_to(id, Moved { seq, change: None });
        } else {
            let all = members.iter();
            plan.entries
                .extend(all.map(|member| entry(member, &MESSAGE)));
        }
        let mentions = content.mentions();
        let is_named = |user| mentions.contains(&user) || extra.reply_sender == Some(user);
        let rings = |member: &&MemberRow| {
            let user = member.user;
            let is_addressed = is_named(user) || new.options.mention_all && !large;
            user != sender && is_addressed && !state.blocks.contains(&(user, sender))
        };
        plan.entries.extend(
            members
                .iter()
                .filter(rings)
                .map(|member| entry(member, &MENTION)),
        );
        let at = conversation.at;
        // A member that has an entry is listed as named.
        for member in &mut conversation.members {
            if rings(&&*member) {
                member.mentioned_seq = seq;
                plan.changes
                    .positions
                    .insert(member.place, member.positions());
                let named = NamedUser { at, is_gone: false };
                plan.mentions.named.insert(((id, seq), member.user), named);
            }
        }
        let rows = &mut plan.changes.messages;
        rows.conversations.push(id);
        rows.seqs.push(seq);
        rows.ids.push(message.id);
        rows.senders.push(sender);
        rows.client_msg_ids.push(new.client_msg_id);
        rows.kinds.push(content.kind());
        rows.contents.push(json);
        rows.extras.push(extra.to_json()?);
        rows.at.push(conversation.at);
        let stored = StoredSend {
            sent: Some(message.body.clone()),
            options: new.options,
            message: message.clone(),
        };
        state.stored.insert(key, stored);
        Ok(Sent {
            message,
            replayed: false,
        })
    }
}
