//! One batch, one transaction.

use crate::domain::writer::decide::{Outcome, Plan, State, decide};
use crate::domain::writer::{Command, Kind};
use crate::model::ids::ConversationId;
use crate::model::message::NewMessage;
use crate::model::unread::Announcement;
use crate::storage::error::StorageResult;
use crate::storage::pg::conversations::LockedConversation;
use crate::storage::pg::{Connection, Failure, Session, archive, conversations, inbox};
use std::collections::HashMap;
use std::convert::Infallible;

/// About how many inbox entries one transaction may write: it bounds how long its locks are held.
const ENTRIES: i64 = 10_000;

/// A committed batch. There may be fewer outcomes than commands: the rest is for the next transaction.
pub(super) struct Done {
    pub(super) outcomes: Vec<Outcome>,
    pub(super) announcements: Vec<Announcement>,
}

pub(super) fn execute(session: &mut Session, commands: &[Command]) -> Result<Done, Failure> {
    let result = session.transaction(|conn| {
        let mut ids: Vec<_> = commands
            .iter()
            .map(|command| command.conversation)
            .collect();
        ids.sort_unstable();
        ids.dedup();
        // Lock first, look after: every statement below starts after this one returned, so it sees what the
        // transactions that held these locks before have committed.
        let locked = conversations::lock(conn, &ids)?;
        let commands = within_bounds(commands, &locked);
        let mut keys = Vec::new();
        for command in commands {
            if let Kind::Send(messages, _) = &command.kind {
                let key = |message: &NewMessage| {
                    (command.conversation, command.user, message.client_msg_id)
                };
                keys.extend(messages.iter().map(key));
            }
        }
        let (members, replays) = archive::look(conn, &ids, &keys)?;
        let plan = decide(commands, State::new(locked, members, replays));
        let announcements = write(conn, &plan)?;
        Ok(Ok::<_, Infallible>(Done {
            outcomes: plan.outcomes,
            announcements,
        }))
    })?;
    match result {
        Ok(done) => Ok(done),
        Err(never) => match never {},
    }
}

/// The commands of one transaction: at least one, and then as many as stay below the bound.
fn within_bounds<'a>(commands: &'a [Command], locked: &[LockedConversation]) -> &'a [Command] {
    let sizes: HashMap<ConversationId, i64> = locked
        .iter()
        .map(|one| (one.id, i64::from(one.member_count)))
        .collect();
    let mut entries = 0;
    let fits = commands
        .iter()
        .take_while(|command| {
            let before = entries;
            entries += match &command.kind {
                Kind::Send(messages, _) => {
                    let size = sizes.get(&command.conversation).copied().unwrap_or(0);
                    size * i64::try_from(messages.len()).unwrap_or(i64::MAX)
                }
                Kind::MarkRead(..) => 1,
            };
            before == 0 || entries <= ENTRIES
        })
        .count();
    commands.get(..fits).unwrap_or(commands)
}

fn write(conn: &mut Connection, plan: &Plan) -> StorageResult<Vec<Announcement>> {
    let Some(at) = plan.at.filter(|_| !plan.entries.is_empty()) else {
        return Ok(Vec::new());
    };
    archive::append(conn, &plan.changes)?;
    let seqs = inbox::deliver(conn, &plan.entries, at)?;
    Ok(plan
        .entries
        .iter()
        .zip(seqs)
        .map(|(entry, seq)| Announcement {
            receiver: entry.receiver,
            seq,
            conversation: entry.conversation,
            unread: entry.unread,
        })
        .collect())
}
