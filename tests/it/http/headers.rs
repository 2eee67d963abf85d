//! Security headers of responses.

use crate::support::{Answer, App};
use std::path::Path;
use std::process::Command;

const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";

#[tokio::test(flavor = "multi_thread")]
async fn every_response_has_security_headers() {
    let (app, [ann]) = App::with(["ann"]).await;
    for (method, path, status) in [
        ("GET", "/v1/me", 200),
        ("GET", "/v1/me?x=y", 400),
        ("GET", "/v1/nothing", 404),
        ("DELETE", "/v1/unread", 405),
        ("OPTIONS", "/v1/me", 204),
        ("POST", "/v1/conversations", 415),
        ("POST", "/v1/auth/logout", 204),
        ("GET", "/v1/me", 401),
        ("GET", "/v1/capabilities", 200),
        ("GET", "/health/live", 200),
        ("GET", "/health/ready", 200),
        ("GET", "/openapi.json", 200),
        ("GET", "/nothing", 404),
        ("GET", "/docsx", 404),
        ("GET", "/docs/", 200),
        ("GET", "/docs/problems", 200),
        ("GET", "/docs/problems.css", 200),
        ("GET", "/docs/swagger-ui-bundle.js", 200),
        ("GET", "/docs/nothing", 404),
        ("GET", "/", 200),
        ("POST", "/", 405),
        ("OPTIONS", "/", 204),
        ("GET", "/app.js", 200),
        ("GET", "/app/chat.js", 200),
        ("GET", "/tideline.js", 200),
        ("GET", "/tideline/session.js", 200),
        ("GET", "/app/nothing.js", 404),
    ] {
        let request = app.http.request(method.parse().unwrap(), app.url() + path);
        let answer = Answer::of(request.bearer_auth(&ann.token).send().await.unwrap()).await;
        let what = format!("{method} {path}");
        assert_eq!(answer.status, status, "{what}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{what}");
        assert_eq!(
            answer.header("cross-origin-resource-policy"),
            "same-origin",
            "{what}"
        );
        assert_eq!(answer.header("server"), "", "{what}");
        let policy = answer.header("content-security-policy");
        let is_client = path == "/" || (path.ends_with(".js") && status == 200);
        if (path.starts_with("/docs/") && status == 200) || is_client {
            assert_eq!(answer.header("referrer-policy"), "no-referrer", "{what}");
            assert_eq!(answer.header("x-frame-options"), "DENY", "{what}");
            assert!(
                policy.starts_with("default-src 'none'; script-src 'self'; "),
                "{what}"
            );
            assert!(policy.ends_with("; frame-ancestors 'none'"), "{what}");
            assert!(!policy.contains("unsafe"), "{what}");
        } else {
            assert_eq!(policy, NOTHING, "{what}");
        }
    }
    // With `nosniff`, a browser accepts scripts and styles only with the right content type.
    for (path, kind) in [
        ("/docs/", "text/html"),
        ("/docs/problems", "text/html"),
        ("/docs/problems.css", "text/css"),
        ("/docs/swagger-ui.css", "text/css"),
        ("/docs/swagger-ui-bundle.js", "text/javascript"),
        ("/docs/swagger-initializer.js", "text/javascript"),
        ("/", "text/html"),
        ("/app.css", "text/css"),
        ("/app.js", "text/javascript"),
        ("/tideline.js", "text/javascript"),
        ("/icon.svg", "image/svg+xml"),
    ] {
        let answer = app.call("GET", path, None).await;
        assert!(answer.header("content-type").starts_with(kind), "{path}");
    }
    // Pages have no inline scripts or styles, which their policy forbids.
    for path in ["/docs/", "/docs/problems", "/"] {
        let answer = app.call("GET", path, None).await;
        let html = answer.body.as_str().unwrap();
        for within in ["<style", "style=", "<script>", " onload", " onclick"] {
            assert!(!html.contains(within), "{path}: {within}");
        }
    }
    app.finish().await;
}

/// In a real browser, if there is one: the pages render and never violate their policy.
#[tokio::test(flavor = "multi_thread")]
async fn docs_pages_render_under_their_csp() {
    let chromium = Path::new("/usr/bin/chromium");
    if !chromium.exists() {
        return;
    }
    let app = App::start().await;
    for (path, shown) in [
        ("/docs/", "Create a conversation"),
        ("/docs/#/Sync/wait_notices", "superseded"),
        ("/docs/problems", "client_msg_id_reused"),
    ] {
        let profile =
            std::env::temp_dir().join(format!("tideline-chromium-{}", std::process::id()));
        let mut command = Command::new(chromium);
        command.args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--enable-logging=stderr",
            "--virtual-time-budget=20000",
            "--dump-dom",
        ]);
        command.arg(format!("--user-data-dir={}", profile.display()));
        command.arg(app.url() + path);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap();
        let (drawn, said) = (
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        );
        std::fs::remove_dir_all(&profile).unwrap_or_default();
        let complaints: Vec<_> = said
            .lines()
            .filter(|line| line.contains("Content Security Policy") || line.contains("MIME type"))
            .collect();
        assert_eq!(complaints, [""; 0], "{path}");
        assert!(drawn.contains(shown), "{path}: {drawn:.2000}");
    }
    app.finish().await;
}
