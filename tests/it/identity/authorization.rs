//! Permissions: every operation of the document, called in every role.

mod fields;
mod foreign;

use crate::properties::newcomers;
use crate::support::requests::{Operation, Scene, document, operations};
use crate::support::schema::faults;
use crate::support::token::{claims, forge, header, with};
use crate::support::{Answer, App, Person, SECRET};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use tideline::clock::unix_seconds;

/// The result of a valid request to each operation: a status, or the code of a problem. `token` stands for the four invalid
/// tokens of `LOGGED_OUT`, each with its own code. `outsider` was never in the group and `ex_member` has left it; `blocked` is
/// in a direct conversation with a user who blocks them. `send_messages` always answers 200: the result of its only message
/// counts.
const TABLE: &str = "
    operation            logged_out outsider  ex_member member    muted     blocked    admin owner
    get_live             200        200       200       200       200       200        200   200
    get_ready            200        200       200       200       200       200        200   200
    get_capabilities     200        200       200       200       200       200        200   200
    register_user        201        201       201       201       201       201        201   201
    login_user           200        200       200       200       200       200        200   200
    refresh_session      200        200       200       200       200       200        200   200
    logout_session       token      204       204       204       204       204        204   204
    get_me               token      200       200       200       200       200        200   200
    update_me            token      200       200       200       200       200        200   200
    deactivate_me        token      204       204       204       204       204        204   204
    delete_me            token      202       202       202       202       202        202   202
    change_password      token      204       204       204       204       204        204   204
    list_devices         token      200       200       200       200       200        200   200
    remove_device        token      204       204       204       204       204        204   204
    update_status           token      200       200       200       200       200        200   200
    delete_status        token      204       204       204       204       204        204   204
    get_privacy          token      200       200       200       200       200        200   200
    update_privacy       token      200       200       200       200       200        200   200
    list_contacts        token      200       200       200       200       200        200   200
    get_contact          token      200       200       200       200       200        200   200
    update_contact          token      200       200       200       200       200        200   200
    update_contacts         token      200       200       200       200       200        200   200
    remove_contact       token      204       204       204       204       204        204   204
    list_requests        token      200       200       200       200       200        200   200
    create_request          token      201       201       201       201       201        201   201
    accept_request       token      200       200       200       200       200        200   200
    decline_request      token      204       204       204       204       204        204   204
    remove_request       token      204       204       204       204       204        204   204
    get_mutual_count token     200       200       200       200       200        200   200
    list_blocks          token      200       200       200       200       200        200   200
    block_user           token      204       204       204       204       204        204   204
    unblock_user         token      204       204       204       204       204        204   204
    create_desk          token      201       201       201       201       201        201   201
    list_desks           token      200       200       200       200       200        200   200
    update_desk          token      200       200       200       200       200        200   200
    get_desk_skills      token      200       200       200       200       200        200   200
    add_desk_skills      token      200       200       200       200       200        200   200
    list_seats           token      200       200       200       200       200        200   200
    add_seat             token      200       200       200       200       200        200   200
    update_seat          token      200       200       200       200       200        200   200
    remove_seat          token      204       204       204       204       204        204   204
    update_availability     token      200       200       200       200       200        200   200
    get_user             token      200       200       200       200       200        200   200
    list_users           token      200       200       200       200       200        200   200
    search_users         token      200       200       200       200       200        200   200
    search_messages      token      not_found not_found 200       200       200        200   200
    get_presence         token      200       200       200       200       200        200   200
    create_presence_cursor token    200       200       200       200       200        200   200
    create_conversation  token      201       201       201       201       blocked    201   201
    list_conversations   token      200       200       200       200       200        200   200
    get_conversation     token      not_found not_found 200       200       200        200   200
    update_conversation  token      not_found not_found forbidden forbidden validation 200   200
    list_members         token      not_found not_found 200       200       200        200   200
    add_members          token      not_found not_found forbidden forbidden validation 200   200
    remove_member        token      not_found not_found forbidden forbidden validation 204   204
    update_member        token      not_found not_found forbidden forbidden validation 200   200
    list_bans            token      not_found not_found forbidden forbidden forbidden  200   200
    ban_user             token      not_found not_found forbidden forbidden validation 204   204
    unban_user           token      not_found not_found forbidden forbidden validation 204   204
    send_message         token      not_found not_found 201       muted     blocked    201   201
    send_messages        token      not_found not_found 201       muted     blocked    201   201
    list_messages        token      not_found not_found 200       200       200        200   200
    get_message          token      not_found not_found 200       200       200        200   200
    edit_message         token      not_found not_found 200       forbidden forbidden  200   200
    recall_message       token      not_found not_found 200       forbidden forbidden  200   200
    add_reaction         token      not_found not_found 200       muted     blocked    200   200
    remove_reaction      token      not_found not_found 200       200       200        200   200
    list_reactions       token      not_found not_found 200       200       200        200   200
    list_replies         token      not_found not_found 200       200       200        200   200
    list_mentions        token      200       200       200       200       200        200   200
    list_versions        token      not_found not_found 200       200       200        200   200
    list_receipts        token      not_found not_found forbidden forbidden forbidden  200   200
    mark_read            token      not_found not_found 200       200       200        200   200
    mark_unread          token      not_found not_found 204       204       204        204   204
    hide_messages        token      not_found not_found 204       204       204        204   204
    clear_history        token      not_found not_found 204       204       204        204   204
    pin_message          token      not_found not_found forbidden forbidden blocked    204   204
    unpin_message        token      not_found not_found forbidden forbidden 204        204   204
    list_pins            token      not_found not_found 200       200       200        200   200
    update_draft         token      not_found not_found 200       200       200        200   200
    delete_draft         token      not_found not_found 204       204       204        204   204
    list_drafts          token      200       200       200       200       200        200   200
    update_scheduled     token      not_found not_found 200       200       200        200   200
    delete_scheduled     token      204       204       204       204       204        204   204
    list_scheduled       token      200       200       200       200       200        200   200
    update_settings      token      not_found not_found 200       200       200        200   200
    create_media         token      201       201       201       201       201        201   201
    list_media           token      200       200       200       200       200        200   200
    get_media            token      200       200       200       200       200        200   200
    get_upload           token      200       200       200       200       200        200   200
    upload_part          token      204       204       204       204       204        204   204
    complete_media       token      200       200       200       200       200        200   200
    delete_media         token      204       204       204       204       204        204   204
    get_media_content    token      200       200       200       200       200        200   200
    get_message_media    token      not_found not_found 200       200       200        200   200
    create_media_links   token      200       200       200       200       200        200   200
    get_user_avatar      token      200       200       200       200       200        200   200
    get_conversation_avatar token   not_found not_found 200       200       200        200   200
    create_avatar_links  token      200       200       200       200       200        200   200
    get_linked_media     200        200       200       200       200       200        200   200
    fetch_inbox          token      200       200       200       200       200        200   200
    wait_notices         token      200       200       200       200       200        200   200
    update_typing        token      not_found not_found 204       204       204        204   204
    diagnose_longpoll    token      200       200       200       200       200        200   200
    get_unread           token      200       200       200       200       200        200   200
";

const LOGGED_OUT: [(&str, &str); 4] = [
    ("anonymous", "unauthenticated"),
    ("garbage", "unauthenticated"),
    ("expired", "token_expired"),
    ("revoked", "device_revoked"),
];

/// The statuses of the codes in the table.
const STATUSES: [(&str, u16); 8] = [
    ("validation", 400),
    ("unauthenticated", 401),
    ("token_expired", 401),
    ("device_revoked", 401),
    ("forbidden", 403),
    ("muted", 403),
    ("blocked", 403),
    ("not_found", 404),
];

/// The rows by operation, each with its columns by role.
fn table() -> BTreeMap<&'static str, BTreeMap<&'static str, &'static str>> {
    let mut lines = TABLE.trim().lines();
    let roles: Vec<_> = lines.next().unwrap().split_whitespace().skip(1).collect();
    let row = |line: &'static str| {
        let mut words = line.split_whitespace();
        let operation = words.next().unwrap();
        let cells: Vec<_> = words.collect();
        assert_eq!(cells.len(), roles.len(), "{operation}");
        (operation, roles.iter().copied().zip(cells).collect())
    };
    lines.map(row).collect()
}

/// Texts that non-members may not read: sent before the ex-member joined, and after they left.
const BEFORE: &str = "canary-before";
const AFTER: &str = "canary-after";

/// The users in the roles of the table, and the others that they need.
struct Cast {
    roles: BTreeMap<&'static str, Person>,
    /// The direct conversation of `blocked` and `peer`, who blocks them.
    direct: String,
    peer: Person,
    /// Blocks `blocked` too, and has no conversation with them.
    hater: Person,
    /// Invalid tokens of the owner, by role, for the requests of logged-out callers.
    tokens: BTreeMap<&'static str, Option<String>>,
}

impl Cast {
    async fn new(app: &App) -> Self {
        let names = [
            "outsider",
            "ex_member",
            "member",
            "muted",
            "blocked",
            "admin",
            "owner",
        ];
        let people = app.people(names).await;
        let roles: BTreeMap<_, _> = names.into_iter().zip(people).collect();
        let [peer, hater] = app.people(["peer", "hater"]).await;
        let (blocked, owner) = (&roles["blocked"], &roles["owner"]);
        let direct = peer.direct(blocked).await;
        peer.send(&direct, "hi").await;
        peer.send(&direct, "to hide").await;
        for one in [&peer, &hater] {
            let path = format!("/me/blocks/{}", blocked.id);
            one.put(&path, Value::Null).await.ok(204);
        }
        let ended = with(
            &claims(&owner.token),
            "exp",
            Some(json!(unix_seconds() - 10)),
        );
        let gone = owner.another_device(app).await;
        gone.post("/auth/logout", Value::Null).await.ok(204);
        let tokens = BTreeMap::from([
            ("anonymous", None),
            ("garbage", Some("garbage".to_owned())),
            ("expired", Some(forge(&header(), &ended, SECRET))),
            ("revoked", Some(gone.token)),
        ]);
        Self {
            roles,
            direct,
            peer,
            hater,
            tokens,
        }
    }

    /// A new group with all roles, and these people.
    async fn group(&self, others: &[Person]) -> String {
        let [owner, admin, member, muted, ex] =
            ["owner", "admin", "member", "muted", "ex_member"].map(|role| &self.roles[role]);
        let mut people = vec![admin, member, muted];
        people.extend(others);
        let chat = owner.group(&people).await;
        let promoted = owner.change(&chat, admin, json!({"role": "admin"})).await;
        promoted.ok(200);
        let until = json!({"muted_until": "2100-01-01T00:00:00Z"});
        owner.change(&chat, muted, until).await.ok(200);
        owner.send(&chat, BEFORE).await;
        owner.add(&chat, &[ex]).await.ok(200);
        ex.send(&chat, "seen by all").await;
        ex.remove(&chat, ex).await.ok(204);
        owner.send(&chat, AFTER).await;
        let renamed = json!({"title": format!("{AFTER} too")});
        let path = format!("/conversations/{chat}");
        owner.patch(&path, renamed).await.ok(200);
        chat
    }
}

/// The result of a response in the words of the table.
fn verdict(operation: &Operation, answer: &Answer) -> String {
    let said = match answer.body["results"].get(0) {
        Some(result) if operation.id == "send_messages" => match result.get("problem") {
            Some(problem) => problem["code"].clone(),
            None => result["status"].clone(),
        },
        Some(_) | None if answer.status < 300 => json!(answer.status),
        Some(_) | None => answer.body["code"].clone(),
    };
    said.as_str().map_or(said.to_string(), str::to_owned)
}

/// Everything of a group that only members may see.
async fn state(person: &Person, chat: &str) -> (Value, BTreeMap<String, String>, Value) {
    let mut conversation = person.conversation(chat).await.ok(200);
    // The read marks of the reader are not part of the group.
    conversation["me"] = Value::Null;
    let roles = person.roles(chat).await;
    (
        conversation,
        roles,
        json!(person.history(chat, 0).await.len()),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_matches_the_role_table() {
    let app = App::start().await;
    let cast = Cast::new(&app).await;
    let (document, table) = (document(), table());
    let mut wrong = Vec::new();
    let mut met = BTreeSet::new();
    for operation in operations() {
        let Some(row) = table.get(operation.id.as_str()) else {
            wrong.push(format!("{} is new: it needs a row", operation.id));
            continue;
        };
        met.insert(operation.id.clone());
        let members: [Person; 7] = newcomers(&app).await;
        let group = cast.group(&members).await;
        let mut judge = |role: &str, expected: &str, answer: &Answer| {
            let said = verdict(&operation, answer);
            let place = format!("{} by {role}", operation.id);
            if said != expected {
                wrong.push(format!("{place}: {said} instead of {expected}"));
            } else if let Some((_, status)) = STATUSES.iter().find(|(code, _)| *code == expected)
                && operation.id != "send_messages"
            {
                answer.clone().problem(*status, expected);
            }
            let response = &operation.it["responses"][answer.status.to_string()];
            if !response.is_object() {
                wrong.push(format!("{place}: {} is not documented", answer.status));
            }
            let schema = &response["content"][answer.header("content-type")]["schema"];
            if !answer.body.is_null() {
                wrong.extend(faults(&document, schema, &answer.body, &place));
            }
            wrong.extend(
                fields::disclosed(&answer.body)
                    .map(|what| format!("{place} is shown {what}: {}", answer.body)),
            );
            let inside = ["member", "muted", "admin", "owner"].contains(&role);
            if !inside && answer.body.to_string().contains("canary") {
                wrong.push(format!("{place} learns of the group: {}", answer.body));
            }
        };
        for ((role, member), stranger) in ["outsider", "ex_member", "member", "muted", "blocked"]
            .into_iter()
            .chain(["admin", "owner"])
            .zip(&members)
            .zip(newcomers::<7>(&app).await)
        {
            let mut scene = Scene {
                caller: &cast.roles[role],
                chat: &group,
                member,
                stranger: &stranger,
            };
            if role == "blocked" {
                (scene.chat, scene.member) = (&cast.direct, &cast.peer);
                if operation.id == "create_conversation" {
                    scene.stranger = &cast.hater;
                }
            }
            let witness = match role {
                "blocked" => &cast.peer,
                _ => &cast.roles["owner"],
            };
            let before = state(witness, scene.chat).await;
            let request = operation.good(&app, &scene).await;
            let answer = request.send_as(scene.caller).await;
            judge(role, row[role], &answer);
            if row[role].parse::<u16>().is_err() {
                let after = state(witness, scene.chat).await;
                assert_eq!(after, before, "{} by {role} did something", operation.id);
            }
        }
        for (role, code) in LOGGED_OUT {
            let [stranger] = newcomers(&app).await;
            let scene = Scene {
                caller: &cast.roles["owner"],
                chat: &group,
                member: &members[0],
                stranger: &stranger,
            };
            let request = operation.good(&app, &scene).await;
            let answer = request
                .send(scene.caller, cast.tokens[role].as_deref())
                .await;
            let expected = row["logged_out"].replace("token", code);
            judge(role, &expected, &answer);
        }
    }
    let gone: Vec<_> = table.keys().filter(|id| !met.contains(**id)).collect();
    assert!(gone.is_empty(), "{gone:?} are no operations");
    assert!(wrong.is_empty(), "{wrong:#?}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_from_outside_membership_are_not_disclosed() {
    let app = App::start().await;
    let cast = Cast::new(&app).await;
    let [late] = app.people(["late"]).await;
    let group = cast.group(&[]).await;
    let [ex, outsider] = ["ex_member", "outsider"].map(|role| &cast.roles[role]);
    let owner = &cast.roles["owner"];
    owner.add(&group, &[&late]).await.ok(200);
    owner.send(&group, "welcome").await;
    let head = owner.history(&group, 0).await.len();
    for (person, hidden) in [
        (ex, &[BEFORE, AFTER][..]),
        (outsider, &["canary", "seen by all", "welcome"]),
        // Every member sees the current title.
        (&late, &[BEFORE, "seen by all", "\"text\":\"canary-after"]),
    ] {
        let chat = format!("/conversations/{group}");
        let mut paths = vec![
            "/conversations".to_owned(),
            "/conversations?order=id&limit=1".to_owned(),
            "/inbox?since_seq=0&limit=500".to_owned(),
            "/notices?since_seq=0&timeout=0".to_owned(),
            "/unread".to_owned(),
            "/me/blocks".to_owned(),
            chat.clone(),
            format!("{chat}/members"),
        ];
        for query in [
            "",
            "?since_seq=0",
            "?since_seq=1",
            "?before_seq=9",
            "?before_seq=3",
        ] {
            paths.push(format!("{chat}/messages{query}"));
        }
        paths.extend((1..=head + 1).map(|seq| format!("{chat}/messages/{seq}")));
        for path in paths {
            let answer = person.get(&path).await;
            assert!([200, 404, 409].contains(&answer.status), "{path}");
            let body = answer.body.to_string();
            for words in hidden {
                assert!(!body.contains(words), "{} at {path}: {body}", person.name);
            }
        }
    }
    // Non-members are not woken, and count nothing.
    assert_eq!((outsider.head().await, outsider.total().await), (0, 0));
    assert_eq!(ex.total().await, 0);
    assert_eq!(late.total().await, 1);
    let heads = [ex.head().await, outsider.head().await];
    owner.send(&group, AFTER).await;
    let path = format!("/conversations/{group}");
    owner.patch(&path, json!({"title": "Sunday"})).await.ok(200);
    owner.remove(&group, &late).await.ok(204);
    assert_eq!([ex.head().await, outsider.head().await], heads);
    app.finish().await;
}
