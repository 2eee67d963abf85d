//! Row 20: pages of results of a person in 500 conversations, and the indexing, with PostgreSQL's own ways as references. Row 21: sends with
//! and without the index, and with searches beside them.

use super::sends_of;
use crate::Options;
use crate::client::Person;
use crate::deployment::{Deployment, Environment};
use crate::load::{PlannedRequest, RequestSource, load};
use crate::report::{Goal, Line};
use hyper::Method;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const SWITCH: &str = "TIDELINE_SEARCH";

/// Searches in a second, beside sends.
const SEARCHES: f64 = 20.0;

/// What is searched for, and how many of the messages have it.
const QUERIES: [(&str, &str); 7] = [
    ("a rare word", "w29999"),
    ("a word of some", "w00300"),
    ("a common word", "w00001"),
    ("two common words", "w00001 w00002"),
    ("the beginning of 10,000 words", "w1"),
    ("a Chinese word", "上海"),
    ("a phrase", "\"w00001 w00002\""),
];

fn searches(person: &Person, query: &str, more: &str) -> RequestSource {
    let mut path = form_urlencoded::Serializer::new("/v1/search/messages?".to_owned());
    path.append_pair("q", query);
    let path = format!("{}{more}", path.finish());
    let person = person.clone();
    Arc::new(move |_| PlannedRequest {
        method: Method::GET,
        path: path.clone(),
        person: person.clone(),
        body: String::new(),
        status: 200,
        must_contain: "results".to_owned(),
    })
}

/// Returns when every full block is in the index.
async fn indexed(deployment: &Deployment) {
    let missing = "SELECT count(*) FROM conversations c WHERE last_seq >= 32 AND NOT EXISTS (
        SELECT FROM search_blocks WHERE conversation_id = c.id AND block = c.last_seq / 32 - 1 AND NOT marked)";
    while deployment.number(missing).await > 0.0 {
        sleep(Duration::from_millis(200)).await;
    }
}

pub async fn pages(environment: &Environment, options: &Options) -> Vec<Line> {
    let mut deployment = environment.deploy("search", 2).await;
    let others = (options.searched / 60).max(1);
    let fill = include_str!("../search.sql");
    deployment.variables = vec![(SWITCH, "off")];
    deployment.restart().await;
    deployment
        .sql(&format!(
            "\\set searched {}\n\\set others {others}\n{fill}",
            options.searched
        ))
        .await;
    let count = deployment.number("SELECT count(*) FROM messages").await;
    deployment.variables = Vec::new();
    let (begun, before) = (Instant::now(), deployment.postgres_cpu().await);
    deployment.restart().await;
    indexed(&deployment).await;
    let wall = begun.elapsed().as_secs_f64() * 1e6 / count;
    let spent = (deployment.node.cpu() + deployment.postgres_cpu().await - before) * 1e6 / count;
    deployment.sql("VACUUM search_blocks; CHECKPOINT").await;
    let mut lines = vec![
        Line {
            goal: Goal::AtMost(60.0, 40.0),
            ..Line::fact(
                20,
                "indexing of a message, processors of both",
                "µs",
                vec![spent],
            )
        },
        Line::fact(20, "the same, time", "µs", vec![wall]),
    ];
    let person = &deployment.people[0];
    let to = deployment.node.address;
    let big = deployment.sql("SELECT md5('searched1')::uuid").await;
    let inside = format!("&conversation_id={big}");
    let mut all: Vec<_> = QUERIES
        .iter()
        .map(|(what, query)| (*what, *query, ""))
        .collect();
    all.push(("a common word in a huge channel", "w00001", &inside));
    for (what, query, more) in all {
        let requests = searches(person, query, more);
        let (mut half, mut most) = (Vec::new(), Vec::new());
        for _ in 0..options.rounds {
            let found = load(to, 1, options.time(), None, &requests).await;
            half.push(found.ms(0.5));
            most.push(found.ms(0.99));
        }
        let (least, best) = if more.is_empty() {
            (40.0, 20.0)
        } else {
            (10.0, 10.0)
        };
        lines.push(Line {
            goal: Goal::AtMost(least, best),
            ..Line::fact(20, what, "ms, p50", half)
        });
        lines.push(Line {
            goal: Goal::AtMost(150.0, 40.0),
            ..Line::fact(20, what, "ms, p99", most)
        });
    }
    let like = "SELECT count(*) FROM (SELECT FROM messages WHERE content ->> 'text' ILIKE '%上海%' AND conversation_id = ANY(ARRAY(
        SELECT conversation_id FROM members WHERE user_id = (SELECT id FROM users WHERE username = 'seed0')
        )) ORDER BY created_at DESC LIMIT 20) AS found";
    lines.push(Line::fact(
        20,
        "PostgreSQL: a Chinese word by ILIKE",
        "ms",
        timed(&deployment, like).await,
    ));
    let simple =
        "CREATE INDEX simple ON messages USING gin (to_tsvector('simple', content ->> 'text'))";
    deployment.sql(simple).await;
    let simple = like.replace(
        "content ->> 'text' ILIKE '%上海%'",
        "to_tsvector('simple', content ->> 'text') @@ 'w1'::tsquery",
    );
    lines.push(Line::fact(
        20,
        "PostgreSQL: a common word by its index",
        "ms",
        timed(&deployment, &simple).await,
    ));
    environment.clear(deployment).await;
    lines
}

/// How long a query takes, with its connection.
async fn timed(deployment: &Deployment, query: &str) -> Vec<f64> {
    let mut times = Vec::new();
    for _ in 0..3 {
        let begun = Instant::now();
        deployment.sql(query).await;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    times
}

pub async fn sends(environment: &Environment, options: &Options) -> Vec<Line> {
    let mut deployment = environment.deploy("searched_sends", options.users).await;
    let ring = deployment.ring("").await;
    let requests = sends_of(&deployment.people, &ring);
    let found = searches(&deployment.people[0], "small talk", "");
    let mut rates: [Vec<f64>; 2] = Default::default();
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for round in 0..options.rounds {
        for turn in 0..2 {
            let on = (round + turn) % 2;
            deployment.variables = vec![(SWITCH, ["off", "on"][on])];
            deployment.restart().await;
            let to = deployment.node.address;
            if on == 1 {
                // What the other turn has sent is not indexed yet.
                indexed(&deployment).await;
            }
            load(to, options.clients, Duration::from_secs(2), None, &requests).await;
            deployment.sql("CHECKPOINT").await;
            let sent = load(to, options.clients, options.time(), None, &requests).await;
            rates[on].push(sent.rate());
            if on == 1 {
                let rate = Some(sent.rate() / 3.0);
                alone.push(
                    load(to, options.clients, options.time(), rate, &requests)
                        .await
                        .ms(0.99),
                );
                let (sent, _) = tokio::join!(
                    load(to, options.clients, options.time(), rate, &requests),
                    load(to, 2, options.time(), Some(SEARCHES), &found)
                );
                beside.push(sent.ms(0.99));
            }
        }
    }
    environment.clear(deployment).await;
    let [off, on] = rates;
    vec![
        Line {
            reference: off,
            goal: Goal::AtLeast(0.97, 1.0),
            ..Line::fact(
                21,
                "sends with the index of the search, against off",
                "/s",
                on,
            )
        },
        Line {
            reference: alone,
            goal: Goal::AtMost(1.2, 1.0),
            ..Line::fact(
                21,
                "sends beside 20 searches/s, p99, against none",
                "ms",
                beside,
            )
        },
    ]
}
