//! Contacts: the caller's own list.

use crate::support::{App, Person, execute, id};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tideline::model::wire::people::privacy::Audience;

/// A deployment in which contacts are no audience: a change of contacts has one entry.
async fn start() -> App {
    App::configured(|config| config.privacy.last_seen = Audience::Nobody).await
}

fn path(person: &Person) -> String {
    format!("/me/contacts/{}", person.id)
}

#[tokio::test(flavor = "multi_thread")]
async fn contact_is_added_changed_and_removed() {
    let app = start().await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let phone = ann.another_device(&app).await;
    let notes =
        json!({"alias": " Ben from work ", "tags": ["work", "work", "sails"], "starred": true});
    let contact = ann.put(&path(&ben), notes.clone()).await.ok(200);
    assert_eq!(
        (&contact["alias"], &contact["tags"], &contact["starred"]),
        (
            &json!("Ben from work"),
            &json!(["work", "sails"]),
            &json!(true)
        )
    );
    assert_eq!(
        (
            &contact["state"],
            &contact["friends_since"],
            &contact["user"]["id"]
        ),
        (&json!("contact"), &Value::Null, &json!(ben.id))
    );
    assert_eq!(ann.get(&path(&ben)).await.ok(200), contact);
    // The other person is not notified. Own devices get an entry with the contact as it is now.
    assert_eq!(ben.head().await, 0);
    let entry = phone.entries(0).await.remove(0);
    assert_eq!(
        (
            &entry["kind"],
            &entry["user_id"],
            &entry["contact"],
            &entry["conversation_id"]
        ),
        (
            &json!("contact"),
            &json!(ben.id),
            &contact,
            &json!("00000000-0000-0000-0000-000000000000")
        )
    );
    ann.put(&path(&ben), notes).await.ok(200);
    assert_eq!(ann.head().await, 1);
    // A field that is absent stays.
    let starless = ann
        .put(&path(&ben), json!({"starred": false}))
        .await
        .ok(200);
    assert_eq!(
        (&starless["alias"], &starless["starred"]),
        (&contact["alias"], &json!(false))
    );
    let plain = ann
        .put(&path(&ben), json!({"alias": null, "tags": []}))
        .await
        .ok(200);
    assert_eq!(
        (&plain["alias"], &plain["tags"]),
        (&Value::Null, &json!([]))
    );
    for _ in 0..2 {
        ann.call("DELETE", &path(&ben)).await.ok(204);
    }
    ann.get(&path(&ben)).await.problem(404, "not_found");
    let entries = ann.entries(0).await;
    assert_eq!(entries.len(), 4);
    // An earlier entry has the contact as it is now, too: none.
    assert!(entries.iter().all(|entry| entry["contact"] == Value::Null));
    assert_eq!(ann.total().await, 0);

    for (notes, pointer) in [
        (json!({"alias": ""}), "/alias"),
        (json!({"alias": "x".repeat(65)}), "/alias"),
        (json!({"tags": ["x".repeat(33)]}), "/tags/0"),
        (json!({"tags": vec!["x"; 33]}), "/tags"),
        (json!({"tags": null}), "/tags"),
        (json!({"starred": null}), "/starred"),
        (json!({"state": "friend"}), "/state"),
    ] {
        let refusal = ann
            .put(&path(&ben), notes.clone())
            .await
            .problem(400, "validation");
        assert_eq!(refusal["errors"][0]["pointer"], pointer, "{notes}");
    }
    ann.put(&path(&ann), json!({}))
        .await
        .problem(400, "validation");
    ann.put(&format!("/me/contacts/{}", id()), json!({}))
        .await
        .problem(404, "not_found");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn contacts_are_paged_filtered_and_limited() {
    let app = start().await;
    let people = app.people(["ann", "b00", "b01", "b02", "b03"]).await;
    let [ann, others @ ..] = &people;
    for (n, one) in others.iter().enumerate() {
        let tags = if n % 2 == 0 {
            json!(["even", "all"])
        } else {
            json!(["all"])
        };
        ann.put(&path(one), json!({"tags": tags})).await.ok(200);
    }
    let ids = |page: &Value| -> Vec<String> {
        let contacts = page["contacts"].as_array().unwrap().iter();
        contacts
            .map(|one| one["user"]["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let mut all: Vec<_> = others.iter().map(|one| one.id.clone()).collect();
    all.sort();
    let (mut paged, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = ann
            .get(&format!("/me/contacts?order=id&limit=3{cursor}"))
            .await
            .ok(200);
        assert_eq!(page["inbox_seq"], 4);
        paged.extend(ids(&page));
        // A change while a client pages does not move the position of the first page.
        ann.put(
            &path(&others[0]),
            json!({"alias": format!("x{}", paged.len())}),
        )
        .await
        .ok(200);
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(paged, all);
    let filtered =
        async |filter: &str| ids(&ann.get(&format!("/me/contacts?{filter}")).await.ok(200)).len();
    assert_eq!(filtered("tag=even").await, 2);
    assert_eq!(filtered("tag=all&state=contact").await, 4);
    assert_eq!(filtered("tag=none").await, 0);
    assert_eq!(filtered("state=friend").await, 0);
    for query in ["order=name", "state=enemy", "cursor=x", "limit=0", "q=x"] {
        ann.get(&format!("/me/contacts?{query}"))
            .await
            .problem(400, "validation");
    }

    let full = format!(
        "INSERT INTO contacts (owner_id, contact_id, state, created_at)
         SELECT '{}', gen_random_uuid(), 'contact', now() FROM generate_series(1, 4995)",
        ann.id
    );
    execute(&mut app.database(), &full);
    let [last, beyond] = app.people(["last", "beyond"]).await;
    let both = join_all([&last, &beyond].map(|one| {
        let path = path(one);
        async move { ann.put(&path, json!({})).await }
    }));
    let mut statuses: Vec<_> = both.await.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
    ann.put(&path(&others[0]), json!({"alias": "still"}))
        .await
        .ok(200);
    execute(
        &mut app.database(),
        "DELETE FROM contacts WHERE contact_id NOT IN (SELECT id FROM users)",
    );
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn batch_answers_each_contact() {
    let app = start().await;
    let [ann, ben, cat] = app.people(["ann", "ben", "cat"]).await;
    let batch = json!({"contacts": [{"user_id": ben.id, "alias": "B"}, {"user_id": id()}, {"user_id": ann.id},
        {"user_id": cat.id, "tags": ["x"]}]});
    for _ in 0..2 {
        let results = ann.post("/me/contacts/batch", batch.clone()).await.ok(200);
        let results = results["results"].as_array().unwrap();
        let statuses: Vec<_> = results
            .iter()
            .map(|one| one["status"].as_i64().unwrap())
            .collect();
        assert_eq!(statuses, [200, 404, 400, 200]);
        assert_eq!(results[0]["contact"]["alias"], "B");
        assert_eq!(results[1]["problem"]["code"], "not_found");
        assert_eq!(ann.head().await, 2);
    }
    for batch in [
        json!({"contacts": []}),
        json!({"contacts": vec![json!({"user_id": ben.id}); 101]}),
        json!({}),
    ] {
        ann.post("/me/contacts/batch", batch)
            .await
            .problem(400, "validation");
    }
    let refused = json!({"contacts": [{"user_id": ben.id}, {"user_id": cat.id, "alias": ""}]});
    let refusal = ann
        .post("/me/contacts/batch", refused)
        .await
        .problem(400, "validation");
    assert_eq!(refusal["errors"][0]["pointer"], "/contacts/1/alias");
    app.finish().await;
}

/// After a resync: the pages, and then the entries from the position of the first page, are what is there.
#[tokio::test(flavor = "multi_thread")]
async fn pages_and_later_entries_are_the_list() {
    let app = start().await;
    let names = [
        "ann", "b00", "b01", "b02", "b03", "b04", "b05", "b06", "b07",
    ];
    let people = app.people(names).await;
    let [ann, others @ ..] = &people;
    for one in &others[..6] {
        ann.put(&path(one), json!({})).await.ok(200);
    }
    let mut state = std::collections::BTreeMap::new();
    let (mut since, mut cursor, mut step) = (0, String::new(), 0);
    loop {
        let page = ann
            .get(&format!("/me/contacts?limit=2{cursor}"))
            .await
            .ok(200);
        if cursor.is_empty() {
            since = page["inbox_seq"].as_i64().unwrap();
        }
        for contact in page["contacts"].as_array().unwrap() {
            state.insert(
                contact["user"]["id"].as_str().unwrap().to_owned(),
                contact.clone(),
            );
        }
        // Meanwhile others are added, removed and changed.
        ann.call("DELETE", &path(&others[step])).await.ok(204);
        ann.put(
            &path(&others[6 + step % 2]),
            json!({"alias": format!("a{step}")}),
        )
        .await
        .ok(200);
        step += 1;
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    for entry in ann.entries(since).await {
        let person = entry["user_id"].as_str().unwrap().to_owned();
        match &entry["contact"] {
            Value::Null => state.remove(&person),
            contact => state.insert(person, contact.clone()),
        };
    }
    let list = ann.get("/me/contacts").await.ok(200);
    let kept: Vec<_> = state.into_values().collect();
    assert_eq!(json!(kept), list["contacts"]);
    app.finish().await;
}
