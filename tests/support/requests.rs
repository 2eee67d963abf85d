//! A valid request of every operation of the document, for tests that go through all of them.

use crate::support::media::{PIXEL, file};
use crate::support::{Answer, App, PASSWORD, Person, id, text, tomorrow};
use diesel::connection::SimpleConnection;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tideline::http::openapi;

/// An operation of the document.
pub struct Operation {
    pub id: String,
    pub method: String,
    pub path: String,
    /// Its object in the document.
    pub it: Value,
}

/// The caller and the objects of a request: every operation finds here what it needs to succeed.
pub struct Scene<'a> {
    pub caller: &'a Person,
    /// A conversation with at least one message.
    pub chat: &'a str,
    /// Another member of the conversation.
    pub member: &'a Person,
    /// A user outside of it.
    pub stranger: &'a Person,
}

/// A request, not yet sent.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// With the query.
    pub path: String,
    pub body: Option<Value>,
    /// A body that is not JSON.
    pub raw: Option<Vec<u8>>,
    /// A token of another device, for operations that end the device of the caller.
    pub token: Option<String>,
}

pub fn document() -> Value {
    serde_json::to_value(openapi::document()).unwrap()
}

/// All operations, in the order of their paths; a recall is the last one.
pub fn operations() -> Vec<Operation> {
    let document = document();
    let mut all = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, it) in methods.as_object().unwrap() {
            all.push(Operation {
                id: it["operationId"].as_str().unwrap().to_owned(),
                method: method.to_uppercase(),
                path: path.clone(),
                it: it.clone(),
            });
        }
    }
    // After the others, which need the messages.
    let last = ["recall_message", "clear_history"];
    all.sort_by_key(|operation| last.iter().position(|id| *id == operation.id));
    all
}

/// The names of all members that any schema of the document knows.
pub fn known_members() -> BTreeSet<String> {
    fn collect(value: &Value, into: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                if let Some(properties) = members.get("properties").and_then(Value::as_object) {
                    into.extend(properties.keys().cloned());
                }
                members.values().for_each(|one| collect(one, into));
            }
            Value::Array(items) => items.iter().for_each(|one| collect(one, into)),
            _ => {}
        }
    }
    let mut known = BTreeSet::new();
    collect(&document()["components"]["schemas"], &mut known);
    known
}

impl Operation {
    /// A request that succeeds if the caller is allowed to send it.
    pub async fn good(&self, app: &App, scene: &Scene<'_>) -> Request {
        let Scene {
            caller,
            chat,
            member,
            stranger,
        } = scene;
        let (mut query, mut token) = (String::new(), None);
        let newcomer_id;
        let (mut own_id, mut user) = ((*chat).to_owned(), &member.id);
        let mut seq = "1".to_owned();
        if ["edit_message", "recall_message"].contains(&self.id.as_str()) {
            // A message of the caller's own, of a caller who may send.
            let first = caller
                .get(&format!("/conversations/{chat}/messages/1"))
                .await;
            let is_own = first.body["sender_id"] == caller.id && first.body["kind"] == "text";
            if !is_own {
                let sent = caller.post_message(chat, text("to change")).await;
                if sent.status == 201 {
                    seq = sent.body["seq"].to_string();
                }
            }
        }
        if self.id == "hide_messages" {
            // The newest message, which other requests do not need.
            caller.post_message(chat, text("to hide")).await;
            let shown = caller.conversation(chat).await;
            if shown.status == 200 {
                seq = shown.body["last_seq"].to_string();
            }
        }
        let device = json!({"name": "a phone", "platform": "ios"});
        let body = match self.id.as_str() {
            "register_user" => {
                let name = id()[14..].replace('-', "");
                json!({"username": name, "password": PASSWORD, "display_name": "New", "device": device})
            }
            "login_user" => {
                json!({"username": caller.name, "password": PASSWORD, "device": device})
            }
            "refresh_session" => {
                json!({"refresh_token": caller.another_device(app).await.refresh_token})
            }
            "logout_session" => {
                token = Some(caller.another_device(app).await.token);
                Value::Null
            }
            "change_password" => json!({"old_password": PASSWORD, "new_password": PASSWORD}),
            "deactivate_me" | "delete_me" => {
                let name = id()[14..].replace('-', "");
                token = Some(Person::register(&app.http, &app.url(), &name).await.token);
                json!({"password": PASSWORD})
            }
            "update_me" => {
                json!({"display_name": "Somebody", "avatar_url": "https://files.example/me.png", "bio": "Sails",
                "attributes": {"team": "harbour"}})
            }
            "update_status" => {
                json!({"availability": "busy", "emoji": "🌴", "text": "On holiday", "until": tomorrow()})
            }
            "update_privacy" => json!({"last_seen": "nobody", "discoverable": null}),
            "get_contact" => {
                let path = format!("/me/contacts/{}", member.id);
                caller.put(&path, json!({})).await;
                Value::Null
            }
            "update_contact" => json!({"alias": "A friend", "tags": ["work"], "starred": true}),
            "update_contacts" => {
                json!({"contacts": [{"user_id": stranger.id, "alias": "Another"}]})
            }
            "create_media" => {
                end_uploads(caller).await;
                file(10)
            }
            "upload_part" => {
                end_uploads(caller).await;
                let upload = caller.begin_upload(file(10)).await;
                own_id = upload["media"]["id"].as_str().unwrap().to_owned();
                Value::Null
            }
            "get_upload" | "get_media" | "delete_media" => {
                own_id = caller.upload(&[7; 10]).await;
                Value::Null
            }
            "complete_media" => {
                let upload = caller.begin_upload(file(10)).await;
                caller.put_parts(&upload, &[7; 10]).await;
                own_id = upload["media"]["id"].as_str().unwrap().to_owned();
                Value::Null
            }
            "get_media_content" => {
                own_id = caller.upload(&[7; 10]).await;
                Value::Null
            }
            "get_message_media" => {
                refer(app, chat, member).await;
                Value::Null
            }
            "create_media_links" => {
                json!({"items": [{"conversation_id": chat, "seq": 1, "variant": "original"}]})
            }
            "get_linked_media" => {
                refer(app, chat, member).await;
                // Of the caller, or of somebody who may read it.
                let mut link = caller.link(chat, &json!(1), "original").await;
                if link.is_null() {
                    link = member.link(chat, &json!(1), "original").await;
                }
                let url = link["url"].as_str().unwrap_or("/v1/media/l/none");
                own_id = url.rsplit('/').next().unwrap().to_owned();
                Value::Null
            }
            "get_user_avatar" => {
                own_id = stranger.id.clone();
                let media = stranger.upload_image("image/png", PIXEL).await;
                let change = json!({"avatar_media_id": media});
                stranger.patch("/me", change).await.ok(200);
                Value::Null
            }
            "get_conversation_avatar" => {
                if caller.conversation(chat).await.status == 200 {
                    picture(app, chat, member).await;
                }
                Value::Null
            }
            "create_avatar_links" => {
                json!({"user_ids": [stranger.id], "conversation_ids": [chat]})
            }
            "get_mutual_count" => {
                own_id = stranger.id.clone();
                Value::Null
            }
            "list_requests" => {
                query = "?direction=in".to_owned();
                Value::Null
            }
            "create_request" | "accept_request" | "decline_request" | "remove_request"
            | "remove_contact" => {
                let name = id()[14..].replace('-', "");
                let [newcomer] = app.people([name.as_str()]).await;
                newcomer_id = newcomer.id.clone();
                user = &newcomer_id;
                let path = format!("/me/contact-requests/{}", caller.id);
                match self.id.as_str() {
                    "create_request" => json!({"message": "We met at the harbour"}),
                    "accept_request" => {
                        newcomer.put(&path, json!({})).await.ok(201);
                        json!({"alias": "A friend"})
                    }
                    _ => Value::Null,
                }
            }
            "remove_device" => {
                own_id = caller.another_device(app).await.device;
                Value::Null
            }
            "get_user" => {
                own_id = stranger.id.clone();
                Value::Null
            }
            "list_users" => {
                query = format!("?ids={},{}", member.id, stranger.id);
                Value::Null
            }
            "search_users" => {
                query = "?prefix=sea&limit=20".to_owned();
                Value::Null
            }
            "search_messages" => {
                query = format!("?q=hi&conversation_id={}", scene.chat);
                Value::Null
            }
            "get_presence" => {
                query = format!("?ids={},{}", member.id, stranger.id);
                Value::Null
            }
            "create_presence_cursor" => json!({"user_ids": [member.id, stranger.id]}),
            "block_user" | "unblock_user" | "ban_user" | "unban_user" => {
                user = &stranger.id;
                Value::Null
            }
            "create_desk" => {
                let name = id()[14..].replace('-', "");
                json!({"username": name, "display_name": "Acme support", "client_desk_id": id()})
            }
            "list_desks"
            | "list_seats"
            | "get_desk_skills"
            | "update_desk"
            | "add_desk_skills"
            | "add_seat"
            | "update_seat"
            | "remove_seat"
            | "update_availability" => {
                own_id = caller.desk().await;
                user = &stranger.id;
                let seat =
                    json!({"role": "agent", "skills": ["returns"], "capacity": 3, "alias": "Ann"});
                if ["update_seat", "remove_seat"].contains(&self.id.as_str()) {
                    let path = format!("/desks/{own_id}/agents/{user}");
                    caller.put(&path, seat.clone()).await.ok(200);
                }
                match self.id.as_str() {
                    "update_desk" => {
                        json!({"display_name": "Acme", "avatar_url": "https://files.example/acme.png"})
                    }
                    "add_desk_skills" => json!({"skills": ["returns", "sales"]}),
                    "add_seat" => seat,
                    "update_seat" => json!({"available": false, "skills": [], "capacity": 5}),
                    "update_availability" => json!({"available": false, "why": "lunch"}),
                    _ => Value::Null,
                }
            }
            "create_conversation" => json!({"kind": "direct", "user_id": stranger.id}),
            "update_conversation" => json!({"title": "Saturday"}),
            "add_members" => json!({"user_ids": [stranger.id]}),
            "update_member" => json!({"muted_until": "2100-01-01T00:00:00.000Z"}),
            "send_message" => text("words"),
            "send_messages" => json!({"messages": [text("words")]}),
            "edit_message" => json!({"version": 1, "content": {"text": "changed"}}),
            "mark_read" => json!({"seq": 1}),
            "update_typing" => json!({"typing": true}),
            "update_settings" => {
                json!({"notify": {"level": "mentions", "until": "2100-01-01T00:00:00.000Z"},
                "pinned": true, "archived": true, "hidden_through": 1, "nickname": "work"})
            }
            "hide_messages" => json!({"seqs": [seq.parse::<i64>().unwrap()]}),
            "update_scheduled" => {
                own_id = id();
                json!({"conversation_id": chat, "send_at": tomorrow(), "kind": "text",
                    "content": {"text": "later"}, "reply_to": 1, "mention_all": false, "expires_in": 600})
            }
            // Other requests need the messages.
            "clear_history" => json!({"seq": 0}),
            "update_draft" => json!({"version": 0, "content": {"text": "hi"}, "after_seq": 1}),
            "delete_draft" => {
                query = "?version=0".to_owned();
                Value::Null
            }
            "fetch_inbox" => {
                query = "?since_seq=0".to_owned();
                Value::Null
            }
            "wait_notices" => {
                query = "?since_seq=0&timeout=0".to_owned();
                Value::Null
            }
            "diagnose_longpoll" => {
                query = "?timeout=0".to_owned();
                Value::Null
            }
            "add_reaction" | "delete_status" | "get_capabilities" | "get_conversation"
            | "get_live" | "get_me" | "get_message" | "get_privacy" | "get_ready"
            | "list_contacts" | "list_media" | "get_unread" | "list_bans" | "list_blocks"
            | "list_conversations" | "list_devices" | "list_drafts" | "list_members"
            | "list_messages" | "list_mentions" | "list_pins" | "list_reactions"
            | "list_receipts" | "list_replies" | "list_scheduled" | "list_versions"
            | "mark_unread" | "pin_message" | "recall_message" | "delete_scheduled"
            | "remove_member" | "remove_reaction" | "unpin_message" => Value::Null,
            new => panic!("{new} is new: give it a good request here"),
        };
        let path = self.path.replace("{id}", &own_id);
        let path = path
            .replace("{user_id}", user)
            .replace("{desk_id}", &own_id)
            .replace("{client_msg_id}", &own_id)
            .replace("{token}", &own_id)
            .replace("{part}", "1")
            .replace("{seq}", &seq)
            .replace("{emoji}", "%F0%9F%91%8D");
        Request {
            method: self.method.clone(),
            path: path + &query,
            body: (!body.is_null()).then_some(body),
            raw: (self.id == "upload_part").then(|| vec![7; 10]),
            token,
        }
    }
}

/// Deletes the unfinished uploads of a user, of which only some are allowed.
async fn end_uploads(owner: &Person) {
    let page = owner.get("/media").await.ok(200);
    let all = page["media"].as_array().unwrap().iter();
    let open: Vec<_> = all.filter(|one| one["state"] == "uploading").collect();
    // The oldest ones; others may be those of a request that is sent later.
    for media in open.iter().skip(10) {
        let path = format!("/media/{}", media["id"].as_str().unwrap());
        owner.call("DELETE", &path).await.ok(204);
    }
}

/// Makes the first message of a conversation refer to media. Not by a send, which the rules of the conversation may refuse.
async fn refer(app: &App, chat: &str, owner: &Person) {
    let media = owner.upload(&[7; 10]).await;
    let row = format!(
        "SET auto_explain.log_min_duration = -1;
         INSERT INTO message_media (conversation_id, seq, role, media_id, owner_id)
         SELECT id, 1, 'content', '{media}', '{}' FROM conversations WHERE id = '{chat}' ON CONFLICT DO NOTHING",
        owner.id
    );
    app.database().batch_execute(&row).unwrap();
}

/// Gives a conversation a picture. Not by a request, which only some members may send.
async fn picture(app: &App, chat: &str, owner: &Person) {
    let media = owner.upload_image("image/png", PIXEL).await;
    let change = format!(
        "SET auto_explain.log_min_duration = -1;
         UPDATE conversations SET avatar_owner_id = '{}', avatar_media_id = '{media}' WHERE id = '{chat}'",
        owner.id
    );
    app.database().batch_execute(&change).unwrap();
}

impl Request {
    /// Sends it to this person's node, with this token or without any.
    pub async fn send(&self, person: &Person, token: Option<&str>) -> Answer {
        let url = format!("{}{}", person.url, self.path);
        let mut request = person.http.request(self.method.parse().unwrap(), url);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = &self.body {
            request = request.json(body);
        }
        if let Some(raw) = &self.raw {
            let kind = "application/octet-stream";
            request = request.header("content-type", kind).body(raw.clone());
        }
        Answer::of(request.send().await.unwrap()).await
    }

    /// Sends it as this person.
    pub async fn send_as(&self, person: &Person) -> Answer {
        let token = self.token.as_deref().unwrap_or(&person.token);
        self.send(person, Some(token)).await
    }

    /// Sends other bytes in place of its body, as JSON.
    pub async fn send_bytes_as(&self, person: &Person, body: impl Into<Vec<u8>>) -> Answer {
        let path = self.path.strip_prefix("/v1").unwrap();
        person.send_bytes(&self.method, path, body).await
    }
}
