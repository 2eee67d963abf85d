//! Profiles, statuses, and reading users by their number.

use crate::support::{App, Person, execute, id, tomorrow};
use serde_json::{Value, json};

/// The kinds of the entries after a seq.
async fn kinds(person: &Person, since: i64) -> Vec<String> {
    let entries = person.entries(since).await.into_iter();
    entries
        .map(|entry| entry["kind"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn profile_is_changed_and_read_by_others() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let path = format!("/users/{}", ann.id);
    let before = ben.get(&path).await.ok(200);
    assert_eq!(
        (&before["bio"], &before["avatar_url"], &before["status"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    assert_eq!(
        (&before["attributes"], &before["rev"]),
        (&json!({}), &json!(1))
    );
    let change = json!({"display_name": " Ann 👋 ", "avatar_url": "https://files.example/ann.png", "bio": "Sails\non Sundays",
        "attributes": {"team": "harbour", "desk": {"floor": 2}}});
    let own = ann.patch("/me", change.clone()).await.ok(200);
    assert_eq!(own["rev"], 2);
    let after = ben.get(&path).await.ok(200);
    for field in ["avatar_url", "bio", "attributes", "rev"] {
        assert_eq!(after[field], own[field], "{field}");
    }
    assert_eq!(after["display_name"], "Ann 👋");

    // Own devices get an entry that concerns no conversation. The same change again is none.
    let head = ann.head().await;
    assert_eq!(head, 1);
    let entry = ann.entries(0).await.remove(0);
    assert_eq!(
        (&entry["kind"], &entry["conversation_id"], &entry["unread"]),
        (
            &json!("me"),
            &json!("00000000-0000-0000-0000-000000000000"),
            &json!(0)
        )
    );
    ann.patch("/me", change).await.ok(200);
    assert_eq!(ann.head().await, head);
    // A setting that others do not see has an entry, and no new number.
    let own = ann
        .patch("/me", json!({"read_receipts": false}))
        .await
        .ok(200);
    assert_eq!((own["rev"].as_i64(), ann.head().await), (Some(2), head + 1));
    assert_eq!(ben.head().await, 0);
    assert_eq!(ann.total().await, 0);

    let own = ann
        .patch("/me", json!({"avatar_url": null, "bio": null}))
        .await
        .ok(200);
    assert_eq!(
        (&own["avatar_url"], &own["bio"]),
        (&Value::Null, &Value::Null)
    );
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_are_merged_and_bounded() {
    let (app, [ann]) = App::with(["ann"]).await;
    let patch = async |attributes: Value| ann.patch("/me", json!({"attributes": attributes})).await;
    patch(json!({"a": {"b": 1, "c": [1, 2]}, "d": "x"}))
        .await
        .ok(200);
    let merged = patch(json!({"a": {"b": null, "e": true}, "d": null}))
        .await
        .ok(200);
    assert_eq!(merged["attributes"], json!({"a": {"c": [1, 2], "e": true}}));
    let many: serde_json::Map<_, _> = (0..31).map(|n| (format!("k{n}"), json!(n))).collect();
    patch(json!(many)).await.ok(200);
    let long = "x".repeat(33);
    for refused in [
        json!({"k31": 1}),
        json!({"A": 1}),
        json!({"": 1}),
        json!({"a b": 1}),
        json!({(long): 1}),
        json!({"a": {"B": 1}}),
        json!({"a": {"b": {"c": {"d": 1}}}}),
        json!({"a": [[[1]]]}),
        json!({"a": "x".repeat(4_096)}),
        json!(["a"]),
        json!("a"),
        json!({"$serde_json::private::RawValue": "1"}),
    ] {
        let refusal = patch(refused.clone()).await.problem(400, "validation");
        assert_eq!(refusal["errors"][0]["pointer"], "/attributes", "{refused}");
    }
    // A change that is refused changes nothing.
    let refused = json!({"bio": "new", "attributes": {"A": 1}});
    ann.patch("/me", refused).await.problem(400, "validation");
    let own = ann.get("/me").await.ok(200);
    assert_eq!(
        (&own["bio"], own["attributes"].as_object().unwrap().len()),
        (&Value::Null, 32)
    );
    let three = json!({"a": {"b": {"c": 1}}});
    patch(Value::Null).await.ok(200);
    assert_eq!(patch(three.clone()).await.ok(200)["attributes"], three);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn profile_fields_are_validated() {
    let (app, [ann]) = App::with(["ann"]).await;
    for (change, pointer) in [
        (json!({"bio": ""}), "/bio"),
        (json!({"bio": "é".repeat(501)}), "/bio"),
        (json!({"bio": 1}), "/bio"),
        (json!({"avatar_url": "ftp://a.example/x"}), "/avatar_url"),
        (json!({"avatar_url": "javascript:alert(1)"}), "/avatar_url"),
        (json!({"avatar_url": "https://"}), "/avatar_url"),
        (
            json!({"avatar_url": format!("https://a.example/{}", "x".repeat(2_048))}),
            "/avatar_url",
        ),
        (json!({"rev": 9}), "/rev"),
        (json!({"username": null, "bio": "x"}), "/username"),
        (json!({"display_name": null}), "/display_name"),
        (json!({"read_receipts": null}), "/read_receipts"),
        (json!({"forward_name": null}), "/forward_name"),
        (json!({"status": null}), "/status"),
        (json!({}), ""),
    ] {
        let refusal = ann
            .patch("/me", change.clone())
            .await
            .problem(400, "validation");
        assert_eq!(refusal["errors"][0]["pointer"], pointer, "{change}");
    }
    let full = json!({"bio": "é".repeat(500)});
    ann.patch("/me", full).await.ok(200);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn status_ends_at_its_time() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ben.direct(&ann).await;
    let path = format!("/users/{}", ann.id);
    let until = tomorrow();
    let status =
        json!({"availability": "busy", "emoji": "🌴", "text": "On holiday", "until": until});
    let own = ann.put("/me/status", status).await.ok(200);
    assert_eq!(own["status"]["availability"], "busy");
    // Others see what it says, wherever they see the person.
    let said = json!({"emoji": "🌴", "text": "On holiday", "until": own["status"]["until"]});
    let members = ben
        .get(&format!("/conversations/{chat}/members"))
        .await
        .ok(200);
    let members = members["members"].as_array().unwrap();
    let member = members.iter().find(|one| one["user"]["id"] == ann.id);
    assert_eq!(ben.get(&path).await.ok(200)["status"], said);
    assert_eq!(
        ben.conversation(&chat).await.ok(200)["peer"]["status"],
        said
    );
    assert_eq!(member.unwrap()["user"]["status"], said);
    let rev = own["rev"].clone();
    assert_eq!(ben.get(&path).await.ok(200)["rev"], rev);

    // Only the availability: others see no status, and no new number.
    ann.call("DELETE", "/me/status").await.ok(204);
    let quiet = ben.get(&path).await.ok(200);
    let own = ann
        .put("/me/status", json!({"availability": "invisible"}))
        .await
        .ok(200);
    assert_eq!(own["status"]["availability"], "invisible");
    assert_eq!(ben.get(&path).await.ok(200), quiet);
    assert_eq!(own["rev"], quiet["rev"]);

    // A leap second is the next second, in the answer too.
    let leap = json!({"availability": "auto", "text": "x", "until": "2090-06-30T23:59:60Z"});
    let own = ann.put("/me/status", leap).await.ok(200);
    assert_eq!(own["status"]["until"], "2090-07-01T00:00:00.000Z");
    assert_eq!(ann.get("/me").await.ok(200), own);

    // Time passes.
    let status = json!({"availability": "away", "text": "back soon", "until": tomorrow()});
    ann.put("/me/status", status).await.ok(200);
    execute(
        &mut app.database(),
        "UPDATE users SET status_until = now() WHERE username = 'ann'",
    );
    assert_eq!(ben.get(&path).await.ok(200)["status"], Value::Null);
    assert_eq!(ann.get("/me").await.ok(200)["status"], Value::Null);
    let head = ann.head().await;
    ann.call("DELETE", "/me/status").await.ok(204);
    assert_eq!(ann.head().await, head);

    for (status, pointer) in [
        (json!({}), "/availability"),
        (json!({"availability": "sleeping"}), "/availability"),
        (json!({"availability": "auto", "emoji": ""}), "/emoji"),
        (
            json!({"availability": "auto", "text": "é".repeat(101)}),
            "/text",
        ),
        (json!({"availability": "auto", "text": "a\nb"}), "/text"),
        (
            json!({"availability": "auto", "text": "a", "until": "2026-01-01T00:00:00Z"}),
            "/until",
        ),
    ] {
        let refusal = ann
            .put("/me/status", status.clone())
            .await
            .problem(400, "validation");
        assert_eq!(refusal["errors"][0]["pointer"], pointer, "{status}");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_sent_only_if_they_have_changed() {
    let (app, [ann, ben, cat]) = App::with(["ann", "ben", "cat"]).await;
    ann.patch("/me", json!({"bio": "new"})).await.ok(200);
    let path = format!("/users?ids={}:1,{}:1,{},{}:7", ann.id, ben.id, cat.id, id());
    let list = ann.get(&path).await.ok(200);
    let mut ids: Vec<_> = list["users"]
        .as_array()
        .unwrap()
        .iter()
        .map(|user| user["id"].clone())
        .collect();
    ids.sort_by_key(Value::to_string);
    // The three were registered at the same time, in any order.
    let mut changed = [json!(ann.id), json!(cat.id)];
    changed.sort_by_key(Value::to_string);
    assert_eq!(ids, changed);
    assert_eq!(list["unchanged"], json!([ben.id]));
    for ids in [
        "x:1",
        &format!("{}:x", ann.id),
        &format!("{}:", ann.id),
        &format!("{}:1:2", ann.id),
        "",
    ] {
        ann.get(&format!("/users?ids={ids}"))
            .await
            .problem(400, "validation");
    }
    let many = vec![format!("{}:1", ann.id); 101].join(",");
    ann.get(&format!("/users?ids={many}"))
        .await
        .problem(400, "validation");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_devices_learn_of_changes_and_waits_wake() {
    let (app, [ann]) = App::with(["ann"]).await;
    let phone = ann.another_device(&app).await;
    ann.patch("/me", json!({"bio": "one"})).await.ok(200);
    let head = phone.head().await;
    let wait = tokio::spawn(async move { phone.wait(head, 20).await });
    app.asleep(0, 1).await;
    ann.put("/me/status", json!({"availability": "away"}))
        .await
        .ok(200);
    assert_eq!(wait.await.unwrap()["last_seq"], head + 1);
    assert_eq!(kinds(&ann, 0).await, ["me", "me"]);
    app.finish().await;
}
