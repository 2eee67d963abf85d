//! What a search finds, and how it shows where.

use crate::support::{Answer, App, Person, text};
use serde_json::{Value, json};

/// A search with these parameters.
pub async fn search(by: &Person, parameters: &[(&str, &str)]) -> Answer {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(parameters);
    by.get(&format!("/search/messages?{}", query.finish()))
        .await
}

/// The results of all pages.
pub async fn results(by: &Person, parameters: &[(&str, &str)]) -> Vec<Value> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let mut given = parameters.to_vec();
        if !cursor.is_empty() {
            given.push(("cursor", &cursor));
        }
        let page = search(by, &given).await.ok(200);
        all.extend(page["results"].as_array().unwrap().iter().cloned());
        assert_eq!(page["complete"], page["next_cursor"].is_null());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => return all,
        }
    }
}

/// What the results of a word are highlighted, each as JavaScript slices it.
async fn slices(by: &Person, q: &str) -> Vec<String> {
    let found = results(by, &[("q", q)]).await;
    let slices = found.iter().flat_map(|one| {
        let content = &one["message"]["content"];
        one["highlights"].as_array().unwrap().iter().map(move |at| {
            let value = content[at["field"].as_str().unwrap()].as_str().unwrap();
            let units: Vec<u16> = value.encode_utf16().collect();
            let start = usize::try_from(at["start"].as_u64().unwrap()).unwrap();
            let length = usize::try_from(at["length"].as_u64().unwrap()).unwrap();
            String::from_utf16(&units[start..start + length]).unwrap()
        })
    });
    slices.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn words_of_every_script_are_found_and_highlighted() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let long = "漢".repeat(5_000);
    for words in [
        "我家在上海东边。",
        "新しいｶﾒﾗを買いましたカメラ",
        "안녕하세요 한국어",
        "iPhone15手机",
        "ＡＢＣ Straße İstanbul ſun",
        "👩‍👩‍👧 family e\u{301}tude 👍🏽 done",
        "ภาษาไทยง่าย",
        "𠀀字 rare",
        &long,
        "don't mail a.b@example.com",
    ] {
        ann.send(&chat, words).await;
    }
    for (q, expected) in [
        ("上海", vec!["上海"]),
        ("东", vec!["东"]),
        ("海上", vec![]),
        ("カメラ", vec!["ｶﾒﾗ", "カメラ"]),
        ("한국", vec!["한국"]),
        ("녕하", vec!["녕하"]),
        ("iphone15手", vec!["iPhone15手"]),
        ("abc", vec!["ＡＢＣ"]),
        ("strasse", vec!["Straße"]),
        ("istan", vec!["İstan"]),
        ("sun", vec!["ſun"]),
        ("etude", vec!["e\u{301}tude"]),
        ("done family", vec!["family", "done"]),
        ("ไทย", vec!["ไทย"]),
        ("𠀀字", vec!["𠀀字"]),
        ("漢漢漢漢", vec!["漢漢漢漢"; 20]),
        ("don't", vec!["don't"]),
        ("\"mail a b\"", vec!["mail a.b"]),
        ("example.com", vec!["example.com"]),
        ("nowhere", vec![]),
    ] {
        assert_eq!(slices(&ben, q).await, expected, "{q}");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_narrow_and_pages_go_on() {
    let (app, [ann, ben, cem]) = App::with(["ann", "ben", "cem"]).await;
    let (chat, group) = (ann.direct(&ben).await, ann.group(&[&ben, &cem]).await);
    let link = |kind: &str, more: Value| {
        let mut content = json!({"url": "https://files.example/x", "mime": "image/png", "size": 3});
        content
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!({"client_msg_id": crate::support::id(), "kind": kind, "content": content})
    };
    ann.send(&chat, "plan one").await;
    ben.send(&group, "plan two https://example.com/plan").await;
    ann.send(&group, "plan three").await;
    let file = link("file", json!({"name": "plan four.pdf"}));
    ann.post_message(&chat, file).await.ok(201);
    let image = link("image", json!({"width": 3, "height": 2}));
    let at = ann.post_message(&group, image).await.ok(201)["created_at"].clone();
    let at = at.as_str().unwrap();
    let seqs = async |parameters: &[(&str, &str)]| -> Vec<(bool, i64)> {
        let found = results(&ben, parameters).await;
        found
            .iter()
            .map(|one| {
                let message = &one["message"];
                (
                    message["conversation_id"] == group.as_str(),
                    message["seq"].as_i64().unwrap(),
                )
            })
            .collect()
    };
    let all = [(false, 2), (true, 2), (true, 1), (false, 1)];
    assert_eq!(seqs(&[("q", "plan")]).await, all);
    assert_eq!(seqs(&[("q", "plan"), ("limit", "1")]).await, all);
    assert_eq!(seqs(&[("q", "plan"), ("limit", "2")]).await, all);
    let of_group = [(true, 2), (true, 1)];
    assert_eq!(
        seqs(&[("q", "plan"), ("conversation_id", &group)]).await,
        of_group
    );
    let in_group = [(true, 3), (true, 2), (true, 1)];
    assert_eq!(seqs(&[("conversation_id", &group)]).await, in_group);
    let both = [
        ("q", "plan"),
        ("conversation_id", &group),
        ("conversation_id", &chat),
    ];
    assert_eq!(seqs(&both).await, all);
    assert_eq!(seqs(&[("sender_id", &ben.id)]).await, [(true, 1)]);
    assert_eq!(seqs(&[("has", "link")]).await, [(true, 1)]);
    assert_eq!(seqs(&[("has", "media")]).await, [(true, 3), (false, 2)]);
    assert_eq!(
        seqs(&[("kind", "file"), ("kind", "image")]).await,
        [(true, 3), (false, 2)]
    );
    assert_eq!(
        seqs(&[("q", "plan -one -\"two https\"")]).await,
        [(false, 2), (true, 2)]
    );
    // `from` is inclusive, `to` is not.
    assert_eq!(seqs(&[("kind", "image"), ("from", at)]).await, [(true, 3)]);
    assert_eq!(seqs(&[("kind", "image"), ("to", at)]).await, []);
    assert_eq!(seqs(&[("q", "plan"), ("to", at)]).await, all);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_searches_are_refused_and_odd_ones_are_answered() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    for n in 0..3 {
        ann.post_message(&chat, text(&format!("the word {n}")))
            .await
            .ok(201);
    }
    let cursor = search(&ann, &[("q", "word"), ("limit", "1")]).await.ok(200);
    let cursor = cursor["next_cursor"].as_str().unwrap();
    let long = "a".repeat(257);
    for bad in [
        &[][..],
        &[("q", "")],
        &[("q", " \u{3000}")],
        &[("q", "&|!():*")],
        &[("q", "-the")],
        &[("q", &long)],
        &[("q", "a b c d e f g h i j k")],
        &[("q", "a"), ("q", "b")],
        &[("q", "a"), ("limit", "0")],
        &[("q", "a"), ("limit", "51")],
        &[("q", "a"), ("kind", "recalled")],
        &[("q", "a"), ("has", "friends")],
        &[("q", "a"), ("conversation_id", "x")],
        &[("q", "a"), ("sender_id", "x")],
        &[("q", "a"), ("from", "today")],
        &[("from", "2026-01-01T00:00:00Z")],
        &[
            ("q", "a"),
            ("from", "2026-01-02T00:00:00Z"),
            ("to", "2026-01-01T00:00:00Z"),
        ],
        &[
            ("q", "a"),
            ("from", "2026-01-01T00:00:00Z"),
            ("to", "2026-01-01T00:00:00Z"),
        ],
        &[("q", "other"), ("cursor", cursor)],
        &[("q", "word"), ("kind", "text"), ("cursor", cursor)],
        &[("q", "word"), ("cursor", "x")],
        &[("q", "a"), ("order", "relevance")],
    ] {
        search(&ann, bad).await.problem(400, "validation");
    }
    let of_ben = search(&ben, &[("q", "word"), ("cursor", cursor)]).await;
    of_ben.problem(400, "validation");
    let many: Vec<_> = std::iter::repeat_n(("conversation_id", chat.as_str()), 51).collect();
    search(&ann, &many).await.problem(400, "validation");
    search(
        &ann,
        &[("q", "a"), ("conversation_id", &crate::support::id())],
    )
    .await
    .problem(404, "not_found");
    for odd in [
        "a'b",
        "a\\b",
        "a & b | !c:*",
        "%_a",
        "a\0b",
        "'a' <-> \"b",
        "a*b*",
        "ａ* b*",
        "\u{202e}a",
        &format!("a{}", "\u{301}".repeat(255)),
        &"\"a".repeat(128),
        &"a".repeat(256),
        "a* b* c* d* e* f* g* h* i* j*",
    ] {
        search(&ann, &[("q", odd)]).await.ok(200);
    }
    assert_eq!(results(&ann, &[("q", "the word -1")]).await.len(), 2);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_search_a_node_says_so() {
    let app = App::configured(|config| config.search = false).await;
    let [ann] = app.people(["ann"]).await;
    search(&ann, &[("q", "a")])
        .await
        .problem(403, "search_disabled");
    let capabilities = ann.get("/capabilities").await.ok(200);
    let features = capabilities["features"].as_array().unwrap();
    assert!(!features.contains(&json!("search")));
    app.finish().await;
}
