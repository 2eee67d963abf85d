//! Changes of usernames: how often, what becomes of the former name, and who may take it.

use crate::support::{Answer, App, PASSWORD, Person, execute, number};
use futures_util::future::join_all;
use serde_json::json;
use tideline::domain::operations::account_erasure;

async fn rename(person: &Person, name: &str) -> Answer {
    person.patch("/me", json!({"username": name})).await
}

async fn login(app: &App, name: &str) -> Answer {
    let body = json!({"username": name, "password": PASSWORD});
    app.call("POST", "/v1/auth/login", Some(body)).await
}

async fn register(app: &App, name: &str) -> Answer {
    let body = json!({"username": name, "password": PASSWORD});
    app.call("POST", "/v1/auth/register", Some(body)).await
}

/// The ids of the user with a name.
async fn found(by: &Person, name: &str) -> Vec<String> {
    let users = by.get(&format!("/users?username={name}")).await.ok(200);
    let users = users["users"].as_array().unwrap().iter();
    users
        .map(|user| user["id"].as_str().unwrap().to_owned())
        .collect()
}

/// As if that many days had passed.
fn days_pass(app: &App, days: i32) {
    let days = format!("interval '{days} days'");
    execute(
        &mut app.database(),
        &format!(
            "UPDATE users SET renamed_at = renamed_at - {days};
             UPDATE usernames SET reserved_until = reserved_until - {days}"
        ),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn former_name_finds_nobody_and_is_kept_for_its_owner() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let renamed = ann
        .patch(
            "/me",
            json!({"username": "Anna", "display_name": "Anna A."}),
        )
        .await
        .ok(200);
    assert_eq!(
        (&renamed["username"], &renamed["display_name"]),
        (&json!("anna"), &json!("Anna A."))
    );
    // A repeat changes nothing, and is no second change.
    assert_eq!(rename(&ann, "anna").await.ok(200), renamed);
    assert_eq!(found(&ben, "ann").await, [""; 0]);
    assert_eq!(found(&ben, "anna").await, [ann.id.as_str()]);
    let peer = ben.conversation(&chat).await.ok(200)["peer"].clone();
    assert_eq!(peer["username"], "anna");
    login(&app, "anna").await.ok(200);
    login(&app, "ann").await.problem(401, "invalid_credentials");

    // Nobody else gets the former name, for thirty days.
    register(&app, "ann").await.problem(409, "conflict");
    rename(&ben, "ann").await.problem(409, "conflict");
    days_pass(&app, 29);
    register(&app, "ANN").await.problem(409, "conflict");
    // A refused change has reserved nothing.
    assert_eq!(found(&ann, "ben").await, [ben.id.as_str()]);
    rename(&ben, "benno").await.ok(200);
    days_pass(&app, 2);
    register(&app, "ann").await.ok(201);
    rename(&ann, "ann").await.problem(409, "conflict");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn username_changes_once_in_14_days_and_former_names_come_back_at_any_time() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    rename(&ann, "ben").await.problem(409, "conflict");
    rename(&ann, "anna").await.ok(200);
    rename(&ann, "annette").await.problem(409, "limit_reached");
    // Other changes of the same request are refused with it.
    let both = json!({"username": "annette", "display_name": "X"});
    ann.patch("/me", both).await.problem(409, "limit_reached");
    assert_eq!(ann.get("/me").await.ok(200)["display_name"], "ann");
    for name in ["ann", "anna", "ann"] {
        rename(&ann, name).await.ok(200);
        assert_eq!(found(&ben, name).await, [ann.id.as_str()]);
    }
    // Both names are of one person, and only of that person.
    rename(&ben, "anna").await.problem(409, "conflict");
    rename(&ann, "annette").await.problem(409, "limit_reached");
    days_pass(&app, 15);
    rename(&ann, "annette").await.ok(200);
    for name in ["ann", "anna"] {
        rename(&ben, name).await.problem(409, "conflict");
        rename(&ann, name).await.ok(200);
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_deleted_accounts_are_nobodys() {
    let (app, [ann]) = App::with(["ann"]).await;
    for name in ["deleted-0123456789ab", "Deleted-x", "deleted-"] {
        let refused = register(&app, name).await.problem(400, "validation");
        assert_eq!(refused["errors"][0]["pointer"], "/username");
        rename(&ann, name).await.problem(400, "validation");
        login(&app, name).await.problem(401, "invalid_credentials");
        let made = app.admin(&["create-user", "--username", name]);
        assert_eq!(made.status.code(), Some(1), "{made:?}");
    }
    for name in ["ab", "an n", "", "änn"] {
        rename(&ann, name).await.problem(400, "validation");
    }
    register(&app, "deleted").await.ok(201);
    rename(&ann, "undeleted-ann").await.ok(200);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_changes_give_a_name_to_one_user() {
    let mut app = App::start().await;
    app.add_node().await;
    let second = format!("http://{}", app.nodes[1].address);
    let people = app.people(["ann", "ben", "cat", "dan"]).await;
    let racing = people.iter().enumerate().map(|(n, one)| {
        let one = match n % 2 {
            0 => one.clone(),
            _ => one.at(&second),
        };
        async move { rename(&one, "wanted").await }
    });
    let (answers, registered) = tokio::join!(join_all(racing), register(&app, "wanted"));
    let mut statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    statuses.push(registered.status);
    statuses.sort_unstable();
    assert!([200, 201].contains(&statuses[0]), "{statuses:?}");
    assert_eq!(statuses[1..], [409; 4]);

    // The same change twice, at the same time: one change.
    let [eve] = app.people(["eve"]).await;
    let (one, two) = (eve.at(&second), eve.clone());
    let twice = tokio::join!(rename(&one, "evelyn"), rename(&two, "evelyn"));
    assert_eq!((twice.0.status, twice.1.status), (200, 200));
    // Two people want each other's names.
    let [fay, gus] = app.people(["fay", "gus"]).await;
    let swap = tokio::join!(rename(&fay, "gus"), rename(&gus, "fay"));
    assert_eq!((swap.0.status, swap.1.status), (409, 409));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reservations_are_deleted_at_their_end() {
    let (app, [ann, _ben]) = App::with(["ann", "ben"]).await;
    rename(&ann, "anna").await.ok(200);
    let names = "SELECT count(*) AS n FROM usernames";
    let delivery = &app.nodes[0].handles.delivery;
    account_erasure::erase_due(delivery).await;
    assert_eq!(number(&mut app.database(), names), 3);
    days_pass(&app, 31);
    account_erasure::erase_due(delivery).await;
    assert_eq!(number(&mut app.database(), names), 2);
    app.finish().await;
}
