//! Who serves a desk, and who decides it.

use crate::support::{App, PASSWORD, Person, id, number, online};
use serde_json::{Value, json};

fn seat(role: &str) -> Value {
    json!({"role": role, "skills": ["sales"], "capacity": 3, "alias": "Agent A"})
}

async fn give(admin: &Person, desk: &str, to: &Person, role: &str) -> Value {
    let path = format!("/desks/{desk}/agents/{}", to.id);
    admin.put(&path, seat(role)).await.ok(200)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_desk_exists_for_its_staff_only() {
    let (app, [ann, ben, cat]) = App::with(["ann", "ben", "cat"]).await;
    let desk = ann.desk().await;
    give(&ann, &desk, &ben, "admin").await;
    let own = format!("/desks/{desk}/agents/{}", ben.id);
    ann.call("DELETE", &own).await.ok(204);
    let unknown = id();
    for who in [&ben, &cat] {
        for at in [&desk, &unknown, &ann.id] {
            let agent = format!("/desks/{at}/agents/{}", cat.id);
            for answer in [
                who.get(&format!("/desks/{at}/agents")).await,
                who.get(&format!("/desks/{at}/skills")).await,
                who.put(&format!("/desks/{at}/skills"), json!({"skills": []}))
                    .await,
                who.put(&agent, seat("agent")).await,
                who.patch(&agent, json!({"capacity": 1})).await,
                who.call("DELETE", &agent).await,
                who.put(&format!("/desks/{at}/me"), json!({"available": true}))
                    .await,
                who.patch(&format!("/desks/{at}"), json!({"display_name": "Mine"}))
                    .await,
            ] {
                answer.problem(404, "not_found");
            }
        }
    }
    // A seat that is given again goes on with its number, and takes no cases.
    let again = give(&ann, &desk, &ben, "agent").await;
    assert_eq!(
        (&again["version"], &again["available"]),
        (&json!(3), &json!(false))
    );
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_does_what_those_before_it_do_and_more() {
    let (app, [ann, ben, cat, dan]) = App::with(["ann", "ben", "cat", "dan"]).await;
    let desk = ann.desk().await;
    let first = give(&ann, &desk, &ben, "supervisor").await;
    assert_eq!(
        first,
        json!({"desk_id": desk, "user": first["user"], "role": "supervisor", "alias": "Agent A", "skills": ["sales"],
            "capacity": 3, "load": 0, "available": false, "why": null, "presence": "unknown", "missed": 0,
            "given_at": first["given_at"], "version": 1})
    );
    give(&ann, &desk, &cat, "agent").await;
    let at = |who: &Person| format!("/desks/{desk}/agents/{}", who.id);
    for (who, supervises) in [(&ben, true), (&cat, false)] {
        assert_eq!(
            who.get(&format!("/desks/{desk}/agents")).await.ok(200)["agents"]
                .as_array()
                .unwrap()
                .len(),
            3
        );
        for answer in [
            who.put(&at(&dan), seat("agent")).await,
            who.put(&at(who), seat("admin")).await,
            who.call("DELETE", &at(&ann)).await,
            who.put(
                &format!("/desks/{desk}/skills"),
                json!({"skills": ["returns", "sales", "more"]}),
            )
            .await,
            who.patch(&format!("/desks/{desk}"), json!({"display_name": "Mine"}))
                .await,
        ] {
            answer.problem(403, "forbidden");
        }
        let changed = who
            .patch(&at(&cat), json!({"capacity": 5, "skills": ["returns"]}))
            .await;
        match supervises {
            true => {
                let changed = changed.ok(200);
                assert_eq!(
                    (
                        &changed["capacity"],
                        &changed["skills"],
                        &changed["alias"],
                        &changed["version"]
                    ),
                    (&json!(5), &json!(["returns"]), &json!("Agent A"), &json!(2))
                );
            }
            false => drop(changed.problem(403, "forbidden")),
        }
    }
    for wrong in [
        json!({"role": "owner", "skills": [], "capacity": 1}),
        json!({"role": "agent", "skills": ["flying"], "capacity": 1}),
        json!({"role": "agent", "skills": [], "capacity": 0}),
        json!({"role": "agent", "skills": [], "capacity": 101}),
    ] {
        ann.put(&at(&dan), wrong).await.problem(400, "validation");
    }
    ben.patch(&at(&cat), json!({}))
        .await
        .problem(400, "validation");
    ben.patch(&at(&dan), json!({"capacity": 1}))
        .await
        .problem(404, "not_found");
    ann.put(&format!("/desks/{desk}/agents/{}", id()), seat("agent"))
        .await
        .problem(404, "not_found");
    // An agent gives up the own seat.
    cat.call("DELETE", &at(&cat)).await.ok(204);
    cat.get(&format!("/desks/{desk}/agents"))
        .await
        .problem(404, "not_found");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_a_seat_from_somebody_whom_they_refuse() {
    let (app, [ann, ben, cat]) = App::with(["ann", "ben", "cat"]).await;
    let desk = ann.desk().await;
    ben.patch("/me/privacy", json!({"group_add": "contacts"}))
        .await
        .ok(200);
    cat.block(&ann).await.ok(204);
    let at = |who: &Person| format!("/desks/{desk}/agents/{}", who.id);
    ann.put(&at(&ben), seat("agent"))
        .await
        .problem(403, "not_accepted");
    ann.put(&at(&cat), seat("agent"))
        .await
        .problem(403, "blocked");
    ben.put(&format!("/me/contacts/{}", ann.id), json!({}))
        .await
        .ok(200);
    ann.put(&at(&ben), seat("agent")).await.ok(200);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_desk_keeps_an_admin_when_admins_remove_each_other() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let desk = ann.desk().await;
    let at = |who: &Person| format!("/desks/{desk}/agents/{}", who.id);
    ann.call("DELETE", &at(&ann)).await.problem(409, "conflict");
    ann.put(&at(&ann), seat("agent"))
        .await
        .problem(409, "conflict");
    let (mut admin, mut other) = (&ann, &ben);
    for round in 0..20 {
        give(admin, &desk, other, "admin").await;
        let removes = async |who: &Person, whom: &Person| match round % 2 {
            0 => who.call("DELETE", &at(whom)).await.status,
            _ => who.put(&at(who), seat("agent")).await.status,
        };
        let statuses = tokio::join!(removes(admin, other), removes(other, admin));
        let succeeded = |status: u16| u8::from(status < 300);
        assert_eq!(
            succeeded(statuses.0) + succeeded(statuses.1),
            1,
            "{statuses:?}"
        );
        if (admin.get("/me/desks").await.ok(200)["desks"][0]["seat"]["role"]) != "admin" {
            (admin, other) = (other, admin);
        }
        assert_eq!(
            admin.get("/me/desks").await.ok(200)["desks"][0]["seat"]["role"],
            "admin"
        );
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_own_call_makes_available_and_shows_the_presence() {
    let app = online::start().await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let desk = ann.desk().await;
    give(&ann, &desk, &ben, "agent").await;
    let stays = online::stay(&ben, "");
    online::shows(&ann, &ben, "online").await;
    let at = format!("/desks/{desk}/agents/{}", ben.id);
    let seen = async || {
        let seats = ann.get(&format!("/desks/{desk}/agents")).await.ok(200);
        let seats = seats["agents"].as_array().unwrap().clone();
        seats
            .into_iter()
            .find(|one| one["user"]["id"] == ben.id)
            .unwrap()
    };
    assert_eq!(seen().await["presence"], "unknown");
    ann.patch(&at, json!({"available": true}))
        .await
        .problem(400, "validation");
    let me = format!("/desks/{desk}/me");
    let own = ben.put(&me, json!({"available": true})).await.ok(200);
    assert_eq!(
        (&own["available"], &own["presence"], &own["version"]),
        (&json!(true), &json!("online"), &json!(2))
    );
    assert_eq!(seen().await, own);
    assert_eq!(ben.put(&me, json!({"available": true})).await.ok(200), own);
    ben.put(&me, json!({"available": true, "why": "lunch"}))
        .await
        .problem(400, "validation");
    let ended = ann.patch(&at, json!({"available": false})).await.ok(200);
    assert_eq!(
        (&ended["available"], &ended["why"], &ended["presence"]),
        (&json!(false), &json!("supervisor"), &json!("unknown"))
    );
    let lunch = ben
        .put(&me, json!({"available": false, "why": "lunch"}))
        .await
        .ok(200);
    assert_eq!(
        (&lunch["why"], &lunch["version"]),
        (&json!("lunch"), &json!(4))
    );
    // Who loses the seat while available takes no cases with the next one.
    ben.put(&me, json!({"available": true})).await.ok(200);
    ann.call("DELETE", &at).await.ok(204);
    assert_eq!(give(&ann, &desk, &ben, "agent").await["available"], false);
    stays.abort();
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seats_end_with_the_account_but_for_that_of_the_last_admin() {
    let (app, [ann, ben, cat]) = App::with(["ann", "ben", "cat"]).await;
    let (desk, other) = (ann.desk().await, cat.desk().await);
    give(&ann, &desk, &ben, "agent").await;
    give(&cat, &other, &ben, "admin").await;
    let password = json!({"password": PASSWORD});
    for path in ["/me/deactivate", "/me"] {
        let method = if path == "/me" { "DELETE" } else { "POST" };
        let answer = ann.send_bytes(method, path, password.to_string()).await;
        answer.problem(409, "conflict");
    }
    // Nothing of the refused end has happened.
    ann.get(&format!("/desks/{desk}/agents")).await.ok(200);
    ben.post("/me/deactivate", password.clone()).await.ok(204);
    let mut conn = app.database();
    let names =
        "SELECT count(*) AS n FROM seats WHERE removed_at IS NOT NULL AND alias IS NOT NULL";
    assert_eq!(number(&mut conn, names), 0);
    for (admin, desk) in [(&ann, &desk), (&cat, &other)] {
        let seats = admin.get(&format!("/desks/{desk}/agents")).await.ok(200);
        assert_eq!(seats["agents"].as_array().unwrap().len(), 1);
        let path = format!("/desks/{desk}/agents/{}", ben.id);
        admin
            .put(&path, seat("agent"))
            .await
            .problem(403, "not_accepted");
    }
    let login = json!({"username": "ben", "password": PASSWORD});
    ann.post("/auth/login", login).await.ok(200);
    give(&ann, &desk, &ben, "admin").await;
    ann.post("/me/deactivate", password).await.ok(204);
    app.finish().await;
}

/// Of an account that ends while it becomes the only other admin: either it has no seat, or it does not end.
#[tokio::test(flavor = "multi_thread")]
async fn a_seat_is_not_given_to_an_account_that_ends() {
    let (app, [ann]) = App::with(["ann"]).await;
    let desk = ann.desk().await;
    for round in 0..20 {
        let name = format!("ben{round}");
        let [ben] = app.people([name.as_str()]).await;
        let path = format!("/desks/{desk}/agents/{}", ben.id);
        let end = ben.post("/me/deactivate", json!({"password": PASSWORD}));
        let (given, ended) = tokio::join!(ann.put(&path, seat("agent")), end);
        assert!([200, 403].contains(&given.status), "{}", given.body);
        ended.ok(204);
        let seats = ann.get(&format!("/desks/{desk}/agents")).await.ok(200);
        assert_eq!(seats["agents"].as_array().unwrap().len(), 1, "{round}");
    }
    app.finish().await;
}
