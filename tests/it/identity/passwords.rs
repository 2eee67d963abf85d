//! Passwords: changes during logins, and Unicode normalization.

use crate::support::token::with;
use crate::support::{Answer, App, PASSWORD, Person, eventually, execute, waiting_for_locks};
use argon2::{Argon2, PasswordHash, PasswordHasher};
use diesel::sql_types::Text;
use diesel::{QueryableByName, RunQueryDsl, sql_query};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::time::Duration;

const NEW: &str = "battery staple";

/// The same password, composed as on Windows and decomposed as on macOS.
const COMPOSED: &str = "M\u{e4}rz 2026 \u{e9}t\u{e9}";
const DECOMPOSED: &str = "Ma\u{308}rz 2026 e\u{301}te\u{301}";

async fn login(app: &App, name: &str, password: &str, device: Value) -> Answer {
    let body = json!({"username": name, "password": password, "device": device});
    // Many tests hash passwords simultaneously, so the server may ask to retry.
    let ask = async || app.call("POST", "/v1/auth/login", Some(body.clone())).await;
    let time = Duration::from_secs(30);
    eventually("a place", time, ask, |answer| answer.status != 503).await
}

async fn change(who: &Person, old: &str, new: &str) -> Answer {
    let body = json!({"old_password": old, "new_password": new});
    let ask = async || who.put("/me/password", body.clone()).await;
    let time = Duration::from_secs(30);
    eventually("a place", time, ask, |answer| answer.status != 503).await
}

async fn refresh(app: &App, token: &str) -> Answer {
    let body = json!({"refresh_token": token});
    app.call("POST", "/v1/auth/refresh", Some(body)).await
}

fn stored(app: &App, who: &Person) -> String {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        password_hash: String,
    }
    let query = format!("SELECT password_hash FROM users WHERE id = '{}'", who.id);
    let row: Row = sql_query(query).get_result(&mut app.database()).unwrap();
    row.password_hash
}

/// Stores the hash of older versions, which did not normalize: of the bytes as typed.
fn store_as_typed(app: &App, who: &Person, password: &str) -> String {
    let hash: PasswordHash = Argon2::default()
        .hash_password(password.as_bytes())
        .unwrap();
    let hash = hash.to_string();
    let update = format!(
        "UPDATE users SET password_hash = '{hash}' WHERE id = '{}'",
        who.id
    );
    execute(&mut app.database(), &update);
    hash
}

/// The old password is checked before the change commits, and found right: logins with it must not survive.
#[tokio::test(flavor = "multi_thread")]
async fn login_in_progress_does_not_survive_a_password_change() {
    let (app, [ann]) = App::with(["ann"]).await;
    let mut conn = app.database();
    for round in 0..3 {
        let (old, new) = match round % 2 {
            0 => (PASSWORD, NEW),
            _ => (NEW, PASSWORD),
        };
        let lock = format!(
            "BEGIN; SELECT FROM users WHERE id = '{}' FOR UPDATE",
            ann.id
        );
        execute(&mut conn, &lock);
        let (changed, logins) = tokio::join!(change(&ann, old, new), async {
            // The change has checked the old password, and now the logins check it.
            waiting_for_locks(&mut conn, 1).await;
            let own = json!({"id": ann.device});
            let devices = [Value::Null, Value::Null, own];
            let logins = devices.map(|device| login(&app, "ann", old, device));
            let (logins, ()) = tokio::join!(join_all(logins), async {
                waiting_for_locks(&mut conn, 2).await;
                execute(&mut conn, "COMMIT");
            });
            logins
        });
        changed.ok(204);
        for login in logins {
            if login.status == 200 {
                // This login came before the change.
                let token = login.body["refresh_token"].as_str().unwrap();
                assert_eq!(refresh(&app, token).await.status, 401);
                let in_it = Person::of_session(&app, &login.body);
                assert!(in_it.device == ann.device || in_it.get("/me").await.status == 401);
            } else {
                login.problem(401, "invalid_credentials");
            }
        }
        let devices = ann.get("/me/devices").await.ok(200);
        assert_eq!(devices["devices"].as_array().unwrap().len(), 1);
        login(&app, "ann", old, Value::Null)
            .await
            .problem(401, "invalid_credentials");
    }
    app.finish().await;
}

/// An attacker with the old password has logged in under the id of the device that changes it.
#[tokio::test(flavor = "multi_thread")]
async fn password_change_revokes_other_refresh_tokens_of_the_device() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let thief = login(&app, "ann", PASSWORD, json!({"id": ann.device})).await;
    let thief = Person::of_session(&app, &thief.ok(200));
    assert_eq!(thief.device, ann.device);
    change(&ann, PASSWORD, NEW).await.ok(204);
    refresh(&app, &thief.refresh_token)
        .await
        .problem(401, "refresh_invalid");
    ann.get("/me").await.ok(200);

    // A change with the newest token keeps the device logged in; a replay of the previous token does not.
    let next = refresh(&app, &ben.refresh_token).await.ok(200);
    let next = Person::of_session(&app, &next);
    change(&next, PASSWORD, NEW).await.ok(204);
    let after = refresh(&app, &next.refresh_token).await.ok(200);
    let after = Person::of_session(&app, &after);
    after.get("/me").await.ok(200);
    refresh(&app, &ben.refresh_token)
        .await
        .problem(401, "refresh_invalid");
    app.finish().await;
}

/// Another node has logged the device out, and this node does not know yet.
#[tokio::test(flavor = "multi_thread")]
async fn logged_out_device_cannot_change_the_password() {
    let (app, [ann]) = App::with(["ann"]).await;
    let before = stored(&app, &ann);
    let out = format!(
        "UPDATE devices SET revoked_at = now() WHERE id = '{}'",
        ann.device
    );
    execute(&mut app.database(), &out);
    change(&ann, PASSWORD, NEW)
        .await
        .problem(401, "device_revoked");
    assert_eq!(stored(&app, &ann), before);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn composed_and_decomposed_passwords_are_equal() {
    let app = App::start().await;
    for (name, typed, again) in [("ann", COMPOSED, DECOMPOSED), ("ben", DECOMPOSED, COMPOSED)] {
        let account = json!({"username": name, "password": typed});
        let session = app.call("POST", "/v1/auth/register", Some(account)).await;
        let person = Person::of_session(&app, &session.ok(201));
        login(&app, name, again, Value::Null).await.ok(200);
        change(&person, again, PASSWORD).await.ok(204);
        change(&person, PASSWORD, typed).await.ok(204);
        login(&app, name, again, Value::Null).await.ok(200);
    }
    let made = app.admin(&["create-user", "--username", "cat", "--password", DECOMPOSED]);
    assert!(made.status.success());
    login(&app, "cat", COMPOSED, Value::Null).await.ok(200);
    // Similar characters are not equal after normalization.
    let ligature = COMPOSED.replace("rz", "r\u{1d63}z");
    login(&app, "cat", &ligature, Value::Null)
        .await
        .problem(401, "invalid_credentials");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn password_length_is_measured_after_normalization() {
    let (app, [ann]) = App::with(["ann"]).await;
    let decomposed = |characters: usize| "e\u{301}".repeat(characters);
    let account = json!({"username": "ben"});
    for (characters, fits) in [(4, false), (7, false), (129, false), (8, true), (128, true)] {
        let password = decomposed(characters);
        let account = with(&account, "password", Some(json!(password)));
        let answer = app.call("POST", "/v1/auth/register", Some(account)).await;
        let made = app.admin(&["create-user", "--username", "ann", "--password", &password]);
        let said = String::from_utf8_lossy(&made.stderr).into_owned();
        if fits {
            assert!([201, 409].contains(&answer.status), "{}", answer.body);
            assert!(said.contains("the username is taken"), "{said}");
        } else {
            let problem = answer.problem(400, "validation");
            assert_eq!(problem["errors"][0]["pointer"], "/password");
            let problem = change(&ann, PASSWORD, &password).await;
            let problem = problem.problem(400, "validation");
            assert_eq!(problem["errors"][0]["pointer"], "/new_password");
            assert!(said.contains("must be 8 to 128"), "{said}");
        }
    }
    change(&ann, PASSWORD, &decomposed(128)).await.ok(204);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn legacy_password_hash_is_accepted_and_upgraded() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let old = store_as_typed(&app, &ann, DECOMPOSED);
    login(&app, "ann", COMPOSED, Value::Null)
        .await
        .problem(401, "invalid_credentials");
    assert_eq!(stored(&app, &ann), old);
    // Concurrently: one login upgrades the hash while the others are checked, and none fails.
    let logins = join_all((0..3).map(|_| login(&app, "ann", DECOMPOSED, Value::Null))).await;
    for answer in logins {
        answer.ok(200);
    }
    let renewed = stored(&app, &ann);
    assert_ne!(renewed, old);
    for typed in [COMPOSED, DECOMPOSED] {
        login(&app, "ann", typed, Value::Null).await.ok(200);
    }
    assert_eq!(stored(&app, &ann), renewed);

    store_as_typed(&app, &ben, DECOMPOSED);
    change(&ben, COMPOSED, NEW)
        .await
        .problem(401, "invalid_credentials");
    change(&ben, DECOMPOSED, NEW).await.ok(204);
    app.finish().await;
}
