//! One batch, one transaction.

use crate::engine::reading::message_views::reaction_keys;
use crate::engine::writer::command::Command;
use crate::engine::writer::state::{Loaded, Plan, State, slow};
use crate::model::ids::{ChangeSeq, ConvSeq, ConversationId, UserId};
use crate::model::moved::Moved;
use crate::model::unread::CommittedEntry;
use crate::model::wire::message::Message;
use crate::model::wire::message_ref::MessageRef;
use crate::storage::error::{StorageError, StorageResult};
use crate::storage::pg::media::rows::StoredMedia;
use crate::storage::pg::media::{references, rows as media};
use crate::storage::pg::messaging::archive::{Key, MemberRow, MessageKey, Presence};
use crate::storage::pg::messaging::conversations::LockedConversation;
use crate::storage::pg::messaging::mentions as rows;
use crate::storage::pg::messaging::reactions::ReactionKey;
use crate::storage::pg::messaging::{
    archive, conversations, expiry, hidden, pins, reactions, states,
};
use crate::storage::pg::people::blocks as people_blocks;
use crate::storage::pg::people::blocks::Block;
use crate::storage::pg::search::blocks;
use crate::storage::pg::sync::inbox;
use crate::storage::pg::{Connection, DbSession, Failure};
use std::collections::{BTreeSet, HashMap, HashSet};

/// The approximate limit of inbox entries in a transaction, which bounds how long its locks are held.
const ENTRIES: i64 = 10_000;

/// A committed batch.
pub(super) struct Done {
    /// The number of commands, from the first, that are settled. The others are left for the next transaction.
    pub(super) settled: usize,
    pub(super) committed: Vec<CommittedEntry>,
    /// The new heads of watched conversations.
    pub(super) moved: HashMap<ConversationId, Moved>,
    /// Conversations with a new full block of the search, or with a changed one.
    pub(super) to_index: Vec<ConversationId>,
}

/// How long a batch waits for a lock of another transaction.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum LockTimeout {
    /// As long as any other statement.
    Usual,
    /// A shorter time, for a conversation that was found locked.
    Short,
}

/// Executes commands in one transaction. Few sends are replays, so stored messages are read only if the first attempt needs
/// them: when the unique key of the archive rejects a message, or when a send is refused, since it may be a replay of one
/// that was accepted.
pub(super) fn execute(
    session: &mut DbSession,
    commands: &[Box<dyn Command>],
    lock_timeout: LockTimeout,
    more: impl Fn() -> bool,
) -> Result<Done, Failure> {
    match attempt(session, commands, lock_timeout, Replays::Unknown, &more) {
        Ok(None) => {}
        Err(Failure {
            error: StorageError::Stored,
            ..
        }) => {}
        Ok(Some(done)) => return Ok(done),
        Err(failure) => return Err(failure),
    }
    let done = attempt(session, commands, lock_timeout, Replays::Known, &more)?;
    done.ok_or_else(|| Failure {
        error: StorageError::Bug("a batch with known replays asks for replays".to_owned()),
        outcome_unknown: false,
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Replays {
    Unknown,
    Known,
}

/// Rolls back: the batch has to run again with the replays known.
struct RetryWithReplays;

/// One attempt. `None` if the batch has to run again with the replays known.
fn attempt(
    session: &mut DbSession,
    commands: &[Box<dyn Command>],
    lock_timeout: LockTimeout,
    replays: Replays,
    more: impl Fn() -> bool,
) -> Result<Option<Done>, Failure> {
    let work = |conn: &mut Connection| {
        if lock_timeout == LockTimeout::Short {
            conversations::set_short_lock_timeout(conn)?;
        }
        let mut ids: Vec<_> = commands
            .iter()
            .map(|command| command.at().conversation)
            .collect();
        ids.sort_unstable();
        ids.dedup();
        let mentioning = commands.iter().filter(|one| may_mention(&***one));
        let mentioning: BTreeSet<_> = mentioning.map(|command| command.at().user).collect();
        if !mentioning.is_empty() {
            people_blocks::hold(conn, &mentioning)?;
        }
        let media = held_media(conn, commands)?;
        // Lock first, read afterwards: every statement below starts after this one has returned, so it sees the commits of
        // the transactions that held these locks before.
        let locked = conversations::lock(conn, &ids)?;
        let commands = within_bounds(commands, &locked);
        let (large, small): (Vec<_>, Vec<_>) = locked
            .iter()
            .partition(|one| one.read_fanout_from_seq.is_some());
        let small: Vec<_> = small.iter().map(|one| one.id).collect();
        let messages = changed_messages(conn, commands)?;
        let named = named_users(conn, commands)?;
        let authors = messages
            .iter()
            .map(|one| (one.conversation_id, one.sender_id));
        let concerned = named
            .iter()
            .flat_map(|((id, _), users)| users.iter().map(move |user| (*id, *user)));
        let relevant = relevant_members(commands, authors.chain(concerned), &large);
        let members = archive::load_members(conn, &small, &relevant)?;
        let recalled = recalled(conn, commands, &locked)?;
        let own_reactions = own_reactions(conn, commands, &messages)?;
        let pins = pin_counts(conn, commands)?;
        let forwarded = forwarded(conn, commands)?;
        let sent = newest_sent(conn, commands, &locked, &members)?;
        let stored = match replays {
            Replays::Unknown => Vec::new(),
            Replays::Known => archive::replays(conn, &keys(commands))?,
        };
        let by_mention = possible_blocks(commands, &messages, &members);
        let blocks = match by_mention.is_empty() {
            true => HashSet::new(),
            false => people_blocks::among(conn, by_mention)?,
        };
        let mut state = State::new(Loaded {
            locked,
            members,
            stored,
            messages,
            recalled,
            own_reactions,
            named,
            blocks,
            forwarded,
            pins,
            sent,
            media,
        });
        let mut plan = Plan {
            at: state.now,
            ..Plan::default()
        };
        for command in commands {
            let may_be_replay = command.settle(&mut plan, &mut state);
            if may_be_replay && replays == Replays::Unknown {
                return Ok(Err(RetryWithReplays));
            }
        }
        let committed = write(conn, &plan)?;
        Ok(Ok(Done {
            settled: commands.len(),
            committed,
            to_index: plan.to_index(),
            moved: plan.moved,
        }))
    };
    // At the first deadline the transaction is given up, and the other commands run again without that one.
    let until = commands.iter().map(|command| command.deadline()).min();
    Ok(session.transaction(work, until, more)?.ok())
}

/// The media that new messages refer to. Their locks come before those of conversations.
fn held_media(
    conn: &mut Connection,
    commands: &[Box<dyn Command>],
) -> StorageResult<Vec<StoredMedia>> {
    let keys: BTreeSet<_> = commands
        .iter()
        .flat_map(|command| command.media())
        .collect();
    match keys.is_empty() {
        true => Ok(Vec::new()),
        false => media::hold(conn, &keys.into_iter().collect::<Vec<_>>()),
    }
}

/// The mentions in commands: conversation, mentioned user, sender.
fn mentions(
    commands: &[Box<dyn Command>],
) -> impl Iterator<Item = (ConversationId, UserId, UserId)> {
    commands.iter().flat_map(|command| {
        let at = command.at();
        let mentioned = command.mentions().into_iter();
        mentioned.map(move |user| (at.conversation, user, at.user))
    })
}

fn keys(commands: &[Box<dyn Command>]) -> Vec<Key> {
    commands.iter().flat_map(|command| command.keys()).collect()
}

/// The commands of one transaction: at least one, and as many more as stay below the limit.
fn within_bounds<'a>(
    commands: &'a [Box<dyn Command>],
    locked: &[LockedConversation],
) -> &'a [Box<dyn Command>] {
    let sizes: HashMap<ConversationId, i64> = locked
        .iter()
        .map(|one| match one.read_fanout_from_seq {
            Some(_) => (one.id, 0),
            None => (one.id, i64::from(one.member_count)),
        })
        .collect();
    let mut entries = 0;
    let fits = commands
        .iter()
        .take_while(|command| {
            let before = entries;
            let receivers = sizes.get(&command.at().conversation).copied().unwrap_or(0);
            entries += command.entries(receivers);
            before == 0 || entries <= ENTRIES
        })
        .count();
    commands.get(..fits).unwrap_or(commands)
}

/// The present state of the messages that commands change.
fn changed_messages(
    conn: &mut Connection,
    commands: &[Box<dyn Command>],
) -> StorageResult<Vec<Message>> {
    let keys: BTreeSet<_> = commands
        .iter()
        .flat_map(|command| command.messages().into_iter().chain(command.replies()))
        .collect();
    match keys.is_empty() {
        true => Ok(Vec::new()),
        false => archive::some(conn, &keys.into_iter().collect::<Vec<_>>()),
    }
}

/// The recalled messages after the positions from which commands slide. Conversations without a change have none.
fn recalled(
    conn: &mut Connection,
    commands: &[Box<dyn Command>],
    locked: &[LockedConversation],
) -> StorageResult<Vec<MessageKey>> {
    let changed: HashSet<_> = locked
        .iter()
        .filter(|one| one.change_seq > ChangeSeq(0))
        .map(|one| one.id)
        .collect();
    let positions: BTreeSet<_> = commands
        .iter()
        .filter_map(|command| command.slides_from())
        .filter(|(id, _)| changed.contains(id))
        .collect();
    match positions.is_empty() {
        true => Ok(Vec::new()),
        false => states::recalled_after(conn, &positions.into_iter().collect::<Vec<_>>()),
    }
}

/// Whether a command may add a mention, which a block forbids.
fn may_mention(command: &dyn Command) -> bool {
    command.mentions_all() || !command.mentions().is_empty() || !command.replies().is_empty()
}

/// The blocks that forbid mentions in commands: by mentioned users, by those to whom a message replies, or by all members.
fn possible_blocks(
    commands: &[Box<dyn Command>],
    messages: &[Message],
    members: &[MemberRow],
) -> BTreeSet<Block> {
    let mut blocks: BTreeSet<Block> = mentions(commands)
        .map(|(_, mentioned, sender)| (mentioned, sender))
        .collect();
    for command in commands {
        let at = command.at();
        for key in command.replies() {
            let of = messages
                .iter()
                .filter(|one| (one.conversation_id, one.seq) == key);
            blocks.extend(of.map(|one| (one.sender_id, at.user)));
        }
        // An edit of a reply still names the author of the message to which it replies.
        if command.names_users() {
            let keys = command.messages();
            let edited = messages
                .iter()
                .filter(|one| keys.contains(&(one.conversation_id, one.seq)));
            let replied = edited.filter_map(|one| one.state.as_ref()?.reply_to?.sender_id);
            blocks.extend(replied.map(|author| (author, at.user)));
        }
        if command.mentions_all() {
            let all = members
                .iter()
                .filter(|one| one.conversation == at.conversation);
            blocks.extend(all.map(|one| (one.user, at.user)));
        }
    }
    blocks
}

/// The users that the messages have named that commands recall or edit.
fn named_users(
    conn: &mut Connection,
    commands: &[Box<dyn Command>],
) -> StorageResult<HashMap<MessageKey, BTreeSet<UserId>>> {
    let naming = commands.iter().filter(|command| command.names_users());
    let keys: BTreeSet<_> = naming.flat_map(|command| command.messages()).collect();
    match keys.is_empty() {
        true => Ok(HashMap::new()),
        false => rows::named(conn, &keys.into_iter().collect::<Vec<_>>()),
    }
}

/// The reactions of callers to the messages to which they react.
fn own_reactions(
    conn: &mut Connection,
    commands: &[Box<dyn Command>],
    messages: &[Message],
) -> StorageResult<Vec<ReactionKey>> {
    let reacting = commands.iter().filter(|command| command.reacts());
    let pairs: BTreeSet<_> = reacting
        .flat_map(|command| {
            let user = command.at().user;
            command.messages().into_iter().map(move |key| (key, user))
        })
        .collect();
    let of = |key: &MessageKey| {
        let found = messages.iter();
        found
            .clone()
            .find(|one| (one.conversation_id, one.seq) == *key)
    };
    let keys: Vec<_> = pairs
        .iter()
        .filter_map(|(key, user)| Some(reaction_keys(of(key)?, *user)))
        .flatten()
        .collect();
    reactions::stored(conn, &keys)
}

/// The messages of other conversations that commands copy, as far as their callers still see them.
fn forwarded(
    conn: &mut Connection,
    commands: &[Box<dyn Command>],
) -> StorageResult<HashMap<(UserId, MessageRef), Presence>> {
    let all: BTreeSet<_> = commands
        .iter()
        .flat_map(|command| {
            let user = command.at().user;
            command.forwards().into_iter().map(move |of| (user, of))
        })
        .collect();
    match all.is_empty() {
        true => Ok(HashMap::new()),
        false => archive::seen_by(conn, &all.into_iter().collect::<Vec<_>>()),
    }
}

/// The newest messages of senders in conversations in slow mode.
fn newest_sent(
    conn: &mut Connection,
    commands: &[Box<dyn Command>],
    locked: &[LockedConversation],
    members: &[MemberRow],
) -> StorageResult<Vec<Message>> {
    let slow = locked.iter().filter(|one| slow(one).is_some());
    let slow: HashSet<_> = slow.map(|one| one.id).collect();
    if slow.is_empty() {
        return Ok(Vec::new());
    }
    let sending = commands.iter().filter(|command| !command.keys().is_empty());
    let senders: HashSet<_> = sending
        .map(|command| (command.at().conversation, command.at().user))
        .collect();
    let keys = members.iter().filter(|one| {
        let is_slow = slow.contains(&one.conversation) && one.sent_seq > ConvSeq(0);
        is_slow && !one.can_moderate && senders.contains(&(one.conversation, one.user))
    });
    let keys: Vec<_> = keys.map(|one| (one.conversation, one.sent_seq)).collect();
    match keys.is_empty() {
        true => Ok(Vec::new()),
        false => archive::some(conn, &keys),
    }
}

/// The numbers of pinned messages of conversations in which commands pin one.
fn pin_counts(
    conn: &mut Connection,
    commands: &[Box<dyn Command>],
) -> StorageResult<Vec<(ConversationId, i64)>> {
    let pinning = commands.iter().filter(|command| command.pins());
    let ids: BTreeSet<_> = pinning.map(|command| command.at().conversation).collect();
    match ids.is_empty() {
        true => Ok(Vec::new()),
        false => pins::counts(conn, &ids.into_iter().collect::<Vec<_>>()),
    }
}

/// The members of large conversations that the batch needs: callers, mentioned users and authors of changed messages.
fn relevant_members(
    commands: &[Box<dyn Command>],
    authors: impl Iterator<Item = (ConversationId, UserId)>,
    large: &[&LockedConversation],
) -> Vec<(ConversationId, UserId)> {
    let own = commands
        .iter()
        .map(|command| (command.at().conversation, command.at().user));
    let mentioned = mentions(commands).map(|(id, user, _)| (id, user));
    let users: BTreeSet<_> = own.chain(mentioned).chain(authors).collect();
    let is_large = |(id, _): &(ConversationId, UserId)| large.iter().any(|one| one.id == *id);
    users.into_iter().filter(is_large).collect()
}

fn write(conn: &mut Connection, plan: &Plan) -> StorageResult<Vec<CommittedEntry>> {
    let Some(at) = plan.at.filter(|_| !plan.is_empty()) else {
        return Ok(Vec::new());
    };
    if !plan.states.states.is_empty() {
        states::write(conn, &plan.states)?;
        blocks::mark(conn, plan.states.rewritten.iter().copied())?;
    }
    rows::write(conn, &plan.mentions)?;
    expiry::add(conn, &plan.expiring)?;
    references::add(conn, &plan.media)?;
    for message in &plan.without_media {
        references::remove(conn, *message)?;
    }
    let committed = inbox::deliver(conn, &plan.changes, &plan.entries, at)?;
    // Under the locks of the timelines, which the entries have taken.
    for (user, last) in &plan.cleared {
        hidden::clear(conn, *user, *last)?;
    }
    Ok(committed)
}
