//! Send messages.
//!
//! The messages that new messages forward are read before the send, which copies them: a recall of the first message does not reach the
//! copy.

use crate::domain::messaging::messages::shown;
use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::engine::media::sources as media;
use crate::engine::reading::{hidden_messages, message_views};
use crate::engine::waiting::typing_stop;
use crate::engine::writer::commands::send::{Send, Sent, Source};
use crate::model::account::Caller;
use crate::model::content::Content;
use crate::model::ids::{ConvSeq, ConversationId, UserId};
use crate::model::message::NewMessage;
use crate::model::wire::message::{Forward, Message};
use crate::model::wire::message_ref::MessageRef;
use crate::storage::error::StorageResult;
use crate::storage::pg::Connection;
use crate::storage::pg::identity::users;
use crate::storage::pg::messaging::conversations;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Stores messages of the caller, in this order, and returns the result of each. After an error the messages may or may not
/// be stored, and a replay with the same `client_msg_id`s is safe.
pub async fn send(
    delivery: &Delivery,
    caller: Caller,
    conversation: ConversationId,
    messages: Vec<NewMessage>,
) -> Result<Vec<Result<Sent, Error>>, Error> {
    let send = prepared(delivery, caller.user, messages).await?;
    let answer = delivery.writers.submit(conversation, caller.user, send)?;
    let results = answer.wait().await?;
    if results.iter().flatten().any(|sent| !sent.replayed) {
        typing_stop::end_with_message(delivery, caller.user, conversation);
    }
    // A stored message may have changed since, and the sender may have hidden it.
    let is_personal = |sent: &Sent| sent.replayed || sent.message.state.is_some();
    if results.iter().flatten().any(is_personal) {
        return Ok(delivery
            .pg
            .read("replays", move |conn| {
                let mut results = results.clone();
                let sent = results.iter_mut().flatten();
                message_views::restrict(conn, sent.map(|one| (caller.user, &mut one.message)))?;
                let replayed = results.iter_mut().flatten().filter(|sent| sent.replayed);
                let replayed = replayed.map(|sent| &mut sent.message);
                hidden_messages::replace(conn, caller.user, true, replayed)?;
                Ok(results)
            })
            .await?);
    }
    Ok(results)
}

/// The send of these messages, with what it needs of others: the messages that they forward, and the media that they refer to, as the
/// sender may see them now. A failure is for the message alone, since a repeated send needs neither. Nothing is read without any.
pub(super) async fn prepared(
    delivery: &Delivery,
    sender: UserId,
    messages: Vec<NewMessage>,
) -> Result<Send, Error> {
    let forwarded = messages.iter().filter_map(|one| one.options.forward);
    let forwarded: BTreeSet<_> = forwarded.collect();
    let contents = messages.iter().filter_map(|one| one.content.as_ref());
    let named = contents.filter_map(Content::media);
    let named = named.flat_map(|one| [Some(one.media_id), one.poster_media_id]);
    let named: BTreeSet<_> = named.flatten().collect();
    let (sources, media) = match forwarded.is_empty() && named.is_empty() {
        true => Default::default(),
        false => {
            let read = move |conn: &mut Connection| {
                let sources = read(conn, sender, &forwarded)?;
                let of_media = sources.iter().filter(|(_, source)| {
                    let content = source.as_ref().ok().map(|source| &source.content);
                    content.is_some_and(|content| content.media().is_some())
                });
                let of_media: Vec<_> = of_media.map(|(of, _)| *of).collect();
                let mut media = media::of_forwarded(conn, &of_media)?;
                media.extend(media::usable(conn, sender, &named)?);
                Ok((sources, media))
            };
            delivery.pg.read("sources", read).await?
        }
    };
    let media_base = delivery.media.as_ref();
    Ok(Send {
        messages,
        sources,
        media,
        media_base: media_base.and_then(|media| media.config.public_url.clone()),
        mention_all_limit: delivery.config.mention_all_limit,
    })
}

fn read(
    conn: &mut Connection,
    sender: UserId,
    forwarded: &BTreeSet<MessageRef>,
) -> StorageResult<HashMap<MessageRef, Result<Source, Error>>> {
    let mut by_conversation: BTreeMap<ConversationId, Vec<ConvSeq>> = BTreeMap::new();
    for of in forwarded {
        let seqs = by_conversation.entry(of.conversation_id).or_default();
        seqs.push(of.seq);
    }
    let mut found = Vec::new();
    for (id, seqs) in by_conversation {
        if let Some(view) = conversations::view(conn, id, sender)? {
            found.extend(shown(conn, sender, id, &view, seqs.into_iter())?);
        }
    }
    let origins: Vec<_> = found.iter().map(origin).collect();
    let authors: BTreeSet<UserId> = origins.iter().filter_map(|one| one.sender_id).collect();
    let authors: Vec<_> = authors.into_iter().collect();
    let named = users::named_in_forwards(conn, &authors)?;
    let sources = found.iter().zip(origins).map(|(message, origin)| {
        let of = MessageRef {
            conversation_id: message.conversation_id,
            seq: message.seq,
        };
        (of, source(message, origin, &named))
    });
    Ok(sources.collect())
}

/// The first author of a message, and when the author stored it.
fn origin(message: &Message) -> Forward {
    let forward = message.state.as_ref().and_then(|state| state.forward);
    forward.unwrap_or(Forward {
        sender_id: Some(message.sender_id),
        created_at: message.created_at,
    })
}

fn source(message: &Message, origin: Forward, named: &HashSet<UserId>) -> Result<Source, Error> {
    let content = Content::copy(&message.body).ok_or(Error::MessageGone)?;
    let sender_id = origin.sender_id.filter(|author| named.contains(author));
    let origin = Forward {
        sender_id,
        ..origin
    };
    Ok(Source { content, origin })
}
