//! An answer of the search takes the same time, whatever there is in conversations that the caller may not read.

use crate::support::App;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use std::time::{Duration, Instant};

/// How often each word is searched.
const SEARCHES: usize = 200;

/// Answers come at multiples of this time.
const TICK: Duration = Duration::from_millis(10);

/// The bound of the test statistic: a difference by chance is beyond it once in 10,000 runs.
const BOUND: f64 = 3.9;

/// The z of the Mann-Whitney test: how much more often the one are above the others than below, in standard deviations of chance.
fn mann_whitney(one: &[Duration], others: &[Duration]) -> f64 {
    let count = |f: fn(&Duration, &Duration) -> bool| {
        let pairs = one.iter().flat_map(|a| others.iter().map(move |b| (a, b)));
        pairs.filter(|(a, b)| f(a, b)).count() as f64
    };
    let (n, m) = (one.len() as f64, others.len() as f64);
    let above = count(|a, b| a > b) + count(|a, b| a == b) / 2.0;
    (above - n * m / 2.0) / (n * m * (n + m + 1.0) / 12.0).sqrt()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn search_takes_an_outsider_the_same_time_for_a_word_of_others() {
    let app = App::configured(|config| config.index_pause = Some(Duration::from_millis(10))).await;
    let [ann, ben, cem] = app.people(["ann", "ben", "cem"]).await;
    let group = ann.group(&[&ben, &cem]).await;
    // Whole blocks of the index, and a rest that is not in it.
    for n in 0..330 {
        ann.send(&group, &format!("secretword {n}")).await;
    }
    ann.remove(&group, &cem).await.ok(204);
    let mut random = StdRng::seed_from_u64(1);
    let mut words = ["secretword", "unwritten!"].repeat(SEARCHES);
    words.shuffle(&mut random);
    let mut times = [Vec::new(), Vec::new()];
    for word in words {
        let path = format!("/search/messages?q={word}");
        let begun = Instant::now();
        let found = cem.get(&path).await.ok(200);
        times[usize::from(word == "secretword")].push(begun.elapsed());
        assert_eq!(found["results"].as_array().unwrap().len(), 0);
    }
    let [nowhere, of_others] = &times;
    let z = mann_whitney(of_others, nowhere);
    assert!(z.abs() < BOUND, "z is {z}");
    // The test would see one more tick.
    let later: Vec<_> = of_others.iter().map(|time| *time + TICK).collect();
    assert!(mann_whitney(&later, nowhere) > BOUND);
    app.finish().await;
}
