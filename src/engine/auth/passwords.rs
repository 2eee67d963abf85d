//! Argon2id, on few threads: a hash takes tens of milliseconds of a core and 19 MiB, so a crowd that logs in at once
//! must not take the server with it.

use crate::engine::error::Error;
use crate::model::account::Password;
use argon2::{Argon2, PasswordHash, PasswordHasher, PasswordVerifier};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};

/// How long a log-in may wait for its turn.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(3);

type Job = Box<dyn FnOnce() + Send>;

/// Hashes and checks passwords.
pub struct Passwords {
    turns: Arc<Semaphore>,
    /// What the threads take from, and at whose end they end.
    jobs: mpsc::Sender<Job>,
    /// The hash of nobody's password, checked for who has none, so that they take as long as others.
    decoy: String,
}

/// The hash that a password fitted. That it is still the user's is to be looked at under the lock of the user's row: a
/// password that changed meanwhile must let nobody in.
#[derive(Debug)]
pub struct Fitted {
    /// What the user's hash was.
    pub hash: String,
    /// What it should be: it was made of the bytes as they were typed, and not of their normal form.
    pub renewed: Option<String>,
}

fn hash(password: &str) -> Result<String, Error> {
    let hash: PasswordHash = Argon2::default()
        .hash_password(password.as_bytes())
        .map_err(|error| Error::Internal(error.to_string()))?;
    Ok(hash.to_string())
}

impl Passwords {
    /// At most `threads` hashes at a time, on threads of their own: the allocator keeps the memory of a hash for each thread
    /// that ever made one, and there are dozens for blocking work.
    pub fn new(threads: usize) -> Result<Self, Error> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..threads {
            let queue = Arc::clone(&queue);
            let next = move || queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
            std::thread::Builder::new()
                .name("passwords".to_owned())
                .spawn(move || {
                    while let Ok(job) = next() {
                        // A panic ends its hash, whose caller hears of the lost answer, and not the thread.
                        let _panicked = catch_unwind(AssertUnwindSafe(job));
                    }
                })
                .map_err(|error| Error::Internal(error.to_string()))?;
        }
        Ok(Self {
            turns: Arc::new(Semaphore::new(threads)),
            jobs,
            decoy: hash("nobody")?,
        })
    }

    /// The hash to store.
    pub async fn hash(&self, password: Password) -> Result<String, Error> {
        self.run(move || hash(password.composed())).await
    }

    /// The hash, if the password is the one of it; an unknown user has none.
    pub async fn check(
        &self,
        password: Password,
        stored: Option<String>,
    ) -> Result<Option<Fitted>, Error> {
        // What is not a hash ("!" for accounts without a password) fits no password.
        let stored = stored.filter(|stored| PasswordHash::new(stored).is_ok());
        let known = stored.is_some();
        let stored = stored.unwrap_or_else(|| self.decoy.clone());
        self.run(move || {
            let fits = |text: &str| {
                PasswordHash::new(&stored).is_ok_and(|hash| {
                    Argon2::default()
                        .verify_password(text.as_bytes(), &hash)
                        .is_ok()
                }) && known
            };
            let renewed = if fits(password.composed()) {
                None
            } else if password.as_typed().is_some_and(fits) {
                Some(hash(password.composed())?)
            } else {
                return Ok(None);
            };
            Ok(Some(Fitted {
                hash: stored,
                renewed,
            }))
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let turn = tokio::time::timeout(QUEUE_TIMEOUT, Arc::clone(&self.turns).acquire_owned())
            .await
            .map_err(|_elapsed| Error::Overloaded(QUEUE_TIMEOUT))?
            .map_err(|closed| Error::Internal(closed.to_string()))?;
        let (tell, told) = oneshot::channel();
        let job = move || {
            let _turn = turn;
            // Nobody listens when the caller has gone away.
            let _gone = tell.send(work());
        };
        self.jobs
            .send(Box::new(job))
            .map_err(|ended| Error::Internal(ended.to_string()))?;
        told.await
            .unwrap_or_else(|panicked| Err(Error::Internal(panicked.to_string())))
    }
}

#[cfg(test)]
mod tests {
    use super::Passwords;
    use crate::engine::error::Error;
    use crate::model::account::Password;
    use std::panic::resume_unwind;

    #[tokio::test]
    async fn a_hash_that_panics_takes_no_thread_with_it() {
        let passwords = Passwords::new(1).unwrap();
        let lost = passwords.run::<()>(|| resume_unwind(Box::new(()))).await;
        assert!(matches!(lost, Err(Error::Internal(_))), "{lost:?}");
        let open = || Password::typed("open".to_owned()).unwrap();
        let stored = passwords.hash(open()).await.unwrap();
        let fitted = passwords.check(open(), Some(stored)).await;
        assert!(fitted.unwrap().is_some());
    }
}
