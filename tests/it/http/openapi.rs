//! The OpenAPI document and the server agree.
//!
//! This file is long because one test calls every operation, to compare each response with its schema.

use crate::support::schema::faults;
use crate::support::{Answer, App, PASSWORD, Person, id, text};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tideline::http::kit::problem::Code;
use tideline::http::openapi;

/// The operations that need no token.
const PUBLIC: &[&str] = &[
    "get_capabilities",
    "get_linked_media",
    "get_live",
    "get_ready",
    "login_user",
    "refresh_session",
    "register_user",
];

/// The allowed verbs of operationIds.
const VERBS: &[&str] = &[
    "add",
    "ban",
    "block",
    "clear",
    "create",
    "delete",
    "fetch",
    "edit",
    "find",
    "get",
    "hide",
    "leave",
    "list",
    "login",
    "logout",
    "mark",
    "recall",
    "refresh",
    "register",
    "remove",
    "rename",
    "send",
    "accept",
    "decline",
    "unban",
    "unblock",
    "update",
    "wait",
    "change",
    "complete",
    "upload",
    "diagnose",
    "pin",
    "unpin",
    "search",
    "deactivate",
];

fn document() -> Value {
    serde_json::to_value(openapi::document()).unwrap()
}

struct Operation<'a> {
    method: String,
    path: &'a str,
    id: &'a str,
    it: &'a Value,
}

impl Operation<'_> {
    fn is_public(&self) -> bool {
        self.it["security"] == json!([{}])
    }

    /// The path with ids that do not exist.
    fn url(&self) -> String {
        let url = self.path.replace("{seq}", "1");
        let ids = url.split('/').map(|part| {
            if part.starts_with('{') {
                id()
            } else {
                part.to_owned()
            }
        });
        ids.collect::<Vec<_>>().join("/")
    }
}

fn operations(document: &Value) -> Vec<Operation<'_>> {
    let paths = document["paths"].as_object().unwrap();
    let all = paths.iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap();
        methods.iter().map(move |(method, it)| Operation {
            method: method.to_uppercase(),
            path,
            id: it["operationId"].as_str().unwrap(),
            it,
        })
    });
    all.collect()
}

#[test]
fn committed_document_matches_the_generated_one() {
    let committed = include_str!("../../../openapi/openapi.json");
    assert!(committed == openapi::json().unwrap(), "run: make openapi");
    assert_eq!(document()["openapi"], "3.1.0");
}

#[test]
fn every_operation_is_fully_described() {
    let document = document();
    let tags: Vec<_> = document["tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| &tag["name"])
        .collect();
    let mut ids = BTreeSet::new();
    for operation in operations(&document) {
        let (id, it) = (operation.id, operation.it);
        assert!(ids.insert(id), "{id} is there twice");
        let (verb, noun) = id.split_once('_').unwrap_or((id, ""));
        assert!(VERBS.contains(&verb) && !noun.is_empty(), "{id}: verb_noun");
        assert!(
            id.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
            "{id}"
        );
        assert!(
            it["summary"]
                .as_str()
                .is_some_and(|text| !text.ends_with('.')),
            "{id}"
        );
        let tagged = it["tags"].as_array().unwrap();
        assert!(
            tagged.len() == 1 && tags.contains(&&tagged[0]),
            "{id}: one known tag"
        );
        assert_eq!(
            operation.is_public(),
            PUBLIC.contains(&id),
            "{id}: security"
        );
        assert!(
            operation.is_public() || it.get("security").is_none(),
            "{id}: security"
        );

        let responses = it["responses"].as_object().unwrap();
        let mut good = 0;
        for (status, response) in responses {
            assert!(
                response["description"]
                    .as_str()
                    .is_some_and(|text| !text.is_empty()),
                "{id} {status}"
            );
            let kinds = response["content"].as_object();
            let schema = |kind: &str| kind_schema(response, kind).is_some();
            if status.starts_with('2') {
                good += 1;
                let has_schema = schema("application/json") || schema("application/octet-stream");
                assert!(
                    has_schema != (status == "204"),
                    "{id} {status}: a schema, or 204"
                );
            } else if status.starts_with('3') || status == "416" {
                assert!(kinds.is_none(), "{id} {status}: no body");
            } else if operation.path.starts_with("/v1/") {
                assert!(
                    schema("application/problem+json"),
                    "{id} {status}: a problem"
                );
                let named = kinds.unwrap()["application/problem+json"]["examples"]
                    .as_object()
                    .unwrap();
                let names = |code: &&Code| named.contains_key(code.as_str());
                let codes: Vec<_> = Code::ALL.iter().filter(names).collect();
                assert_eq!(codes.len(), named.len(), "{id} {status}");
                assert!(
                    codes.iter().all(|code| code.status().as_str() == status),
                    "{id} {status}"
                );
            }
            if status == "201" {
                assert!(
                    response["headers"]["Location"].is_object(),
                    "{id}: Location"
                );
            }
        }
        assert!(good > 0, "{id} never succeeds");
        let may_refuse = !operation.is_public() || ["login_user", "refresh_session"].contains(&id);
        assert_eq!(responses.contains_key("401"), may_refuse, "{id}: 401");

        let none = Vec::new();
        let parameters = it["parameters"].as_array().unwrap_or(&none);
        for one in parameters {
            assert!(
                one["description"].is_string() && one["schema"].is_object(),
                "{id}: {one}"
            );
        }
        let in_path = parameters.iter().filter(|one| one["in"] == "path").count();
        assert_eq!(in_path, operation.path.matches('{').count(), "{id}");
    }
    assert!(PUBLIC.iter().all(|id| ids.contains(id)));
}

fn kind_schema<'a>(response: &'a Value, kind: &str) -> Option<&'a Value> {
    response.get("content")?.get(kind)?.get("schema")
}

#[test]
fn every_reference_resolves_and_every_schema_is_used() {
    fn references<'a>(value: &'a Value, into: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(members) => {
                into.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|one| references(one, into));
            }
            Value::Array(items) => items.iter().for_each(|one| references(one, into)),
            _ => {}
        }
    }
    let document = document();
    let mut used = BTreeSet::new();
    references(&document, &mut used);
    let there = document["components"]["schemas"]
        .as_object()
        .unwrap()
        .keys();
    let there: Vec<_> = there
        .map(|name| format!("#/components/schemas/{name}"))
        .collect();
    let there: BTreeSet<_> = there.iter().map(String::as_str).collect();
    assert_eq!(used, there);
}

#[test]
fn kinds_are_expanded_for_client_generators() {
    let document = document();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    assert!(!document.to_string().contains("allOf"));
    for (name, count) in [
        ("CreateConversationRequest", 3),
        ("Entry", 17),
        ("Message", 9),
        ("SendMessage", 6),
    ] {
        let discriminator = &schemas[name]["discriminator"];
        assert_eq!(discriminator["propertyName"], "kind");
        let kinds = discriminator["mapping"].as_object().unwrap();
        assert_eq!(kinds.len(), count, "{name}");
        assert_eq!(schemas[name]["oneOf"].as_array().unwrap().len(), count);
        for (kind, there) in kinds {
            let schema = document.pointer(&there.as_str().unwrap()[1..]).unwrap();
            assert_eq!(schema["properties"]["kind"]["enum"], json!([kind]));
            assert_eq!(schema["type"], "object");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn server_serves_exactly_the_documented_operations() {
    let app = App::start().await;
    let document = document();
    let served = app.call("GET", "/openapi.json", None).await;
    assert_eq!(served.header("content-type"), "application/json");
    assert_eq!(served.ok(200), document);

    let operations = operations(&document);
    for operation in &operations {
        let body = (operation.method != "GET").then(|| json!({}));
        let answer = app.call(&operation.method, &operation.url(), body).await;
        if operation.is_public() {
            assert!(
                [200, 400, 404].contains(&answer.status),
                "{}: {}",
                operation.id,
                answer.body
            );
        } else {
            assert_eq!(answer.body["code"], "unauthenticated", "{}", operation.id);
        }
        // A method that is not in the document is not served, and `Allow` agrees.
        let mut methods: Vec<_> = operations
            .iter()
            .filter(|other| other.path == operation.path)
            .map(|other| other.method.as_str())
            .collect();
        methods.sort_unstable();
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            if !methods.contains(&method) {
                let answer = app.call(method, &operation.url(), None).await;
                let mut allow: Vec<_> = answer.header("allow").split(", ").collect();
                // HEAD is GET without a body.
                allow.retain(|method| *method != "HEAD");
                allow.sort_unstable();
                assert_eq!(allow, methods, "{method} {}", operation.path);
                answer.problem(405, "method_not_allowed");
            }
        }
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_body_has_an_example_the_server_accepts() {
    let (app, [ann]) = App::with(["ann"]).await;
    let document = document();
    for operation in operations(&document) {
        let Some(body) = operation.it["requestBody"]["content"].get("application/json") else {
            continue;
        };
        let named = body["schema"]["$ref"].as_str().unwrap();
        let schema = document.pointer(&named[1..]).unwrap();
        let own = body["examples"].as_object().into_iter().flatten();
        let own = own.map(|(_, example)| &example["value"]);
        let examples: Vec<_> = schema.get("example").into_iter().chain(own).collect();
        assert!(!examples.is_empty(), "{} has no example", operation.id);
        for example in examples {
            assert_eq!(faults(&document, schema, example, ""), [""; 0]);
            let path = operation.url();
            let (method, path) = (operation.method.as_str(), path.trim_start_matches("/v1"));
            let answer = ann.try_call(method, path, Some(example)).await.unwrap();
            assert!(
                ![400, 405, 422].contains(&answer.status) && answer.status < 500,
                "{}: {example} is {}",
                operation.id,
                answer.body
            );
        }
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn real_responses_match_their_schemas() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let document = document();
    let operations = operations(&document);
    let mut met = BTreeSet::new();
    let mut fits = |id: &'static str, status: u16, answer: Answer| {
        let operation = operations.iter().find(|one| one.id == id).unwrap();
        assert_eq!(answer.status, status, "{id}: {}", answer.body);
        let response = &operation.it["responses"][status.to_string()];
        assert!(response.is_object(), "{id} does not document {status}");
        let kind = match answer.header("content-type") {
            // Bytes of media are documented in one kind.
            picture if picture.starts_with("image/") => "application/octet-stream",
            kind => kind,
        };
        match kind_schema(response, kind) {
            Some(schema) => {
                assert_eq!(faults(&document, schema, &answer.body, ""), [""; 0], "{id}")
            }
            None => assert_eq!((status, &answer.body), (204, &Value::Null), "{id}"),
        }
        if status < 300 {
            met.insert(id);
        }
        answer.body
    };
    let post = async |path: &str, body: Value| app.call("POST", path, Some(body)).await;

    let account =
        json!({"username": "cat", "password": "long enough", "device": {"platform": "web"}});
    fits(
        "register_user",
        201,
        post("/v1/auth/register", account.clone()).await,
    );
    fits(
        "register_user",
        409,
        post("/v1/auth/register", account.clone()).await,
    );
    let account = json!({"username": "cat", "password": "long enough"});
    let cat = fits("login_user", 200, post("/v1/auth/login", account).await);
    fits("login_user", 400, post("/v1/auth/login", json!({})).await);
    let cat = Person::of_session(&app, &cat);
    let token = json!({"refresh_token": cat.refresh_token});
    fits(
        "refresh_session",
        200,
        post("/v1/auth/refresh", token).await,
    );
    fits(
        "refresh_session",
        401,
        post("/v1/auth/refresh", json!({"refresh_token": ""})).await,
    );
    fits(
        "logout_session",
        204,
        cat.post("/auth/logout", Value::Null).await,
    );
    let phone = ben.another_device(&app).await;
    fits("list_devices", 200, ben.get("/me/devices").await);
    let path = format!("/me/devices/{}", phone.device);
    fits("remove_device", 204, ben.call("DELETE", &path).await);
    fits("remove_device", 404, ben.call("DELETE", &path).await);
    let passwords = json!({"old_password": PASSWORD, "new_password": "battery staple"});
    fits(
        "change_password",
        204,
        ben.put("/me/password", passwords.clone()).await,
    );
    fits(
        "change_password",
        401,
        ben.put("/me/password", passwords).await,
    );
    fits("get_me", 401, cat.get("/me").await);
    fits("get_me", 200, ann.get("/me").await);
    fits(
        "update_me",
        200,
        ann.patch("/me", json!({"display_name": "Ann"})).await,
    );
    fits(
        "get_user",
        200,
        ann.get(&format!("/users/{}", ben.id)).await,
    );
    fits("list_users", 200, ann.get("/users?username=ben").await);
    let found = ann.get("/users/search?prefix=ann&limit=1").await;
    fits("search_users", 200, found);
    let short = ann.get("/users/search?prefix=an").await;
    fits("search_users", 400, short);
    let seen = ann.get(&format!("/presence?ids={}", ben.id)).await;
    fits("get_presence", 200, seen);
    fits("get_presence", 400, ann.get("/presence?ids=x").await);
    let people = json!({"user_ids": [ben.id]});
    let followed = ann.post("/presence/cursors", people).await;
    let cursor = followed.body["cursor"].as_str().unwrap().to_owned();
    fits("create_presence_cursor", 200, followed);
    let nobody = json!({"user_ids": []});
    let nobody = ann.post("/presence/cursors", nobody).await;
    fits("create_presence_cursor", 400, nobody);
    let head = ann.head().await;
    let path = format!("/notices?since_seq={head}&timeout=0&activity=idle&presence={cursor}");
    fits("wait_notices", 200, ann.get(&path).await);
    fits("wait_notices", 400, ben.get(&path).await);
    let (proof, wrong) = (json!({"password": PASSWORD}), json!({"password": "x"}));
    let [eve, fay] = app.people(["eve", "fay"]).await;
    let end = "/me/deactivate";
    fits("deactivate_me", 401, eve.post(end, wrong.clone()).await);
    fits("deactivate_me", 204, eve.post(end, proof.clone()).await);
    let delete = async |body: &Value| fay.try_call("DELETE", "/me", Some(body)).await.unwrap();
    fits("delete_me", 401, delete(&wrong).await);
    fits("delete_me", 202, delete(&proof).await);
    let refused = json!({"kind": "direct", "user_id": fay.id});
    let refused = ann.post("/conversations", refused).await;
    fits("create_conversation", 403, refused);
    let renamed = fits(
        "update_me",
        200,
        ann.patch("/me", json!({"username": "anna"})).await,
    );
    assert_eq!(renamed["username"], "anna");
    fits(
        "update_me",
        409,
        ann.patch("/me", json!({"username": "annb"})).await,
    );
    fits(
        "update_me",
        200,
        ann.patch("/me", json!({"username": "ann"})).await,
    );

    let direct = json!({"kind": "direct", "user_id": ben.id});
    let chat = fits(
        "create_conversation",
        201,
        ann.post("/conversations", direct.clone()).await,
    );
    fits(
        "create_conversation",
        200,
        ann.post("/conversations", direct).await,
    );
    let chat = format!("/conversations/{}", chat["id"].as_str().unwrap());
    let sends = format!("{chat}/messages");
    let picture = json!({"url": "https://files.example/a.png", "mime": "image/png", "size": 9, "width": 3,
        "height": 4});
    let mut film = picture.clone();
    film["duration_ms"] = json!(5);
    let file = json!({"url": "https://files.example/a.pdf", "name": "a.pdf", "mime": "application/pdf", "size": 9});
    for (kind, content) in [
        ("text", json!({"text": "hi"})),
        ("emoji", json!({"emoji": "👍"})),
        ("image", picture),
        ("video", film),
        ("file", file),
        ("custom", json!({"any": ["thing", {"at": "all"}]})),
    ] {
        let message = json!({"client_msg_id": id(), "kind": kind, "content": content});
        fits("send_message", 201, ann.post(&sends, message.clone()).await);
        fits("send_message", 200, ann.post(&sends, message).await);
    }
    let batch = json!({"messages": [text("x"), text("")]});
    fits(
        "send_messages",
        200,
        ann.post(&format!("{sends}/batch"), batch).await,
    );
    fits("list_messages", 200, ben.get(&sends).await);
    fits(
        "list_messages",
        409,
        ben.get(&format!("{sends}?since_seq=99")).await,
    );
    fits("get_message", 200, ben.get(&format!("{sends}/1")).await);
    fits("get_conversation", 200, ben.get(&chat).await);
    let edit = json!({"version": 1, "content": {"text": "hello"}});
    let at = format!("{sends}/1");
    fits("edit_message", 200, ann.patch(&at, edit.clone()).await);
    let other = json!({"version": 1, "content": {"text": "good day"}});
    fits("edit_message", 409, ann.patch(&at, other).await);
    let versions = format!("{at}/versions");
    fits("list_versions", 200, ben.get(&versions).await);
    let answer = json!({"client_msg_id": id(), "kind": "text", "content": {"text": "yes"}, "reply_to": 1, "mention_all": true});
    fits("send_message", 201, ben.post(&sends, answer).await);
    fits("list_replies", 200, ann.get(&format!("{at}/replies")).await);
    fits("list_mentions", 200, ann.get("/mentions").await);
    fits(
        "search_messages",
        200,
        ann.get("/search/messages?q=good&limit=1").await,
    );
    fits("search_messages", 400, ann.get("/search/messages?q=").await);
    let quoting = format!("{sends}?since_seq=1&with_replied=true");
    fits("list_messages", 200, ann.get(&quoting).await);
    fits("get_unread", 200, ann.get("/unread?mentions=true").await);
    let reactions = format!("{at}/reactions");
    let thumb = format!("{reactions}/%F0%9F%91%8D");
    fits("add_reaction", 200, ben.put(&thumb, Value::Null).await);
    fits("list_reactions", 200, ann.get(&reactions).await);
    fits("get_message", 200, ben.get(&at).await);
    fits("list_messages", 200, ben.get(&sends).await);
    fits("remove_reaction", 200, ben.call("DELETE", &thumb).await);
    let pins = format!("{chat}/pins");
    let pin = format!("{pins}/1");
    fits("pin_message", 204, ann.put(&pin, Value::Null).await);
    fits("list_pins", 200, ben.get(&pins).await);
    fits("get_message", 200, ben.get(&at).await);
    let source = json!({"conversation_id": chat.trim_start_matches("/conversations/"), "seq": 1});
    let forward = json!({"client_msg_id": id(), "forward": source});
    fits("send_message", 201, ben.post(&sends, forward).await);
    fits("unpin_message", 204, ben.call("DELETE", &pin).await);
    let receipts = format!("{at}/receipts");
    fits("list_receipts", 200, ann.get(&receipts).await);
    fits("list_receipts", 403, ben.get(&receipts).await);
    fits("recall_message", 200, ann.call("DELETE", &at).await);
    fits("list_receipts", 409, ann.get(&receipts).await);
    fits("list_versions", 409, ben.get(&versions).await);
    fits("pin_message", 409, ben.put(&pin, Value::Null).await);
    fits("list_messages", 200, ben.get(&sends).await);
    let changed = format!("{sends}?changed_since=0");
    fits("list_messages", 200, ben.get(&changed).await);
    let group = json!({"kind": "group", "title": "Friday", "member_ids": [ben.id],
        "client_conversation_id": id()});
    let made = ann.post("/conversations", group).await;
    let group = fits("create_conversation", 201, made);
    let group = format!("/conversations/{}", group["id"].as_str().unwrap());
    let rules = json!({"posting": "all", "pinning": "all", "slow_mode_seconds": 30});
    fits("update_conversation", 200, ann.patch(&group, rules).await);
    fits(
        "send_message",
        201,
        ben.post(&format!("{group}/messages"), text("x")).await,
    );
    fits(
        "send_message",
        429,
        ben.post(&format!("{group}/messages"), text("x")).await,
    );
    let title = json!({"title": "Saturday"});
    let renamed = ben.patch(&group, title.clone()).await;
    fits("update_conversation", 403, renamed);
    fits("update_conversation", 200, ann.patch(&group, title).await);
    let members = format!("{group}/members");
    let add = json!({"user_ids": [cat.id, ben.id]});
    fits("add_members", 200, ann.post(&members, add).await);
    fits("list_members", 200, ben.get(&members).await);
    let path = format!("{members}/{}", ben.id);
    let mute = json!({"role": "admin", "muted_until": "2100-01-01T00:00:00Z"});
    fits("update_member", 200, ann.patch(&path, mute).await);
    let muted = ben.post(&format!("{group}/messages"), text("x")).await;
    fits("send_message", 403, muted);
    fits("remove_member", 204, ann.call("DELETE", &path).await);
    fits("remove_member", 404, ann.call("DELETE", &path).await);
    let bans = format!("{group}/bans");
    let path = format!("{bans}/{}", ben.id);
    fits("ban_user", 204, ann.put(&path, Value::Null).await);
    fits("list_bans", 200, ann.get(&bans).await);
    let add = json!({"user_ids": [ben.id]});
    fits("add_members", 403, ann.post(&members, add).await);
    fits("unban_user", 204, ann.call("DELETE", &path).await);
    let path = format!("/me/blocks/{}", cat.id);
    let nothing = Value::Null;
    fits("block_user", 204, ann.put(&path, nothing).await);
    fits("list_blocks", 200, ann.get("/me/blocks").await);
    fits("unblock_user", 204, ann.call("DELETE", &path).await);
    let desk = json!({"username": "acme", "display_name": "Acme support", "client_desk_id": id()});
    let made = ann.post("/desks", desk.clone()).await;
    let path = format!("/desks/{}", made.body["id"].as_str().unwrap());
    fits("create_desk", 201, made);
    fits("create_desk", 200, ann.post("/desks", desk).await);
    fits("list_desks", 200, ann.get("/me/desks").await);
    let name = json!({"display_name": "Acme"});
    fits("update_desk", 200, ann.patch(&path, name).await);
    let skills = format!("{path}/skills");
    let names = json!({"skills": ["returns"]});
    fits("add_desk_skills", 200, ann.put(&skills, names).await);
    fits("get_desk_skills", 200, ann.get(&skills).await);
    let available = json!({"available": true});
    fits(
        "update_availability",
        200,
        ann.put(&format!("{path}/me"), available).await,
    );
    fits("list_seats", 200, ann.get(&format!("{path}/agents")).await);
    let agent = format!("{path}/agents/{}", ann.id);
    let seat = json!({"role": "admin", "skills": ["returns"], "capacity": 3, "alias": "Ann"});
    fits("add_seat", 200, ann.put(&agent, seat).await);
    let capacity = json!({"capacity": 4});
    fits("update_seat", 200, ann.patch(&agent, capacity).await);
    fits("remove_seat", 409, ann.call("DELETE", &agent).await);
    let other = format!("{path}/agents/{}", ben.id);
    fits("remove_seat", 204, ann.call("DELETE", &other).await);
    let path = format!("/me/contacts/{}", ben.id);
    let notes = json!({"alias": "Ben", "tags": ["work"], "starred": true});
    fits("update_contact", 200, ann.put(&path, notes).await);
    fits("get_contact", 200, ann.get(&path).await);
    fits("list_contacts", 200, ann.get("/me/contacts?limit=1").await);
    let batch = json!({"contacts": [{"user_id": ben.id}, {"user_id": id()}]});
    fits(
        "update_contacts",
        200,
        ann.post("/me/contacts/batch", batch).await,
    );
    let asks = format!("/me/contact-requests/{}", ben.id);
    let asked = format!("/me/contact-requests/{}", ann.id);
    let message = json!({"message": "hello"});
    fits("create_request", 201, ann.put(&asks, message.clone()).await);
    fits("create_request", 200, ann.put(&asks, message.clone()).await);
    fits(
        "list_requests",
        200,
        ann.get("/me/contact-requests?direction=out").await,
    );
    fits(
        "list_requests",
        200,
        ben.get("/me/contact-requests?direction=in").await,
    );
    let accept = format!("{asked}/accept");
    fits("accept_request", 200, ben.post(&accept, json!({})).await);
    fits("create_request", 200, ann.put(&asks, message.clone()).await);
    let mutual = format!("/users/{}/mutual-contacts/count", ben.id);
    fits("get_mutual_count", 200, ann.get(&mutual).await);
    fits("remove_contact", 204, ann.call("DELETE", &path).await);
    fits("create_request", 201, ann.put(&asks, message.clone()).await);
    let decline = format!("{asked}/decline");
    fits("decline_request", 204, ben.call("POST", &decline).await);
    fits("remove_request", 204, ann.call("DELETE", &asks).await);
    fits("create_request", 409, ann.put(&asks, message).await);
    fits("get_privacy", 200, ann.get("/me/privacy").await);
    let closed = json!({"contact_request": "nobody"});
    fits(
        "update_privacy",
        200,
        ben.patch("/me/privacy", closed).await,
    );
    let status = json!({"availability": "busy", "text": "at sea"});
    fits("update_status", 200, ann.put("/me/status", status).await);
    fits("delete_status", 204, ann.call("DELETE", "/me/status").await);
    fits("fetch_inbox", 200, ann.get("/inbox?since_seq=0").await);
    fits("fetch_inbox", 200, ben.get("/inbox?since_seq=0").await);
    fits(
        "get_conversation",
        404,
        ben.get(&format!("/conversations/{}", id())).await,
    );
    fits("list_conversations", 200, ben.get("/conversations").await);
    fits("get_unread", 200, ben.get("/unread").await);
    fits(
        "mark_read",
        200,
        ben.put(&format!("{chat}/read"), json!({"seq": 1})).await,
    );
    fits(
        "mark_unread",
        204,
        ben.put(&format!("{chat}/marked_unread"), Value::Null).await,
    );
    let (typing, types) = (format!("{chat}/typing"), json!({"typing": true}));
    let head = ann.head().await;
    let id = chat.trim_start_matches("/conversations/");
    let look = format!("/notices?since_seq={head}&timeout=5&typing={id}:0");
    let types = async {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        ben.put(&typing, types).await
    };
    let (looked, typed) = tokio::join!(ann.get(&look), types);
    assert_eq!(
        looked.body["signals"]["typing"][0]["user_ids"],
        json!([ben.id])
    );
    fits("wait_notices", 200, looked);
    fits("update_typing", 204, typed);
    let draft = format!("{chat}/draft");
    let text = json!({"version": 0, "content": {"text": "hi"}, "after_seq": 1});
    fits("update_draft", 200, ann.put(&draft, text.clone()).await);
    fits("update_draft", 200, ann.put(&draft, text).await);
    let older = json!({"version": 0, "content": {"text": "ho"}, "after_seq": 1});
    fits("update_draft", 409, ann.put(&draft, older.clone()).await);
    fits("update_draft", 200, ben.put(&draft, older).await);
    fits("list_drafts", 200, ben.get("/drafts").await);
    let version = format!("{draft}?version=5");
    fits("delete_draft", 409, ann.call("DELETE", &version).await);
    let version = format!("{draft}?version=1");
    fits("delete_draft", 204, ann.call("DELETE", &version).await);
    let settings = format!("{chat}/settings");
    for change in [
        json!({"notify": {"level": "none"}, "nickname": "Ann", "hidden_through": 1}),
        json!({"notify": null, "nickname": null, "hidden_through": null, "pinned": true, "archived": true}),
    ] {
        fits("update_settings", 200, ben.patch(&settings, change).await);
    }
    fits("get_conversation", 200, ben.get(&chat).await);
    let hidden = format!("{chat}/hidden");
    let seqs = json!({"seqs": [2, 7]});
    fits("hide_messages", 204, ann.put(&hidden, seqs).await);
    fits("list_messages", 200, ann.get(&sends).await);
    fits("list_conversations", 200, ann.get("/conversations").await);
    let later = format!("/me/scheduled/{}", crate::support::id());
    let at = crate::support::tomorrow();
    let message = json!({"conversation_id": chat.rsplit('/').next(), "send_at": at, "kind": "text",
        "content": {"text": "later"}, "reply_to": 1, "mention_all": true, "expires_in": 60});
    fits("update_scheduled", 200, ann.put(&later, message).await);
    fits("list_scheduled", 200, ann.get("/me/scheduled").await);
    fits("delete_scheduled", 204, ann.call("DELETE", &later).await);
    let cleared = format!("{chat}/cleared");
    fits(
        "clear_history",
        204,
        ben.put(&cleared, json!({"seq": 2})).await,
    );
    fits(
        "clear_history",
        400,
        ben.put(&cleared, json!({"seq": 99})).await,
    );
    fits("fetch_inbox", 200, ann.get("/inbox?since_seq=0").await);
    fits("fetch_inbox", 200, ben.get("/inbox?since_seq=0").await);
    fits("fetch_inbox", 409, ben.get("/inbox?since_seq=99").await);
    fits("wait_notices", 200, ben.get("/notices?since_seq=0").await);
    let wait = "/diagnostics/longpoll";
    fits(
        "diagnose_longpoll",
        400,
        ann.get(&format!("{wait}?timeout=56")).await,
    );
    fits(
        "diagnose_longpoll",
        200,
        ann.get(&format!("{wait}?timeout=0")).await,
    );
    fits(
        "get_capabilities",
        200,
        app.call("GET", "/v1/capabilities", None).await,
    );
    fits("get_live", 200, app.call("GET", "/health/live", None).await);
    fits(
        "get_ready",
        200,
        app.call("GET", "/health/ready", None).await,
    );

    let create = crate::support::media::file(10);
    let upload = fits(
        "create_media",
        201,
        ann.post("/media", create.clone()).await,
    );
    fits("create_media", 200, ann.post("/media", create).await);
    fits("create_media", 400, ann.post("/media", json!({})).await);
    let media = format!("/media/{}", upload["media"]["id"].as_str().unwrap());
    let (part, complete) = (format!("{media}/parts/1"), format!("{media}/complete"));
    fits(
        "upload_part",
        400,
        ann.put_bytes(&part, vec![7; 9], &[]).await,
    );
    fits(
        "upload_part",
        204,
        ann.put_bytes(&part, vec![7; 10], &[]).await,
    );
    fits("get_upload", 200, ann.get(&format!("{media}/upload")).await);
    let done = ann.post(&complete, Value::Null).await;
    fits("complete_media", 200, done);
    fits("get_media", 200, ann.get(&media).await);
    fits("list_media", 200, ann.get("/media").await);
    let content = format!("{media}/content");
    fits("get_media_content", 200, ann.get(&content).await);
    let content = format!("{content}?variant=x");
    fits("get_media_content", 400, ann.get(&content).await);
    let attached = upload["media"]["id"].as_str().unwrap();
    let chat = chat.trim_start_matches("/conversations/");
    let sent = fits(
        "send_message",
        201,
        ann.attach(chat, "file", attached).await,
    );
    fits("send_message", 409, {
        let open = ann.begin_upload(crate::support::media::file(1)).await;
        let open = open["media"]["id"].as_str().unwrap();
        ann.attach(chat, "file", open).await
    });
    let of_message = format!("/conversations/{chat}/messages/{}/media", sent["seq"]);
    fits("get_message_media", 200, ann.get(&of_message).await);
    let item = json!({"conversation_id": chat, "seq": sent["seq"], "variant": "original"});
    let links = json!({"items": [item]});
    let links = fits(
        "create_media_links",
        200,
        ann.post("/media/links", links).await,
    );
    let link = links["links"][0]["url"].as_str().unwrap();
    fits("get_linked_media", 200, app.call("GET", link, None).await);
    let png = crate::support::media::PIXEL;
    let picture = ann.upload_image("image/png", png).await;
    let change = json!({"avatar_media_id": picture});
    let me = fits("update_me", 200, ann.patch("/me", change.clone()).await);
    let group = &ann.group(&[&ben]).await;
    let renamed = ann.patch(&format!("/conversations/{group}"), change).await;
    let renamed = fits("update_conversation", 200, renamed);
    let path = |shown: &Value| shown["avatar_url"].as_str().unwrap()[3..].to_owned();
    fits("get_user_avatar", 200, ann.get(&path(&me)).await);
    let answer = ann.get(&path(&renamed)).await;
    fits("get_conversation_avatar", 200, answer);
    let wanted = json!({"user_ids": [ann.id], "conversation_ids": [group]});
    fits(
        "create_avatar_links",
        200,
        ann.post("/media/avatar-links", wanted).await,
    );
    fits("delete_media", 409, ann.call("DELETE", &media).await);
    let unused = ann.begin_upload(crate::support::media::file(1)).await;
    let unused = format!("/media/{}", unused["media"]["id"].as_str().unwrap());
    fits("delete_media", 204, ann.call("DELETE", &unused).await);

    let all: BTreeSet<_> = operations.iter().map(|one| one.id).collect();
    assert_eq!(met, all, "every operation needs a row here");
    app.finish().await;
}
