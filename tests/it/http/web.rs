//! The pages: the browser client and the documentation, from this server alone.

use crate::support::App;
use serde_json::Value;
use std::collections::BTreeSet;
use tideline::http::kit::problem::Code;

/// The URLs that an HTML page loads or links to.
fn links(html: &str) -> Vec<&str> {
    let attributes = ["src=\"", "href=\""];
    let values = attributes.iter().flat_map(|name| html.split(name).skip(1));
    values.map(|rest| rest.split('"').next().unwrap()).collect()
}

/// Unchanged files are not sent again.
async fn browser_asks_again(app: &App, browser: &reqwest::Client) {
    let first = browser.get(app.url() + "/app.js").send().await.unwrap();
    assert_eq!(first.headers()["cache-control"], "no-cache");
    let tag = first.headers()["etag"].to_str().unwrap().to_owned();
    for (tags, status) in [
        (tag.clone(), 304),
        (format!("\"other\", W/{tag}"), 304),
        ("*".to_owned(), 304),
        ("\"other\"".to_owned(), 200),
        ("nonsense".to_owned(), 200),
    ] {
        let request = browser.get(app.url() + "/app.js");
        let answer = request.header("if-none-match", &tags).send().await.unwrap();
        assert_eq!(answer.status(), status, "{tags}");
        assert_eq!(answer.headers()["etag"], tag, "{tags}");
        assert_eq!(answer.text().await.unwrap().is_empty(), status == 304);
    }
    // Compressed for clients that accept it, as another variant with its own tag.
    for path in ["/app.js", "/openapi.json", "/docs/swagger-ui-bundle.js"] {
        let ask = |codings: &str| {
            let request = browser.get(app.url() + path);
            request.header("accept-encoding", codings).send()
        };
        let (plain, gzip) = (
            ask("identity").await.unwrap(),
            ask("br, gzip").await.unwrap(),
        );
        assert_eq!(plain.headers().get("content-encoding"), None, "{path}");
        assert_eq!(gzip.headers()["content-encoding"], "gzip", "{path}");
        for answer in [&plain, &gzip] {
            assert_eq!(answer.headers()["vary"], "Accept-Encoding", "{path}");
        }
        assert_ne!(plain.headers()["etag"], gzip.headers()["etag"], "{path}");
        let refused = ask("gzip;q=0").await.unwrap();
        assert_eq!(refused.headers()["etag"], plain.headers()["etag"], "{path}");
        let (plain, gzip) = (plain.bytes().await.unwrap(), gzip.bytes().await.unwrap());
        assert!(gzip.starts_with(&[0x1f, 0x8b]), "{path}");
        assert!(
            gzip.len() * 2 < plain.len(),
            "{path}: {} of {}",
            gzip.len(),
            plain.len()
        );
    }
    let head = browser.head(app.url() + "/app.js").send().await.unwrap();
    assert_eq!(head.status(), 200);
    assert_eq!(head.headers()["etag"], tag);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_load_nothing_from_other_hosts() {
    let app = App::start().await;
    let patient = reqwest::redirect::Policy::none();
    let browser = reqwest::Client::builder()
        .redirect(patient)
        .build()
        .unwrap();
    let answer = browser.get(app.url() + "/docs").send().await.unwrap();
    assert_eq!(answer.status(), 307);
    assert_eq!(answer.headers()["location"], "/docs/");
    let page = async |path: &str| {
        let answer = app.call("GET", path, None).await;
        let Value::String(text) = answer.body else {
            panic!("{path}: {}", answer.body);
        };
        assert_eq!((answer.status, text.is_empty()), (200, false), "{path}");
        text
    };
    let client = page("/").await;
    let loaded = links(&client);
    assert!(loaded.contains(&"/app.js"), "{client}");
    for link in loaded {
        assert!(!link.contains("//"), "{link} is on another host");
        let path = link.split('#').next().unwrap();
        if !path.is_empty() {
            // The documentation answers at its final path.
            let answer = app.call("GET", path, None).await;
            assert_eq!(answer.status, 200, "{link}");
        }
    }
    assert!(
        !client.contains("http://") && !client.contains("https://"),
        "{client}"
    );
    // Follows the imports of all scripts: an import that is not served would fail only in a browser.
    let mut files = vec!["app.js".to_owned()];
    let mut found = BTreeSet::new();
    while let Some(file) = files.pop() {
        if !found.insert(file.clone()) {
            continue;
        }
        let script = page(&format!("/{file}")).await;
        for import in script.split(" from \"").skip(1) {
            let import = import.split('"').next().unwrap();
            let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
            files.push(match (import.strip_prefix("./"), folder) {
                (Some(beside), "") => beside.to_owned(),
                (Some(beside), folder) => format!("{folder}/{beside}"),
                (None, _) => import.trim_start_matches("../").to_owned(),
            });
        }
    }
    browser_asks_again(&app, &browser).await;

    let html = page("/docs/").await;
    let loaded = links(&html);
    assert!(
        loaded
            .iter()
            .any(|link| link.ends_with("swagger-ui-bundle.js")),
        "{html}"
    );
    for link in &loaded {
        assert!(!link.contains("//"), "{link} is on another host");
        let answer = app
            .call(
                "GET",
                &format!("/docs/{}", link.trim_start_matches("./")),
                None,
            )
            .await;
        assert_eq!(answer.status, 200, "{link}");
        if link.ends_with(".css") {
            let text = answer.body.as_str().unwrap();
            assert!(
                !text.contains("url(http") && !text.contains("@import"),
                "{link}"
            );
        }
    }
    assert!(
        !html.contains("http://") && !html.contains("https://"),
        "{html}"
    );
    let start = page("/docs/swagger-initializer.js").await;
    assert!(start.contains("\"/openapi.json\""), "{start}");
    assert!(start.contains("validatorUrl: \"none\""), "{start}");
    assert!(
        !start.contains("http://") && !start.contains("https://"),
        "{start}"
    );

    let problems = page("/docs/problems").await;
    for code in Code::ALL {
        let anchor = format!("id='{}'", code.as_str());
        assert!(problems.contains(&anchor), "{anchor}");
    }
    assert!(
        links(&problems).is_empty() && !problems.contains("http"),
        "{problems}"
    );
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn page_lists_the_trusted_media_hosts() {
    let page = async |hosts: &[&str]| {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        let app = App::configured(|config| config.trusted_media_hosts = hosts).await;
        let answer = app.call("GET", "/", None).await;
        app.finish().await;
        answer.body.as_str().unwrap().to_owned()
    };
    let none = page(&[]).await;
    assert!(
        none.contains(r#"<meta name="media-hosts" content="">"#),
        "{none}"
    );
    let some = page(&["media.example", "*.cdn.example:8443"]).await;
    assert!(
        some.contains(r#"<meta name="media-hosts" content="media.example *.cdn.example:8443">"#),
        "{some}"
    );
}
