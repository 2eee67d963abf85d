//! Read receipts. Nothing is stored for them: the read positions of members and the positions of devices exist anyway.

use crate::domain::messaging::messages::visible;
use crate::engine::admission::Admission;
use crate::engine::admission::load_shedding::Priority;
use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::model::account::Caller;
use crate::model::ids::{ConvSeq, ConversationId, UserId};
use crate::model::page::{Page, PageSize, UserCursor, by_user};
use crate::model::wire::conversation::ConversationKind;
use crate::model::wire::member::Role;
use crate::model::wire::message::Message;
use crate::model::wire::receipt::Receipt;
use crate::storage::error::StorageResult;
use crate::storage::pg::Connection;
use crate::storage::pg::identity::{devices, users};
use crate::storage::pg::messaging::members::MemberPosition;
use crate::storage::pg::messaging::{groups, members};

/// The receipts of a message.
#[derive(Debug)]
pub struct Receipts {
    /// The members that have read it.
    pub readers: usize,
    /// The members to whom it was delivered.
    pub delivered: usize,
    /// The members with a receipt: those that may see the message, except its sender and those that hide their reads.
    pub eligible: usize,
    /// A page of them.
    pub page: Page<Receipt>,
}

/// The receipts of a message, for its sender and the leads of a group.
pub async fn list(
    delivery: &Delivery,
    admission: &Admission,
    caller: Caller,
    (conversation, seq): (ConversationId, ConvSeq),
    after: Option<UserCursor>,
    limit: PageSize,
) -> Result<Receipts, Error> {
    admission.admit(Priority::History)?;
    let message = visible(delivery, caller, conversation, seq).await?;
    if message.is_stub() {
        return Err(Error::MessageGone);
    }
    if !delivery.config.receipts {
        return Err(Error::Forbidden("this server shows no receipts"));
    }
    let all = delivery
        .pg
        .read("receipts", move |conn| all(conn, caller.user, &message))
        .await??;
    let count = |holds: fn(&Receipt) -> bool| all.iter().filter(|one| holds(one)).count();
    let (readers, delivered, eligible) =
        (count(|one| one.read), count(|one| one.delivered), all.len());
    let rest = all.into_iter();
    let rest = rest.skip_while(|one| after.is_some_and(|cursor| one.user_id <= cursor.after));
    let size = usize::try_from(limit.get()).unwrap_or(usize::MAX);
    Ok(Receipts {
        readers,
        delivered,
        eligible,
        page: by_user(rest.take(size).collect(), limit, |one| one.user_id)?,
    })
}

/// All receipts of a message, by user.
fn all(
    conn: &mut Connection,
    caller: UserId,
    message: &Message,
) -> StorageResult<Result<Vec<Receipt>, Error>> {
    let id = message.conversation_id;
    let Some(conversation) = groups::get(conn, id)? else {
        return Ok(Err(Error::NotFound));
    };
    // It may have 100,000 members.
    if conversation.read_fanout_from_seq.is_some() {
        let why = "a large conversation has no receipts";
        return Ok(Err(Error::LimitReached(why)));
    }
    let members = members::positions(conn, id)?;
    let Some(own) = members.iter().find(|member| member.user == caller) else {
        return Ok(Err(Error::NotFound));
    };
    let leads = conversation.kind != ConversationKind::Direct && own.role >= Role::Admin;
    if message.sender_id != caller && !leads {
        let why = "only the sender, the owner and the admins see the receipts of a message";
        return Ok(Err(Error::Forbidden(why)));
    }
    let users: Vec<_> = members.iter().map(|member| member.user).collect();
    let shown = users::showing_reads(conn, &users)?;
    if !shown.contains(&caller) {
        let why = "the caller has switched read receipts off";
        return Ok(Err(Error::Forbidden(why)));
    }
    let delivered = devices::delivered(conn, &users)?;
    let is_eligible = |member: &MemberPosition| {
        member.user != message.sender_id
            && member.joined_seq < message.seq
            && shown.contains(&member.user)
    };
    let receipt = |member: MemberPosition| {
        let read = member.read_seq >= message.seq;
        let until = delivered.get(&member.user);
        Receipt {
            user_id: member.user,
            read,
            delivered: read || until.is_some_and(|until| message.created_at < *until),
        }
    };
    Ok(Ok(members
        .into_iter()
        .filter(is_eligible)
        .map(receipt)
        .collect()))
}
