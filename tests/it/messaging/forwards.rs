//! Forwarded messages.

use crate::support::{App, Person, execute, id, number, text, waiting_for_locks};
use serde_json::{Value, json};

fn forward(chat: &str, seq: i64) -> Value {
    json!({"client_msg_id": id(), "forward": {"conversation_id": chat, "seq": seq}})
}

async fn name_in_forwards(who: &Person, forward_name: bool) {
    let body = json!({"forward_name": forward_name});
    who.patch("/me", body).await.ok(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn forward_copies_the_content_and_names_the_first_author() {
    let (app, [ann, ben, cat]) = App::with(["ann", "ben", "cat"]).await;
    let (source, target) = (ann.direct(&ben).await, ben.direct(&cat).await);
    let mut message = text("hi @ben");
    message["content"]["mentions"] = json!([ben.id]);
    let first = ann.post_message(&source, message).await.ok(201);
    let head = ben.head().await;
    let copy = ben.post_message(&target, forward(&source, 1)).await.ok(201);
    assert_eq!(
        (&copy["kind"], &copy["content"]),
        (&json!("text"), &json!({"text": "hi @ben"}))
    );
    let origin = json!({"sender_id": ann.id, "created_at": first["created_at"]});
    assert_eq!(copy["forward"], origin);
    assert_eq!(copy["sender_id"], ben.id);
    // It has no mention: one entry for the message.
    assert_eq!(ben.entries(head).await.len(), 1);
    // Everyone reads the same, and nowhere the conversation of the first message.
    for who in [&ben, &cat] {
        assert_eq!(who.history(&target, 0).await[0], copy);
        let entries = who.entries(0).await;
        let of = entries
            .iter()
            .filter(|one| one["conversation_id"] == target.as_str());
        let of: Vec<_> = of.collect();
        assert!(of.iter().any(|one| one["message"] == copy));
        assert!(!json!(of).to_string().contains(&source));
    }
    // A forward of a forward names the first author.
    let group = cat.group(&[]).await;
    let again = cat.post_message(&group, forward(&target, 1)).await.ok(201);
    assert_eq!(again["forward"], origin);
    assert!(!again.to_string().contains(&target));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn author_may_stay_unnamed() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let first = ann.send(&chat, "x").await;
    let unnamed = json!({"created_at": first["created_at"]});
    let shown = ben.post_message(&chat, forward(&chat, 1)).await.ok(201);
    assert_eq!(shown["forward"]["sender_id"], ann.id);
    name_in_forwards(&ann, false).await;
    let hidden = ben.post_message(&chat, forward(&chat, 1)).await.ok(201);
    assert_eq!(hidden["forward"], unnamed);
    // A forward of the earlier one does not name the author any more.
    let again = ben.post_message(&chat, forward(&chat, 2)).await.ok(201);
    assert_eq!(again["forward"], unnamed);
    // It holds at the send: what is stored stays.
    name_in_forwards(&ann, true).await;
    let stored = ben.history(&chat, 1).await;
    assert_eq!(stored, [shown, hidden, again]);
    let once_more = ben.post_message(&chat, forward(&chat, 3)).await.ok(201);
    assert_eq!(once_more["forward"], unnamed);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_visible_messages_are_forwarded() {
    let (app, [ann, ben, eve]) = App::with(["ann", "ben", "eve"]).await;
    let chat = ann.group(&[&ben]).await;
    ann.send(&chat, "canary-before").await;
    ann.add(&chat, &[&eve]).await.ok(200);
    ann.send(&chat, "seen").await;
    ann.send(&chat, "recalled").await;
    ann.send(&chat, "hidden").await;
    let own = eve.group(&[]).await;
    for (chat, seq) in [(&chat, 1), (&chat, 9), (&chat, -1), (&chat, 0), (&id(), 1)] {
        let foreign = eve.post_message(&own, forward(chat, seq)).await;
        foreign.problem(404, "not_found");
    }
    let recalled = format!("/conversations/{chat}/messages/3");
    ann.call("DELETE", &recalled).await.ok(200);
    let hidden = format!("/conversations/{chat}/hidden");
    eve.put(&hidden, json!({"seqs": [4]})).await.ok(204);
    for seq in [3, 4] {
        let gone = eve.post_message(&own, forward(&chat, seq)).await;
        gone.problem(409, "message_gone");
    }
    // Each message of a batch has its own result.
    let batch =
        json!({"messages": [forward(&chat, 1), forward(&chat, 2), forward(&chat, 3), text("x")]});
    let path = format!("/conversations/{own}/messages/batch");
    let results = eve.post(&path, batch).await.ok(200);
    let statuses = results["results"].as_array().unwrap().iter();
    let statuses: Vec<_> = statuses
        .map(|one| one["status"].as_i64().unwrap())
        .collect();
    assert_eq!(statuses, [404, 201, 409, 201]);
    eve.remove(&chat, &eve).await.ok(204);
    let late = eve.post_message(&own, forward(&chat, 2)).await;
    late.problem(404, "not_found");
    app.finish().await;
}

/// A forward that waits for its conversation copies nothing that was recalled meanwhile, or that the sender no longer sees.
#[tokio::test(flavor = "multi_thread")]
async fn forward_that_waits_sees_the_message_again() {
    let (app, [ann, eve]) = App::with(["ann", "eve"]).await;
    let chat = ann.group(&[&eve]).await;
    let own = eve.group(&[]).await;
    eve.send(&own, "opens the connection of the writer").await;
    ann.send(&chat, "recalled").await;
    ann.send(&chat, "seen").await;
    let (mut holder, mut watcher) = (app.database(), app.database());
    let lock = format!("BEGIN; SELECT FROM conversations WHERE id = '{own}' FOR UPDATE");
    for (seq, problem) in [(1, (409, "message_gone")), (2, (404, "not_found"))] {
        execute(&mut holder, &lock);
        let (sender, own, of) = (eve.clone(), own.clone(), forward(&chat, seq));
        let waiting = tokio::spawn(async move { sender.post_message(&own, of).await });
        waiting_for_locks(&mut watcher, 1).await;
        match seq {
            1 => drop(
                ann.call("DELETE", &format!("/conversations/{chat}/messages/1"))
                    .await
                    .ok(200),
            ),
            _ => drop(eve.remove(&chat, &eve).await.ok(204)),
        }
        execute(&mut holder, "COMMIT");
        waiting.await.unwrap().problem(problem.0, problem.1);
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_forward_needs_no_source() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let own = ben.group(&[]).await;
    ann.send(&chat, "one").await;
    ann.send(&chat, "two").await;
    let (first, second) = (forward(&chat, 1), forward(&chat, 2));
    let one = ben.post_message(&own, first.clone()).await.ok(201);
    let two = ben.post_message(&own, second.clone()).await.ok(201);
    let messages = format!("/conversations/{chat}/messages");
    let edit = json!({"version": 1, "content": {"text": "1"}});
    ann.patch(&format!("{messages}/1"), edit).await.ok(200);
    ann.call("DELETE", &format!("{messages}/2")).await.ok(200);
    assert_eq!(ben.post_message(&own, first.clone()).await.ok(200), one);
    assert_eq!(ben.post_message(&own, second.clone()).await.ok(200), two);
    // Another source, a reply, or the same content as an own message: another message.
    let mut others = [first.clone(), first.clone(), text("one")];
    others[0]["forward"]["seq"] = json!(2);
    others[1]["reply_to"] = json!(1);
    others[2]["client_msg_id"] = first["client_msg_id"].clone();
    for other in others {
        let reused = ben.post_message(&own, other).await;
        reused.problem(422, "client_msg_id_reused");
    }
    // After a recall of the copy there is nothing to compare.
    let copy = format!("/conversations/{own}/messages/1");
    let stub = ben.call("DELETE", &copy).await.ok(200);
    assert_eq!(stub.get("forward"), None);
    assert_eq!(ben.post_message(&own, second).await.ok(200), two);
    assert_eq!(ben.post_message(&own, first).await.ok(200), stub);
    let count = "SELECT count(*) AS n FROM messages WHERE extra->>'forward' IS NOT NULL";
    assert_eq!(number(&mut app.database(), count), 1);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forwarded_message_cannot_be_edited() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    ann.send(&chat, "x").await;
    ben.post_message(&chat, forward(&chat, 1)).await.ok(201);
    let edit = json!({"version": 1, "content": {"text": "y"}});
    let copy = format!("/conversations/{chat}/messages/2");
    ben.patch(&copy, edit).await.problem(403, "forbidden");
    // A change of it keeps the origin.
    let pin = format!("/conversations/{chat}/pins/2");
    ben.put(&pin, Value::Null).await.ok(204);
    let shown = ann.get(&copy).await.ok(200);
    assert_eq!(shown["forward"]["sender_id"], ann.id);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forward_stands_in_place_of_kind_and_content() {
    let (app, [ann]) = App::with(["ann"]).await;
    let chat = ann.group(&[]).await;
    ann.send(&chat, "x").await;
    for (field, value) in [("kind", json!("text")), ("content", json!({"text": "x"}))] {
        let mut both = forward(&chat, 1);
        both[field] = value;
        let bad = ann.post_message(&chat, both).await;
        let bad = bad.problem(400, "validation");
        assert_eq!(bad["errors"][0]["pointer"], "/forward");
    }
    let mut more = forward(&chat, 1);
    more["forward"]["unknown"] = json!(1);
    ann.post_message(&chat, more)
        .await
        .problem(400, "validation");
    app.finish().await;
}
