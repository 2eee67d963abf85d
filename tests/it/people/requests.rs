//! Requests to become friends.

use crate::support::{App, Person, execute, id};
use futures_util::future::{join, join_all};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

fn request(person: &Person) -> String {
    format!("/me/contact-requests/{}", person.id)
}

async fn ask(from: &Person, to: &Person) -> crate::support::Answer {
    from.put(&request(to), json!({})).await
}

async fn accept(who: &Person, from: &Person) -> crate::support::Answer {
    who.post(&format!("{}/accept", request(from)), json!({}))
        .await
}

async fn decline(who: &Person, from: &Person) {
    let path = format!("{}/decline", request(from));
    who.post(&path, json!({})).await;
    who.call("POST", &path).await.ok(204);
}

/// The requests of a person in a direction: the other and the state.
async fn list(who: &Person, direction: &str) -> Vec<(String, String)> {
    let page = who
        .get(&format!("/me/contact-requests?direction={direction}"))
        .await
        .ok(200);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let requests = page["requests"].as_array().unwrap().iter();
    requests
        .map(|one| (text(&one["user"]["id"]), text(&one["state"])))
        .collect()
}

/// The kinds of the entries, those of contacts and requests with whether there is one.
async fn entries(who: &Person, since: i64) -> Vec<String> {
    let entries = who.entries(since).await.into_iter();
    let kind = |entry: Value| entry["kind"].as_str().unwrap().to_owned();
    entries.map(kind).collect()
}

async fn state(who: &Person, other: &Person) -> Value {
    let contact = who.get(&format!("/me/contacts/{}", other.id)).await;
    contact.body["state"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn request_is_accepted() {
    let (app, [ann, ben, cat]) = App::with(["ann", "ben", "cat"]).await;
    for (one, other) in [(&ann, &cat), (&cat, &ben)] {
        ask(one, other).await.ok(201);
        accept(other, one).await.ok(200);
    }
    let (ann_head, ben_head) = (ann.head().await, ben.head().await);
    let asked = ann
        .put(&request(&ben), json!({"message": "We met"}))
        .await
        .ok(201);
    assert_eq!(
        (
            &asked["direction"],
            &asked["state"],
            &asked["message"],
            &asked["mutual_count"]
        ),
        (
            &json!("out"),
            &json!("pending"),
            &json!("We met"),
            &Value::Null
        )
    );
    let entry = ben.entries(ben_head).await.remove(0);
    let incoming = &entry["request"];
    assert_eq!(
        (
            &entry["kind"],
            &entry["user_id"],
            &incoming["direction"],
            &incoming["mutual_count"],
            &incoming["message"]
        ),
        (
            &json!("contact_request"),
            &json!(ann.id),
            &json!("in"),
            &json!(1),
            &json!("We met")
        )
    );
    // A repeat is the same request.
    let again = ask(&ann, &ben).await;
    assert_eq!(
        (again.header("idempotent-replayed"), &again.body),
        ("true", &asked)
    );
    assert_eq!(
        list(&ben, "in").await,
        [(ann.id.clone(), "pending".to_owned())]
    );
    assert_eq!(
        list(&ann, "out").await,
        [(ben.id.clone(), "pending".to_owned())]
    );
    let path = format!("{}/accept", request(&ann));
    let notes = json!({"alias": "Annie", "tags": ["sails"]});
    let contact = ben.post(&path, notes).await.ok(200);
    assert_eq!(
        (&contact["state"], &contact["alias"]),
        (&json!("friend"), &json!("Annie"))
    );
    assert!(contact["friends_since"].is_string());
    assert_eq!(ben.post(&path, json!({})).await.ok(200), contact);
    assert_eq!(state(&ann, &ben).await, "friend");
    // Each has one entry of the friendship, and no request is left.
    assert_eq!(
        entries(&ann, ann_head).await,
        ["contact_request", "contact"]
    );
    assert_eq!(
        entries(&ben, ben_head).await,
        ["contact_request", "contact"]
    );
    for (who, direction) in [(&ann, "out"), (&ben, "in")] {
        assert_eq!(list(who, direction).await, []);
    }
    let friends = ask(&ann, &ben).await.ok(200);
    assert_eq!(friends["state"], "accepted");
    // A repeat notes what it says.
    let head = ben.head().await;
    let noted = ben.post(&path, json!({"alias": "Anna"})).await.ok(200);
    assert_eq!(
        (&noted["alias"], &noted["tags"], ben.head().await),
        (&json!("Anna"), &contact["tags"], head + 1)
    );

    // The end of the friendship leaves a contact on the other side. A new request is possible immediately.
    ann.call("DELETE", &format!("/me/contacts/{}", ben.id))
        .await
        .ok(204);
    assert_eq!(
        (state(&ann, &ben).await, state(&ben, &ann).await),
        (Value::Null, json!("contact"))
    );
    ask(&ann, &ben).await.ok(201);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn decline_is_silent_and_cancel_is_not() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    ask(&ann, &ben).await.ok(201);
    let before = (
        ann.get("/me/contact-requests?direction=out").await.ok(200),
        ann.head().await,
    );
    decline(&ben, &ann).await;
    accept(&ben, &ann).await.problem(404, "not_found");
    assert_eq!(list(&ben, "in").await, []);
    let after = (
        ann.get("/me/contact-requests?direction=out").await.ok(200),
        ann.head().await,
    );
    assert_eq!(before, after);
    assert_eq!(ask(&ann, &ben).await.header("idempotent-replayed"), "true");
    // Of the decline only own devices have an entry.
    assert_eq!(
        entries(&ben, 0).await,
        ["contact_request", "contact_request"]
    );

    // The request still shows as pending to ann, so ben's request makes friends.
    assert_eq!(ask(&ben, &ann).await.ok(200)["state"], "accepted");
    ben.call("DELETE", &format!("/me/contacts/{}", ann.id))
        .await
        .ok(204);
    ann.call("DELETE", &format!("/me/contacts/{}", ben.id))
        .await
        .ok(204);

    ask(&ann, &ben).await.ok(201);
    for _ in 0..2 {
        ann.call("DELETE", &request(&ben)).await.ok(204);
    }
    assert_eq!(
        (list(&ann, "out").await, list(&ben, "in").await),
        (vec![], vec![])
    );
    let last = ben.entries(0).await.pop().unwrap();
    assert_eq!(
        (&last["kind"], &last["request"]),
        (&json!("contact_request"), &Value::Null)
    );
    // Within seven days it cannot be made again; the other may.
    let refusal = ask(&ann, &ben).await;
    let seconds: u64 = refusal.header("retry-after").parse().unwrap();
    assert!(
        (7 * 86_400 - 60..=7 * 86_400).contains(&seconds),
        "{seconds}"
    );
    refusal.problem(409, "limit_reached");
    execute(
        &mut app.database(),
        "UPDATE contact_requests SET ended_at = ended_at - interval '7 days'",
    );
    ask(&ann, &ben).await.ok(201);
    for path in [request(&ann), format!("{}/decline", request(&ann))] {
        let method = if path.ends_with("decline") {
            "POST"
        } else {
            "DELETE"
        };
        ann.call(method, &path).await.problem(400, "validation");
    }
    ann.put(&request(&ann), json!({}))
        .await
        .problem(400, "validation");
    let unknown = format!("/me/contact-requests/{}", id());
    ann.put(&unknown, json!({})).await.problem(404, "not_found");
    ann.call("DELETE", &unknown).await.ok(204);
    ann.post(&format!("{unknown}/accept"), json!({}))
        .await
        .problem(404, "not_found");
    ann.put(&request(&ben), json!({"message": "é".repeat(301)}))
        .await
        .problem(400, "validation");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_expire_and_are_limited() {
    let (app, [ann, ben, cat]) = App::with(["ann", "ben", "cat"]).await;
    ask(&ann, &ben).await.ok(201);
    execute(
        &mut app.database(),
        "UPDATE contact_requests SET created_at = created_at - interval '30 days', expires_at = expires_at - interval '30 days'",
    );
    accept(&ben, &ann).await.problem(404, "not_found");
    assert_eq!(
        list(&ann, "out").await,
        [(ben.id.clone(), "expired".to_owned())]
    );
    ask(&ann, &ben).await.problem(409, "limit_reached");
    // The other may ask at any time.
    ask(&ben, &ann).await.ok(201);
    ben.call("DELETE", &request(&ann)).await.ok(204);
    execute(
        &mut app.database(),
        "UPDATE contact_requests SET expires_at = expires_at - interval '9 days' WHERE ended_at IS NULL",
    );
    let delivery = &app.nodes[0].handles.delivery;
    tideline::domain::people::contact_requests::delete_expired(delivery).await;
    assert_eq!(list(&ann, "out").await, []);
    ask(&ann, &ben).await.ok(201);

    let full = format!(
        "INSERT INTO contact_requests (user_id, peer_id, outgoing, created_at, expires_at)
         SELECT '{}', gen_random_uuid(), true, now(), now() + interval '1 day' FROM generate_series(1, 199)",
        ann.id
    );
    execute(&mut app.database(), &full);
    ask(&ann, &cat).await.problem(409, "limit_reached");
    ann.call("DELETE", &request(&ben)).await.ok(204);
    ask(&ann, &cat).await.ok(201);
    // Those of others do not count.
    ask(&cat, &ben).await.ok(201);
    execute(
        &mut app.database(),
        "DELETE FROM contact_requests WHERE peer_id NOT IN (SELECT id FROM users)",
    );
    app.finish().await;
}

/// What a person sees of a request does not say whether the other blocks the person.
#[tokio::test(flavor = "multi_thread")]
async fn block_looks_like_a_pending_request() {
    let (app, [ann, ben, cat]) = App::with(["ann", "ben", "cat"]).await;
    ben.block(&ann).await.ok(204);
    let head = ben.head().await;
    let mut shown = Vec::new();
    for other in [&ben, &cat] {
        let answer = ask(&ann, other).await;
        let listed = ann
            .get("/me/contact-requests?direction=out&limit=500")
            .await
            .ok(200);
        let listed = listed["requests"].as_array().unwrap().iter();
        let listed = listed
            .filter(|one| one["user"]["id"] == other.id)
            .cloned()
            .collect::<Vec<_>>();
        let entry = ann.entries(0).await.pop().unwrap();
        let mut all =
            json!({"status": answer.status, "body": answer.body, "listed": listed, "entry": entry});
        for user in ["/body/user", "/listed/0/user", "/entry/request/user"] {
            *all.pointer_mut(user).unwrap() = Value::Null;
        }
        let text = all.to_string().replace(&other.id, "the other");
        let is_digit = |c: char| c.is_ascii_digit();
        shown.push(text.replace(is_digit, "0"));
    }
    assert_eq!(shown[0], shown[1]);
    assert_eq!((ben.head().await, list(&ben, "in").await), (head, vec![]));
    ask(&ben, &ann).await.problem(403, "blocked");

    // A block ends a friendship and requests, and a request of the blocked person stays pending there.
    ask(&cat, &ann).await.ok(200);
    assert_eq!(state(&ann, &cat).await, "friend");
    ann.block(&cat).await.ok(204);
    for (one, other) in [(&ann, &cat), (&cat, &ann)] {
        assert_eq!(state(one, other).await, "contact");
    }
    ann.call("DELETE", &format!("/me/blocks/{}", cat.id))
        .await
        .ok(204);
    ask(&cat, &ann).await.ok(201);
    let (pending, head) = (list(&cat, "out").await, cat.head().await);
    ann.block(&cat).await.ok(204);
    assert_eq!((list(&cat, "out").await, cat.head().await), (pending, head));
    assert_eq!(list(&ann, "in").await, []);
    accept(&ann, &cat).await.problem(404, "not_found");
    app.finish().await;
}

/// Both ask simultaneously, on two nodes: they are friends, with one entry each, and no request is pending.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn crossing_requests_make_friends_once() {
    const PAIRS: usize = 1_000;
    let mut app = App::start().await;
    app.add_node().await;
    let other_url = format!("http://{}", app.nodes[1].address);
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let ben_there = ben.at(&other_url);
    let (ann_head, ben_head) = (ann.head().await, ben.head().await);
    for _ in 0..PAIRS {
        let (one, other) = join(ask(&ann, &ben), ask(&ben_there, &ann)).await;
        let mut statuses = [one.status, other.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 201], "{} {}", one.body, other.body);
        execute(&mut app.database(), "DELETE FROM contacts");
    }
    let mut left = Vec::new();
    for (who, head) in [(&ann, ann_head), (&ben, ben_head)] {
        let all = entries(who, head).await;
        let contacts = all.iter().filter(|kind| *kind == "contact").count();
        assert_eq!((contacts, all.len()), (PAIRS, 2 * PAIRS));
        left.extend(list(who, "in").await);
        left.extend(list(who, "out").await);
    }
    assert_eq!(left, []);
    app.finish().await;
}

/// Any order of operations on both sides leaves rows that agree: friends are friends on both sides, friends have no request, and
/// between people with a block there is neither.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sides_agree_after_any_order() {
    let mut app = App::start().await;
    app.add_node().await;
    let other_url = format!("http://{}", app.nodes[1].address);
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let there = [ann.at(&other_url), ben.at(&other_url)];
    let seed = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    for round in 0..60 {
        let steps: Vec<_> = (0..6)
            .map(|_| (rng.random_range(0..2), rng.random_range(0..7)))
            .collect();
        let run = steps.iter().enumerate().map(async |(n, (who, what))| {
            let people = if n % 2 == 0 {
                [&ann, &ben]
            } else {
                [&there[0], &there[1]]
            };
            let (own, other) = (people[*who], people[1 - *who]);
            let block = format!("/me/blocks/{}", other.id);
            let answer = match what {
                0 => ask(own, other).await,
                1 => accept(own, other).await,
                2 => {
                    own.call("POST", &format!("{}/decline", request(other)))
                        .await
                }
                3 => own.call("DELETE", &request(other)).await,
                4 => own.put(&block, Value::Null).await,
                5 => own.call("DELETE", &block).await,
                _ => {
                    own.call("DELETE", &format!("/me/contacts/{}", other.id))
                        .await
                }
            };
            assert!(answer.status < 500, "{}", answer.body);
        });
        join_all(run).await;
        let (one, other) = (state(&ann, &ben).await, state(&ben, &ann).await);
        let friends = one == "friend";
        let requests = [
            list(&ann, "in").await,
            list(&ann, "out").await,
            list(&ben, "in").await,
            list(&ben, "out").await,
        ];
        let blocks = [
            ann.get("/me/blocks").await.ok(200)["users"] != json!([]),
            ben.get("/me/blocks").await.ok(200)["users"] != json!([]),
        ];
        let seen = format!("round {round}, {steps:?}: {one} {other} {requests:?} {blocks:?}");
        assert_eq!(friends, other == "friend", "{seen}");
        if friends {
            assert!(requests.iter().all(Vec::is_empty), "{seen}");
        }
        // What was asked has an asker, whose row may outlive it.
        assert!(requests[0].is_empty() || !requests[3].is_empty(), "{seen}");
        assert!(requests[2].is_empty() || !requests[1].is_empty(), "{seen}");
        // The second of two requests makes friends.
        assert!(requests[1].is_empty() || requests[3].is_empty(), "{seen}");
        if blocks.contains(&true) {
            assert!(!friends, "{seen}");
            assert!(
                !blocks[0] || requests[0].is_empty() && requests[1].is_empty(),
                "{seen}"
            );
            assert!(
                !blocks[1] || requests[2].is_empty() && requests[3].is_empty(),
                "{seen}"
            );
        }
        for (own, other) in [(&ann, &ben), (&ben, &ann)] {
            own.call("DELETE", &format!("/me/blocks/{}", other.id))
                .await
                .ok(204);
        }
        execute(
            &mut app.database(),
            "DELETE FROM contacts; DELETE FROM contact_requests",
        );
    }
    app.finish().await;
}
