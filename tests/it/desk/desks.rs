//! Desks as users, and who creates them.

use crate::support::{App, PASSWORD, id, online};
use serde_json::{Value, json};

fn named(username: &str, client_id: &str) -> Value {
    json!({"username": username, "display_name": "Acme support", "client_desk_id": client_id})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_creation_finds_the_first_desk() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let client_id = id();
    let made = ann.post("/desks", named("Acme", &client_id)).await.ok(201);
    assert_eq!(
        (&made["kind"], &made["username"], &made["display_name"]),
        (&json!("desk"), &json!("acme"), &json!("Acme support"))
    );
    let again = ann.post("/desks", named("acme", &client_id)).await.ok(200);
    assert_eq!(again, made);
    ann.post("/desks", named("acme2", &client_id))
        .await
        .problem(409, "conflict");
    // The id is the creator's own: that of another person is another desk, whose name is taken.
    for (who, client_id) in [(&ben, &client_id), (&ann, &id())] {
        who.post("/desks", named("acme", client_id))
            .await
            .problem(409, "conflict");
    }
    let racing = id();
    let bodies = || ann.post("/desks", named("raced", &racing));
    let (one, two) = tokio::join!(bodies(), bodies());
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!((statuses, &one.body), ([200, 201], &two.body));
    let served = ann.get("/me/desks").await.ok(200);
    let names: Vec<_> = served["desks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["desk"]["username"])
        .collect();
    assert_eq!(names, ["acme", "raced"]);
    assert_eq!(served["desks"][0]["seat"]["role"], "admin");
    assert_eq!(ben.get("/me/desks").await.ok(200), json!({"desks": []}));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_desk_is_a_user_for_whom_nobody_logs_in() {
    let app = online::start().await;
    let [ann, ben, cat] = app.people(["ann", "ben", "cat"]).await;
    let desk = ann.desk().await;
    let user = ben.get(&format!("/users/{desk}")).await.ok(200);
    assert_eq!(user["kind"], "desk");
    assert_eq!(ben.get("/me").await.ok(200)["kind"], "person");
    for password in ["!", "", PASSWORD] {
        let login = json!({"username": user["username"], "password": password});
        let status = ann.post("/auth/login", login).await.status;
        assert!([400, 401].contains(&status), "{status}");
    }
    let direct = json!({"kind": "direct", "user_id": desk});
    let refused = ben.post("/conversations", direct).await;
    assert_eq!(
        refused.problem(400, "validation")["errors"][0]["pointer"],
        "/user_id"
    );
    let group = json!({"kind": "group", "title": "Friday", "member_ids": [desk, cat.id]});
    let group = ben.post("/conversations", group).await.ok(201);
    assert_eq!(
        (&group["refused"], &group["member_count"]),
        (&json!([desk]), &json!(2))
    );
    ben.put(&format!("/me/contact-requests/{desk}"), json!({}))
        .await
        .problem(403, "not_accepted");
    ben.put(
        &format!("/desks/{}/agents/{desk}", ben.desk().await),
        seat(),
    )
    .await
    .problem(403, "not_accepted");
    let presence = &online::presences(&ben, &[&desk]).await[0];
    assert_eq!(presence["state"], "unknown");
    app.finish().await;
}

fn seat() -> Value {
    json!({"role": "agent", "skills": [], "capacity": 1})
}

#[tokio::test(flavor = "multi_thread")]
async fn customers_see_what_an_admin_changes() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let desk = ann.desk().await;
    let path = format!("/desks/{desk}");
    let change = json!({"display_name": "Acme", "avatar_url": "https://files.example/acme.png"});
    let changed = ann.patch(&path, change.clone()).await.ok(200);
    assert_eq!(
        ben.get(&format!("/users/{desk}")).await.ok(200)["display_name"],
        "Acme"
    );
    assert_eq!(changed["rev"], 2);
    assert_eq!(ann.patch(&path, change).await.ok(200), changed);
    let removed = ann.patch(&path, json!({"avatar_url": null})).await.ok(200);
    assert_eq!(
        (&removed["avatar_url"], &removed["display_name"]),
        (&Value::Null, &json!("Acme"))
    );
    for wrong in [
        json!({}),
        json!({"avatar_url": "/v1/me"}),
        json!({"display_name": null}),
    ] {
        ann.patch(&path, wrong).await.problem(400, "validation");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn skills_are_only_added_at_the_end() {
    let (app, [ann]) = App::with(["ann"]).await;
    let desk = ann.desk().await;
    let path = format!("/desks/{desk}/skills");
    let put = async |names: Value| ann.put(&path, json!({"skills": names})).await;
    put(json!(["returns", "sales", "chinese"])).await.ok(200);
    for wrong in [
        json!(["sales", "returns", "chinese"]),
        json!(["returns", "sales"]),
        json!([]),
        json!(["returns", "sales", "chinese", "sales"]),
    ] {
        put(wrong).await.problem(400, "validation");
    }
    let many: Vec<_> = (3..65).map(|n| format!("skill {n}")).collect();
    let names = |count: usize| {
        [
            vec![
                "returns".to_owned(),
                "sales".to_owned(),
                "chinese".to_owned(),
            ],
            many[..count].to_vec(),
        ]
        .concat()
    };
    put(json!(names(62))).await.problem(400, "validation");
    put(json!(names(61))).await.ok(200);
    // The last one is the highest bit.
    let seat = json!({"role": "admin", "skills": ["skill 63", "returns"], "capacity": 1});
    let seat = ann
        .put(&format!("/desks/{desk}/agents/{}", ann.id), seat)
        .await
        .ok(200);
    assert_eq!(seat["skills"], json!(["returns", "skill 63"]));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_server_has_the_desks_of_its_operator() {
    let app = App::configured(|config| config.desks_open = false).await;
    let [ann] = app.people(["ann"]).await;
    ann.post("/desks", named("acme", &id()))
        .await
        .problem(403, "forbidden");
    let create = |admin: &str| {
        app.admin(&[
            "create-desk",
            "--username",
            "acme",
            "--display-name",
            "Acme",
            "--admin",
            admin,
        ])
    };
    let printed = create("ann");
    assert!(printed.status.success(), "{printed:?}");
    let line: Value = serde_json::from_slice(&printed.stdout).unwrap();
    let served = ann.get("/me/desks").await.ok(200);
    assert_eq!(
        (
            &served["desks"][0]["desk"]["id"],
            &served["desks"][0]["seat"]["role"]
        ),
        (&line["desk_id"], &json!("admin"))
    );
    let [ben] = app.people(["ben"]).await;
    let password = json!({"password": PASSWORD});
    ben.post("/me/deactivate", password).await.ok(204);
    // A name that is taken, nobody, a desk, and an account that is not in use.
    let again = |admin: &str| app.admin(&["create-desk", "--username", "acme2", "--admin", admin]);
    assert!(!create("ann").status.success());
    for admin in ["nobody", "acme", "ben"] {
        assert!(!again(admin).status.success(), "{admin}");
    }
    assert!(again("ann").status.success());
    app.finish().await;
}
