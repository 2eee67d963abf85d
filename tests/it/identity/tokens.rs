//! Tokens and forgeries, refreshes, and logouts.

use crate::identity::accounts::is_session;
use crate::support::token::{claims, forge, header, with};
use crate::support::{Answer, App, PASSWORD, Person, SECRET, eventually, execute, number};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tideline::clock::unix_seconds;

async fn refresh(app: &App, token: &str) -> Answer {
    let body = json!({"refresh_token": token});
    app.call("POST", "/v1/auth/refresh", Some(body)).await
}

/// Refreshes, and returns the person of the new session.
pub async fn refreshed(app: &App, token: &str) -> Person {
    let session = refresh(app, token).await.ok(200);
    is_session(&session);
    Person::of_session(app, &session)
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_access_tokens_are_rejected() {
    let (app, [ann]) = App::with(["ann"]).await;
    let (good, now) = (claims(&ann.token), unix_seconds());
    let status_of = async |token: &str| {
        let ann = Person {
            token: token.to_owned(),
            ..ann.clone()
        };
        ann.get("/me").await
    };
    let claimed =
        |name: &str, value: Option<Value>| forge(&header(), &with(&good, name, value), SECRET);
    let headed =
        |name: &str, value: Option<Value>| forge(&with(&header(), name, value), &good, SECRET);
    let resigned = |key: &str| forge(&header(), &good, key);
    let mac_dropped = |token: String| token[..=token.rfind('.').unwrap()].to_owned();

    // The forgery itself is valid, so each case below is rejected for its one fault.
    for token in [
        resigned(SECRET),
        claimed("exp", Some(json!(now - 3))),
        claimed("nbf", Some(json!(now - 60))),
    ] {
        status_of(&token).await.ok(200);
    }
    let ended = json!(now - 10);
    status_of(&claimed("exp", Some(ended.clone())))
        .await
        .problem(401, "token_expired");

    let other = || Some(json!("somebody"));
    let mut bad = vec![
        headed("alg", Some(json!("none"))),
        mac_dropped(headed("alg", Some(json!("none")))),
        headed("alg", Some(json!("HS384"))),
        headed("alg", Some(json!("RS256"))),
        headed("alg", Some(json!("hs256"))),
        headed("alg", None),
        headed("typ", Some(json!("JWT"))),
        headed("typ", None),
        mac_dropped(ann.token.clone()),
        resigned("another secret, also long enough for HS256"),
        // Attacks on the key: an empty key with a `kid` of an empty file, and a key in the token.
        forge(&with(&header(), "kid", Some(json!("/dev/null"))), &good, ""),
        forge(
            &with(&header(), "kid", Some(json!("' UNION SELECT 'k"))),
            &good,
            "k",
        ),
        // A compressed payload.
        forge(&with(&header(), "zip", Some(json!("DEF"))), &good, "k"),
        forge(
            &with(&header(), "jku", Some(json!("http://127.0.0.1:1/keys"))),
            &good,
            "k",
        ),
        // The key is the text of the secret, not a decoding of it.
        resigned(&BASE64.encode(SECRET)),
        resigned(""),
        forge(
            &with(
                &header(),
                "jwk",
                Some(json!({"kty": "oct", "k": BASE64.encode("k")})),
            ),
            &good,
            "k",
        ),
        ann.refresh_token.clone(),
        format!("{}x", ann.token),
        format!("{}.x", ann.token),
        ann.token[1..].to_owned(),
        "a.b.c".to_owned(),
        "..".to_owned(),
        String::new(),
    ];
    for name in ["iss", "aud", "sub", "exp", "device_id", "generation"] {
        bad.push(claimed(name, None));
        bad.push(claimed(name, other()));
        for value in [Value::Null, json!(true), json!({}), json!(""), json!(1e300)] {
            bad.push(claimed(name, Some(value)));
        }
    }
    // The right value in another type, or one that equals it in loosely typed languages.
    for name in ["iss", "aud", "sub"] {
        for value in [
            json!([good[name]]),
            json!([[good[name]]]),
            json!([good[name], "somebody"]),
            json!({name: good[name]}),
            json!({"0": good[name]}),
            json!([]),
            json!(0),
            json!(0.5),
            json!(false),
        ] {
            bad.push(claimed(name, Some(value)));
        }
    }
    // Critical headers, which a reader must understand; we support none.
    for crit in [
        json!([]),
        json!(["exp"]),
        json!(["typ"]),
        json!(["b64"]),
        json!(["http://127.0.0.1:1/policy"]),
        json!(["b64", "b64"]),
        json!("exp"),
        json!({}),
        json!(true),
    ] {
        bad.push(headed("crit", Some(crit)));
    }
    let named = with(&header(), "policy", Some(json!("strict")));
    let named = with(&named, "crit", Some(json!(["policy"])));
    bad.push(forge(&named, &good, SECRET));
    for b64 in [json!(false), json!(0), json!("true")] {
        bad.push(headed("b64", Some(b64)));
    }
    bad.push(claimed("exp", Some(json!((now + 60).to_string()))));
    // Another service with the same secret, and our token for another purpose.
    bad.push(forge(
        &with(&header(), "typ", Some(json!("rt+jwt"))),
        &good,
        SECRET,
    ));
    bad.push(claimed("nbf", Some(json!(now + 60))));
    // Expired and also invalid: the client must not be asked to refresh it.
    let stale = with(&good, "exp", Some(ended));
    bad.push(forge(
        &header(),
        &stale,
        "another secret, also long enough for HS256",
    ));
    bad.push(forge(&with(&header(), "typ", None), &stale, SECRET));
    for name in ["iss", "aud", "sub"] {
        bad.push(forge(&header(), &with(&stale, name, other()), SECRET));
    }
    bad.push(forge(
        &header(),
        &with(&stale, "nbf", Some(json!(now + 60))),
        SECRET,
    ));
    for token in bad {
        let answer = status_of(&token).await;
        assert!(answer.header("www-authenticate").starts_with("Bearer"));
        assert_eq!(answer.body["code"], "unauthenticated", "{token}");
        answer.problem(401, "unauthenticated");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn access_token_is_accepted_only_as_a_bearer_header() {
    let (app, [ann]) = App::with(["ann"]).await;
    let ask = async |authorization: Option<String>, query: &str| {
        let mut request = app.http.get(format!("{}/v1/me{query}", app.url()));
        if let Some(value) = authorization {
            request = request.header("authorization", value);
        }
        Answer::of(request.send().await.unwrap()).await
    };
    ask(Some(format!("bearer {}", ann.token)), "").await.ok(200);
    for value in ["Basic YW5uOng=", "Bearer", "Bearer ", &ann.token] {
        ask(Some(value.to_owned()), "")
            .await
            .problem(401, "unauthenticated");
    }
    ask(None, "").await.problem(401, "unauthenticated");
    let in_query = format!("?access_token={}", ann.token);
    assert_ne!(ask(None, &in_query).await.status, 200);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_refresh_response_keeps_the_device_logged_in() {
    let (app, [ann]) = App::with(["ann"]).await;
    let first = refreshed(&app, &ann.refresh_token).await;
    assert_eq!((&first.id, &first.device), (&ann.id, &ann.device));
    assert_ne!(first.refresh_token, ann.refresh_token);

    // The old access token is still valid, and its use does not prove that the response arrived.
    ann.get("/me").await.ok(200);
    let again = refreshed(&app, &ann.refresh_token).await;
    assert_eq!(again.refresh_token, first.refresh_token);
    again.get("/me").await.ok(200);
    let next = refreshed(&app, &again.refresh_token).await;
    next.get("/me").await.ok(200);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_refreshes_return_one_successor() {
    let (app, [ann]) = App::with(["ann"]).await;
    let parallel = (0..8).map(|_| refreshed(&app, &ann.refresh_token));
    let sessions = join_all(parallel).await;
    assert!(
        sessions
            .iter()
            .all(|one| one.refresh_token == sessions[0].refresh_token)
    );
    for session in &sessions {
        session.get("/me").await.ok(200);
    }
    refreshed(&app, &sessions[7].refresh_token).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reused_refresh_token_logs_out_its_device() {
    let names = ["ann", "ben", "cat"];
    let (app, [used, rotated, late]) = App::with(names).await;
    let ann = used.another_device(&app).await;

    // The successor's access token was used.
    let next = refreshed(&app, &used.refresh_token).await;
    next.get("/me").await.ok(200);
    // The successor was refreshed.
    let after = refreshed(&app, &rotated.refresh_token).await;
    let newest = refreshed(&app, &after.refresh_token).await;
    // The successor is unused, but a minute has passed.
    let unused = refreshed(&app, &late.refresh_token).await;
    let minute_over = format!(
        "UPDATE devices SET rotated_at = rotated_at - interval '61 s' WHERE id = '{}'",
        late.device
    );
    execute(&mut app.database(), &minute_over);
    for (stolen, present) in [(&used, &next), (&rotated, &newest), (&late, &unused)] {
        let answer = refresh(&app, &stolen.refresh_token).await;
        assert!(answer.header("www-authenticate").starts_with("Bearer"));
        answer.problem(401, "refresh_invalid");
        for token in [stolen, present] {
            token.get("/me").await.problem(401, "device_revoked");
            refresh(&app, &token.refresh_token)
                .await
                .problem(401, "device_revoked");
        }
    }
    ann.get("/me").await.ok(200);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_refreshes_on_two_nodes_return_one_successor() {
    let (mut app, [ann]) = App::with(["ann"]).await;
    app.add_node().await;
    let urls: Vec<_> = app.nodes.iter().map(|node| node.address).collect();
    let mut token = ann.refresh_token.clone();
    for _ in 0..4 {
        let parallel = (0..6).map(|n| {
            let url = format!("http://{}/v1/auth/refresh", urls[n % 2]);
            let body = json!({"refresh_token": token});
            let request = app.http.post(url).json(&body);
            async { Answer::of(request.send().await.unwrap()).await }
        });
        let sessions: Vec<_> = join_all(parallel).await;
        let sessions: Vec<_> = sessions.into_iter().map(|one| one.ok(200)).collect();
        let next = &sessions[0]["refresh_token"];
        assert!(sessions.iter().all(|one| one["refresh_token"] == *next));
        token = next.as_str().unwrap().to_owned();
    }
    refreshed(&app, &token).await.get("/me").await.ok(200);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stolen_refresh_token_is_detected_in_any_order() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let phone = ann.another_device(&app).await;
    // The thief refreshes first and uses the result: the owner's next refreshes, even concurrent ones, end both.
    let thief = refreshed(&app, &ann.refresh_token).await;
    thief.get("/me").await.ok(200);
    let owner = join_all((0..8).map(|_| refresh(&app, &ann.refresh_token))).await;
    for answer in owner {
        let code = answer.body["code"].as_str().unwrap().to_owned();
        assert!(
            ["refresh_invalid", "device_revoked"].contains(&code.as_str()),
            "{code}"
        );
        answer.problem(401, &code);
    }
    for lost in [&ann, &thief] {
        lost.get("/me").await.problem(401, "device_revoked");
        refresh(&app, &lost.refresh_token)
            .await
            .problem(401, "device_revoked");
    }
    phone.get("/me").await.ok(200);

    // A concurrent refresh is before or after the logout: afterwards no token of the device works.
    for _ in 0..4 {
        let device = ben.another_device(&app).await;
        let (out, next) = tokio::join!(
            device.post("/auth/logout", Value::Null),
            refresh(&app, &device.refresh_token)
        );
        out.ok(204);
        let mut tokens = vec![device.refresh_token.clone()];
        if next.status == 200 {
            let next = Person::of_session(&app, &next.body);
            next.get("/me").await.problem(401, "device_revoked");
            tokens.push(next.refresh_token);
        } else {
            next.problem(401, "device_revoked");
        }
        for token in tokens {
            refresh(&app, &token).await.problem(401, "device_revoked");
        }
    }
    ben.get("/me").await.ok(200);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_refresh_tokens_are_rejected_without_side_effects() {
    let (app, [ann]) = App::with(["ann"]).await;
    let bytes = BASE64.decode(&ann.refresh_token).unwrap();
    // A flipped bit in each part: user, device, generation, nonce, seal.
    let mut bad: Vec<_> = [0, 16, 39, 40, bytes.len() - 1]
        .iter()
        .map(|&at| {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            BASE64.encode(flipped)
        })
        .collect();
    bad.extend([ann.token.clone(), String::new(), "x".to_owned()]);
    for token in bad {
        refresh(&app, &token).await.problem(401, "refresh_invalid");
    }
    ann.get("/me").await.ok(200);
    refreshed(&app, &ann.refresh_token).await;

    let ben = ann.another_device(&app).await;
    execute(
        &mut app.database(),
        &format!(
            "UPDATE devices SET refresh_expires_at = now() WHERE id = '{}'",
            ben.device
        ),
    );
    refresh(&app, &ben.refresh_token)
        .await
        .problem(401, "refresh_invalid");
    ben.get("/me").await.ok(200);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_stored_only_as_hashes() {
    let (app, [ann]) = App::with(["ann"]).await;
    let next = refreshed(&app, &ann.refresh_token).await;
    let mut conn = app.database();
    let hex = |token: &str| -> String {
        let bytes = BASE64.decode(token).unwrap();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let (old, new) = (hex(&ann.refresh_token), hex(&next.refresh_token));
    let hashed = format!(
        "SELECT count(*) AS n FROM devices
         WHERE previous_hash = sha256('\\x{old}') AND refresh_hash = sha256('\\x{new}')"
    );
    assert_eq!(number(&mut conn, &hashed), 1);
    for secret in [&old, &new, &ann.refresh_token, &next.refresh_token] {
        let plain =
            format!("SELECT count(*) AS n FROM devices d WHERE strpos(d::text, '{secret}') > 0");
        assert_eq!(number(&mut conn, &plain), 0);
    }
    let password = format!(
        "SELECT count(*) AS n FROM users u
         WHERE password_hash LIKE '$argon2id$%' AND strpos(u::text, '{PASSWORD}') = 0"
    );
    assert_eq!(number(&mut conn, &password), 1);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logout_revokes_one_device_on_every_node() {
    let (mut app, [ann]) = App::with(["ann"]).await;
    app.add_node().await;
    let far = format!("http://{}", app.nodes[1].address);
    let (there, phone) = (ann.at(&far), ann.another_device(&app).await);
    there.get("/me").await.ok(200);

    let waits = [ann.clone(), there.clone()].map(|device| {
        tokio::spawn(async move { device.get("/notices?since_seq=0&timeout=30").await })
    });
    app.asleep(0, 1).await;
    app.asleep(1, 1).await;

    let logged_out = Instant::now();
    assert_eq!(ann.post("/auth/logout", Value::Null).await.status, 204);
    ann.get("/me").await.problem(401, "device_revoked");
    refresh(&app, &ann.refresh_token)
        .await
        .problem(401, "device_revoked");
    let status = async || there.get("/me").await;
    let refused = |answer: &Answer| answer.status == 401;
    eventually(
        "the other node knows",
        Duration::from_secs(5),
        status,
        refused,
    )
    .await
    .problem(401, "device_revoked");
    for wait in waits {
        wait.await.unwrap().problem(401, "device_revoked");
    }
    assert!(logged_out.elapsed() < Duration::from_secs(5));

    phone.get("/me").await.ok(200);
    phone.at(&far).get("/me").await.ok(200);
    refreshed(&app, &phone.refresh_token).await;
    // A node that starts later knows it before the first request.
    app.add_node().await;
    let late = ann.at(&format!("http://{}", app.nodes[2].address));
    let status = async || late.get("/me").await;
    eventually("a new node knows", Duration::from_secs(5), status, refused).await;
    app.finish().await;
}

/// Revocations are read from PostgreSQL, whatever Redis says.
#[tokio::test(flavor = "multi_thread")]
async fn logout_reaches_every_node_without_redis() {
    let (mut app, [ann]) = App::with(["ann"]).await;
    app.add_node().await;
    let there = ann.at(&format!("http://{}", app.nodes[1].address));
    app.redis.cut();
    assert_eq!(ann.post("/auth/logout", Value::Null).await.status, 204);
    let status = async || there.get("/me").await.status;
    let within = Duration::from_secs(5);
    eventually("the other node knows", within, status, |s| *s == 401).await;
    app.redis.heal();
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reconnected_node_learns_of_every_logout() {
    let (app, [ann]) = App::with(["ann"]).await;
    let status = async || ann.get("/me").await.status;
    app.postgres.cut();
    // Long enough for the node to have failed to read revocations.
    let cut = Instant::now();
    while cut.elapsed() < Duration::from_secs(5) {
        assert_eq!(status().await, 503);
    }
    // Another node logged the device out more than a minute ago.
    execute(
        &mut app.database(),
        "UPDATE devices SET revoked_at = now() - interval '2 minutes'",
    );
    app.postgres.heal();
    let within = Duration::from_secs(6);
    eventually("the node knows", within, status, |s| *s == 401).await;
    app.finish().await;
}

/// The clock of a node may be wrong by an hour; the clock of the database counts.
#[tokio::test(flavor = "multi_thread")]
async fn token_expiry_uses_the_database_clock() {
    let (app, [ann]) = App::with(["ann"]).await;
    let clock = &app.nodes[0].handles.auth.tokens.clock;
    clock.set(unix_seconds() + 3_600);
    ann.get("/me").await.problem(401, "token_expired");
    let status = async || ann.get("/me").await.status;
    let within = Duration::from_secs(5);
    eventually("it is set", within, status, |status| *status == 200).await;
    clock.set(unix_seconds() - 3_600);
    let current = async || clock.now();
    let right = |now: &i64| (now - unix_seconds()).abs() <= 2;
    eventually("it is set", within, current, right).await;
    app.finish().await;
}
