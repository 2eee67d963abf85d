//! Telling tasks of another thread what they wait for, many at once.
//!
//! Waking a task of another thread takes a system call, and a thread turns to what comes from outside only now and then while
//! it has work of its own: of a thousand waits woken one by one, the last would be answered after many of the first have come
//! again. So a thread that serves clients has a notifier: one task that is woken once and tells all the others, as work of its own.

use std::cell::OnceCell;
use tokio::sync::{mpsc, oneshot};

/// What is to be told on a thread.
type WakeBatch = Box<dyn FnOnce() + Send>;

thread_local! {
    static NOTIFIER: OnceCell<ThreadNotifier> = const { OnceCell::new() };
}

/// Has a thread tell its own tasks.
#[derive(Clone)]
struct ThreadNotifier(mpsc::UnboundedSender<WakeBatch>);

/// Tells one who waits on the thread where this was made.
pub struct ReplySender<T> {
    to: oneshot::Sender<T>,
    notifier: Option<ThreadNotifier>,
}

/// Something to tell to one.
pub struct Reply {
    notifier: Option<ThreadNotifier>,
    tell: WakeBatch,
}

/// Installs the notifier of this thread in the current `LocalSet`. Without one, tasks of the thread get replies one by one.
pub fn install_thread_notifier() {
    NOTIFIER.with(|notifier| {
        notifier.get_or_init(|| {
            let (rounds, mut heard) = mpsc::unbounded_channel::<WakeBatch>();
            tokio::task::spawn_local(async move {
                while let Some(round) = heard.recv().await {
                    round();
                }
            });
            ThreadNotifier(rounds)
        });
    });
}

/// A place to tell something, and one to wait for it, on this thread.
pub fn channel<T>() -> (ReplySender<T>, oneshot::Receiver<T>) {
    let (to, told) = oneshot::channel();
    let notifier = NOTIFIER.with(|notifier| notifier.get().cloned());
    (ReplySender { to, notifier }, told)
}

impl<T> ReplySender<T> {
    /// Tells one. Who has gone needs no telling; the same below.
    pub fn send(self, what: T) {
        let _gone = self.to.send(what);
    }

    /// What is to be told to one, apart from its type.
    pub fn ready(self, what: T) -> Reply
    where
        T: Send + 'static,
    {
        let to = self.to;
        let tell = Box::new(move || drop(to.send(what)));
        Reply {
            notifier: self.notifier,
            tell,
        }
    }

    /// Whether who waited has gone.
    pub fn is_closed(&self) -> bool {
        self.to.is_closed()
    }
}

/// Tells each of many what is for them.
pub fn send_all(all: impl IntoIterator<Item = Reply>) {
    let mut threads = Vec::<(ThreadNotifier, Vec<WakeBatch>)>::new();
    for Reply { notifier, tell } in all {
        let Some(notifier) = notifier else {
            tell();
            continue;
        };
        let same = |(of, _): &&mut (ThreadNotifier, _)| of.0.same_channel(&notifier.0);
        match threads.iter_mut().find(same) {
            Some((_, together)) => together.push(tell),
            None => threads.push((notifier, vec![tell])),
        }
    }
    for (notifier, together) in threads {
        let round = move || together.into_iter().for_each(|tell| tell());
        // When the notifier has ended, the replies are sent from this thread.
        if let Err(unheard) = notifier.0.send(Box::new(round)) {
            (unheard.0)();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{channel, install_thread_notifier, send_all};
    use std::cell::RefCell;
    use std::rc::Rc;
    use tokio::runtime::Builder;
    use tokio::task::{LocalSet, spawn_local};

    /// Three tasks are told from another thread, and each has something to do afterwards: what was done, in order.
    fn told_from_outside(notifier: bool) -> Vec<&'static str> {
        let log = Rc::new(RefCell::new(Vec::new()));
        let runtime = Builder::new_current_thread().build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            if notifier {
                install_thread_notifier();
            }
            let mut tells = Vec::new();
            let mut tasks = Vec::new();
            for number in 0..3 {
                let (tell, told) = channel();
                tells.push(tell.ready(number));
                let log = Rc::clone(&log);
                tasks.push(spawn_local(async move {
                    assert_eq!(told.await, Ok(number));
                    log.borrow_mut().push("told");
                    let next = spawn_local(async move { log.borrow_mut().push("after") });
                    next.await.unwrap();
                }));
            }
            tokio::task::yield_now().await;
            std::thread::spawn(|| send_all(tells)).join().unwrap();
            for task in tasks {
                task.await.unwrap();
            }
        });
        log.take()
    }

    #[test]
    fn all_are_told_before_any_goes_on() {
        let together = ["told", "told", "told", "after", "after", "after"];
        // A thread without a notifier, then one with it, then one whose notifier has ended.
        assert_ne!(told_from_outside(false), together);
        assert_eq!(told_from_outside(true), together);
        assert_ne!(told_from_outside(false), together);
    }
}
