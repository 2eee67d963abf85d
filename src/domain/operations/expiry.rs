//! Erases the contents of messages whose time has passed. Reads show stubs from that time on, also where no sweeper runs.

use crate::engine::delivery::Delivery;
use crate::model::events::receipt::{MARKED_UNREAD, READ};
use crate::model::ids::{ConvSeq, ConversationId};
use crate::model::unread::CommittedEntry;
use crate::storage::error::StorageResult;
use crate::storage::pg::Connection;
use crate::storage::pg::media::references;
use crate::storage::pg::messaging::archive::Changes;
use crate::storage::pg::messaging::mentions::{MentionChanges, NamedUser};
use crate::storage::pg::messaging::{archive, conversations, expiry as rows, mentions};
use crate::storage::pg::search::blocks;
use crate::storage::pg::sync::inbox;
use std::collections::BTreeMap;
use std::convert::Infallible;

/// Erases all that is due. Another node that sweeps at this time ends the round.
pub async fn sweep(delivery: &Delivery) {
    // `Pg` has logged an error, and the next round tries again.
    while let Ok(due) = delivery.pg.read("expiring", rows::due).await {
        let is_last = i64::try_from(due.len()).is_ok_and(|len| len < rows::SLICE);
        let mut by_conversation: BTreeMap<ConversationId, Vec<ConvSeq>> = BTreeMap::new();
        for (id, seq) in due {
            by_conversation.entry(id).or_default().push(seq);
        }
        for (id, seqs) in by_conversation {
            let erase =
                move |conn: &mut Connection| erase(conn, id, &seqs).map(Ok::<_, Infallible>);
            match delivery.pg.transaction("expire", erase).await {
                Ok(Ok(Some(committed))) => {
                    delivery.writers.publish(committed);
                    if let Some(search) = &delivery.search {
                        search.hints.add([id]);
                    }
                }
                Ok(Ok(None)) | Err(_) => return,
            }
        }
        if is_last {
            return;
        }
    }
}

/// Erases messages of a conversation. All messages up to the first one that is not gone then count as read: in a small conversation
/// the members that stand before it are moved, in a large one the counts begin there. `None`: another node sweeps.
fn erase(
    conn: &mut Connection,
    id: ConversationId,
    seqs: &[ConvSeq],
) -> StorageResult<Option<Vec<CommittedEntry>>> {
    if !rows::try_lock(conn)? {
        return Ok(None);
    }
    // Lock first, read afterwards, as the writer does.
    let Some(locked) = conversations::lock(conn, &[id])?.pop() else {
        return Ok(Some(Vec::new()));
    };
    let keys: Vec<_> = seqs.iter().map(|seq| (id, *seq)).collect();
    for message in archive::some(conn, &keys)? {
        rows::erase(conn, &message)?;
        references::remove(conn, (id, message.seq))?;
    }
    let mut gone = MentionChanges::default();
    for (key, users) in mentions::named(conn, &keys)? {
        let one = NamedUser {
            at: locked.updated_at,
            is_gone: true,
        };
        let users = users.into_iter();
        gone.named.extend(users.map(|user| ((key, user), one)));
    }
    mentions::write(conn, &gone)?;
    blocks::mark(conn, keys.into_iter())?;
    let first = rows::first_after(conn, id, locked.floor_seq)?;
    let floor = first.map_or(locked.last_seq, |first| ConvSeq(first.0 - 1));
    if floor > locked.floor_seq {
        rows::set_floor(conn, id, floor)?;
    }
    if locked.read_fanout_from_seq.is_some() {
        return Ok(Some(Vec::new()));
    }
    let mut members = archive::load_members(conn, &[id], &[])?;
    members.retain(|member| member.read_seq < floor);
    let Some(at) = members.first().map(|member| member.now) else {
        return Ok(Some(Vec::new()));
    };
    let (mut changes, mut entries) = (Changes::default(), Vec::new());
    for mut member in members {
        member.read_seq = floor;
        changes.positions.insert(member.place, member.positions());
        entries.push(inbox::NewEntry {
            receiver: member.user,
            event: if member.marked_unread {
                &MARKED_UNREAD
            } else {
                &READ
            },
            conversation: id,
            ref_seq: floor,
            unread: locked.last_seq.0 - floor.0,
            large: false,
        });
    }
    inbox::deliver(conn, &changes, &entries, at).map(Some)
}
