//! Argon2id password hashes on a few threads: a hash takes tens of milliseconds of a core and 19 MiB, so simultaneous logins
//! must not overload the server.

use crate::engine::error::Error;
use crate::model::account::Password;
use argon2::{Argon2, PasswordHash, PasswordHasher, PasswordVerifier};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};

/// How long a login may wait for a thread.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(3);

type Job = Box<dyn FnOnce() + Send>;

/// Hashes and checks passwords.
pub struct Passwords {
    permits: Arc<Semaphore>,
    /// The queue of the threads, which end when it is dropped.
    jobs: mpsc::Sender<Job>,
    /// A hash to check for users without a password, so that their login takes as long as any other.
    decoy: String,
}

/// The hash that a password matched. The caller has to check under the lock of the user's row that it is still the user's
/// hash: the password may have changed meanwhile.
#[derive(Debug)]
pub struct MatchedHash {
    /// The user's hash when it was read.
    pub hash: String,
    /// A new hash to store, if the old one was made of the bytes as typed and not of their normal form.
    pub renewed: Option<String>,
}

fn hash(password: &str) -> Result<String, Error> {
    let hash: PasswordHash = Argon2::default()
        .hash_password(password.as_bytes())
        .map_err(|error| Error::Internal(error.to_string()))?;
    Ok(hash.to_string())
}

impl Passwords {
    /// Starts `threads` threads, each for one hash at a time. Tokio's blocking pool has dozens of threads, and the allocator
    /// would keep the memory of a hash for each of them.
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
                        // A panic must not end the thread. The caller gets an error, because its sender is dropped.
                        let _panicked = catch_unwind(AssertUnwindSafe(job));
                    }
                })
                .map_err(|error| Error::Internal(error.to_string()))?;
        }
        Ok(Self {
            permits: Arc::new(Semaphore::new(threads)),
            jobs,
            decoy: hash("decoy")?,
        })
    }

    /// The hash to store.
    pub async fn hash(&self, password: Password) -> Result<String, Error> {
        self.run(move || hash(password.composed())).await
    }

    /// The hash, if the password matches it. `stored` is `None` for an unknown user.
    pub async fn check(
        &self,
        password: Password,
        stored: Option<String>,
    ) -> Result<Option<MatchedHash>, Error> {
        // An account without a password has "!", which is no hash and matches no password.
        let stored = stored.filter(|stored| PasswordHash::new(stored).is_ok());
        let known = stored.is_some();
        let stored = stored.unwrap_or_else(|| self.decoy.clone());
        self.run(move || {
            let matches = |text: &str| {
                PasswordHash::new(&stored).is_ok_and(|hash| {
                    Argon2::default()
                        .verify_password(text.as_bytes(), &hash)
                        .is_ok()
                }) && known
            };
            let renewed = if matches(password.composed()) {
                None
            } else if password.as_typed().is_some_and(matches) {
                Some(hash(password.composed())?)
            } else {
                return Ok(None);
            };
            Ok(Some(MatchedHash {
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
        let permit = tokio::time::timeout(QUEUE_TIMEOUT, Arc::clone(&self.permits).acquire_owned())
            .await
            .map_err(|_elapsed| Error::Overloaded(QUEUE_TIMEOUT))?
            .map_err(|closed| Error::Internal(closed.to_string()))?;
        let (reply, result) = oneshot::channel();
        let job = move || {
            let _permit = permit;
            // The receiver is dropped if the client has disconnected.
            let _closed = reply.send(work());
        };
        self.jobs
            .send(Box::new(job))
            .map_err(|ended| Error::Internal(ended.to_string()))?;
        result
            .await
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
    async fn panic_in_a_hash_keeps_its_thread() {
        let passwords = Passwords::new(1).unwrap();
        let lost = passwords.run::<()>(|| resume_unwind(Box::new(()))).await;
        assert!(matches!(lost, Err(Error::Internal(_))), "{lost:?}");
        let open = || Password::typed("open".to_owned()).unwrap();
        let stored = passwords.hash(open()).await.unwrap();
        let matched = passwords.check(open(), Some(stored)).await;
        assert!(matched.unwrap().is_some());
    }
}
