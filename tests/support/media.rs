//! Uploads of a person, and media as they are read.

use crate::support::{Answer, Person, id};
use serde_json::{Value, json};

/// A response with bytes.
#[derive(Debug)]
pub struct Bytes {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub bytes: Vec<u8>,
}

impl Bytes {
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The bytes, asserting the status.
    #[track_caller]
    pub fn ok(self, status: u16) -> Vec<u8> {
        let said = String::from_utf8_lossy(&self.bytes).into_owned();
        assert_eq!(self.status, status, "{said:.300}");
        self.bytes
    }

    /// The code of a problem.
    pub fn code(&self) -> String {
        let problem: Value = serde_json::from_slice(&self.bytes).unwrap_or_default();
        problem["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// A picture of one pixel.
pub const PIXEL: &[u8] = b"\x89PNG\x0d\x0a\x1a\x0a\x00\x00\x00\x0dIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x02\x00\x00\x00\x90wS\xde\x00\x00\x00\x0cIDATx\x9cc\xf8\xcf\xc0\x00\x00\x03\x01\x01\x00\xc9\xfe\x92\xef\x00\x00\x00\x00IEND\xaeB`\x82";

/// The request that creates an upload of a picture.
pub fn image(mime: &str, size: usize) -> Value {
    json!({"client_media_id": id(), "kind": "image", "name": "holiday.bin", "mime": mime, "size": size})
}

/// The request that creates an upload of a file of this size.
pub fn file(size: usize) -> Value {
    json!({"client_media_id": id(), "kind": "file", "name": "plan.bin", "mime": "application/octet-stream", "size": size})
}

impl Person {
    /// Sends bytes of a part, with these headers.
    pub async fn put_bytes(
        &self,
        path: &str,
        bytes: impl Into<reqwest::Body>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let url = format!("{}/v1{path}", self.url);
        let mut request = self.http.put(url).bearer_auth(&self.token);
        request = request.header("content-type", "application/octet-stream");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::of(request.body(bytes).send().await.unwrap()).await
    }

    /// Creates an upload.
    pub async fn begin_upload(&self, create: Value) -> Value {
        self.post("/media", create).await.ok(201)
    }

    /// Sends all parts of an upload.
    pub async fn put_parts(&self, upload: &Value, bytes: &[u8]) {
        let media = upload["media"]["id"].as_str().unwrap();
        let size = usize::try_from(upload["part_bytes"].as_i64().unwrap()).unwrap();
        for (at, part) in bytes.chunks(size).enumerate() {
            let path = format!("/media/{media}/parts/{}", at + 1);
            self.put_bytes(&path, part.to_vec(), &[]).await.ok(204);
        }
    }

    /// Uploads bytes, and returns the media as they are after the processing.
    pub async fn upload_as(&self, create: Value, bytes: &[u8]) -> Value {
        let upload = self.begin_upload(create).await;
        self.put_parts(&upload, bytes).await;
        let media = upload["media"]["id"].as_str().unwrap();
        let path = format!("/media/{media}/complete");
        let mut done = self.post(&path, Value::Null).await.ok(200);
        while done["state"] == "processing" {
            done = self.post(&path, Value::Null).await.ok(200);
        }
        done
    }

    /// Uploads a file, and returns its id.
    pub async fn upload(&self, bytes: &[u8]) -> String {
        let done = self.upload_as(file(bytes.len()), bytes).await;
        assert_eq!(done["state"], "ready", "{done}");
        done["id"].as_str().unwrap().to_owned()
    }

    /// Uploads a picture, and returns its id.
    pub async fn upload_image(&self, mime: &str, bytes: &[u8]) -> String {
        let done = self.upload_as(image(mime, bytes.len()), bytes).await;
        assert_eq!(done["state"], "ready", "{done}");
        done["id"].as_str().unwrap().to_owned()
    }

    /// Sends a message with media.
    pub async fn attach(&self, chat: &str, kind: &str, media: &str) -> Answer {
        let message = json!({"client_msg_id": id(), "kind": kind, "content": {"media_id": media}});
        self.post_message(chat, message).await
    }

    /// Reads bytes.
    pub async fn read_bytes(&self, path: &str, headers: &[(&str, &str)]) -> Bytes {
        let url = format!("{}/v1{path}", self.url);
        let request = self.http.get(url).bearer_auth(&self.token);
        read(request, headers).await
    }

    /// Reads the media of a message.
    pub async fn read_media(&self, chat: &str, seq: &Value) -> Bytes {
        let path = format!("/conversations/{chat}/messages/{seq}/media");
        self.read_bytes(&path, &[]).await
    }

    /// The link to media of a message; null if there is none.
    pub async fn link(&self, chat: &str, seq: &Value, variant: &str) -> Value {
        let item = json!({"conversation_id": chat, "seq": seq, "variant": variant});
        let made = self.post("/media/links", json!({"items": [item]})).await;
        made.ok(200)["links"][0].clone()
    }

    /// The links to the pictures of a user and of a group; null where there is none.
    pub async fn avatar_links(&self, user: &str, group: &str) -> [Value; 2] {
        let wanted = json!({"user_ids": [user], "conversation_ids": [group]});
        let made = self.post("/media/avatar-links", wanted).await.ok(200);
        [&made["users"], &made["conversations"]].map(|links| links[0].clone())
    }

    /// Opens a link, without a token.
    pub async fn open_link(&self, link: &Value, headers: &[(&str, &str)]) -> Bytes {
        let url = format!("{}{}", self.url, link["url"].as_str().unwrap());
        read(self.http.get(url), headers).await
    }
}

async fn read(mut request: reqwest::RequestBuilder, headers: &[(&str, &str)]) -> Bytes {
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    Bytes {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        bytes: response.bytes().await.unwrap().to_vec(),
    }
}
