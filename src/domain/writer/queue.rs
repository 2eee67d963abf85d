//! A writer's thread: it takes what is waiting, and never loses a caller.

use crate::domain::error::Error;
use crate::domain::tell::tell_all;
use crate::domain::writer::announce::Announcer;
use crate::domain::writer::batch::{self, Done};
use crate::domain::writer::decide::Outcome;
use crate::domain::writer::{Command, Kind};
use crate::storage::error::StorageError;
use crate::storage::pg::{Failure, Pg, Session, partitions};
use crate::telemetry::Metrics;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc;

/// The most commands of one transaction. Larger ones gain nothing more.
const BATCH: usize = 256;

/// How often a single command is tried that meets contention.
const TRIES: u32 = 3;

pub(super) struct Runner {
    queue: mpsc::Receiver<Command>,
    pg: Pg,
    announcer: Announcer,
    metrics: Arc<Metrics>,
    session: Option<Session>,
}

impl Runner {
    pub(super) fn new(
        queue: mpsc::Receiver<Command>,
        pg: Pg,
        announcer: Announcer,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            queue,
            pg,
            announcer,
            metrics,
            session: None,
        }
    }

    /// Runs until every sender of the queue is gone.
    pub(super) fn run(mut self) {
        let mut taken = Vec::with_capacity(BATCH);
        while self.queue.blocking_recv_many(&mut taken, BATCH) > 0 {
            self.process(VecDeque::from(std::mem::take(&mut taken)), 1);
            if let Some(session) = self.session.as_mut().filter(|_| self.queue.is_empty()) {
                session.rest();
            }
        }
    }

    /// Executes commands in order, in as few transactions as it takes.
    fn process(&mut self, mut commands: VecDeque<Command>, mut tries: u32) {
        loop {
            commands.retain(|command| !command.is_given_up());
            if commands.is_empty() {
                return;
            }
            let started = Instant::now();
            match self.execute(commands.make_contiguous()) {
                Ok(done) => {
                    let took = started.elapsed().as_secs_f64();
                    self.metrics.writer_batch_seconds.observe(took);
                    let size = done.outcomes.len() as f64;
                    self.metrics.writer_batch_commands.observe(size);
                    self.announcer.announce(done.announcements, done.moved);
                    let rest = commands.split_off(done.outcomes.len());
                    answer(commands.into_iter().zip(done.outcomes));
                    commands = rest;
                    tries = 1;
                }
                Err(failure) => {
                    self.metrics.writer_batch_failures.inc();
                    log::warn!(
                        "writer: {} commands: {failure}, try {tries}",
                        commands.len()
                    );
                    match failure.error {
                        // Repeating is safe even when the commit may have taken hold: replays are found.
                        StorageError::Unavailable(_) if tries == 1 => self.session = None,
                        StorageError::NoPartition if tries == 1 => self.make_partitions(),
                        StorageError::Contended(_) | StorageError::Bug(_) if commands.len() > 1 => {
                            // One of them is the cause: the others must not suffer for it.
                            let second = commands.split_off(commands.len() / 2);
                            self.process(commands, 1);
                            commands = second;
                            tries = 0;
                        }
                        StorageError::Contended(_) if tries < TRIES => {}
                        error @ (StorageError::Unavailable(_)
                        | StorageError::NoPartition
                        | StorageError::Stored
                        | StorageError::Busy
                        | StorageError::Contended(_)
                        | StorageError::Bug(_)) => {
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

    fn execute(&mut self, commands: &[Command]) -> Result<Done, Failure> {
        let session = match &mut self.session {
            Some(session) => session,
            none => none.insert(self.pg.session().map_err(|error| Failure {
                error,
                outcome_unknown: false,
            })?),
        };
        batch::execute(session, commands, || !self.queue.is_empty())
    }

    fn make_partitions(&mut self) {
        if let Some(session) = &mut self.session
            && let Err(error) = session.read(partitions::make)
        {
            log::error!("writer: no partition, and making one failed: {error}");
        }
    }
}

fn answer(settled: impl Iterator<Item = (Command, Outcome)>) {
    let (mut sends, mut marks) = (Vec::new(), Vec::new());
    for (command, outcome) in settled {
        match (command.kind, outcome) {
            (Kind::Send(_, reply), Outcome::Sent(sent)) => sends.push((reply, Ok(sent))),
            (Kind::MarkRead(_, reply), Outcome::Marked(marked)) => marks.push((reply, Ok(marked))),
            (Kind::Send(_, reply), Outcome::Marked(_)) => sends.push((reply, Err(mixed_up()))),
            (Kind::MarkRead(_, reply), Outcome::Sent(_)) => marks.push((reply, Err(mixed_up()))),
        }
    }
    tell_all(sends);
    tell_all(marks);
}

fn mixed_up() -> Error {
    Error::Internal("an outcome of another command".to_owned())
}
