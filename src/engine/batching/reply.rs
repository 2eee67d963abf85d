//! Telling tasks of another thread what they wait for, many at once.
//!
//! Waking a task of another thread takes a system call, and a thread turns to what comes from outside only now and then while
//! it has work of its own: of a thousand waits woken one by one, the last would be answered after many of the first have come
//! again. So a thread that serves clients has a bell: one task that is woken once and tells all the others, as work of its own.

use std::cell::OnceCell;
use tokio::sync::{mpsc, oneshot};

/// What is to be told on a thread.
type Round = Box<dyn FnOnce() + Send>;

thread_local! {
    static BELL: OnceCell<Bell> = const { OnceCell::new() };
}

/// Has a thread tell its own tasks.
#[derive(Clone)]
struct Bell(mpsc::UnboundedSender<Round>);

/// Tells one who waits on the thread where this was made.
pub struct Tell<T> {
    to: oneshot::Sender<T>,
    bell: Option<Bell>,
}

/// Gives this thread a bell, in the `LocalSet` that this is called on. Without one, its tasks are told one by one.
pub fn hang_bell() {
    BELL.with(|bell| {
        bell.get_or_init(|| {
            let (rounds, mut heard) = mpsc::unbounded_channel::<Round>();
            tokio::task::spawn_local(async move {
                while let Some(round) = heard.recv().await {
                    round();
                }
            });
            Bell(rounds)
        });
    });
}

/// A place to tell something, and one to wait for it, on this thread.
pub fn channel<T>() -> (Tell<T>, oneshot::Receiver<T>) {
    let (to, told) = oneshot::channel();
    let bell = BELL.with(|bell| bell.get().cloned());
    (Tell { to, bell }, told)
}

impl<T> Tell<T> {
    /// Tells one. Who has gone needs no telling; the same below.
    pub fn tell(self, what: T) {
        let _gone = self.to.send(what);
    }

    /// Whether who waited has gone.
    pub fn is_closed(&self) -> bool {
        self.to.is_closed()
    }
}

/// Tells each of many what is for them.
pub fn tell_all<T: Send + 'static>(all: impl IntoIterator<Item = (Tell<T>, T)>) {
    let mut threads = Vec::<(Bell, Vec<_>)>::new();
    for (Tell { to, bell }, what) in all {
        let Some(bell) = bell else {
            let _gone = to.send(what);
            continue;
        };
        let same = |(of, _): &&mut (Bell, _)| of.0.same_channel(&bell.0);
        match threads.iter_mut().find(same) {
            Some((_, together)) => together.push((to, what)),
            None => threads.push((bell, vec![(to, what)])),
        }
    }
    for (bell, together) in threads {
        let round = move || {
            for (to, what) in together {
                let _gone = to.send(what);
            }
        };
        // Where the bell has ended, so have those who waited, or they are told from here.
        if let Err(unheard) = bell.0.send(Box::new(round)) {
            (unheard.0)();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{channel, hang_bell, tell_all};
    use std::cell::RefCell;
    use std::rc::Rc;
    use tokio::runtime::Builder;
    use tokio::task::{LocalSet, spawn_local};

    /// Three tasks are told from another thread, and each has something to do afterwards: what was done, in order.
    fn told_from_outside(bell: bool) -> Vec<&'static str> {
        let log = Rc::new(RefCell::new(Vec::new()));
        let runtime = Builder::new_current_thread().build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            if bell {
                hang_bell();
            }
            let mut tells = Vec::new();
            let mut tasks = Vec::new();
            for number in 0..3 {
                let (tell, told) = channel();
                tells.push((tell, number));
                let log = Rc::clone(&log);
                tasks.push(spawn_local(async move {
                    assert_eq!(told.await, Ok(number));
                    log.borrow_mut().push("told");
                    let next = spawn_local(async move { log.borrow_mut().push("after") });
                    next.await.unwrap();
                }));
            }
            tokio::task::yield_now().await;
            std::thread::spawn(|| tell_all(tells)).join().unwrap();
            for task in tasks {
                task.await.unwrap();
            }
        });
        log.take()
    }

    #[test]
    fn all_are_told_before_any_goes_on() {
        let together = ["told", "told", "told", "after", "after", "after"];
        // A thread without a bell, then one with it, then one whose bell has ended.
        assert_ne!(told_from_outside(false), together);
        assert_eq!(told_from_outside(true), together);
        assert_ne!(told_from_outside(false), together);
    }
}
