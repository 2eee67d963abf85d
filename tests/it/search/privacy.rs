//! Nobody finds what they may not read.

use super::words::{results, search};
use crate::support::{App, Person, eventually, number};
use serde_json::{Value, json};
use std::time::Duration;

/// The body of a search for a word that nobody has written.
async fn nothing(by: &Person) -> Value {
    search(by, &[("q", "unwrittenword")]).await.ok(200)
}

#[tokio::test(flavor = "multi_thread")]
async fn outsiders_former_and_later_members_find_nothing() {
    let app = App::configured(|config| config.index_pause = Some(Duration::from_millis(10))).await;
    let all = ["ann", "ben", "cem", "dan", "eve", "fay"];
    let [ann, ben, cem, dan, eve, fay] = app.people(all).await;
    let group = ann.group(&[&ben, &cem, &dan]).await;
    for n in 0..70 {
        ann.send(&group, &format!("canary{n}x secret")).await;
    }
    // cem leaves, dan leaves and is added again, eve joins later, fay stays outside, ben is blocked and stays a member.
    ann.remove(&group, &cem).await.ok(204);
    ann.remove(&group, &dan).await.ok(204);
    ann.add(&group, &[&dan, &eve]).await.ok(200);
    ann.block(&ben).await.ok(204);
    for outsider in [&cem, &dan, &eve, &fay] {
        let expected = nothing(outsider).await;
        for q in ["canary3x", "canary40x", "canary69x", "secret", "canary*"] {
            assert_eq!(search(outsider, &[("q", q)]).await.ok(200), expected, "{q}");
            let all = [("q", q), ("sender_id", ann.id.as_str()), ("kind", "text")];
            assert_eq!(search(outsider, &all).await.ok(200), expected, "{q}");
        }
    }
    for outsider in [&cem, &fay] {
        let inside = [("q", "secret"), ("conversation_id", group.as_str())];
        search(outsider, &inside).await.problem(404, "not_found");
    }
    assert_eq!(results(&ben, &[("q", "secret")]).await.len(), 70);
    // Later members find what was sent since.
    ann.send(&group, "canary70x secret").await;
    for later in [&dan, &eve] {
        assert_eq!(results(later, &[("q", "secret")]).await.len(), 1);
    }
    // What a person has hidden or cleared is found by others only.
    let hidden = json!({"seqs": [71]});
    eve.put(&format!("/conversations/{group}/hidden"), hidden)
        .await
        .ok(204);
    assert_eq!(results(&eve, &[("q", "secret")]).await.len(), 0);
    assert_eq!(results(&dan, &[("q", "secret")]).await.len(), 1);
    app.finish().await;
}

/// The block in which a member's part of a conversation begins has lexemes of messages from before. Whether a search is complete does not
/// tell which: with exactly as many own results as a page has, the block is still to be looked at or not.
#[tokio::test(flavor = "multi_thread")]
async fn words_from_before_the_joining_do_not_show_in_what_is_complete() {
    let app = App::configured(|config| config.index_pause = Some(Duration::from_millis(10))).await;
    let [ann, ben, cem] = app.people(["ann", "ben", "cem"]).await;
    let group = ann.group(&[&ben]).await;
    for n in 0..20 {
        ann.send(&group, &format!("the safe opens with zebra{n}"))
            .await;
    }
    ann.add(&group, &[&cem]).await.ok(200);
    for n in 0..12 {
        ann.send(&group, &format!("welcome {n}")).await;
    }
    let own = cem.group(&[&ben]).await;
    for n in 0..20 {
        cem.send(&own, "zebra7 lion7").await;
        for _ in 0..31 {
            cem.send(&own, &format!("filler {n}")).await;
        }
    }
    let mut conn = app.database();
    let written = "SELECT count(*) AS n FROM search_blocks WHERE NOT marked";
    let written = async || number(&mut conn, written);
    eventually("written", Duration::from_secs(20), written, |n| *n == 21).await;
    let shape = async |word: &str| {
        let page = search(&cem, &[("q", word), ("limit", "20")]).await.ok(200);
        let count = page["results"].as_array().unwrap().len();
        (count, page["complete"].clone())
    };
    for [written, unwritten] in [["zebra7", "lion7"], ["zebra7 ", "lion7 "], ["zeb*", "lio*"]] {
        assert_eq!(shape(written).await, shape(unwritten).await, "{written}");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_gives_nothing_after_its_user_has_left() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let group = ann.group(&[&ben]).await;
    for n in 0..5 {
        ann.send(&group, &format!("secret {n}")).await;
    }
    let page = search(&ben, &[("q", "secret"), ("limit", "2")])
        .await
        .ok(200);
    let cursor = page["next_cursor"].as_str().unwrap();
    ann.remove(&group, &ben).await.ok(204);
    let next = [("q", "secret"), ("cursor", cursor)];
    let next = search(&ben, &next).await.ok(200);
    assert_eq!(next, nothing(&ben).await);
    app.finish().await;
}
