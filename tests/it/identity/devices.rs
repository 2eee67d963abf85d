//! Devices: listed, limited, logged out on every node, and their waits ended.

use crate::support::{App, PASSWORD, Person, id};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{self, Context};
use std::time::Duration;
use tideline::domain::identity::revocations::reload_revoked;
use tideline::engine::waiting::registry::Wake;
use tideline::model::account::Caller;
use tideline::model::ids::{DeviceId, InboxSeq};

async fn ids(person: &Person) -> Vec<String> {
    let list = person.get("/me/devices").await.ok(200);
    let devices = list["devices"].as_array().unwrap();
    let own: Vec<_> = devices
        .iter()
        .filter(|one| one["current"] == true)
        .collect();
    assert_eq!(own.len(), 1);
    assert_eq!(own[0]["id"], person.device.as_str());
    devices
        .iter()
        .map(|one| one["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_are_listed_and_removed_individually() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let body = json!({"username": "ann", "password": PASSWORD, "device": {"name": "Ann's phone", "platform": "ios"}});
    let phone = app.call("POST", "/v1/auth/login", Some(body)).await.ok(200);
    let phone = Person::of_session(&app, &phone);
    let list = ann.get("/me/devices").await.ok(200);
    let newest = &list["devices"][0];
    assert_eq!(
        (
            &newest["id"],
            &newest["name"],
            &newest["platform"],
            &newest["current"]
        ),
        (
            &json!(phone.device),
            &json!("Ann's phone"),
            &json!("ios"),
            &json!(false)
        )
    );
    assert_eq!(list["devices"][1]["name"], Value::Null);
    assert_eq!(ids(&phone).await.len(), 2);

    // Devices of others, and unknown ones.
    for device in [&ben.device, &id(), &"x".to_owned()] {
        ann.call("DELETE", &format!("/me/devices/{device}"))
            .await
            .problem(404, "not_found");
    }
    ben.get("/me").await.ok(200);
    let path = format!("/me/devices/{}", phone.device);
    ann.call("DELETE", &path).await.ok(204);
    ann.call("DELETE", &path).await.problem(404, "not_found");
    phone.get("/me").await.problem(401, "device_revoked");
    assert_eq!(ids(&ann).await, std::slice::from_ref(&ann.device));
    // Removing the own device is a logout.
    ann.call("DELETE", &format!("/me/devices/{}", ann.device))
        .await
        .ok(204);
    ann.get("/me").await.problem(401, "device_revoked");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_device_is_rejected_on_all_nodes_within_5_s_without_redis() {
    let (mut app, [ann]) = App::with(["ann"]).await;
    app.add_node().await;
    let elsewhere = format!("http://{}", app.nodes[1].address);
    let phone = ann.another_device(&app).await.at(&elsewhere);
    let wait = tokio::spawn({
        let phone = phone.clone();
        async move { phone.get("/notices?since_seq=0&timeout=30").await }
    });
    app.asleep(1, 1).await;
    app.redis.cut();
    ann.call("DELETE", &format!("/me/devices/{}", phone.device))
        .await
        .ok(204);
    let ended = tokio::time::timeout(Duration::from_secs(5), wait)
        .await
        .unwrap();
    ended.unwrap().problem(401, "device_revoked");
    phone.get("/me").await.problem(401, "device_revoked");
    app.redis.heal();
    app.finish().await;
}

/// The waker of a wait, which records whether the device was marked as revoked by then.
struct Woken {
    auth: Arc<tideline::engine::auth::Auth>,
    device: DeviceId,
    noted: AtomicBool,
}

impl task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        let noted = self.auth.revoked.contains(self.device);
        self.noted.store(noted, Ordering::Release);
    }
}

/// Otherwise a new wait could begin in between and sleep on, and the notified client could come back.
#[tokio::test(flavor = "multi_thread")]
async fn device_is_marked_revoked_before_its_wait_ends() {
    let (mut app, [ann]) = App::with(["ann"]).await;
    app.add_node().await;
    let phone = ann.another_device(&app).await;
    let caller = Caller {
        user: serde_json::from_value(json!(phone.id)).unwrap(),
        device: serde_json::from_value(json!(phone.device)).unwrap(),
        generation: 0,
        token_expires: i64::MAX,
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    let auth = Arc::clone(&app.nodes[1].handles.auth);
    let mut parked = auth.waiters.register(caller, InboxSeq(0), &[], 1).unwrap();
    let woken = Arc::new(Woken {
        auth: Arc::clone(&auth),
        device: caller.device,
        noted: AtomicBool::new(false),
    });
    let mut sleep = pin!(parked.sleep());
    let waker = Arc::clone(&woken).into();
    let asleep = sleep.as_mut().poll(&mut Context::from_waker(&waker));
    assert!(asleep.is_pending());
    ann.call("DELETE", &format!("/me/devices/{}", phone.device))
        .await
        .ok(204);
    reload_revoked(&auth, false).await.unwrap();
    assert_eq!(sleep.await, Some(Wake::Revoked));
    assert!(woken.noted.load(Ordering::Acquire));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn password_change_logs_out_other_devices() {
    let (app, [ann]) = App::with(["ann"]).await;
    let phone = ann.another_device(&app).await;
    let change = |old: &str, new: &str| json!({"old_password": old, "new_password": new});
    ann.put("/me/password", change("wrong horse", "battery staple"))
        .await
        .problem(401, "invalid_credentials");
    ann.put("/me/password", change(PASSWORD, "short"))
        .await
        .problem(400, "validation");
    phone.get("/me").await.ok(200);
    // Of two concurrent changes one wins, and the password of the other is not valid.
    let both = join_all(
        ["battery staple", "another staple"]
            .map(|new| ann.put("/me/password", change(PASSWORD, new))),
    )
    .await;
    let won: Vec<_> = both.iter().map(|answer| answer.status == 204).collect();
    assert_eq!(won.iter().filter(|won| **won).count(), 1, "{both:?}");
    let new = if won[0] {
        "battery staple"
    } else {
        "another staple"
    };
    ann.get("/me").await.ok(200);
    phone.get("/me").await.problem(401, "device_revoked");
    let login = async |password: &str| {
        let body = json!({"username": "ann", "password": password});
        app.call("POST", "/v1/auth/login", Some(body)).await
    };
    login(PASSWORD).await.problem(401, "invalid_credentials");
    login(new).await.ok(200);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn device_limit_evicts_the_least_recently_seen_device() {
    let (app, [ann]) = App::with(["ann"]).await;
    let limit =
        app.call("GET", "/v1/capabilities", None).await.ok(200)["limits"]["devices"].clone();
    assert_eq!(limit, 20);
    let mut devices = vec![ann.clone()];
    for _ in 1..20 {
        devices.push(ann.another_device(&app).await);
    }
    assert_eq!(ids(&ann).await.len(), 20);
    // The first device is seen again, so the second one is the least recently seen.
    let refresh = json!({"refresh_token": ann.refresh_token});
    let session = app
        .call("POST", "/v1/auth/refresh", Some(refresh))
        .await
        .ok(200);
    devices[0] = Person::of_session(&app, &session);
    let logins = join_all((0..3).map(|_| ann.another_device(&app))).await;
    assert_eq!(ids(&devices[0]).await.len(), 20);
    for gone in &devices[1..4] {
        gone.get("/me").await.problem(401, "device_revoked");
    }
    devices[4].get("/me").await.ok(200);
    logins[2].get("/me").await.ok(200);
    // The login of a known device evicts no other device.
    let again =
        json!({"username": "ann", "password": PASSWORD, "device": {"id": devices[4].device}});
    app.call("POST", "/v1/auth/login", Some(again))
        .await
        .ok(200);
    devices[5].get("/me").await.ok(200);
    app.finish().await;
}
