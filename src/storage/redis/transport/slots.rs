//! The topology of a cluster: 16,384 slots, each with one master. A single server has all slots.

use crate::storage::redis::transport::server::Address;
use redis::{FromRedisValue, RedisResult, Value};
use std::ops::RangeInclusive;

const LAST: u16 = 16_383;

/// The slot of a key: that of its hash tag, the first part in braces, unless there is none or it is empty.
pub(in crate::storage::redis) fn slot(key: &str) -> u16 {
    let tag = key
        .split_once('{')
        .and_then(|(_, rest)| rest.split_once('}'))
        .map_or(key, |(tag, _)| if tag.is_empty() { key } else { tag });
    // CRC16/XMODEM.
    let crc = tag.bytes().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
            let shifted = crc << 1;
            if crc & 0x8000 == 0 {
                shifted
            } else {
                shifted ^ 0x1021
            }
        })
    });
    crc & LAST
}

/// The servers of the slots.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::storage::redis) struct Slots {
    /// By ascending slots.
    masters: Vec<(RangeInclusive<u16>, Address)>,
    replicas: Vec<Address>,
}

impl Slots {
    /// All slots at one server.
    pub(in crate::storage::redis) fn alone(server: Address) -> Self {
        Self {
            masters: vec![(0..=LAST, server)],
            replicas: Vec::new(),
        }
    }

    /// Parses the reply of `CLUSTER SLOTS`: for each range the first and last slot, the master, then the replicas, each as host,
    /// port and more. A missing host means the server that was `asked`.
    pub(in crate::storage::redis) fn parse(answer: Value, asked: &Address) -> RedisResult<Self> {
        let mut slots = Self::default();
        for row in Vec::<Vec<Value>>::from_redis_value(answer)? {
            let mut row = row.into_iter();
            let (Some(first), Some(last)) = (row.next(), row.next()) else {
                continue;
            };
            let range = u16::from_redis_value(first)?..=u16::from_redis_value(last)?;
            let mut servers = Vec::new();
            for server in row {
                let mut parts = Vec::<Value>::from_redis_value(server)?.into_iter();
                if let (Some(host), Some(port)) = (parts.next(), parts.next()) {
                    let host = Option::<String>::from_redis_value(host)?;
                    let host = host.filter(|host| !host.is_empty());
                    servers.push(Address {
                        host: host.map_or_else(|| asked.host.clone(), |host| host.as_str().into()),
                        port: u16::from_redis_value(port)?,
                    });
                }
            }
            let mut servers = servers.into_iter();
            if let Some(master) = servers.next() {
                slots.masters.push((range, master));
                slots.replicas.extend(servers);
            }
        }
        slots.masters.sort_by_key(|(range, _)| *range.start());
        Ok(slots)
    }

    /// The server of a key, if known.
    pub(in crate::storage::redis) fn of(&self, key: &str) -> Option<&Address> {
        match self.masters.as_slice() {
            [(range, server)] if *range == (0..=LAST) => Some(server),
            masters => {
                let slot = slot(key);
                let at = masters.partition_point(|(range, _)| *range.end() < slot);
                let (range, server) = masters.get(at)?;
                range.contains(&slot).then_some(server)
            }
        }
    }

    /// The masters, each once, in the order of their slots.
    pub(in crate::storage::redis) fn masters(&self) -> Vec<&Address> {
        let mut masters = Vec::new();
        for (_, server) in &self.masters {
            if !masters.contains(&server) {
                masters.push(server);
            }
        }
        masters
    }

    /// All servers; a server may be repeated.
    pub(in crate::storage::redis) fn servers(&self) -> impl Iterator<Item = &Address> {
        let masters = self.masters.iter().map(|(_, server)| server);
        masters.chain(&self.replicas)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(host: &str, port: u16) -> Address {
        Address {
            host: host.into(),
            port,
        }
    }

    #[test]
    fn the_slot_of_a_key_is_that_of_cluster_keyslot() {
        // By CLUSTER KEYSLOT.
        for (key, expected) in [
            ("foo", 12_182),
            ("bar", 5_061),
            ("tl:{foo}:{bar}", 12_182),
            ("{}foo", 9_500),
            ("{foo", 13_308),
        ] {
            assert_eq!(slot(key), expected, "{key}");
        }
    }

    #[test]
    fn each_slot_has_the_master_of_the_reply() {
        let number = |n: u16| Value::Int(n.into());
        let text = |text: &str| Value::BulkString(text.into());
        let at = |host: Value, port: u16| Value::Array(vec![host, number(port), text("id")]);
        let answer = Value::Array(vec![
            Value::Array(vec![number(9_000), number(16_383), at(text("b"), 2)]),
            Value::Array(vec![
                number(0),
                number(5_061),
                at(Value::Nil, 1),
                at(text(""), 4),
            ]),
        ]);
        let slots = Slots::parse(answer, &server("asked", 9)).unwrap();
        assert_eq!(slots.of("foo"), Some(&server("b", 2)));
        assert_eq!(slots.of("bar"), Some(&server("asked", 1)));
        // In neither range.
        assert_eq!(slots.of("abc"), None);
        assert_eq!(slots.masters(), [&server("asked", 1), &server("b", 2)]);
        assert_eq!(slots.servers().count(), 3);
    }
}
