//! Bulk replies: many tasks of other threads are woken together.
//!
//! Waking a task on another thread costs a syscall, and Tokio polls cross-thread wakeups less often than local ones. Waking
//! 1,000 waits one by one would therefore delay the last until many of the first have begun again. Each HTTP thread runs one
//! notifier task that is woken once and completes all local replies.

use std::cell::OnceCell;
use tokio::sync::{mpsc, oneshot};

/// The replies to the tasks of one thread.
type WakeBatch = Box<dyn FnOnce() + Send>;

thread_local! {
    static NOTIFIER: OnceCell<ThreadNotifier> = const { OnceCell::new() };
}

/// Sends replies on another thread.
#[derive(Clone)]
struct ThreadNotifier(mpsc::UnboundedSender<WakeBatch>);

/// Sends one reply to a task of the thread where this was made.
pub struct ReplySender<T> {
    sender: oneshot::Sender<T>,
    notifier: Option<ThreadNotifier>,
}

/// A reply that is ready to be sent.
pub struct Reply {
    notifier: Option<ThreadNotifier>,
    deliver: WakeBatch,
}

/// Installs the notifier of this thread in the current `LocalSet`. Without it, tasks of the thread get replies one by one.
pub fn install_thread_notifier() {
    NOTIFIER.with(|notifier| {
        notifier.get_or_init(|| {
            let (sender, mut receiver) = mpsc::unbounded_channel::<WakeBatch>();
            tokio::task::spawn_local(async move {
                while let Some(deliver) = receiver.recv().await {
                    deliver();
                }
            });
            ThreadNotifier(sender)
        });
    });
}

/// A channel for one reply, which a task of this thread receives.
pub fn channel<T>() -> (ReplySender<T>, oneshot::Receiver<T>) {
    let (sender, receiver) = oneshot::channel();
    let notifier = NOTIFIER.with(|notifier| notifier.get().cloned());
    (ReplySender { sender, notifier }, receiver)
}

impl<T> ReplySender<T> {
    /// Sends the reply. A dropped receiver is no error, here and below.
    pub fn send(self, value: T) {
        let _closed = self.sender.send(value);
    }

    /// The reply without its type, for [`send_all`].
    pub fn ready(self, value: T) -> Reply
    where
        T: Send + 'static,
    {
        let sender = self.sender;
        let deliver = Box::new(move || drop(sender.send(value)));
        Reply {
            notifier: self.notifier,
            deliver,
        }
    }

    /// Whether the receiver was dropped.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}

/// Sends many replies, with one wakeup for each thread.
pub fn send_all(replies: impl IntoIterator<Item = Reply>) {
    let mut threads = Vec::<(ThreadNotifier, Vec<WakeBatch>)>::new();
    for Reply { notifier, deliver } in replies {
        let Some(notifier) = notifier else {
            deliver();
            continue;
        };
        let same = |(of, _): &&mut (ThreadNotifier, _)| of.0.same_channel(&notifier.0);
        match threads.iter_mut().find(same) {
            Some((_, batch)) => batch.push(deliver),
            None => threads.push((notifier, vec![deliver])),
        }
    }
    for (notifier, batch) in threads {
        let batch = move || batch.into_iter().for_each(|deliver| deliver());
        // When the notifier has ended, the replies are sent from this thread.
        if let Err(unsent) = notifier.0.send(Box::new(batch)) {
            (unsent.0)();
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

    /// Three tasks get replies from another thread, and each spawns a task afterwards. Returns their steps in order.
    fn steps_after_replies(notifier: bool) -> Vec<&'static str> {
        let log = Rc::new(RefCell::new(Vec::new()));
        let runtime = Builder::new_current_thread().build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            if notifier {
                install_thread_notifier();
            }
            let mut replies = Vec::new();
            let mut tasks = Vec::new();
            for number in 0..3 {
                let (sender, receiver) = channel();
                replies.push(sender.ready(number));
                let log = Rc::clone(&log);
                tasks.push(spawn_local(async move {
                    assert_eq!(receiver.await, Ok(number));
                    log.borrow_mut().push("reply");
                    let next = spawn_local(async move { log.borrow_mut().push("after") });
                    next.await.unwrap();
                }));
            }
            tokio::task::yield_now().await;
            std::thread::spawn(|| send_all(replies)).join().unwrap();
            for task in tasks {
                task.await.unwrap();
            }
        });
        log.take()
    }

    #[test]
    fn all_replies_arrive_before_any_task_continues() {
        let batched = ["reply", "reply", "reply", "after", "after", "after"];
        // A thread without a notifier, then one with it, then one whose notifier has ended.
        assert_ne!(steps_after_replies(false), batched);
        assert_eq!(steps_after_replies(true), batched);
        assert_ne!(steps_after_replies(false), batched);
    }
}
