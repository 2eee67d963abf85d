//! Properties that must hold for any input, tested with random inputs on a deployment.
//!
//! `PROPTEST_CASES` sets the number of inputs. A failure prints the smallest failing input and the seed; `PROPTEST_RNG_SEED`
//! repeats the run.

mod cursors;
mod paging;
mod scripts;
mod text;
mod unread;

use crate::support::{App, Person, eventually};
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngSeed, TestError, TestRunner};
use std::collections::HashMap;
use std::fmt::Debug;
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tideline::config::environment;
use tideline::domain::identity::seeding;
use tideline::model::ids::{Epoch, UserId};
use tideline::model::unread::CommittedEntry;
use tideline::storage::redis::client::Redis;
use tideline::storage::redis::sync::unread::{self as cache, Applied, Total};

/// Asserts a property for this many random inputs, unless `PROPTEST_CASES` is set. They share one deployment, which is checked
/// in the end like after every test.
fn holds<S>(cases: u32, inputs: S, property: impl AsyncFn(&App, S::Value))
where
    S: Strategy<Value: Debug>,
{
    let seed = environment("PROPTEST_RNG_SEED").map_or_else(rand::random, |n| n.parse().unwrap());
    let config = Config {
        cases: environment("PROPTEST_CASES").map_or(cases, |n| n.parse().unwrap()),
        rng_seed: RngSeed::Fixed(seed),
        // The seed is enough, and leaves no files in the tree.
        failure_persistence: None,
        max_shrink_time: 30_000,
        ..Config::default()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let app = runtime.block_on(App::start());
    let result = TestRunner::new(config).run(&inputs, |input| {
        runtime.block_on(property(&app, input));
        Ok(())
    });
    match result {
        Ok(()) => {}
        Err(TestError::Abort(reason)) => panic!("{reason}"),
        Err(TestError::Fail(reason, input)) => {
            let found = format!("PROPTEST_RNG_SEED={seed}, smallest input {input:#?}: {reason}\n");
            std::io::stderr().write_all(found.as_bytes()).unwrap();
            // Runs it again for the location and the backtrace, which the runner hides.
            runtime.block_on(property(&app, input));
            panic!("the second time it held");
        }
    }
    runtime.block_on(app.finish());
}

/// Applies entries in Redis. Repeats are allowed, since a busy machine may exceed the time-out of a command.
async fn applied(
    redis: &Redis,
    epoch: Epoch,
    entries: &[CommittedEntry],
) -> HashMap<UserId, Total> {
    let apply = async || cache::apply(redis, epoch, entries).await;
    let within = Duration::from_secs(10);
    let complete = |applied: &Applied| applied.lost == 0;
    eventually("Redis answers", within, apply, complete)
        .await
        .totals
}

/// New people, unknown to everyone else.
pub async fn newcomers<const N: usize>(app: &App) -> [Person; N] {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let first = NEXT.fetch_add(N, Ordering::Relaxed);
    let seeded = seeding::seed(&app.nodes[0].handles.auth, first, first + N)
        .await
        .unwrap();
    let people = seeded.into_iter().map(|one| Person {
        id: one.user.to_string(),
        name: one.username,
        device: one.device.to_string(),
        token: one.access_token,
        refresh_token: String::new(),
        url: app.url(),
        http: app.http.clone(),
    });
    people.collect::<Vec<_>>().try_into().unwrap()
}
