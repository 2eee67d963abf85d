//! Privacy settings, and what they stop.

use crate::support::{App, Person, execute, id};
use serde_json::{Value, json};
use tideline::model::wire::people::privacy::Audience;

async fn set(person: &Person, change: Value) -> Value {
    person.patch("/me/privacy", change).await.ok(200)
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_show_what_holds() {
    let app = App::configured(|config| config.privacy.direct = Audience::Nobody).await;
    let [ann] = app.people(["ann"]).await;
    let before = ann.get("/me/privacy").await.ok(200);
    assert_eq!(
        before,
        json!({"presence": null, "last_seen": null, "direct": null, "group_add": null, "contact_request": null,
            "contacts_visible": null, "discoverable": null, "read_receipts": true, "forward_name": true,
            "effective": {"presence": "everyone", "last_seen": "contacts", "direct": "nobody", "group_add": "everyone",
                "contact_request": "everyone", "contacts_visible": "contacts", "discoverable": true}})
    );
    let after = set(
        &ann,
        json!({"direct": "contacts", "discoverable": false, "read_receipts": false}),
    )
    .await;
    assert_eq!(
        (
            &after["direct"],
            &after["effective"]["direct"],
            &after["effective"]["discoverable"]
        ),
        (&json!("contacts"), &json!("contacts"), &json!(false))
    );
    assert_eq!(ann.get("/me/privacy").await.ok(200), after);
    assert_eq!(ann.get("/me").await.ok(200)["read_receipts"], false);
    assert_eq!(
        (ann.head().await, ann.entries(0).await[0]["kind"].clone()),
        (1, json!("me"))
    );
    set(&ann, json!({"direct": "contacts"})).await;
    assert_eq!(ann.head().await, 1);
    let reset = set(
        &ann,
        json!({"direct": null, "discoverable": null, "read_receipts": true}),
    )
    .await;
    assert_eq!(reset, before);
    for change in [
        json!({}),
        json!({"direct": "friends"}),
        json!({"direct": true}),
        json!({"discoverable": "everyone"}),
        json!({"read_receipts": null}),
        json!({"effective": {}}),
    ] {
        ann.patch("/me/privacy", change)
            .await
            .problem(400, "validation");
    }
    app.finish().await;
}

/// Every audience, for a stranger, a person on the user's list, a person who has the user on their list, and with blocks in both
/// directions.
#[tokio::test(flavor = "multi_thread")]
async fn audience_decides_who_may_start_something() {
    let app = App::start().await;
    let [ann, owner] = app.people(["ann", "owner"]).await;
    let group = owner.group(&[]).await;
    let mut number = 0;
    for audience in ["everyone", "contacts", "nobody"] {
        let change =
            json!({"direct": audience, "group_add": audience, "contact_request": audience});
        set(&ann, change).await;
        for relation in ["stranger", "on_list", "lists"] {
            for block in ["none", "by_ann", "by_other"] {
                number += 1;
                let name = format!("other{number}");
                let [other] = app.people([name.as_str()]).await;
                owner.add(&group, &[&other]).await.ok(200);
                owner
                    .change(&group, &other, json!({"role": "admin"}))
                    .await
                    .ok(200);
                match relation {
                    "on_list" => ann
                        .put(&format!("/me/contacts/{}", other.id), json!({}))
                        .await
                        .ok(200),
                    "lists" => other
                        .put(&format!("/me/contacts/{}", ann.id), json!({}))
                        .await
                        .ok(200),
                    _ => Value::Null,
                };
                match block {
                    "by_ann" => ann.block(&other).await.ok(204),
                    "by_other" => other.block(&ann).await.ok(204),
                    _ => Value::Null,
                };
                let allowed =
                    audience == "everyone" || audience == "contacts" && relation == "on_list";
                let which = format!("{audience}, {relation}, block {block}");
                let expected = match (block, allowed) {
                    ("none", true) => "",
                    ("none", false) => "not_accepted",
                    _ => "blocked",
                };
                let add = other.add(&group, &[&ann]).await;
                let added = add.status == 200;
                assert_eq!(code(&add.body), expected, "{which}: add");
                if added {
                    owner.remove(&group, &ann).await.ok(204);
                }
                let make = json!({"kind": "group", "title": "x", "member_ids": [ann.id, owner.id]});
                let made = other.post("/conversations", make).await.ok(201);
                let refused = if expected.is_empty() {
                    json!([])
                } else {
                    json!([ann.id])
                };
                assert_eq!(made["refused"], refused, "{which}: group");
                let alone = json!({"kind": "group", "title": "x", "member_ids": [ann.id]});
                let alone = other.post("/conversations", alone).await;
                assert_eq!(code(&alone.body), expected, "{which}: group of two");
                let direct = json!({"kind": "direct", "user_id": ann.id});
                let direct = other.post("/conversations", direct).await;
                assert_eq!(code(&direct.body), expected, "{which}: direct");
                // A request does not show a block by the person who was asked.
                let expected = match (block, allowed) {
                    ("by_other", _) => "blocked",
                    (_, true) => "",
                    (_, false) => "not_accepted",
                };
                let ask = other
                    .put(&format!("/me/contact-requests/{}", ann.id), json!({}))
                    .await;
                assert_eq!(code(&ask.body), expected, "{which}: request");
            }
        }
    }
    app.finish().await;
}

fn code(body: &Value) -> &str {
    body["code"].as_str().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn existing_conversations_are_not_affected() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ben.direct(&ann).await;
    set(&ann, json!({"direct": "nobody", "group_add": "nobody"})).await;
    assert_eq!(ben.direct(&ann).await, chat);
    ben.send(&chat, "hi").await;
    // Who joins a public channel is not added by anybody.
    let channel = json!({"kind": "channel", "title": "News", "public": true});
    let channel = ben.post("/conversations", channel).await.ok(201);
    ann.add(channel["id"].as_str().unwrap(), &[&ann])
        .await
        .ok(200);
    app.finish().await;
}

/// The count of friends in common is that of an unknown person, byte for byte, unless the person shows it.
#[tokio::test(flavor = "multi_thread")]
async fn friends_in_common_are_counted_for_the_audience() {
    let (app, [ann, ben, cat, dan]) = App::with(["ann", "ben", "cat", "dan"]).await;
    for (one, other) in [(&ann, &cat), (&ben, &cat), (&ann, &dan), (&ben, &dan)] {
        befriend(one, other).await;
    }
    let count = async |who: &str| {
        ben.get(&format!("/users/{who}/mutual-contacts/count"))
            .await
            .ok(200)
            .to_string()
    };
    let unknown = count(&id()).await;
    assert_eq!(unknown, json!({"count": 0, "capped": false}).to_string());
    for audience in ["everyone", "contacts", "nobody"] {
        set(&ann, json!({"contacts_visible": audience})).await;
        for on_list in [false, true] {
            let path = format!("/me/contacts/{}", ben.id);
            match on_list {
                true => ann.put(&path, json!({})).await.ok(200),
                false => ann.call("DELETE", &path).await.ok(204),
            };
            let shown = audience == "everyone" || audience == "contacts" && on_list;
            let expected = if shown {
                json!({"count": 2, "capped": false}).to_string()
            } else {
                unknown.clone()
            };
            assert_eq!(
                count(&ann.id).await,
                expected,
                "{audience}, on the list: {on_list}"
            );
            // A request from ann shows ben the count, unless she shows it to nobody.
            let request = format!("/me/contact-requests/{}", ben.id);
            ann.put(&request, json!({})).await.ok(201);
            let page = ben.get("/me/contact-requests?direction=in").await.ok(200);
            let mutual = &page["requests"][0]["mutual_count"];
            assert_eq!(
                *mutual,
                if audience == "nobody" { 0 } else { 2 },
                "{audience}"
            );
            ann.call("DELETE", &request).await.ok(204);
            execute(&mut app.database(), "DELETE FROM contact_requests");
            ann.block(&ben).await.ok(204);
            assert_eq!(count(&ann.id).await, unknown);
            ann.call("DELETE", &format!("/me/blocks/{}", ben.id))
                .await
                .ok(204);
        }
    }
    app.finish().await;
}

async fn befriend(one: &Person, other: &Person) {
    one.put(&format!("/me/contact-requests/{}", other.id), json!({}))
        .await
        .ok(201);
    let path = format!("/me/contact-requests/{}/accept", one.id);
    other.post(&path, json!({})).await.ok(200);
}
