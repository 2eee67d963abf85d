//! CORS: allowed origins may read every response, others none.

use crate::support::{Answer, App, PASSWORD, Person, execute, id, text};
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tideline::config::RateLimit;
use tideline::config::origins::Origins;
use tideline::http::openapi;

const PAGE: &str = "https://app.example";

const READ: &str = "Location, X-Request-Id, Idempotent-Replayed, Retry-After, RateLimit, RateLimit-Policy, \
    WWW-Authenticate, Date, ETag, Content-Range, Accept-Ranges, Content-Length, Content-Disposition";

/// A node with these allowed origins.
async fn open_to(origins: &str) -> App {
    let origins = Origins::parse(origins).unwrap();
    App::configured(|config| config.cors_origins = origins).await
}

/// A request as a browser sends it for a page.
fn from(app: &App, origin: &str, method: &str, path: &str) -> RequestBuilder {
    let method = method.parse().unwrap();
    let request = app.http.request(method, app.url() + path);
    request.header("origin", origin)
}

/// A preflight for a request of this method.
async fn preflight(app: &App, origin: &str, method: &str, path: &str) -> Answer {
    let request = from(app, origin, "OPTIONS", path)
        .header("access-control-request-method", method)
        .header(
            "access-control-request-headers",
            "authorization,content-type",
        );
    Answer::of(request.send().await.unwrap()).await
}

/// The names of an answer's CORS headers.
fn cors(answer: &Answer) -> Vec<&str> {
    let names = answer.headers.keys().map(|name| name.as_str());
    names
        .filter(|name| name.starts_with("access-control-"))
        .collect()
}

fn words(list: &str) -> BTreeSet<&str> {
    list.split(", ").filter(|word| !word.is_empty()).collect()
}

/// Asserts that a page of this origin may read the response.
#[track_caller]
fn readable(answer: &Answer, origin: &str) {
    assert_eq!(
        answer.header("access-control-allow-origin"),
        origin,
        "{}",
        answer.body
    );
    assert_eq!(answer.header("access-control-expose-headers"), READ);
    assert_eq!(cors(answer).len(), 2, "{:?}", answer.headers);
    let mut vary = answer.headers.get_all("vary").iter();
    assert!(vary.any(|name| name == "Origin"), "{:?}", answer.headers);
}

#[tokio::test(flavor = "multi_thread")]
async fn cors_is_disabled_by_default() {
    let app = App::start().await;
    for (method, path, status) in [
        ("GET", "/v1/capabilities", 200),
        ("GET", "/v1/me", 401),
        ("OPTIONS", "/v1/me", 204),
        ("OPTIONS", "/health/ready", 204),
    ] {
        let answers = [
            app.call(method, path, None).await,
            Answer::of(from(&app, PAGE, method, path).send().await.unwrap()).await,
        ];
        for answer in answers {
            assert_eq!(
                (answer.status, cors(&answer)),
                (status, vec![]),
                "{method} {path}"
            );
            assert_eq!(answer.header("vary"), "");
        }
    }
    assert_eq!(cors(&preflight(&app, PAGE, "GET", "/v1/me").await), [""; 0]);
    app.call("OPTIONS", "/v1/nothing", None)
        .await
        .problem(404, "not_found");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn preflight_lists_the_methods_of_every_path() {
    let origins = Origins::parse("https://other.example,https://app.example").unwrap();
    // The limit is so low that a counted preflight would be rejected.
    let app = App::configured(|config| {
        config.cors_origins = origins;
        config.rate_limit = Some(RateLimit {
            per_second: 1,
            burst: 1,
        });
    })
    .await;
    let document = serde_json::to_value(openapi::document()).unwrap();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let methods: Vec<_> = methods
            .as_object()
            .unwrap()
            .keys()
            .map(|m| m.to_uppercase())
            .collect();
        let mut methods: BTreeSet<_> = methods.iter().map(String::as_str).collect();
        let answer = preflight(&app, PAGE, methods.first().unwrap(), path).await;
        let waits = ["/v1/notices", "/v1/diagnostics/longpoll"].contains(&path.as_str());
        if methods.contains("GET") && !waits {
            methods.insert("HEAD");
        }
        assert_eq!((answer.status, &answer.body), (204, &Value::Null), "{path}");
        assert_eq!(
            words(answer.header("access-control-allow-methods")),
            methods,
            "{path}"
        );
        assert_eq!(answer.header("access-control-allow-origin"), PAGE);
        assert_eq!(
            answer.header("access-control-allow-headers"),
            "Authorization, Content-Type, X-Request-Id, Content-Digest, Range, If-Range, If-None-Match"
        );
        assert_eq!(answer.header("access-control-max-age"), "7200");
        assert_eq!(cors(&answer).len(), 4, "{:?}", answer.headers);
        assert_eq!(
            (answer.header("vary"), answer.header("ratelimit")),
            ("Origin", "")
        );
        // Without the preflight headers: only the methods of the path.
        let answer = app.call("OPTIONS", path, None).await;
        assert_eq!((answer.status, cors(&answer)), (204, vec![]), "{path}");
        assert_eq!(words(answer.header("allow")), methods, "{path}");
    }
    // A page learns that a path does not exist only from the request itself.
    let answer = preflight(&app, PAGE, "PUT", "/v1/nothing").await;
    assert_eq!(answer.status, 204);
    assert!(words(answer.header("access-control-allow-methods")).contains("PUT"));
    app.call("OPTIONS", "/v1/nothing", None)
        .await
        .problem(404, "not_found");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn allowed_origin_can_read_every_response() {
    let app = open_to(PAGE).await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let direct = json!({"kind": "direct", "user_id": ben.id});
    let chat = ann.post("/conversations", direct.clone()).await.ok(201);
    let sends = format!(
        "/v1/conversations/{}/messages",
        chat["id"].as_str().unwrap()
    );
    let large = "x".repeat(1024 * 1024 + 1);
    let call = async |method: &str, path: &str, kind: &str, body: String| {
        let request = from(&app, PAGE, method, path).bearer_auth(&ann.token);
        let request = request.header("content-type", kind).body(body);
        Answer::of(request.send().await.unwrap()).await
    };
    let json_type = "application/json";
    for (method, path, kind, body, status) in [
        ("GET", "/v1/me", "", String::new(), 200),
        ("POST", &sends, json_type, text("hi").to_string(), 201),
        (
            "POST",
            "/v1/conversations",
            json_type,
            direct.to_string(),
            200,
        ),
        (
            "PUT",
            &format!("/v1/me/blocks/{}", ben.id),
            "",
            String::new(),
            204,
        ),
        ("POST", &sends, json_type, text("hi").to_string(), 403),
        ("GET", "/v1/inbox?since_seq=x", "", String::new(), 400),
        ("GET", "/v1/me?x=y", "", String::new(), 400),
        (
            "GET",
            &format!("/v1/users/{}", id()),
            "",
            String::new(),
            404,
        ),
        ("GET", "/v1/nothing", "", String::new(), 404),
        ("GET", "/nothing", "", String::new(), 404),
        ("GET", "/docs/nothing", "", String::new(), 404),
        ("DELETE", "/v1/unread", "", String::new(), 405),
        ("GET", "/v1/inbox?since_seq=99", "", String::new(), 409),
        ("POST", &sends, json_type, large, 413),
        ("POST", &sends, "text/plain", text("hi").to_string(), 415),
        ("GET", "/health/ready", "", String::new(), 200),
        ("GET", "/openapi.json", "", String::new(), 200),
        ("GET", "/docs/problems", "", String::new(), 200),
    ] {
        let answer = call(method, path, kind, body).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        readable(&answer, PAGE);
    }
    let me = async |token: &str| {
        let request = from(&app, PAGE, "GET", "/v1/me").bearer_auth(token);
        Answer::of(request.send().await.unwrap()).await
    };
    let stranger = me("no token").await;
    readable(&stranger, PAGE);
    stranger.problem(401, "unauthenticated");
    let mut conn = app.database();
    execute(&mut conn, "ALTER TABLE users RENAME COLUMN bio TO lost");
    let bug = me(&ann.token).await;
    execute(&mut conn, "ALTER TABLE users RENAME COLUMN lost TO bio");
    readable(&bug, PAGE);
    bug.problem(500, "internal");
    app.postgres.cut();
    let away = me(&ann.token).await;
    app.postgres.heal();
    readable(&away, PAGE);
    away.problem(503, "storage_unavailable");
    app.finish().await;

    let app = App::configured(|config| {
        config.cors_origins = Origins::parse(PAGE).unwrap();
        config.rate_limit = Some(RateLimit {
            per_second: 1,
            burst: 1,
        });
    })
    .await;
    loop {
        let request = from(&app, PAGE, "GET", "/v1/capabilities");
        let answer = Answer::of(request.send().await.unwrap()).await;
        readable(&answer, PAGE);
        if answer.status == 429 {
            answer.problem(429, "rate_limited");
            break;
        }
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lookalike_origins_are_not_allowed() {
    let app = open_to("https://app.example, http://localhost:3000").await;
    for origin in [
        "null",
        "*",
        "https://app.example.evil.example",
        "https://evil-app.example",
        "https://evilapp.example",
        "https://sub.app.example",
        "https://app.exampl",
        "https://appxexample",
        "http://app.example",
        "https://app.example:443",
        "https://app.example:8443",
        "https://app.example/",
        "https://app.example/x",
        "https://APP.example",
        "HTTPS://app.example",
        "https://app.example, https://evil.example",
        "https://app.example https://evil.example",
        "https://app.example@evil.example",
        "https://app.example.",
        "http://localhost",
        "http://localhost:30000",
        "http://127.0.0.1:3000",
        "",
    ] {
        for answer in [
            Answer::of(
                from(&app, origin, "GET", "/v1/capabilities")
                    .send()
                    .await
                    .unwrap(),
            )
            .await,
            Answer::of(from(&app, origin, "GET", "/v1/me").send().await.unwrap()).await,
            preflight(&app, origin, "GET", "/v1/me").await,
            preflight(&app, origin, "GET", "/v1/nothing").await,
        ] {
            assert_eq!(cors(&answer), [""; 0], "{origin:?}");
            // A cache must still keep it apart from the response to an allowed origin.
            assert_eq!(answer.header("vary"), "Origin", "{origin:?}");
        }
    }
    let twice =
        from(&app, PAGE, "GET", "/v1/capabilities").header("origin", "https://evil.example");
    let twice = Answer::of(twice.send().await.unwrap()).await;
    assert_eq!(cors(&twice), [""; 0]);
    for origin in ["https://app.example", "http://localhost:3000"] {
        let request = from(&app, origin, "GET", "/v1/capabilities");
        readable(&Answer::of(request.send().await.unwrap()).await, origin);
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cors_wildcard_allows_any_origin_without_credentials() {
    let app = open_to("*").await;
    for origin in [PAGE, "http://localhost:3000", "null"] {
        let request = from(&app, origin, "GET", "/v1/me");
        readable(&Answer::of(request.send().await.unwrap()).await, "*");
        let answer = preflight(&app, origin, "PATCH", "/v1/me").await;
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert_eq!(answer.header("access-control-allow-credentials"), "");
    }
    app.finish().await;
}

/// What a browser does for a page: a preflight where the rules require it, the request, and only the allowed headers of the
/// response.
async fn fetch(
    app: &App,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: Option<Value>,
) -> Answer {
    let mut unusual = BTreeSet::new();
    unusual.extend(token.map(|_| "authorization"));
    unusual.extend(body.as_ref().map(|_| "content-type"));
    if !unusual.is_empty() || !["GET", "POST"].contains(&method) {
        let answer = preflight(app, PAGE, method, path).await;
        assert!(
            (200..300).contains(&answer.status),
            "{method} {path}: {}",
            answer.status
        );
        assert_eq!(answer.header("access-control-allow-origin"), PAGE);
        assert!(
            words(answer.header("access-control-allow-methods")).contains(method),
            "{method} {path}"
        );
        let allowed = answer.header("access-control-allow-headers").to_lowercase();
        assert!(unusual.is_subset(&words(&allowed)), "{method} {path}");
    }
    let mut request = from(app, PAGE, method, path);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    if let Some(body) = body {
        request = request.json(&body);
    }
    let mut answer = Answer::of(request.send().await.unwrap()).await;
    readable(&answer, PAGE);
    let exposed = answer
        .header("access-control-expose-headers")
        .to_lowercase();
    let always = words("cache-control, content-language, content-length, content-type, expires");
    let hidden = answer.headers.keys().cloned().collect::<Vec<_>>();
    let hidden = hidden
        .into_iter()
        .filter(|name| !words(&exposed).contains(name.as_str()) && !always.contains(name.as_str()));
    for name in hidden.collect::<Vec<_>>() {
        answer.headers.remove(name);
    }
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn allowed_origin_can_register_send_and_wait() {
    let app = open_to(PAGE).await;
    let [ben] = app.people(["ben"]).await;
    let account = json!({"username": "ann", "password": PASSWORD});
    let session = fetch(&app, "POST", "/v1/auth/register", None, Some(account))
        .await
        .ok(201);
    let ann = Person::of_session(&app, &session);
    let token = Some(ann.token.as_str());
    let direct = json!({"kind": "direct", "user_id": ben.id});
    let made = fetch(&app, "POST", "/v1/conversations", token, Some(direct)).await;
    // The URL is in the `Location` header, which the page may read.
    let chat = made.header("location").to_owned();
    fetch(&app, "GET", &chat, token, None).await.ok(200);
    let (message, sends) = (text("hi"), format!("{chat}/messages"));
    fetch(&app, "POST", &sends, token, Some(message.clone()))
        .await
        .ok(201);
    let replay = fetch(&app, "POST", &sends, token, Some(message)).await;
    assert_eq!(replay.header("idempotent-replayed"), "true");
    let notice = fetch(&app, "GET", "/v1/notices?since_seq=0", token, None)
        .await
        .ok(200);
    assert_eq!(notice["news"], true);
    fetch(
        &app,
        "PUT",
        &format!("/v1/me/blocks/{}", ben.id),
        token,
        None,
    )
    .await
    .ok(204);
    let lost = fetch(&app, "GET", "/v1/nothing", token, None).await;
    assert_eq!(lost.body["request_id"], lost.header("x-request-id"));
    let stranger = fetch(&app, "GET", "/v1/me", Some("no token"), None).await;
    assert_eq!(
        stranger.header("www-authenticate"),
        r#"Bearer realm="tideline""#
    );
    stranger.problem(401, "unauthenticated");
    app.finish().await;
}
