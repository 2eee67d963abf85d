//! Registration, login, and reading users.

use crate::identity::tokens::refreshed;
use crate::support::token::with;
use crate::support::{
    Answer, App, PASSWORD, Person, Process, SECRET, execute, id, number, services,
};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::time::{Duration, Instant};

fn fields(body: &Value) -> Vec<&str> {
    let mut names: Vec<_> = body
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    names.sort_unstable();
    names
}

/// Exactly the fields of a session and of a user, so that no other field (a password, a hash) can be in it.
#[track_caller]
pub fn is_session(body: &Value) {
    let session = [
        "access_token",
        "device_id",
        "expires_in",
        "refresh_expires_in",
        "refresh_token",
        "user",
    ];
    assert_eq!(fields(body), session);
    is_user(&body["user"]);
    assert_eq!(body["expires_in"], 900);
    assert!(!body.to_string().contains(PASSWORD), "{body}");
}

#[track_caller]
fn is_user(body: &Value) {
    assert_eq!(
        fields(body),
        [
            "avatar_url",
            "created_at",
            "deleted",
            "display_name",
            "id",
            "kind",
            "rev",
            "status",
            "username"
        ]
    );
}

/// A body without these fields.
fn without(body: &Value, names: &[&str]) -> Value {
    let each = names.iter();
    each.fold(body.clone(), |body, name| with(&body, name, None))
}

async fn register(app: &App, body: Value) -> Answer {
    app.call("POST", "/v1/auth/register", Some(body)).await
}

async fn login(app: &App, name: &str, password: &str, device: Value) -> Answer {
    let body = json!({"username": name, "password": password, "device": device});
    app.call("POST", "/v1/auth/login", Some(body)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn registration_creates_account_and_session() {
    let app = App::start().await;
    let body = json!({"username": "Ann_.-9", "password": PASSWORD, "display_name": "Ann 👋",
        "device": {"name": "laptop", "platform": "desktop"}});
    let answer = register(&app, body).await;
    let location = answer.header("location").to_owned();
    let session = answer.ok(201);
    is_session(&session);
    assert_eq!(session["refresh_expires_in"], 30 * 86_400);
    let user = &session["user"];
    assert_eq!(
        (&user["username"], &user["display_name"]),
        (&json!("ann_.-9"), &json!("Ann 👋"))
    );
    let ann = Person::of_session(&app, &session);
    assert_eq!(location, format!("/v1/users/{}", ann.id));
    let fetched = ann.get(location.strip_prefix("/v1").unwrap()).await;
    let profile = fetched.ok(200);
    assert_eq!(&without(&profile, &["bio", "attributes"]), user);
    let account = ann.get("/me").await.ok(200);
    let public = without(&account, &["read_receipts", "forward_name"]);
    assert_eq!(public, profile);

    let taken = json!({"username": "ANN_.-9", "password": "another one"});
    let taken = register(&app, taken).await.problem(409, "conflict");
    assert!(!taken.to_string().contains("another one"));
    login(&app, "ann_.-9", "another one", json!({}))
        .await
        .problem(401, "invalid_credentials");
    let plain = json!({"username": "ben", "password": "é".repeat(128)});
    let plain = register(&app, plain).await.ok(201);
    assert_eq!(plain["user"]["display_name"], "ben");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn registration_validates_every_field() {
    let app = App::start().await;
    let good = json!({"username": "ann", "password": PASSWORD});
    let long = |n: usize| json!("x".repeat(n));
    for (field, value, pointer) in [
        ("username", json!("ab"), "/username"),
        ("username", long(33), "/username"),
        ("username", json!("an n"), "/username"),
        ("username", json!("änn"), "/username"),
        // The Kelvin sign, whose lower case is a plain k.
        ("username", json!("\u{212a}im"), "/username"),
        ("username", json!(""), "/username"),
        ("username", json!(7), "/username"),
        ("username", json!("an\u{0}n"), ""),
        ("password", long(7), "/password"),
        ("password", long(129), "/password"),
        ("password", Value::Null, "/password"),
        ("display_name", json!(""), "/display_name"),
        ("display_name", long(65), "/display_name"),
        ("device", json!({"name": ""}), "/device/name"),
        ("device", json!({"platform": "toaster"}), "/device/platform"),
        ("device", json!({"id": id()}), "/device/id"),
        ("id", json!(id()), "/id"),
        (
            "created_at",
            json!("2020-01-01T00:00:00.000Z"),
            "/created_at",
        ),
    ] {
        let body = with(&good, field, Some(value));
        let problem = register(&app, body).await.problem(400, "validation");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    for missing in ["username", "password"] {
        register(&app, with(&good, missing, None))
            .await
            .problem(400, "validation");
    }
    assert_eq!(
        number(&mut app.database(), "SELECT count(*) AS n FROM users"),
        0
    );
    register(&app, good).await.ok(201);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_registrations_of_one_name_create_one_account() {
    let app = App::start().await;
    let names = ["ann", "Ann", "ANN", "aNn", "anN", "aNN"];
    let racing = names.map(|name| json!({"username": name, "password": PASSWORD}));
    let answers = join_all(racing.map(|body| register(&app, body))).await;
    let mut statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409, 409, 409]);
    let rows = "SELECT (SELECT count(*) FROM users) + (SELECT count(*) FROM devices) AS n";
    assert_eq!(number(&mut app.database(), rows), 2);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn login_does_not_reveal_whether_a_username_exists() {
    let (app, [ann]) = App::with(["ann"]).await;
    let session = login(&app, "ANN", PASSWORD, Value::Null).await.ok(200);
    is_session(&session);
    assert_eq!(session["user"]["id"], ann.id.as_str());
    assert_ne!(session["device_id"], ann.device.as_str());

    let mut answers = Vec::new();
    // An account from the seed has no password at all.
    execute(
        &mut app.database(),
        "INSERT INTO users VALUES ('0199a3c0-0000-7000-8000-000000000001', 'bot', 'bot', '!');
         INSERT INTO usernames VALUES ('bot', '0199a3c0-0000-7000-8000-000000000001')",
    );
    // A former name of ann, and the name of an erased account.
    execute(
        &mut app.database(),
        &format!(
            "INSERT INTO usernames VALUES ('anna', '{}', now() + interval '1 day'), ('gone', NULL, now() + interval '1 day')",
            ann.id
        ),
    );
    for (name, password) in [
        ("ann", "wrong horse"),
        ("ann", ""),
        ("ann", "Correct horse"),
        ("nobody", PASSWORD),
        ("not a name", PASSWORD),
        ("bot", "!"),
        ("anna", PASSWORD),
        ("gone", PASSWORD),
    ] {
        let answer = login(&app, name, password, Value::Null).await;
        assert!(answer.header("www-authenticate").starts_with("Bearer"));
        let problem = answer.problem(401, "invalid_credentials");
        answers.push(with(&problem, "request_id", None));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]));

    // The response time does not reveal it either: each refusal hashes a password, and without the hash it would take a tenth
    // of the time. Other load only adds time, so the names take turns and the quickest time of each counts.
    let names = ["ann", "nobody", "not a name", "bot", "anna", "gone"];
    let mut times: [Vec<Duration>; 6] = Default::default();
    for round in 0..15 {
        for turn in 0..names.len() {
            let which = (round + turn) % names.len();
            let started = Instant::now();
            login(&app, names[which], "wrong horse", Value::Null).await;
            times[which].push(started.elapsed());
        }
    }
    let quickest = times.map(|times| times.into_iter().min().unwrap());
    for (name, time) in names.iter().zip(&quickest) {
        let close = *time < 3 * quickest[0] && 3 * *time > quickest[0];
        assert!(close, "{name}: {time:?} against {:?}", quickest[0]);
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn login_reuses_only_own_active_devices() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let device_of = async |name: &str, device: &str| {
        let session = login(&app, name, PASSWORD, json!({"id": device})).await;
        Person::of_session(&app, &session.ok(200))
    };
    let again = device_of("ann", &ann.device).await;
    assert_eq!(again.device, ann.device);
    assert_eq!(
        refreshed(&app, &again.refresh_token).await.device,
        ann.device
    );

    let foreign = device_of("ben", &ann.device).await;
    assert!(![&ann.device, &ben.device].contains(&&foreign.device));
    ann.get("/me").await.ok(200);
    let invented = id();
    assert_ne!(device_of("ann", &invented).await.device, invented);

    assert_eq!(ann.post("/auth/logout", Value::Null).await.status, 204);
    let after = device_of("ann", &ann.device).await;
    assert_ne!(after.device, ann.device);
    after.get("/me").await.ok(200);
    ann.get("/me").await.problem(401, "device_revoked");
    login(&app, "ann", PASSWORD, json!({"id": "mine"}))
        .await
        .problem(400, "validation");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn display_name_can_be_updated() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let long = "é".repeat(64);
    let named = ann
        .patch("/me", json!({"display_name": long}))
        .await
        .ok(200);
    assert_eq!(
        (&named["display_name"], &named["username"]),
        (&json!(long), &json!("ann"))
    );
    // Others see the user, without the settings of the account.
    let seen = ben.get(&format!("/users/{}", ann.id)).await.ok(200);
    is_user(&without(&seen, &["bio", "attributes"]));
    let public = without(&named, &["read_receipts", "forward_name"]);
    assert_eq!(public, seen);
    for body in [
        json!({"display_name": ""}),
        json!({"display_name": "x".repeat(65)}),
        json!({"display_name": null}),
        json!({"display_name": "x", "username": "deleted-x"}),
        json!({"display_name": "x", "id": ben.id}),
        json!({}),
        json!([]),
    ] {
        ann.patch("/me", body).await.problem(400, "validation");
    }
    assert_eq!(ann.get("/me").await.ok(200), named);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn account_settings_can_be_switched() {
    for name in ["read_receipts", "forward_name"] {
        switches(name).await;
    }
}

/// A setting of an account can be switched alone and beside the name.
async fn switches(setting: &str) {
    let (app, [ann]) = App::with(["ann"]).await;
    let before = ann.get("/me").await.ok(200);
    assert_eq!(before[setting], true);
    let switched = ann.patch("/me", json!({setting: false})).await;
    let expected = with(&before, setting, Some(json!(false)));
    assert_eq!(switched.ok(200), expected);
    assert_eq!(ann.get("/me").await.ok(200), expected);
    // A change of another field leaves it.
    let both = json!({"display_name": "Ann", setting: true});
    ann.patch("/me", both).await.ok(200);
    let named = ann.patch("/me", json!({"display_name": "Anna"})).await;
    assert_eq!(named.ok(200)[setting], true);
    for value in [json!("on"), json!(1), json!(null)] {
        let bad = ann.patch("/me", json!({setting: value})).await;
        bad.problem(400, "validation");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_found_by_id_and_by_exact_username() {
    let (app, [ann, ben, cat]) = App::with(["ann", "ben", "cat"]).await;
    let found = async |query: &str| -> Vec<String> {
        let body = ann.get(&format!("/users?{query}")).await.ok(200);
        let users = body["users"].as_array().unwrap();
        users.iter().for_each(is_user);
        let ids = users.iter().map(|user| user["id"].as_str().unwrap());
        ids.map(str::to_owned).collect()
    };
    let mut both = vec![ben.id.clone(), cat.id.clone()];
    both.sort();
    let asked = format!("ids={},{},{}", cat.id, id(), ben.id);
    assert_eq!(found(&asked).await, both);
    assert_eq!(found(&format!("ids={}", id())).await, [""; 0]);
    assert_eq!(found("username=BEN").await, [ben.id.as_str()]);
    for nobody in ["username=be", "username=", "username=%00", "username=b%25"] {
        assert_eq!(found(nobody).await, [""; 0]);
    }
    let ids = |n: usize| vec![id(); n].join(",");
    assert_eq!(found(&format!("ids={}", ids(100))).await, [""; 0]);
    for bad in [
        String::new(),
        format!("ids={}&username=ben", ben.id),
        format!("ids={}", ids(101)),
        "ids=".to_owned(),
        format!("ids={},", ben.id),
        "ids=ben".to_owned(),
        format!("ids={0}&ids={0}", ben.id),
        "username=ben&limit=1".to_owned(),
    ] {
        ann.get(&format!("/users?{bad}"))
            .await
            .problem(400, "validation");
    }
    let profile = ann.get(&format!("/users/{}", ben.id)).await.ok(200);
    is_user(&without(&profile, &["bio", "attributes"]));
    for nobody in [id(), "ben".to_owned(), "me".to_owned()] {
        ann.get(&format!("/users/{nobody}"))
            .await
            .problem(404, "not_found");
    }
    app.finish().await;
}

/// The users of a run of the seed, by name, with their devices. Every token is valid.
async fn seeded(app: &App, count: usize) -> BTreeMap<String, String> {
    let output = app.admin(&["seed", "--users", &count.to_string()]);
    assert!(output.status.success());
    let mut devices = BTreeMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| line[name].as_str().unwrap().to_owned();
        let request = app.http.get(app.url() + "/v1/me");
        let request = request.bearer_auth(text("access_token"));
        let me = Answer::of(request.send().await.unwrap()).await.ok(200);
        assert_eq!(
            (&me["id"], &me["username"]),
            (&line["user_id"], &line["username"])
        );
        devices.insert(text("username"), text("device_id"));
    }
    let all: BTreeSet<_> = (0..count).map(|n| format!("seed{n}")).collect();
    assert!(devices.keys().eq(&all), "{devices:?}");
    devices
}

#[tokio::test(flavor = "multi_thread")]
async fn seed_creates_new_devices_for_logged_out_users() {
    let app = App::start().await;
    let first = seeded(&app, 3).await;
    let second = seeded(&app, 4).await;
    assert!(first.iter().all(|(name, device)| second[name] == *device));
    let out = format!(
        "UPDATE devices SET revoked_at = now() WHERE id IN ('{}', '{}')",
        first["seed0"], first["seed2"]
    );
    execute(&mut app.database(), &out);
    let third = seeded(&app, 4).await;
    for (name, device) in &third {
        let is_new = ["seed0", "seed2"].contains(&name.as_str());
        assert_eq!(second[name] != *device, is_new, "{name}");
    }
    assert_eq!(seeded(&app, 4).await, third);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closed_registration_allows_only_operator_created_accounts() {
    let app = App::configured(|config| config.open_registration = false).await;
    let account = json!({"username": "ann", "password": PASSWORD});
    app.call("POST", "/v1/auth/register", Some(account))
        .await
        .problem(403, "forbidden");
    let (database, redis) = (app.database_url(), services().redis_url());
    let create = |arguments: &[&str]| {
        let mut all = vec!["admin", "create-user"];
        all.extend(arguments);
        let variables = [
            ("DATABASE_URL", database.as_str()),
            ("REDIS_URL", redis.as_str()),
            ("TIDELINE_JWT_SECRET", SECRET),
            ("TIDELINE_REGISTRATION", "closed"),
        ];
        let mut command = Process::command(&all, &variables);
        command.stdout(Stdio::piped()).output().unwrap()
    };
    let made = create(&["--username", "Ann", "--display-name", "Ann A."]);
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let line: Value = serde_json::from_slice(&made.stdout).unwrap();
    let password = line["password"].as_str().unwrap();
    let session = login(&app, "ann", password, Value::Null).await.ok(200);
    assert_eq!(
        (&session["user"]["id"], &session["user"]["display_name"]),
        (&line["user_id"], &json!("Ann A."))
    );
    assert!(
        create(&["--username", "ben", "--password", "battery staple"])
            .status
            .success()
    );
    login(&app, "ben", "battery staple", Value::Null)
        .await
        .ok(200);
    for (refused, why) in [
        (vec!["--username", "ann"], "the username is taken"),
        (vec!["--username", "a!"], "must be 3 to 32"),
        (
            vec!["--username", "cat", "--password", "short"],
            "must be 8 to 128",
        ),
    ] {
        let output = create(&refused);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.code() == Some(1) && said.contains(why),
            "{said}"
        );
    }
    app.finish().await;
}
