//! Stores messages.

use crate::clock;
use crate::engine::error::Error;
use crate::engine::writer::command::{CommandTarget, Rule};
use crate::engine::writer::state::{Plan, State};
use crate::model::events::message::{MENTION, MESSAGE};
use crate::model::ids::{ClientMsgId, MessageId, UserId};
use crate::model::message::NewMessage;
use crate::model::moved::Moved;
use crate::model::wire::content::StoredBody;
use crate::model::wire::message::Message;
use crate::storage::pg::messaging::archive::{MemberRow, StoredSend};
use crate::storage::pg::sync::inbox::NewEntry;
use serde_json::value::RawValue;

/// Stores messages of the caller, in this order. The refusal of one does not stop the next.
pub struct Send(pub Vec<NewMessage>);

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
        self.0.iter().map(|message| message.client_msg_id).collect()
    }

    fn mentions(&self) -> Vec<UserId> {
        let mentions = self.0.iter().flat_map(|message| message.content.mentions());
        mentions.copied().collect()
    }

    fn entries(&self, receivers: i64) -> i64 {
        let all = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        // A mention adds one entry, which is the only one in a large conversation.
        let mentions = self
            .0
            .iter()
            .map(|message| message.content.mentions().len());
        receivers * all(self.0.len()) + all(mentions.sum())
    }

    fn settle(&self, at: CommandTarget, plan: &mut Plan, state: &mut State) -> Self::Answer {
        let messages = self.0.iter();
        messages.map(|new| send(at, new, plan, state)).collect()
    }

    fn may_be_replay(answer: &Self::Answer) -> bool {
        answer.iter().any(Result::is_err)
    }
}

fn send(
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
        // After a recall there is nothing left to compare.
        let is_same = |sent: &StoredBody| new.content.is_same(sent);
        return if stored.sent.as_ref().is_none_or(is_same) {
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
    let is_channel = conversation.is_channel;
    let own = conversation.member(sender)?;
    if own.muted_until.is_some_and(|until| until > own.now) {
        return Err(Error::Muted);
    }
    if blocked {
        return Err(Error::Blocked);
    }
    if is_channel && !own.can_moderate {
        let why = "only the owner and admins post in a channel";
        return Err(Error::Forbidden(why));
    }
    let content = RawValue::from_string(new.content.json().to_owned())
        .map_err(|error| Error::Internal(error.to_string()))?;
    // Sending a message marks it as read.
    own.read_seq = seq;
    plan.changes.reads.insert(own.place, seq);
    let message = Message {
        id: MessageId(clock::new_id()),
        conversation_id: id,
        seq,
        sender_id: sender,
        client_msg_id: new.client_msg_id,
        body: StoredBody {
            kind: new.content.kind().to_owned(),
            content,
        },
        created_at: conversation.at,
        state: None,
    };
    conversation.last_seq = seq;
    conversation.updated_at = conversation.at;
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
    let mentions = new.content.mentions();
    let named = members.iter().filter(|member| {
        let user = member.user;
        user != sender && mentions.contains(&user) && !state.blocks.contains(&(user, sender))
    });
    plan.entries
        .extend(named.map(|member| entry(member, &MENTION)));
    let rows = &mut plan.changes.messages;
    rows.conversations.push(id);
    rows.seqs.push(seq);
    rows.ids.push(message.id);
    rows.senders.push(sender);
    rows.client_msg_ids.push(new.client_msg_id);
    rows.kinds.push(new.content.kind());
    rows.contents.push(new.content.json().to_owned());
    rows.at.push(conversation.at);
    let stored = StoredSend {
        sent: Some(message.body.clone()),
        message: message.clone(),
    };
    state.stored.insert(key, stored);
    Ok(Sent {
        message,
        replayed: false,
    })
}
