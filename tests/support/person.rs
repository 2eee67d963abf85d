//! A logged-in person on one device.

use crate::support::{Answer, App, eventually, text};
use reqwest::Client;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Person {
    pub id: String,
    pub name: String,
    pub device: String,
    pub token: String,
    pub refresh_token: String,
    pub url: String,
    pub http: Client,
}

pub const PASSWORD: &str = "correct horse";

impl Person {
    /// Registers a person.
    pub async fn register(http: &Client, url: &str, name: &str) -> Self {
        let body = json!({"username": name, "password": PASSWORD});
        let ask = async || {
            let request = http.post(format!("{url}/v1/auth/register")).json(&body);
            Answer::of(request.send().await.unwrap()).await
        };
        // Many tests hash passwords simultaneously, so the server may ask to retry.
        let time = Duration::from_secs(30);
        let answer = eventually("a place", time, ask, |answer| answer.status != 503).await;
        Self::signed_in(http, url, &answer.ok(201))
    }

    /// Logs in on one more device.
    pub async fn another_device(&self, app: &App) -> Self {
        let body = json!({"username": self.name, "password": PASSWORD});
        let session = app.call("POST", "/v1/auth/login", Some(body)).await.ok(200);
        Self::of_session(app, &session)
    }

    /// The person of a session.
    pub fn of_session(app: &App, session: &Value) -> Self {
        Self::signed_in(&app.http, &app.url(), session)
    }

    fn signed_in(http: &Client, url: &str, session: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Self {
            id: text(&session["user"]["id"]),
            name: text(&session["user"]["username"]),
            device: text(&session["device_id"]),
            token: text(&session["access_token"]),
            refresh_token: text(&session["refresh_token"]),
            url: url.to_owned(),
            http: http.clone(),
        }
    }

    /// The same device, using another node.
    pub fn at(&self, url: &str) -> Self {
        Self {
            url: url.to_owned(),
            ..self.clone()
        }
    }

    /// Sends a request; returns the error of the transport when it fails.
    pub async fn try_call(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> reqwest::Result<Answer> {
        let url = format!("{}/v1{path}", self.url);
        let mut request = self
            .http
            .request(method.parse().unwrap(), url)
            .bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        Ok(Answer::of(request.send().await?).await)
    }

    /// Sends a raw body as JSON.
    pub async fn send_bytes(&self, method: &str, path: &str, body: impl Into<Vec<u8>>) -> Answer {
        let url = format!("{}/v1{path}", self.url);
        let request = self
            .http
            .request(method.parse().unwrap(), url)
            .bearer_auth(&self.token)
            .header("content-type", "application/json")
            .body(body.into());
        Answer::of(request.send().await.unwrap()).await
    }

    /// A request without a body.
    pub async fn call(&self, method: &str, path: &str) -> Answer {
        self.try_call(method, path, None).await.unwrap()
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.try_call("GET", path, None).await.unwrap()
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.try_call("POST", path, Some(&body)).await.unwrap()
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.try_call("PUT", path, Some(&body)).await.unwrap()
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.try_call("PATCH", path, Some(&body)).await.unwrap()
    }

    /// The id of the direct conversation with this peer.
    pub async fn direct(&self, peer: &Person) -> String {
        let body = json!({"kind": "direct", "user_id": peer.id});
        let answer = self.post("/conversations", body).await;
        assert!([200, 201].contains(&answer.status), "{}", answer.body);
        answer.body["id"].as_str().unwrap().to_owned()
    }

    /// The id of a new group with these people.
    pub async fn group(&self, people: &[&Person]) -> String {
        let ids: Vec<_> = people.iter().map(|one| one.id.as_str()).collect();
        let body = json!({"kind": "group", "title": "Friday", "member_ids": ids});
        let group = self.post("/conversations", body).await.ok(201);
        group["id"].as_str().unwrap().to_owned()
    }

    /// Adds people to a group.
    pub async fn add(&self, group: &str, people: &[&Person]) -> Answer {
        let ids: Vec<_> = people.iter().map(|one| one.id.as_str()).collect();
        let path = format!("/conversations/{group}/members");
        self.post(&path, json!({"user_ids": ids})).await
    }

    /// Removes a member from a group, or leaves it.
    pub async fn remove(&self, group: &str, who: &Person) -> Answer {
        let path = format!("/conversations/{group}/members/{}", who.id);
        self.call("DELETE", &path).await
    }

    /// Bans a user from a group.
    pub async fn ban(&self, group: &str, who: &Person) -> Answer {
        let path = format!("/conversations/{group}/bans/{}", who.id);
        self.put(&path, Value::Null).await
    }

    /// The id of this person's service desk, which has the skills `returns` and `sales`.
    pub async fn desk(&self) -> String {
        let name = format!("desk-{}", self.id.rsplit('-').next().unwrap());
        let body =
            json!({"username": name, "display_name": "Acme support", "client_desk_id": self.id});
        let answer = self.post("/desks", body).await;
        assert!([200, 201].contains(&answer.status), "{}", answer.body);
        let desk = answer.body["id"].as_str().unwrap().to_owned();
        let skills = json!({"skills": ["returns", "sales"]});
        self.put(&format!("/desks/{desk}/skills"), skills)
            .await
            .ok(200);
        desk
    }

    /// Blocks a user.
    pub async fn block(&self, who: &Person) -> Answer {
        self.put(&format!("/me/blocks/{}", who.id), Value::Null)
            .await
    }

    /// Changes a member's role or mute.
    pub async fn change(&self, group: &str, who: &Person, change: Value) -> Answer {
        let path = format!("/conversations/{group}/members/{}", who.id);
        self.patch(&path, change).await
    }

    /// A conversation as this person sees it.
    pub async fn conversation(&self, id: &str) -> Answer {
        self.get(&format!("/conversations/{id}")).await
    }

    /// The roles of a group's members, by id.
    pub async fn roles(&self, group: &str) -> BTreeMap<String, String> {
        let path = format!("/conversations/{group}/members?limit=500");
        let page = self.get(&path).await.ok(200);
        let members = page["members"].as_array().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        members
            .map(|member| (text(&member["user"]["id"]), text(&member["role"])))
            .collect()
    }

    /// Sends a text, and returns the stored message.
    pub async fn send(&self, chat: &str, words: &str) -> Value {
        self.post_message(chat, text(words)).await.ok(201)
    }

    pub async fn post_message(&self, chat: &str, message: Value) -> Answer {
        self.post(&format!("/conversations/{chat}/messages"), message)
            .await
    }

    /// One page of the inbox.
    pub async fn inbox(&self, since: i64) -> Value {
        self.get(&format!("/inbox?since_seq={since}&limit=500"))
            .await
            .ok(200)
    }

    /// All entries after a position.
    pub async fn entries(&self, since: i64) -> Vec<Value> {
        let (mut all, mut since) = (Vec::new(), since);
        loop {
            let page = self.inbox(since).await;
            all.extend(page["entries"].as_array().unwrap().iter().cloned());
            since = page["next_since_seq"].as_i64().unwrap();
            if page["has_more"] == false {
                return all;
            }
        }
    }

    /// The head of the inbox.
    pub async fn head(&self) -> i64 {
        self.wait(0, 0).await["last_seq"].as_i64().unwrap()
    }

    /// A wait for news.
    pub async fn wait(&self, since: i64, timeout: u64) -> Value {
        self.get(&format!("/notices?since_seq={since}&timeout={timeout}"))
            .await
            .ok(200)
    }

    /// Marks as read.
    pub async fn read(&self, chat: &str, seq: i64) -> Value {
        self.put(&format!("/conversations/{chat}/read"), json!({"seq": seq}))
            .await
            .ok(200)
    }

    pub async fn unread(&self) -> Value {
        self.get("/unread").await.ok(200)
    }

    /// The messages of a conversation after a seq, one page.
    pub async fn history(&self, chat: &str, since: i64) -> Vec<Value> {
        let path = format!("/conversations/{chat}/messages?since_seq={since}&limit=500");
        self.get(&path).await.ok(200)["messages"]
            .as_array()
            .unwrap()
            .clone()
    }
}
