//! The scanner for malware: what it finds is rejected, and without it nothing is ready.

use crate::support::media::file;
use crate::support::{App, eventually, id};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What the scanner finds.
const MALWARE: &[u8] = b"malware of the tests";

/// The longest piece that it takes.
const MOST: u32 = 1024 * 1024;

/// The INSTREAM command of clamd: pieces with their lengths, until one of length 0.
async fn scan(mut stream: TcpStream) -> std::io::Result<()> {
    let mut command = [0; 10];
    stream.read_exact(&mut command).await?;
    assert_eq!(&command, b"zINSTREAM\0");
    let mut all = Vec::new();
    loop {
        let length = stream.read_u32().await?;
        if length == 0 {
            break;
        }
        if length > MOST {
            // As the real one: it reads no more of it.
            let answer = b"INSTREAM size limit exceeded. ERROR\0";
            return stream.write_all(answer).await;
        }
        let mut piece = vec![0; usize::try_from(length).unwrap()];
        stream.read_exact(&mut piece).await?;
        all.extend(piece);
    }
    let found = all.windows(MALWARE.len()).any(|window| window == MALWARE);
    let answer: &[u8] = match found {
        true => b"stream: Tests.Malware FOUND\0",
        false => b"stream: OK\0",
    };
    stream.write_all(answer).await
}

/// A clamd of the tests, which closes connections while it is away. Returns its address.
async fn clamd(is_away: Arc<AtomicBool>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if !is_away.load(Ordering::Relaxed) {
                // A run that ends early is no fault.
                tokio::spawn(async { drop(scan(stream).await) });
            }
        }
    });
    address
}

#[tokio::test]
async fn malware_is_rejected_and_without_the_scanner_nothing_is_ready() {
    let is_away = Arc::new(AtomicBool::new(false));
    let address = clamd(Arc::clone(&is_away)).await;
    let app = App::configured(|config| config.media.as_mut().unwrap().scan = Some(address)).await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    ann.upload(b"harmless").await;
    let done = ann.upload_as(file(MALWARE.len()), MALWARE).await;
    assert_eq!(
        (&done["state"], &done["reason"]),
        (&json!("rejected"), &json!("scan"))
    );
    is_away.store(true, Ordering::Relaxed);
    let upload = ann.begin_upload(file(8)).await;
    ann.put_parts(&upload, b"harmless").await;
    let media = upload["media"]["id"].as_str().unwrap();
    let path = format!("/media/{media}");
    let waits = async {
        let complete = format!("{path}/complete");
        ann.post(&complete, Value::Null).await.ok(200)
    };
    let chat = ann.direct(&ben).await;
    let attached = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let message =
            json!({"client_msg_id": id(), "kind": "file", "content": {"media_id": media}});
        ann.post_message(&chat, message).await
    };
    let (waited, attached) = tokio::join!(waits, attached);
    assert_eq!(waited["state"], "processing");
    attached.problem(409, "media_not_ready");
    is_away.store(false, Ordering::Relaxed);
    let state = async || ann.get(&path).await.ok(200)["state"].clone();
    eventually("ready", Duration::from_secs(30), state, |state| {
        state == "ready"
    })
    .await;
    app.finish().await;
}

/// The next scan would end in the same way.
#[tokio::test]
async fn upload_that_the_scanner_does_not_take_is_rejected() {
    let address = clamd(Arc::default()).await;
    let app = App::configured(|config| config.media.as_mut().unwrap().scan = Some(address)).await;
    let [ann] = app.people(["ann"]).await;
    let bytes = vec![7; 2 * usize::try_from(MOST).unwrap()];
    let upload = ann.begin_upload(file(bytes.len())).await;
    ann.put_parts(&upload, &bytes).await;
    let path = format!(
        "/media/{}/complete",
        upload["media"]["id"].as_str().unwrap()
    );
    let done = ann.post(&path, Value::Null).await.ok(200);
    assert_eq!(
        (&done["state"], &done["reason"]),
        (&json!("rejected"), &json!("scan"))
    );
    app.finish().await;
}
