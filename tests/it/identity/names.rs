//! Names of users, groups and devices: the rules, in every place that accepts a name.

use crate::support::{App, PASSWORD, id};
use serde_json::{Value, json};

/// Accepted input, and the stored name.
const GOOD: &[(&str, &str)] = &[
    ("Ann", "Ann"),
    (" \t\u{3000}Ann Lee\n", "Ann Lee"),
    ("👩‍👩‍👧‍👦", "👩‍👩‍👧‍👦"),
    ("\u{2068}Ann\u{2069}", "\u{2068}Ann\u{2069}"),
    ("\u{200f}آن\u{200f}", "\u{200f}آن\u{200f}"),
    ("e\u{301}", "e\u{301}"),
];

/// Rejected input, by the rule that it breaks.
const BAD: &[(&str, &[&str])] = &[
    ("must be 1 to ", &["", " ", "\n", "\u{3000}\u{a0}"]),
    (
        "must not contain ",
        &[
            "A\u{7}nn",
            "A\nnn",
            "A\u{85}nn",
            "A\u{7f}nn",
            "A\u{2028}nn",
            "\u{202d}Ann",
            "Ann\u{202e}gpj",
        ],
    ),
    (
        "must contain something visible",
        &[
            "\u{200b}",
            "\u{feff}",
            "\u{3164}",
            "\u{2800}",
            "\u{ad}\u{200d} \u{fe0f}",
            "\u{115f}\u{ffa0}",
            "\u{2066}\u{2069}",
            "\u{e0020}\u{e007f}",
        ],
    ),
];

/// Every place of a name: method, path, a body without it, its pointer, its maximum length, and its pointer in the response.
fn places(
    login: &str,
) -> Vec<(
    &'static str,
    &'static str,
    Value,
    &'static str,
    usize,
    &'static str,
)> {
    let account = || {
        let name = id()[14..].replace('-', "");
        json!({"username": name, "password": PASSWORD, "device": {}})
    };
    let login = json!({"username": login, "password": PASSWORD, "device": {}});
    let make = |kind: &str| json!({"kind": kind, "member_ids": []});
    vec![
        (
            "PATCH",
            "/me",
            json!({}),
            "/display_name",
            64,
            "/display_name",
        ),
        (
            "POST",
            "/auth/register",
            account(),
            "/display_name",
            64,
            "/user/display_name",
        ),
        ("POST", "/auth/register", account(), "/device/name", 64, ""),
        ("POST", "/auth/login", login, "/device/name", 64, ""),
        (
            "POST",
            "/conversations",
            make("group"),
            "/title",
            128,
            "/title",
        ),
        (
            "POST",
            "/conversations",
            make("channel"),
            "/title",
            128,
            "/title",
        ),
        (
            "PATCH",
            "/conversations/{id}",
            json!({}),
            "/title",
            128,
            "/title",
        ),
    ]
}

/// A body with a name at this pointer.
fn with(mut body: Value, place: &str, name: &str) -> Value {
    let (object, member) = place.rsplit_once('/').unwrap();
    body.pointer_mut(object).unwrap()[member] = json!(name);
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_trimmed_and_misleading_names_rejected() {
    let (app, [ann]) = App::with(["ann"]).await;
    let chat = ann.group(&[]).await;
    let ask = async |at: usize, name: &str| {
        let (method, path, body, place, most, shown) = places("ann").swap_remove(at);
        let path = path.replace("{id}", &chat);
        let body = with(body, place, name);
        let answer = ann.try_call(method, &path, Some(&body)).await.unwrap();
        (answer, place, most, shown)
    };
    for at in 0..places("ann").len() {
        let most = places("ann")[at].4;
        // A character may be four bytes, or two UTF-16 units: it counts as one.
        let (long, longer) = ("👋".repeat(most), "👋".repeat(most + 1));
        let padded = format!("  {long}  ");
        let good = GOOD
            .iter()
            .copied()
            .chain([(long.as_str(), long.as_str()), (&padded, &long)]);
        for (typed, kept) in good {
            let (answer, _, _, shown) = ask(at, typed).await;
            assert!(answer.status < 300, "{typed:?}: {}", answer.body);
            let shown = match shown {
                // The device that has logged in last.
                "" => {
                    let own = format!("{}/v1/me/devices", app.url());
                    let token = answer.body["access_token"].as_str().unwrap();
                    let list = app.http.get(own).bearer_auth(token).send().await.unwrap();
                    let list: Value = list.json().await.unwrap();
                    let devices = list["devices"].as_array().unwrap().iter();
                    let mut current = devices.filter(|one| one["current"] == true);
                    current.next().unwrap()["name"].clone()
                }
                shown => answer.body.pointer(shown).unwrap().clone(),
            };
            assert_eq!(shown, kept, "{typed:?}");
        }
        let too_long = ("must be 1 to ", &[longer.as_str()][..]);
        for (rule, names) in BAD.iter().copied().chain([too_long]) {
            for typed in names {
                let (answer, place, most, _) = ask(at, typed).await;
                let problem = answer.problem(400, "validation");
                let error = &problem["errors"][0];
                let detail = error["detail"].as_str().unwrap();
                assert_eq!(error["pointer"], place, "{typed:?}");
                assert!(detail.starts_with(rule), "{typed:?}: {detail}");
                if rule == "must be 1 to " {
                    let counted = format!("{rule}{most} Unicode code points long");
                    assert_eq!(detail, counted);
                }
            }
        }
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operator_created_names_follow_the_same_rules() {
    let app = App::start().await;
    let create = |name: &str, display_name: &str| {
        app.admin(&[
            "create-user",
            "--username",
            name,
            "--display-name",
            display_name,
        ])
    };
    let made = create("ben", " Ben ");
    assert!(made.status.success(), "{made:?}");
    let [ann] = app.people(["ann"]).await;
    let found = ann.get("/users?username=ben").await.ok(200);
    assert_eq!(found["users"][0]["display_name"], "Ben");
    for bad in [" ", "B\u{202e}en", "\u{3164}"] {
        let refused = create("cat", bad);
        assert!(!refused.status.success());
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(said.contains("--display-name must "), "{said}");
    }
    app.finish().await;
}
