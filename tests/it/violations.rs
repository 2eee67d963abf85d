//! What is wrong with an input is said in words that help.

use crate::support::{App, id};
use serde_json::json;
use tideline::http::openapi;

/// People read the details: each says what would be right, and the first is the example of the document.
#[tokio::test(flavor = "multi_thread")]
async fn a_violation_says_what_would_be_right() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let document = serde_json::to_value(openapi::document()).unwrap();
    let example = &document["components"]["schemas"]["Violation"]["properties"]["detail"];
    let chat = ann.group(&[&ben]).await;
    let messages = format!("/conversations/{chat}/messages");
    let members = format!("/conversations/{chat}/members");
    let message =
        |kind: &str, content| json!({"client_msg_id": id(), "kind": kind, "content": content});
    let crowd: Vec<_> = (0..101).map(|_| id()).collect();
    let image = json!({"url": "https://x.example/1", "mime": "image/png", "size": -1, "width": 0, "height": 1});
    let named = json!({"username": "cat", "password": "short"});
    for (path, body, expected) in [
        (
            messages.as_str(),
            message("text", json!({"text": ""})),
            json!([["/content/text", example["example"]]]),
        ),
        (
            &messages,
            message("text", json!({"text": "x", "mentions": crowd})),
            json!([["/content/mentions", "must be 0 to 100 items long"]]),
        ),
        (
            &messages,
            message("image", image),
            json!([
                ["/content/size", "must be 0 to 9007199254740991"],
                ["/content/width", "must be 1 to 100000"]
            ]),
        ),
        (
            &members,
            json!({"user_ids": []}),
            json!([["/user_ids", "must be 1 to 1000 items long"]]),
        ),
        (
            "/auth/register",
            named,
            json!([["/password", "must be 8 to 128 Unicode code points long"]]),
        ),
    ] {
        let problem = ann.post(path, body).await.problem(400, "validation");
        let errors = problem["errors"].as_array().unwrap().iter();
        let told: Vec<_> = errors
            .map(|one| [&one["pointer"], &one["detail"]])
            .collect();
        assert_eq!(json!(told), expected);
    }
    app.finish().await;
}
