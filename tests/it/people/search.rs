//! The search for people: who is found by whom, and how much.

use crate::support::{Answer, App, PASSWORD, Person, execute};
use serde_json::json;
use std::time::Instant;
use tideline::config::RateLimit;

async fn search(by: &Person, query: &str) -> Answer {
    by.get(&format!("/users/search?{query}")).await
}

/// The names that a search finds.
async fn names(by: &Person, query: &str) -> Vec<String> {
    let found = search(by, query).await.ok(200);
    let users = found["users"].as_array().unwrap().iter();
    users
        .map(|user| user["username"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn search_finds_usernames_by_their_beginning() {
    let all = ["ann", "anna", "ann.b", "ann_c", "annxc", "bann", "an-n"];
    let (app, [ann, ..]) = App::with(all).await;
    // In the order of their bytes.
    let sorted = ["ann", "ann.b", "ann_c", "anna", "annxc"];
    assert_eq!(names(&ann, "prefix=ann").await, sorted);
    assert_eq!(names(&ann, "prefix=ANN").await, sorted);
    assert_eq!(names(&ann, "prefix=ann&limit=2").await, sorted[..2]);
    // An underscore is only an underscore.
    assert_eq!(names(&ann, "prefix=ann_").await, ["ann_c"]);
    let found = search(&ann, "prefix=anna").await.ok(200);
    let known = ann.get("/users?username=anna").await.ok(200);
    assert_eq!(found["users"], known["users"]);
    for nothing in [
        "%25nn", "ann%25", "a%5Cn", "ann%5C", "ann%00", "ann'", "änn", "ann%20",
    ] {
        let found = names(&ann, &format!("prefix={nothing}")).await;
        assert_eq!(found, [""; 0], "{nothing}");
    }
    let long = "a".repeat(33);
    for bad in [
        "",
        "prefix=",
        "prefix=an",
        "prefix=%C3%A4n",
        &format!("prefix={long}"),
        "prefix=ann&limit=0",
        "prefix=ann&limit=21",
        "prefix=ann&limit=x",
        "prefix=ann&prefix=ann",
        "prefix=ann&q=x",
    ] {
        search(&ann, bad).await.problem(400, "validation");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn search_leaves_out_blocks_and_accounts_that_are_not_in_use() {
    let all = ["ann", "seba", "sebb", "sebc", "sebd", "sebe"];
    let (app, [ann, a, b, c, d, e]) = App::with(all).await;
    ann.block(&a).await.ok(204);
    b.block(&ann).await.ok(204);
    c.post("/me/deactivate", json!({"password": PASSWORD}))
        .await
        .ok(204);
    let password = json!({"password": PASSWORD});
    let deleted = d.try_call("DELETE", "/me", Some(&password)).await.unwrap();
    deleted.ok(202);
    // Who blocks her is found, as by the exact name.
    assert_eq!(names(&ann, "prefix=seb").await, ["sebb", "sebe"]);
    // Others find them; a block is not shown.
    assert_eq!(names(&e, "prefix=seb").await, ["seba", "sebb", "sebe"]);
    assert_eq!(names(&b, "prefix=ann").await, [""; 0]);
    // Blocked people do not take the places of others.
    assert_eq!(names(&ann, "prefix=seb&limit=1").await, ["sebb"]);
    c.another_device(&app).await;
    assert_eq!(names(&ann, "prefix=seb").await, ["sebb", "sebc", "sebe"]);
    // Those who do not want to be found are not, but for an exact name.
    let hidden = json!({"discoverable": false});
    c.another_device(&app)
        .await
        .patch("/me/privacy", hidden)
        .await
        .ok(200);
    assert_eq!(names(&ann, "prefix=seb").await, ["sebb", "sebe"]);
    let exact = ann.get("/users?username=sebc").await.ok(200);
    assert_eq!(exact["users"][0]["id"], c.id.as_str());
    let default = json!({"discoverable": null});
    c.another_device(&app)
        .await
        .patch("/me/privacy", default)
        .await
        .ok(200);
    e.patch("/me", json!({"username": "other"})).await.ok(200);
    assert_eq!(names(&ann, "prefix=seb").await, ["sebb", "sebc"]);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn search_returns_at_most_20_people() {
    let (app, [ann]) = App::with(["ann"]).await;
    execute(
        &mut app.database(),
        "INSERT INTO users (id, username, display_name, password_hash)
         SELECT gen_random_uuid(), 'many' || n, 'x', '!' FROM generate_series(100, 700) AS n;
         INSERT INTO usernames SELECT username, id FROM users WHERE username LIKE 'many%'",
    );
    let found = names(&ann, "prefix=many").await;
    assert_eq!((found.len(), found[19].as_str()), (20, "many119"));
    assert_eq!(names(&ann, "prefix=many7").await, ["many700"]);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_are_limited_to_30_a_minute() {
    let app = App::configured(|config| {
        let (per_second, burst) = (1_000, 10_000);
        config.rate_limit = Some(RateLimit { per_second, burst });
    })
    .await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let started = Instant::now();
    let mut found = 0;
    let refused = loop {
        let answer = search(&ann, "prefix=ben").await;
        if answer.status != 200 {
            break answer;
        }
        found += 1;
    };
    // One more for each two seconds.
    let more = usize::try_from(started.elapsed().as_secs()).unwrap() / 2 + 1;
    assert!((30..=30 + more).contains(&found), "{found}");
    assert!(
        refused
            .header("ratelimit-policy")
            .starts_with("\"search\";q=30;w=60"),
        "{:?}",
        refused.headers
    );
    refused.problem(429, "rate_limited");
    // Other requests and other people are not.
    ann.get("/users?username=ben").await.ok(200);
    search(&ben, "prefix=ann").await.ok(200);
    app.finish().await;
}
