//! The limits of the registry.

use super::{WaitRegistry, Wake};
use crate::config::presence::PresenceTimings;
use crate::engine::presence::OnlinePeople;
use crate::model::account::Caller;
use crate::model::ids::{ConvSeq, ConversationId, DeviceId, InboxSeq, UserId};
use crate::model::moved::WatchPosition;
use crate::model::wire::people::privacy::Audience;
use std::net::IpAddr;
use std::sync::Arc;
use uuid::Uuid;

fn waiters() -> Arc<WaitRegistry> {
    let timings = PresenceTimings::default();
    let presence = OnlinePeople::new(false, timings, b"a secret", Audience::Nobody);
    Arc::new(WaitRegistry::new(presence.unwrap()))
}

fn caller(n: u128, address: &str) -> Caller {
    Caller {
        user: UserId(Uuid::from_u128(n)),
        device: DeviceId(Uuid::from_u128(n)),
        generation: 0,
        token_expires: 0,
        address: address.parse::<IpAddr>().unwrap(),
    }
}

#[test]
fn waits_of_an_address_are_limited() {
    let waiters = waiters();
    let register = |n, address| waiters.register(caller(n, address), InboxSeq(0), &[], 2);
    let first = register(1, "192.0.2.1").unwrap();
    let mut second = register(2, "192.0.2.1").unwrap();
    assert!(register(3, "192.0.2.1").is_none());
    assert!(register(3, "::ffff:192.0.2.1").is_none());
    let _elsewhere = register(3, "192.0.2.2").unwrap();
    drop(first);
    // A newer wait of the same device ends the older one, which counts until it is dropped.
    let third = register(2, "192.0.2.1").unwrap();
    assert!(second.woken.try_recv().is_err());
    third.supersede_older(DeviceId(Uuid::from_u128(2)));
    assert_eq!(second.woken.try_recv(), Ok(Wake::Superseded));
    assert!(register(4, "192.0.2.1").is_none());
    drop(second);
    assert!(register(4, "192.0.2.1").is_some());
    assert_eq!(waiters.count(), 2);
}

#[test]
fn ipv6_addresses_of_a_64_count_as_one() {
    let waiters = waiters();
    let register = |n, address| waiters.register(caller(n, address), InboxSeq(0), &[], 2);
    let _waits = ["2001:db8::1", "2001:db8::2:0:0:1"].map(|one| register(1, one).unwrap());
    assert!(register(3, "2001:db8::3").is_none());
    assert!(register(3, "2001:db8:0:1::3").is_some());
}

#[test]
fn watched_conversations_add_weight() {
    let waiters = waiters();
    let watch: Vec<_> = (0..20)
        .map(|n| {
            let position = WatchPosition {
                last_seq: ConvSeq(0),
                change_seq: None,
            };
            (ConversationId(Uuid::from_u128(n)), position)
        })
        .collect();
    let register = |n, watch| waiters.register(caller(n, "192.0.2.1"), InboxSeq(0), watch, 4);
    let heavy = register(1, &watch).unwrap();
    assert!(register(2, &watch).is_none());
    let _light = register(2, &[]).unwrap();
    assert!(register(3, &[]).is_none());
    drop(heavy);
    assert!(register(3, &watch).is_some());
}
