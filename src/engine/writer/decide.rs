//! What is allowed and which seqs are taken, settled in memory under the locks, without touching
//! anything else, so that a transaction may run again.

use crate::clock;
use crate::engine::error::Error;
use crate::engine::writer::{Command, Kind, Marked, Sent};
use crate::model::content::StoredBody;
use crate::model::ids::{ConvSeq, ConversationId, MessageId, UserId};
use crate::model::inbox::EntryKind;
use crate::model::message::{Message, NewMessage};
use crate::model::time::Timestamp;
use crate::storage::pg::Place;
use crate::storage::pg::messaging::archive::{Changes, Key, MemberRow};
use crate::storage::pg::messaging::conversations::LockedConversation;
use crate::storage::pg::people::blocks::Block;
use crate::storage::pg::sync::inbox::NewEntry;
use serde_json::value::RawValue;
use std::collections::{HashMap, HashSet};

/// What became of a command.
pub(super) enum Outcome {
    Sent(Vec<Result<Sent, Error>>),
    Marked(Result<Marked, Error>),
}

/// What a batch writes, and what it answers.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) changes: Changes,
    pub(super) entries: Vec<NewEntry>,
    /// The new heads of large conversations.
    pub(super) moved: HashMap<ConversationId, ConvSeq>,
    pub(super) outcomes: Vec<Outcome>,
    /// The database's time after the locks.
    pub(super) at: Option<Timestamp>,
}

impl Plan {
    pub(super) fn refuses_a_send(&self) -> bool {
        self.outcomes.iter().any(|outcome| match outcome {
            Outcome::Sent(sent) => sent.iter().any(Result::is_err),
            Outcome::Marked(_) => false,
        })
    }
}

struct Conversation {
    place: Place,
    last_seq: ConvSeq,
    at: Timestamp,
    /// A direct one, between two of whom one blocks the other.
    blocked: bool,
    is_channel: bool,
    /// Its messages are in no inbox, and only the members who matter to the batch are here.
    large: bool,
    members: Vec<MemberRow>,
}

impl Conversation {
    fn member(&mut self, user: UserId) -> Result<&mut MemberRow, Error> {
        let found = self.members.iter_mut().find(|member| member.user == user);
        found.ok_or(Error::NotFound)
    }
}

/// The locked world of a batch, as of its beginning.
pub(super) struct State {
    now: Option<Timestamp>,
    conversations: HashMap<ConversationId, Conversation>,
    stored: HashMap<Key, Message>,
    /// Those of people who are mentioned against who mentions them.
    blocks: HashSet<Block>,
}

impl State {
    pub(super) fn new(
        locked: Vec<LockedConversation>,
        members: Vec<MemberRow>,
        stored: Vec<Message>,
        blocks: HashSet<Block>,
    ) -> Self {
        let now = members.first().map(|member| member.now);
        let mut conversations: HashMap<_, _> = locked
            .into_iter()
            .map(|one| {
                let conversation = Conversation {
                    place: one.place,
                    last_seq: one.last_seq,
                    // A clock that was set back must not give a message an earlier time than the one before it.
                    at: now.map_or(one.updated_at, |now| now.max(one.updated_at)),
                    blocked: one.blocked,
                    is_channel: one.is_channel,
                    large: one.switch_seq.is_some(),
                    members: Vec::new(),
                };
                (one.id, conversation)
            })
            .collect();
        for member in members {
            if let Some(conversation) = conversations.get_mut(&member.conversation) {
                conversation.members.push(member);
            }
        }
        let stored = stored
            .into_iter()
            .map(|one| ((one.conversation_id, one.sender_id, one.client_msg_id), one))
            .collect();
        Self {
            now,
            conversations,
            stored,
            blocks,
        }
    }
}

/// Settles commands in their order.
pub(super) fn decide(commands: &[Command], mut state: State) -> Plan {
    let mut plan = Plan {
        at: state.now,
        ..Plan::default()
    };
    for command in commands {
        let outcome = match &command.kind {
            Kind::Send(messages, _) => Outcome::Sent(
                messages
                    .iter()
                    .map(|message| send(&mut plan, &mut state, command, message))
                    .collect(),
            ),
            Kind::MarkRead(seq, _) => {
                Outcome::Marked(mark_read(&mut plan, &mut state, command, *seq))
            }
        };
        plan.outcomes.push(outcome);
    }
    plan
}

fn send(
    plan: &mut Plan,
    state: &mut State,
    command: &Command,
    new: &NewMessage,
) -> Result<Sent, Error> {
    let (id, sender) = (command.conversation, command.user);
    let key = (id, sender, new.client_msg_id);
    // Before membership, mute and block: the sender of a stored message gets it back whatever has happened since.
    // Doubles inside one batch are found here too; the first one wins.
    if let Some(stored) = state.stored.get(&key) {
        return if new.content.is_same(&stored.body) {
            Ok(Sent {
                message: stored.clone(),
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
    if is_channel && !own.leads {
        let why = "only the owner and admins post in a channel";
        return Err(Error::Forbidden(why));
    }
    let content = RawValue::from_string(new.content.json().to_owned())
        .map_err(|error| Error::Internal(error.to_string()))?;
    // Sending means having read.
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
    };
    conversation.last_seq = seq;
    let head = (seq, conversation.at);
    plan.changes.heads.insert(conversation.place, head);
    let entry = |member: &MemberRow, kind| NewEntry {
        receiver: member.user,
        kind,
        conversation: id,
        ref_seq: seq,
        unread: seq.0 - member.read_seq.0,
        large,
    };
    let members = &conversation.members;
    if large {
        plan.moved.insert(id, seq);
    } else {
        let all = members.iter();
        plan.entries
            .extend(all.map(|member| entry(member, EntryKind::Message)));
    }
    let mentions = new.content.mentions();
    let named = members.iter().filter(|member| {
        let user = member.user;
        user != sender && mentions.contains(&user) && !state.blocks.contains(&(user, sender))
    });
    plan.entries
        .extend(named.map(|member| entry(member, EntryKind::Mention)));
    let rows = &mut plan.changes.messages;
    rows.conversations.push(id);
    rows.seqs.push(seq);
    rows.ids.push(message.id);
    rows.senders.push(sender);
    rows.client_msg_ids.push(new.client_msg_id);
    rows.kinds.push(new.content.kind());
    rows.contents.push(new.content.json().to_owned());
    rows.at.push(conversation.at);
    state.stored.insert(key, message.clone());
    Ok(Sent {
        message,
        replayed: false,
    })
}

fn mark_read(
    plan: &mut Plan,
    state: &mut State,
    command: &Command,
    seq: ConvSeq,
) -> Result<Marked, Error> {
    let (id, user) = (command.conversation, command.user);
    let conversation = state.conversations.get_mut(&id).ok_or(Error::NotFound)?;
    let (head, large) = (conversation.last_seq, conversation.large);
    let own = conversation.member(user)?;
    if seq > head {
        return Err(Error::invalid(
            "/seq",
            format!("must not be beyond the head, {head}"),
        ));
    }
    if seq > own.read_seq {
        own.read_seq = seq;
        plan.changes.reads.insert(own.place, seq);
        plan.entries.push(NewEntry {
            receiver: user,
            kind: EntryKind::Read,
            conversation: id,
            ref_seq: seq,
            unread: head.0 - seq.0,
            large,
        });
    }
    Ok(Marked {
        read_seq: own.read_seq,
        unread: head.0 - own.read_seq.0,
    })
}
