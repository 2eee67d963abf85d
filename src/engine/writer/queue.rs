//! A writer's thread: it takes what is waiting, and never loses a caller.

use crate::engine::batching::reply::send_all;
use crate::engine::error::Error;
use crate::engine::writer::batch::{self, Done, Patience};
use crate::engine::writer::command::Command;
use crate::engine::writer::deferred::Deferred;
use crate::engine::writer::publish::Publisher;
use crate::storage::error::StorageError;
use crate::storage::pg::sync::partitions;
use crate::storage::pg::{Failure, Pg, Session};
use crate::telemetry::Metrics;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// The most commands of one transaction. Larger ones gain nothing more.
const BATCH: usize = 256;

/// How long a conversation that was met locked stays out of batches before it is tried again. With what each try waits for the
/// lock, it takes a sixth of the writer's time.
const MOMENT: Duration = Duration::from_millis(100);

pub(super) struct Runner {
    queue: mpsc::Receiver<Box<dyn Command>>,
    runtime: Handle,
    pg: Pg,
    announcer: Publisher,
    metrics: Arc<Metrics>,
    session: Option<Session>,
    deferred: Deferred,
}

impl Runner {
    pub(super) fn new(
        queue: mpsc::Receiver<Box<dyn Command>>,
        runtime: Handle,
        pg: Pg,
        announcer: Publisher,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            queue,
            runtime,
            pg,
            announcer,
            metrics,
            session: None,
            deferred: Deferred::default(),
        }
    }

    /// Runs until every sender of the queue is gone.
    pub(super) fn run(mut self) {
        let mut taken = Vec::with_capacity(BATCH);
        while self.take(&mut taken) {
            self.process(VecDeque::from(std::mem::take(&mut taken)), Patience::Usual);
            // One at a time, so that those of the queue do not wait for all of them.
            if let Some(due) = self.deferred.take_due() {
                self.process(due, Patience::Hardly);
            }
            if let Some(session) = self.session.as_mut().filter(|_| self.queue.is_empty()) {
                session.abort_chained();
            }
        }
    }

    /// Takes what is waiting, or waits until something is or what is set aside is due. False when there is nothing to come.
    fn take(&mut self, taken: &mut Vec<Box<dyn Command>>) -> bool {
        let Some(due) = self.deferred.next() else {
            return self.queue.blocking_recv_many(taken, BATCH) > 0;
        };
        let some = self.queue.recv_many(taken, BATCH);
        let until = async { tokio::time::timeout_at(due.into(), some).await };
        if let Ok(0) = self.runtime.block_on(until) {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        true
    }

    /// Executes commands in order, in as few transactions as it takes.
    fn process(&mut self, mut commands: VecDeque<Box<dyn Command>>, patience: Patience) {
        let mut tries = 1;
        loop {
            commands = self.deferred.hold_back(commands);
            commands.retain(|command| !command.is_given_up());
            if commands.is_empty() {
                return;
            }
            let started = Instant::now();
            match self.execute(commands.make_contiguous(), patience) {
                Ok(done) => {
                    let took = started.elapsed().as_secs_f64();
                    self.metrics.writer_batch_seconds.observe(took);
                    let size = done.settled as f64;
                    self.metrics.writer_batch_commands.observe(size);
                    self.announcer.announce(done.announcements, done.moved);
                    let rest = commands.split_off(done.settled);
                    send_all(commands.into_iter().map(|command| command.answer()));
                    commands = rest;
                    tries = 1;
                }
                Err(failure) => {
                    self.metrics.writer_batch_failures.inc();
                    // While a conversation stays locked, its next tries are no news.
                    if patience == Patience::Usual {
                        let count = commands.len();
                        log::warn!("writer: {count} commands: {failure}, try {tries}");
                    }
                    match failure.error {
                        // Somebody else has a lock: each conversation is tried alone until its callers wait no longer.
                        StorageError::Contended(_) => {
                            let pause = match patience {
                                Patience::Usual => Duration::ZERO,
                                Patience::Hardly => MOMENT,
                            };
                            return self.deferred.put(commands, Instant::now() + pause);
                        }
                        // Those who wait no longer are dropped.
                        StorageError::Late => continue,
                        StorageError::NoPartition if tries == 1 => self.make_partitions(),
                        StorageError::Bug(_) if commands.len() > 1 => {
                            // One of them is the cause: the others must not suffer for it.
                            let second = commands.split_off(commands.len() / 2);
                            self.process(commands, patience);
                            commands = second;
                            tries = 0;
                        }
                        // Repeating is safe even when the commit may have taken hold: replays are found.
                        error if error.is_away() && tries == 1 => self.session = None,
                        error => {
                            self.session = None;
                            let error = Error::from(error);
                            for command in commands {
                                command.fail(error.clone());
                            }
                            return;
                        }
                    }
                    tries += 1;
                }
            }
        }
    }

    fn execute(
        &mut self,
        commands: &[Box<dyn Command>],
        patience: Patience,
    ) -> Result<Done, Failure> {
        let session = match &mut self.session {
            Some(session) => session,
            none => none.insert(self.pg.session().map_err(|error| Failure {
                error,
                outcome_unknown: false,
            })?),
        };
        batch::execute(session, commands, patience, || !self.queue.is_empty())
    }

    fn make_partitions(&mut self) {
        if let Some(session) = &mut self.session
            && let Err(error) = session.read(partitions::make)
        {
            log::error!("writer: no partition, and making one failed: {error}");
        }
    }
}
