//! One batch, one transaction.

use crate::engine::writer::command::Command;
use crate::engine::writer::state::{Plan, State};
use crate::model::ids::{ConvSeq, ConversationId, UserId};
use crate::model::unread::CommittedEntry;
use crate::storage::error::{StorageError, StorageResult};
use crate::storage::pg::messaging::archive::Key;
use crate::storage::pg::messaging::conversations::LockedConversation;
use crate::storage::pg::messaging::{archive, conversations};
use crate::storage::pg::people::blocks;
use crate::storage::pg::people::blocks::Block;
use crate::storage::pg::sync::inbox;
use crate::storage::pg::{Connection, Failure, Session};
use std::collections::{BTreeSet, HashMap, HashSet};

/// About how many inbox entries one transaction may write: it bounds how long its locks are held.
const ENTRIES: i64 = 10_000;

/// A committed batch.
pub(super) struct Done {
    /// How many commands, the first ones, it has settled: the rest is for the next transaction.
    pub(super) settled: usize,
    pub(super) announcements: Vec<CommittedEntry>,
    /// The new heads of large conversations.
    pub(super) moved: HashMap<ConversationId, ConvSeq>,
}

/// How long a batch waits for a lock that somebody else has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// As long as any other statement.
    Usual,
    /// Hardly: its conversation was met locked.
    Hardly,
}

/// Executes commands in one transaction. Few sends are repetitions, so messages that were stored before are looked for only
/// when there is reason to: the key of the archive refuses a second one, and a send that is to be refused may be a
/// repetition of one that was not.
pub(super) fn execute(
    session: &mut Session,
    commands: &[Box<dyn Command>],
    patience: Patience,
    more: impl Fn() -> bool,
) -> Result<Done, Failure> {
    match attempt(session, commands, patience, Replays::Unknown, &more) {
        Ok(None) => {}
        Err(Failure {
            error: StorageError::Stored,
            ..
        }) => {}
        Ok(Some(done)) => return Ok(done),
        Err(failure) => return Err(failure),
    }
    let done = attempt(session, commands, patience, Replays::Known, &more)?;
    done.ok_or_else(|| Failure {
        error: StorageError::Bug("a batch that knows all asks for more".to_owned()),
        outcome_unknown: false,
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Replays {
    Unknown,
    Known,
}

/// There is reason to look for replays: nothing was done.
struct RetryWithReplays;

/// Nothing when it has to be done again with the replays known.
fn attempt(
    session: &mut Session,
    commands: &[Box<dyn Command>],
    patience: Patience,
    replays: Replays,
    more: impl Fn() -> bool,
) -> Result<Option<Done>, Failure> {
    let work = |conn: &mut Connection| {
        if patience == Patience::Hardly {
            conversations::set_short_lock_timeout(conn)?;
        }
        let mut ids: Vec<_> = commands
            .iter()
            .map(|command| command.at().conversation)
            .collect();
        ids.sort_unstable();
        ids.dedup();
        let mentioning: BTreeSet<_> = mentions(commands).map(|(_, _, sender)| sender).collect();
        if !mentioning.is_empty() {
            blocks::hold(conn, &mentioning)?;
        }
        // Lock first, look after: every statement below starts after this one returned, so it sees what the
        // transactions that held these locks before have committed.
        let locked = conversations::lock(conn, &ids)?;
        let commands = within_bounds(commands, &locked);
        let (large, small): (Vec<_>, Vec<_>) = locked
            .iter()
            .partition(|one| one.read_fanout_from_seq.is_some());
        let small: Vec<_> = small.iter().map(|one| one.id).collect();
        let members = archive::load_members(conn, &small, &relevant_members(commands, &large))?;
        let stored = match replays {
            Replays::Unknown => Vec::new(),
            Replays::Known => archive::replays(conn, &keys(commands))?,
        };
        let by_mention: BTreeSet<Block> = mentions(commands)
            .map(|(_, mentioned, sender)| (mentioned, sender))
            .collect();
        let blocks = match by_mention.is_empty() {
            true => HashSet::new(),
            false => blocks::among(conn, by_mention)?,
        };
        let mut state = State::new(locked, members, stored, blocks);
        let mut plan = Plan {
            at: state.now,
            ..Plan::default()
        };
        for command in commands {
            let may_be_repetition = command.settle(&mut plan, &mut state);
            if may_be_repetition && replays == Replays::Unknown {
                return Ok(Err(RetryWithReplays));
            }
        }
        let announcements = write(conn, &plan)?;
        Ok(Ok(Done {
            settled: commands.len(),
            announcements,
            moved: plan.moved,
        }))
    };
    // When one of the callers waits no longer, the others are tried again without it.
    let until = commands.iter().map(|command| command.deadline()).min();
    Ok(session.transaction(work, until, more)?.ok())
}

/// The people whom commands mention: where, whom, and by whom.
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

/// The commands of one transaction: at least one, and then as many as stay below the bound.
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

/// Who matters of large conversations: whoever sends, reads or is mentioned.
fn relevant_members(
    commands: &[Box<dyn Command>],
    large: &[&LockedConversation],
) -> Vec<(ConversationId, UserId)> {
    let own = commands
        .iter()
        .map(|command| (command.at().conversation, command.at().user));
    let mentioned = mentions(commands).map(|(id, user, _)| (id, user));
    let users: BTreeSet<_> = own.chain(mentioned).collect();
    let is_large = |(id, _): &(ConversationId, UserId)| large.iter().any(|one| one.id == *id);
    users.into_iter().filter(is_large).collect()
}

fn write(conn: &mut Connection, plan: &Plan) -> StorageResult<Vec<CommittedEntry>> {
    // Whatever changes, a read position does: sending means having read.
    let Some(at) = plan.at.filter(|_| !plan.changes.reads.is_empty()) else {
        return Ok(Vec::new());
    };
    inbox::deliver(conn, &plan.changes, &plan.entries, at)
}
