//! Redis, alone or a cluster: fast copies of what PostgreSQL knows. It may be slow, empty or gone at any moment: every
//! command has a short time-out, and after a few failures in a row of a server no command is even tried there for a moment
//! (the circuit breaker), so that a stopped Redis costs nobody time. A miss always means *unknown*, never zero.
//!
//! A cluster has its keys in slots, and every command, script and channel here has one key. `run` asks the server of a key,
//! `scatter` each server for its part of many. Where the slots are is learned from whichever server answers first, and again
//! when a server fails or says that a slot has moved (docs/decisions/0013).

use crate::storage::redis::transport::server::{
    Address, RedisUnavailable, Server, Servers, has_moved,
};
use crate::storage::redis::transport::slots::{Slots, slot};
use futures_util::future::{join_all, select_ok};
use redis::aio::MultiplexedConnection;
use redis::{ConnectionInfo, IntoConnectionInfo, RedisResult};
use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Redis.
pub struct Redis {
    /// How to log in, and whether by TLS.
    pub(super) template: ConnectionInfo,
    /// The servers of a cluster that were named to us; none when Redis is alone.
    seeds: Vec<Address>,
    slots: Mutex<Arc<Slots>>,
    /// When it was last asked where the slots are.
    refreshed_at: tokio::sync::Mutex<Option<Instant>>,
    pub(super) servers: Servers,
}

impl Redis {
    /// Prepares for `redis://…`, or `redis+cluster://…` with commas between the servers. Connections are made when they are
    /// needed.
    pub fn connect(url: &str) -> Result<Self, RedisUnavailable> {
        let (scheme, rest) = url.split_once("://").unwrap_or_default();
        let cluster = scheme.strip_suffix("+cluster");
        let (login, hosts) = rest.split_at(rest.rfind('@').map_or(0, |at| at + 1));
        let servers: Vec<ConnectionInfo> = match cluster {
            None => vec![url.into_connection_info()?],
            Some(scheme) => hosts
                .split(',')
                .map(|host| format!("{scheme}://{login}{host}").into_connection_info())
                .collect::<RedisResult<_>>()?,
        };
        let seeds: Vec<_> = servers.iter().filter_map(Address::of).collect();
        let (Some(template), Some(first)) = (servers.into_iter().next(), seeds.first().cloned())
        else {
            return Err(RedisUnavailable::Nowhere);
        };
        let (slots, seeds) = match cluster {
            None => (Slots::alone(first), Vec::new()),
            Some(_) => (Slots::default(), seeds),
        };
        Ok(Self {
            servers: Servers::new(template.clone(), None),
            template,
            seeds,
            slots: Mutex::new(Arc::new(slots)),
            refreshed_at: tokio::sync::Mutex::default(),
        })
    }

    /// Whether it answers now: all of it.
    pub async fn ping(&self) -> bool {
        let Ok(masters) = self.masters().await else {
            return false;
        };
        let began = Instant::now();
        let pings = masters.iter().map(async |server| {
            let ping = async |mut connection| {
                let ping = redis::cmd("PING");
                ping.query_async::<String>(&mut connection).await
            };
            server.run(ping).await
        });
        let well = join_all(pings).await.iter().all(Result::is_ok);
        if !well {
            self.refresh_topology(began, None).await;
        }
        well
    }

    /// The servers that have the keys, in the order of their slots.
    pub(super) async fn masters(&self) -> Result<Vec<Arc<Server>>, RedisUnavailable> {
        let slots = self.slots_with(|slots| !slots.masters().is_empty()).await;
        let masters = slots.masters();
        if masters.is_empty() {
            return Err(RedisUnavailable::Nowhere);
        }
        masters
            .into_iter()
            .map(|one| self.servers.at(one))
            .collect()
    }

    /// What keys have in common that one call of a script may name: their slot, or any, where Redis is alone.
    pub(super) fn slot(&self, key: &str) -> u16 {
        match self.seeds.is_empty() {
            true => 0,
            false => slot(key),
        }
    }

    /// Runs a command on the server of its key.
    pub(super) async fn run<T, R>(
        &self,
        key: &str,
        command: impl Fn(MultiplexedConnection) -> R,
    ) -> Result<T, RedisUnavailable>
    where
        R: Future<Output = RedisResult<T>>,
    {
        self.execute_on(&self.servers, key, command).await
    }

    /// Runs a command by one of these connections on the server of its key, and once more where the key has moved to.
    async fn execute_on<T, R>(
        &self,
        servers: &Servers,
        key: &str,
        command: impl Fn(MultiplexedConnection) -> R,
    ) -> Result<T, RedisUnavailable>
    where
        R: Future<Output = RedisResult<T>>,
    {
        let mut moved = false;
        loop {
            let began = Instant::now();
            let slots = self.slots_with(|slots| slots.of(key).is_some()).await;
            let address = slots.of(key).ok_or(RedisUnavailable::Nowhere)?;
            let result = servers.at(address)?.run(&command).await;
            match &result {
                Err(error) if has_moved(error) && !moved => {
                    moved = true;
                    self.refresh_topology(began, Some(address)).await;
                }
                Err(RedisUnavailable::Failed(_)) => {
                    self.refresh_topology(began, None).await;
                    return result;
                }
                _ => return result,
            }
        }
    }

    /// Runs a command for many items, on each server with those whose keys are there, all servers at once. Returns what came
    /// of it, for some of the items each.
    pub(super) async fn scatter<I, T, R>(
        &self,
        servers: &Servers,
        items: Vec<I>,
        key: impl Fn(&I) -> &str,
        command: impl Fn(MultiplexedConnection, Vec<I>) -> R,
    ) -> Vec<(Vec<I>, Result<T, RedisUnavailable>)>
    where
        I: Clone,
        R: Future<Output = RedisResult<T>>,
    {
        let known = |slots: &Slots| items.iter().all(|one| slots.of(key(one)).is_some());
        let slots = self.slots_with(known).await;
        let mut parts: HashMap<Option<&Address>, Vec<I>> = HashMap::new();
        for item in items {
            parts.entry(slots.of(key(&item))).or_default().push(item);
        }
        let parts = parts.into_iter().map(async |(address, part)| {
            let began = Instant::now();
            let result = match address.map(|address| servers.at(address)) {
                None => Err(RedisUnavailable::Nowhere),
                Some(Err(error)) => Err(error),
                Some(Ok(server)) => {
                    let command = |connection| command(connection, part.clone());
                    server.run(command).await
                }
            };
            match result {
                // Not all of them need have moved, nor to the same server.
                Err(error) if has_moved(&error) => {
                    let alone = part.into_iter().map(async |item| {
                        let command = |connection| command(connection, vec![item.clone()]);
                        let result = self.execute_on(servers, key(&item), command).await;
                        (vec![item.clone()], result)
                    });
                    join_all(alone).await
                }
                Err(error @ RedisUnavailable::Failed(_)) => {
                    self.refresh_topology(began, None).await;
                    vec![(part, Err(error))]
                }
                result => vec![(part, result)],
            }
        });
        join_all(parts).await.into_iter().flatten().collect()
    }

    /// Learns anew where the slots of a cluster are, unless that was asked since `began`: from this server, or else from
    /// whichever answers first.
    pub(super) async fn refresh_topology(&self, began: Instant, from: Option<&Address>) {
        if self.seeds.is_empty() {
            return;
        }
        let mut refreshed_at = self.refreshed_at.lock().await;
        if refreshed_at.is_some_and(|at| at >= began) {
            return;
        }
        *refreshed_at = Some(Instant::now());
        let known = self.slots();
        let candidates: HashSet<&Address> = match from {
            Some(one) => HashSet::from([one]),
            None => known.servers().chain(&self.seeds).collect(),
        };
        let answers = candidates.into_iter().map(|address| {
            Box::pin(async move {
                let ask = async |mut connection| {
                    let mut slots = redis::cmd("CLUSTER");
                    let answer = slots.arg("SLOTS").query_async(&mut connection).await?;
                    Slots::parse(answer, address)
                };
                self.servers.at(address)?.run(ask).await
            })
        });
        let Ok((slots, _)) = select_ok(answers).await else {
            // The circuits have logged why.
            return;
        };
        if slots != *known {
            let known: HashSet<_> = slots.servers().chain(&self.seeds).collect();
            self.servers.retain(|address| known.contains(address));
            *self.locked() = Arc::new(slots);
        }
    }

    /// Where the slots are: learned now, unless what is known will do.
    async fn slots_with(&self, will_do: impl Fn(&Slots) -> bool) -> Arc<Slots> {
        let known = self.slots();
        if will_do(&known) {
            return known;
        }
        self.refresh_topology(Instant::now(), None).await;
        self.slots()
    }

    pub(super) fn slots(&self) -> Arc<Slots> {
        Arc::clone(&self.locked())
    }

    fn locked(&self) -> MutexGuard<'_, Arc<Slots>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
