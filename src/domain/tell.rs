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
    let mut threads: Vec<(Bell, Vec<(Tell<T>, T)>)> = Vec::new();
    for (tell, what) in all {
        let Some(bell) = tell.bell.clone() else {
            tell.tell(what);
            continue;
        };
        match threads
            .iter_mut()
            .find(|(of, _)| of.0.same_channel(&bell.0))
        {
            Some((_, together)) => together.push((tell, what)),
            None => threads.push((bell, vec![(tell, what)])),
        }
    }
    for (bell, together) in threads {
        let round = move || {
            together
                .into_iter()
                .for_each(|(tell, what)| tell.tell(what))
        };
        let _ended = bell.0.send(Box::new(round));
    }
}
