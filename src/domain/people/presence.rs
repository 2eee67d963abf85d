//! Who is online, as far as the caller may see it.
//!
//! A sees B if B's audience has A and A's audience has B, and neither blocks the other. Whom the caller may not see looks like an id that
//! nobody has.

use crate::engine::admission::Admission;
use crate::engine::admission::load_shedding::Priority;
use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::engine::presence::OnlinePeople;
use crate::engine::presence::cursor::{Followed, HIDDEN, PresenceCursor};
use crate::engine::presence::permissions::PairRevs;
use crate::engine::presence::states::{AudienceRev, Shown};
use crate::model::account::Caller;
use crate::model::ids::UserId;
use crate::model::time::Timestamp;
use crate::model::wire::people::presence::{PersonPresence, PresenceSignal, PresenceState};
use crate::model::wire::people::privacy::{Audience, EffectivePrivacy};
use crate::storage::error::StorageResult;
use crate::storage::pg::people::presence::{self as rows, PresencePair};
use crate::storage::pg::{Connection, WAITING};
use chrono::Timelike;
use std::collections::{BTreeSet, HashMap};

/// What the caller may see of a person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct View {
    viewer_rev: u32,
    person_rev: u32,
    /// The presence.
    is_visible: bool,
    /// When the person was last online, if the caller may see it.
    last_seen_at: Option<Timestamp>,
}

/// Whether an audience has somebody.
fn has(chosen: Option<&str>, default: Audience, is_contact: bool) -> bool {
    let mut audiences = Audience::ALL.into_iter();
    let chosen = chosen.and_then(|name| audiences.find(|one| one.as_str() == name));
    match chosen.unwrap_or(default) {
        Audience::Everyone => true,
        Audience::Contacts => is_contact,
        Audience::Nobody => false,
    }
}

fn view(pair: &PresencePair, defaults: EffectivePrivacy) -> View {
    let is_self = pair.viewer_id == pair.person_id;
    let both = |viewer: Option<&str>, person: Option<&str>, default| {
        is_self
            || has(viewer, default, pair.viewer_lists) && has(person, default, pair.person_lists)
    };
    let (viewer, person) = (&pair.viewer_presence, &pair.person_presence);
    let sees = both(viewer.as_deref(), person.as_deref(), defaults.presence);
    let (viewer, person) = (&pair.viewer_last_seen, &pair.person_last_seen);
    let sees_time = both(viewer.as_deref(), person.as_deref(), defaults.last_seen);
    let is_visible = pair.may_meet && sees;
    let minute = |at: Timestamp| at.0.with_second(0)?.with_nanosecond(0);
    let last_seen = pair.last_seen_at.filter(|_| is_visible && sees_time);
    View {
        viewer_rev: pair.viewer_rev.cast_unsigned(),
        person_rev: pair.person_rev.cast_unsigned(),
        is_visible,
        last_seen_at: last_seen.and_then(minute).map(Timestamp),
    }
}

/// What a user may see of these people now, and of the user.
async fn views(
    delivery: &Delivery,
    viewer: UserId,
    people: impl IntoIterator<Item = UserId>,
) -> Result<HashMap<UserId, View>, Error> {
    let pairs: BTreeSet<_> = people.into_iter().chain([viewer]).collect();
    let pairs: Vec<_> = pairs.into_iter().map(|person| (viewer, person)).collect();
    let read = move |conn: &mut _| rows::pairs(conn, &pairs);
    let found = delivery.pg.read("presence", read).await?;
    let defaults = delivery.config.privacy;
    Ok(found
        .iter()
        .map(|pair| (pair.person_id, view(pair, defaults)))
        .collect())
}

fn visible(shown: Shown, is_visible: bool) -> Shown {
    match is_visible {
        true => shown,
        false => shown.hidden(),
    }
}

/// The part of a number that cursors have.
fn low(rev: u32) -> u16 {
    u16::try_from(rev & u32::from(u16::MAX)).unwrap_or_default()
}

fn followed(user: UserId, shown: Shown, is_visible: bool, audience_rev: u16) -> Followed {
    Followed {
        user,
        digest: if is_visible { shown.digest() } else { HIDDEN },
        audience_rev,
    }
}

/// The presence of people, in their order, and a cursor from which a wait continues.
pub async fn follow(
    delivery: &Delivery,
    admission: &Admission,
    caller: Caller,
    people: Vec<UserId>,
    now: i64,
) -> Result<(Vec<PersonPresence>, String), Error> {
    admission.admit(Priority::History)?;
    let online = &delivery.waiters.presence;
    // Before the permissions: whatever changes them later also moves a number.
    let shown: Vec<_> = people.iter().map(|user| online.shown(*user)).collect();
    let views = views(delivery, caller.user, people.iter().copied()).await?;
    let view = |user| views.get(&user).copied().unwrap_or_default();
    let look = |(user, shown): (UserId, Shown)| {
        let view = view(user);
        let shown = visible(shown, view.is_visible);
        let is_offline = shown.state == PresenceState::Offline;
        let presence = PersonPresence {
            last_seen_at: view.last_seen_at.filter(|_| is_offline),
            ..shown.presence(user)
        };
        let rev = low(view.person_rev);
        (presence, followed(user, shown, view.is_visible, rev))
    };
    let (presences, people): (_, Vec<_>) = people.into_iter().zip(shown).map(look).unzip();
    let cursor = PresenceCursor {
        made_at: now,
        audience_rev: view(caller.user).viewer_rev,
        people: people.into(),
    };
    Ok((presences, online.keys.seal(caller.user, &cursor)))
}

/// The cursor that a client has sent.
pub fn parse_cursor(
    delivery: &Delivery,
    caller: Caller,
    text: &str,
    now: i64,
) -> Result<PresenceCursor, Error> {
    let keys = &delivery.waiters.presence.keys;
    keys.open(caller.user, text, now)
        .ok_or(Error::PresenceCursorInvalid)
}

/// A person of a cursor, and what is shown of them now.
struct Candidate {
    before: Followed,
    shown: Shown,
    /// The number with which the person's permission was found.
    person_rev: u16,
    /// Whether the caller may see the person, if that is known.
    may: Option<bool>,
}

/// Compares a person of a cursor with what this node has. While neither number has moved, the permission of then holds. `viewer_rev` is
/// known while a device of the viewer waits: others may change without a notice that this node gets in time.
fn candidate(
    online: &OnlinePeople,
    (viewer, viewer_rev): (UserId, Option<u32>),
    cursor: &PresenceCursor,
    before: Followed,
) -> Candidate {
    let shown = online.shown(before.user);
    let number = match shown.audience_rev {
        AudienceRev::Live(rev) | AudienceRev::Left(rev) => Some(low(rev)),
        AudienceRev::Unknown | AudienceRev::Moved(_) => None,
    };
    let person_rev = number.unwrap_or(before.audience_rev);
    let may_then = before.digest != HIDDEN;
    let then = (low(cursor.audience_rev), before.audience_rev);
    let now: PairRevs = (viewer_rev.map_or(then.0, low), person_rev);
    // That somebody is unknown may be shown to everyone.
    let is_news = match may_then {
        true => shown.digest() != before.digest,
        false => viewer_rev.is_none() && number.is_some(),
    };
    let shows = is_news && shown.state != PresenceState::Unknown;
    // Where a number is not known, the permission may have ended.
    let is_known = viewer_rev.is_some() && number.is_some();
    let has_moved = matches!(shown.audience_rev, AudienceRev::Moved(_));
    let may = match !has_moved && (is_known || !shows) {
        true if now == then => Some(may_then),
        true => online.permissions.get((viewer, before.user), now),
        false => None,
    };
    Candidate {
        before,
        shown,
        person_rev,
        may,
    }
}

/// The changes since a cursor; none if there are none, or the server is too busy to find out who may see them. While nobody changes who
/// sees whom, this only compares with what this node has.
pub async fn changes(
    delivery: &Delivery,
    viewer: UserId,
    cursor: &PresenceCursor,
) -> Option<PresenceSignal> {
    let online = &delivery.waiters.presence;
    if !online.is_on {
        return None;
    }
    let mut viewer_rev = match online.shown(viewer).audience_rev {
        AudienceRev::Live(rev) => Some(rev),
        AudienceRev::Unknown | AudienceRev::Moved(_) | AudienceRev::Left(_) => None,
    };
    let people = cursor.people.iter();
    let people = people.map(|one| candidate(online, (viewer, viewer_rev), cursor, *one));
    let mut people: Vec<_> = people.collect();
    if people.iter().any(|one| one.may.is_none()) {
        // The new cursor has one number of the viewer for all.
        if viewer_rev.is_none() {
            people.iter_mut().for_each(|one| one.may = None);
        }
        let views = match delivery.pg.usage().waiting < WAITING / 2 {
            true => {
                let unknown = people.iter().filter(|one| one.may.is_none());
                views(delivery, viewer, unknown.map(|one| one.before.user)).await
            }
            false => Err(Error::StorageUnavailable),
        };
        // What is not known is not shown. The client keeps its cursor, and the next answer has the whole difference.
        let Ok(views) = views else {
            delivery.metrics.presence_shed.inc();
            return None;
        };
        viewer_rev = viewer_rev.or(views.get(&viewer).map(|view| view.viewer_rev));
        for one in people.iter_mut().filter(|one| one.may.is_none()) {
            let user = one.before.user;
            let view = views.get(&user).copied().unwrap_or_default();
            one.person_rev = low(view.person_rev);
            one.may = Some(view.is_visible);
            let revs = (low(view.viewer_rev), one.person_rev);
            online
                .permissions
                .store((viewer, user), revs, view.is_visible);
            online
                .replica
                .learn(user, one.shown.audience_rev, view.person_rev);
        }
    }
    let mut changes = Vec::new();
    let mut now = Vec::with_capacity(people.len());
    for one in people {
        let (user, may) = (one.before.user, one.may.unwrap_or_default());
        let shown = visible(one.shown, may);
        let after = followed(user, shown, may, one.person_rev);
        // A person without data looks like a hidden person.
        let was_unknown = [HIDDEN, Shown::default().digest()].contains(&one.before.digest);
        let is_unknown = shown.state == PresenceState::Unknown;
        if after.digest != one.before.digest && !(was_unknown && is_unknown) {
            changes.push(shown.change(user));
        }
        now.push(after);
    }
    if changes.is_empty() {
        return None;
    }
    let cursor = PresenceCursor {
        made_at: cursor.made_at,
        audience_rev: viewer_rev.unwrap_or(cursor.audience_rev),
        people: now.into(),
    };
    Some(PresenceSignal {
        changes,
        cursor: online.keys.seal(viewer, &cursor),
    })
}

/// Moves the number of what decides who sees the presence of a user. Under the lock of the user's row.
pub(super) fn move_audience(conn: &mut Connection, user: UserId) -> StorageResult<()> {
    rows::move_audience(conn, user)
}

/// The same after a change of the list of a user, if the user or the other person lets only contacts see it. Returns whether that
/// is so for the user.
pub(super) fn move_contacts_audience(
    conn: &mut Connection,
    user: UserId,
    person: UserId,
    defaults: EffectivePrivacy,
) -> StorageResult<bool> {
    let defaults = (defaults.presence.as_str(), defaults.last_seen.as_str());
    let own = rows::has_contacts_audience(conn, user, defaults)?;
    if own || rows::has_contacts_audience(conn, person, defaults)? {
        rows::move_audience(conn, user)?;
    }
    Ok(own)
}
