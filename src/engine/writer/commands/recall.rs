//! Recalls a message: its content is erased, and its place stays.

use crate::engine::error::Error;
use crate::engine::writer::command::{CommandTarget, Rule};
use crate::engine::writer::state::{Plan, State, Urgency, key};
use crate::model::events::message::RECALL;
use crate::model::events::receipt::{MARKED_UNREAD, READ};
use crate::model::ids::ConvSeq;
use crate::model::window::Window;
use crate::model::wire::content::StoredBody;
use crate::model::wire::media::MediaKind;
use crate::model::wire::message::{Message, MessageState, Recalled};
use crate::storage::pg::messaging::mentions::NamedUser;
use crate::storage::pg::sync::inbox::NewEntry;

/// Recalls a message. A recalled message is answered again.
pub struct Recall {
    /// The message.
    pub seq: ConvSeq,
    /// How long its sender may recall it.
    pub window: Window,
}

impl Rule for Recall {
    type Answer = Result<Message, Error>;

    fn messages(&self) -> Vec<ConvSeq> {
        vec![self.seq]
    }

    fn names_users(&self) -> bool {
        true
    }

    fn slides_from(&self) -> Option<ConvSeq> {
        Some(self.seq)
    }

    fn entries(&self, receivers: i64) -> i64 {
        // A member whose read position slides gets one more.
        2 * receivers + 1
    }

    fn settle(&self, at: CommandTarget, plan: &mut Plan, state: &mut State) -> Self::Answer {
        let (id, user, seq) = (at.conversation, at.user, self.seq);
        let conversation = state.conversations.get_mut(&id).ok_or(Error::NotFound)?;
        let own = *conversation.member(user)?;
        let message = state.messages.get_mut(&(id, seq));
        let message = message
            .filter(|_| own.visible_after < seq)
            .ok_or(Error::NotFound)?;
        let author = message.sender_id;
        let is_of_owner = conversation
            .member(author)
            .is_ok_and(|author| author.is_owner);
        let may_always = own.can_moderate && (own.is_owner || !is_of_owner);
        if !may_always && author != user {
            let why = "only the sender, the owner and, of messages of others than the owner, the admins recall a message";
            return Err(Error::Forbidden(why));
        }
        if message.is_stub() {
            return Ok(message.clone());
        }
        if !may_always && !self.window.is_open(message.created_at, own.now) {
            return Err(Error::WindowClosed("recalled"));
        }
        if message
            .state
            .as_ref()
            .is_some_and(|state| state.mention_all)
        {
            plan.mentions.recalled_all.push((id, seq));
        }
        let named = state.named.remove(&(id, seq)).unwrap_or_default();
        for user in &named {
            let gone = NamedUser {
                at: conversation.at,
                is_gone: true,
            };
            plan.mentions.named.insert(((id, seq), *user), gone);
        }
        if message
            .state
            .as_ref()
            .is_some_and(|state| state.pinned.is_some())
        {
            conversation.pins = conversation.pins.saturating_sub(1);
            plan.states.pins.insert((id, seq), None);
        }
        if MediaKind::parse(&message.body.kind).is_some() {
            plan.without_media.push((id, seq));
        }
        conversation.change_seq = conversation.change_seq.next();
        message.body = StoredBody::recalled();
        message.state = Some(Box::new(MessageState {
            recalled: Some(Recalled {
                by: user,
                at: conversation.at,
            }),
            ..MessageState::new(conversation.change_seq)
        }));
        let message = message.clone();
        plan.states.erase((id, seq));
        plan.change(id, conversation, message.clone(), Urgency::Now);
        conversation.recalled.insert(seq);
        // Nobody's unread messages begin with a recalled one: a count would point at nothing.
        let end = conversation.slide(seq);
        let (head, large) = (conversation.last_seq, conversation.large);
        for member in &mut conversation.members {
            let slides = !large && member.read_seq.next() == seq;
            if slides {
                member.read_seq = end;
                plan.changes
                    .positions
                    .insert(member.place, member.positions());
            }
            let entry = |event, ref_seq| NewEntry {
                receiver: member.user,
                event,
                conversation: id,
                ref_seq,
                unread: head.0 - member.read_seq.0,
                large,
            };
            if slides {
                let event = match member.marked_unread {
                    true => &MARKED_UNREAD,
                    false => &READ,
                };
                plan.entries.push(entry(event, end));
            }
            // A message of before a member joined is not shown to that member.
            if member.visible_after < seq
                && (!large || member.user == author || named.contains(&member.user))
            {
                plan.entries.push(entry(&RECALL, seq));
            }
        }
        if let Some(stored) = state.stored.get_mut(&key(&message)) {
            stored.sent = None;
            stored.message = message.clone();
        }
        Ok(message)
    }
}
