//! A writer's thread: it takes queued commands, and every caller gets a reply.

use crate::engine::batching::reply::send_all;
use crate::engine::error::Error;
use crate::engine::search::hints::IndexHints;
use crate::engine::writer::batch::{self, Done, LockTimeout};
use crate::engine::writer::command::Command;
use crate::engine::writer::deferred::Deferred;
use crate::engine::writer::publish::Publisher;
use crate::storage::error::StorageError;
use crate::storage::pg::sync::partitions;
use crate::storage::pg::{DbSession, Failure, Pg};
use crate::telemetry::Metrics;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// The maximum number of commands in a transaction. Larger ones are not faster.
const BATCH: usize = 256;

/// The pause before the next attempt at a conversation that was found locked. With the lock time-out of each attempt, it
/// takes a sixth of the writer's time.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

pub(super) struct Runner {
    queue: mpsc::Receiver<Box<dyn Command>>,
    runtime: Handle,
    pg: Pg,
    publisher: Publisher,
    metrics: Arc<Metrics>,
    /// What the indexer of the search has to do.
    hints: Option<Arc<IndexHints>>,
    session: Option<DbSession>,
    deferred: Deferred,
}

impl Runner {
    pub(super) fn new(
        queue: mpsc::Receiver<Box<dyn Command>>,
        runtime: Handle,
        pg: Pg,
        publisher: Publisher,
        metrics: Arc<Metrics>,
        hints: Option<Arc<IndexHints>>,
    ) -> Self {
        Self {
            queue,
            runtime,
            pg,
            publisher,
            metrics,
            hints,
            session: None,
            deferred: Deferred::default(),
        }
    }

    /// Runs until the queue is closed and empty.
    pub(super) fn run(mut self) {
        let mut taken = Vec::with_capacity(BATCH);
        while self.take(&mut taken) {
            self.process(
                VecDeque::from(std::mem::take(&mut taken)),
                LockTimeout::Usual,
            );
            // One deferred conversation at a time, so that queued commands do not wait for all of them.
            if let Some(due) = self.deferred.take_due() {
                self.process(due, LockTimeout::Short);
            }
            if let Some(session) = self.session.as_mut().filter(|_| self.queue.is_empty()) {
                session.abort_chained();
            }
        }
    }

    /// Takes queued commands. Waits until there is one, or until deferred commands are due. False when the
    /// queue is closed and nothing is deferred.
    fn take(&mut self, taken: &mut Vec<Box<dyn Command>>) -> bool {
        let Some(due) = self.deferred.next() else {
            return self.queue.blocking_recv_many(taken, BATCH) > 0;
        };
        let received = self.queue.recv_many(taken, BATCH);
        let until = async { tokio::time::timeout_at(due.into(), received).await };
        if let Ok(0) = self.runtime.block_on(until) {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        true
    }

    /// Executes commands in order, in as few transactions as possible.
    fn process(&mut self, mut commands: VecDeque<Box<dyn Command>>, lock_timeout: LockTimeout) {
        let mut attempts = 1;
        loop {
            commands = self.deferred.hold_back(commands);
            commands.retain(|command| !command.is_given_up());
            if commands.is_empty() {
                return;
            }
            let started = Instant::now();
            match self.execute(commands.make_contiguous(), lock_timeout) {
                Ok(done) => {
                    let took = started.elapsed().as_secs_f64();
                    self.metrics.writer_batch_seconds.observe(took);
                    let size = done.settled as f64;
                    self.metrics.writer_batch_commands.observe(size);
                    self.publisher.publish(done.committed, done.moved);
                    if let Some(hints) = &self.hints {
                        hints.add(done.to_index);
                    }
                    let rest = commands.split_off(done.settled);
                    send_all(commands.into_iter().map(|command| command.answer()));
                    commands = rest;
                    attempts = 1;
                }
                Err(failure) => {
                    self.metrics.writer_batch_failures.inc();
                    // The first failure on a locked conversation is logged, and later ones are not.
                    if lock_timeout == LockTimeout::Usual {
                        let count = commands.len();
                        log::warn!("writer: {count} commands: {failure}, attempt {attempts}");
                    }
                    match failure.error {
                        // Another transaction has a lock: each conversation is tried alone until its commands' deadlines.
                        StorageError::Contended(_) => {
                            let pause = match lock_timeout {
                                LockTimeout::Usual => Duration::ZERO,
                                LockTimeout::Short => RETRY_PAUSE,
                            };
                            return self.deferred.put(commands, Instant::now() + pause);
                        }
                        // Commands that are past their deadline are dropped in the next round.
                        StorageError::Late => continue,
                        StorageError::NoPartition if attempts == 1 => self.make_partitions(),
                        StorageError::Bug(_) if commands.len() > 1 => {
                            // One command is the cause: bisect, so that the others succeed.
                            let second = commands.split_off(commands.len() / 2);
                            self.process(commands, lock_timeout);
                            commands = second;
                            attempts = 0;
                        }
                        // Repeating is safe even if the transaction may have been committed: replays are found.
                        error if error.is_away() && attempts == 1 => self.session = None,
                        error => {
                            self.session = None;
                            let error = Error::from(error);
                            for command in commands {
                                command.fail(error.clone());
                            }
                            return;
                        }
                    }
                    attempts += 1;
                }
            }
        }
    }

    fn execute(
        &mut self,
        commands: &[Box<dyn Command>],
        lock_timeout: LockTimeout,
    ) -> Result<Done, Failure> {
        let session = match &mut self.session {
            Some(session) => session,
            none => none.insert(self.pg.session().map_err(|error| Failure {
                error,
                outcome_unknown: false,
            })?),
        };
        batch::execute(session, commands, lock_timeout, || !self.queue.is_empty())
    }

    fn make_partitions(&mut self) {
        if let Some(session) = &mut self.session
            && let Err(error) = session.read(partitions::make)
        {
            log::error!("writer: the partition is missing, and creating it failed: {error}");
        }
    }
}
