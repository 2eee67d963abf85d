//! Tests the checker: each defect is seeded into a healthy history, and the checker must report it by name.

use crate::checker::check;
use crate::history::{Ask, History, Op, SECOND};
use serde_json::{Value, json};

type Seed = fn(&mut History);

const DEFECTS: &[(&str, &str, Seed)] = &[
    ("a row is dropped from the archive", "archive-hole", |h| {
        archive(h).remove(3);
    }),
    ("two rows are swapped", "archive-hole", |h| {
        archive(h).swap(2, 5)
    }),
    ("a row is there twice", "doubled", |h| {
        let (mut twin, seq) = (archive(h)[4].clone(), archive(h).len() + 1);
        twin["seq"] = json!(seq);
        archive(h).push(twin);
    }),
    ("an acknowledged send is missing", "lost", |h| {
        let messages = archive(h);
        messages.truncate(messages.len() / 2);
    }),
    ("a row holds other words", "never-sent", |h| {
        archive(h)[3]["content"] = json!({"text": "other words", "name": "other words"});
    }),
    ("one member reads another order", "archive-differs", |h| {
        h.outcomes[1].archives[0].swap(2, 3);
    }),
    ("sends change places in time", "order", |h| {
        let own: Vec<usize> = sends(h)
            .filter(|n| h.ops[*n].ask.chat() == Some(0))
            .collect();
        let (first, last) = (own[0], own[own.len() - 1]);
        let times = [h.ops[first].invoked, h.ops[first].answered];
        (h.ops[first].invoked, h.ops[first].answered) = (h.ops[last].invoked, h.ops[last].answered);
        [h.ops[last].invoked, h.ops[last].answered] = times;
    }),
    ("a batch is stored backwards", "batch-order", |h| {
        let batch = find(h, |op| op.acknowledged().len() > 1);
        batch.body["results"].as_array_mut().unwrap().reverse();
    }),
    ("a repeat gets another answer", "other-answer", |h| {
        let mut repeat = find(h, |op| op.acknowledged().len() == 1).clone();
        (repeat.invoked, repeat.answered) = (repeat.invoked + SECOND, repeat.answered + SECOND);
        repeat.body["id"] = json!("another");
        h.ops.push(repeat);
    }),
    ("a send is never settled", "unsettled", |h| {
        let mut open = find(h, |op| op.acknowledged().len() == 1).clone();
        open.ask = Ask::Send {
            chat: 0,
            messages: vec![("unknown".to_owned(), String::new())],
            file: None,
        };
        (open.user, open.body) = (0, Value::Null);
        open.status = 503;
        h.ops.push(open);
    }),
    ("an inbox has a hole", "inbox-hole", |h| {
        drop(h.outcomes[2].inbox.remove(7))
    }),
    ("an inbox lacks a message and hides it", "projection", |h| {
        let entry = h.outcomes[2]
            .inbox
            .iter_mut()
            .rfind(|entry| entry["kind"] == "message")
            .unwrap();
        entry["kind"] = json!("recall");
    }),
    ("an entry refers to another message", "inbox-differs", |h| {
        let inbox = &mut h.outcomes[2].inbox;
        let entry = inbox
            .iter_mut()
            .find(|entry| entry["kind"] == "message")
            .unwrap();
        entry["message"]["content"]["text"] = json!("other words");
    }),
    ("times run backwards", "time-back", |h| {
        h.outcomes[2].inbox[9]["at"] = json!("2000-01-01T00:00:00.000Z");
    }),
    (
        "a page jumps over a seq that comes late",
        "page-hole",
        |h| {
            let page = find(h, |op| {
                matches!(op.ask, Ask::Fetch { .. })
                    && op.body["entries"]
                        .as_array()
                        .is_some_and(|all| all.len() > 1)
            });
            page.body["entries"].as_array_mut().unwrap().remove(1);
        },
    ),
    ("a page ends below the head", "page-hole", |h| {
        let page = find(h, |op| {
            matches!(op.ask, Ask::Fetch { .. }) && op.body["entries"][0].is_object()
        });
        page.body["entries"].as_array_mut().unwrap().pop();
    }),
    (
        "a page shows what is not there in the end",
        "page-differs",
        |h| {
            let page = find(h, |op| {
                matches!(op.ask, Ask::Fetch { .. }) && op.body["entries"][0].is_object()
            });
            page.body["entries"][0]["unread"] = json!(77);
        },
    ),
    ("a head goes back", "stale", |h| {
        let last = h
            .ops
            .iter_mut()
            .rfind(|op| matches!(op.ask, Ask::Wait { .. }) && op.user == 0)
            .unwrap();
        last.body["last_seq"] = json!(1);
    }),
    ("a count is skewed", "count", |h| {
        let answer = find(h, |op| {
            op.ask == Ask::Unread && op.body["conversations"][0].is_object()
        });
        let count = answer.body["conversations"][0]["unread"].as_i64().unwrap() + 1;
        answer.body["conversations"][0]["unread"] = json!(count);
        let total = answer.body["total"].as_i64().unwrap() + 1;
        answer.body["total"] = json!(total);
    }),
    ("a total is not the sum", "sum", |h| {
        find(h, |op| op.ask == Ask::Unread).body["total"] = json!(12_345);
    }),
    ("a notice tells a wrong total", "count", |h| {
        let woken = find(h, |op| {
            matches!(op.ask, Ask::Wait { .. }) && op.body["news"] == true
        });
        woken.body["total_unread"] = json!(12_345);
    }),
    ("counts have drifted in the end", "recount", |h| {
        h.outcomes[3].unread[1]["total"] = json!(12_345);
    }),
    ("a read mark goes back", "mark-back", |h| {
        let marked = h
            .ops
            .iter_mut()
            .rfind(|op| matches!(op.ask, Ask::Mark { .. }))
            .unwrap();
        marked.body["read_seq"] = json!(0);
    }),
    ("an outsider is shown words", "leak", |h| {
        let canary = h.cast.chats[0].canary.clone();
        find(h, |op| op.user == 7).body["title"] = json!(format!("{canary} 1 1"));
    }),
    ("an ex-member is shown a message", "leak", |h| {
        let chat = h
            .cast
            .chats
            .iter()
            .position(|chat| !chat.guests.is_empty())
            .unwrap();
        let (owner, guest) = (h.cast.chats[chat].members[0], h.cast.chats[chat].guests[0]);
        let id = json!(h.cast.chats[chat].id);
        let seen = |entry: &&Value| entry["kind"] == "message" && entry["conversation_id"] == id;
        let theirs: Vec<&Value> = h.outcomes[guest]
            .inbox
            .iter()
            .filter(seen)
            .map(|entry| &entry["message"])
            .collect();
        let foreign = h.outcomes[owner]
            .inbox
            .iter()
            .filter(seen)
            .map(|entry| &entry["message"]);
        let foreign = foreign
            .clone()
            .find(|one| !theirs.contains(one))
            .unwrap()
            .clone();
        find(h, |op| op.user == guest && op.is_ok()).body["last_message"] = foreign;
    }),
    ("an ex-member gets access", "leak", |h| {
        let out = find(h, |op| {
            matches!(op.ask, Ask::Remove { .. }) && op.status == 204
        })
        .clone();
        let Ask::Remove { chat, guest } = out.ask else {
            return;
        };
        let from = out.answered;
        let peek = find(h, |op| {
            op.user == guest && op.ask == Ask::Peek { chat } && op.invoked > from
        });
        (peek.status, peek.body) = (200, json!({}));
    }),
    ("a wake-up is lost", "late-wake", |h| {
        let woken = find(h, |op| {
            matches!(op.ask, Ask::Wait { .. })
                && op.body["news"] == true
                && op.invoked > SECOND
                && op.user == 7
        });
        woken.answered += 8 * SECOND;
    }),
    ("a watcher is not woken", "late-wake", |h| {
        let woken = find(h, |op| {
            let watched = op.body["watched"].as_array();
            watched.is_some_and(|all| !all.is_empty())
                && op.body["news"] == false
                && op.invoked > SECOND
        });
        woken.answered += 8 * SECOND;
    }),
    ("a large conversation is in an inbox", "projection", |h| {
        let large = h.cast.chats.iter().rfind(|chat| chat.large).unwrap();
        let (id, user) = (large.id.clone(), large.members[0]);
        let mut entry = h.outcomes[user].inbox.iter_mut();
        let entry = entry.rfind(|entry| entry["kind"] == "message").unwrap();
        entry["conversation_id"] = json!(id);
    }),
    ("news is denied", "late-wake", |h| {
        find(h, |op| {
            matches!(op.ask, Ask::Wait { .. }) && op.body["news"] == true
        })
        .body["news"] = json!(false);
    }),
    ("a search does not find a message", "search-misses", |h| {
        let stays = |op: &Op, chat: usize| h.cast.chats[chat].members.contains(&op.user);
        let some = |op: &Op| {
            op.body["results"]
                .as_array()
                .is_some_and(|all| all.len() > 9)
        };
        let is_it =
            |op: &Op| matches!(op.ask, Ask::Search { canary } if stays(op, canary)) && some(op);
        let at = h.ops.iter().rposition(is_it).unwrap();
        // Not the last one: a search that is incomplete ends there.
        let results = h.ops[at].body["results"].as_array_mut().unwrap();
        results.remove(results.len() - 2);
    }),
    ("a search goes back", "search-order", |h| {
        let some = |op: &Op| {
            op.body["results"]
                .as_array()
                .is_some_and(|all| all.len() > 1)
        };
        let op = find(h, |op| matches!(op.ask, Ask::Search { .. }) && some(op));
        op.body["results"].as_array_mut().unwrap().reverse();
    }),
    ("in the end a message is not found", "search-misses", |h| {
        h.outcomes[0].found[0].pop().unwrap();
    }),
    ("a download has other bytes", "media-differ", |h| {
        let is_it = |op: &Op| matches!(op.ask, Ask::Download { .. }) && op.is_ok();
        find(h, is_it).body["sha256"] = json!("other");
    }),
    ("other bytes are ready", "media-differ", |h| {
        find(h, |op| op.ready().is_some()).body["sha256"] = json!("other");
    }),
    ("a file of a message is gone", "media-lost", |h| {
        let mut files = h.outcomes[0].files.iter_mut().flatten();
        *files.next().unwrap().1 = "404".to_owned();
    }),
    ("media that nobody has sent are gone", "media-lost", |h| {
        let mut unsent = h.outcomes.iter_mut().flat_map(|it| &mut it.unsent);
        *unsent.next().unwrap().1 = "404".to_owned();
    }),
    ("an upload is not continued", "upload-stuck", |h| {
        let ready = find(h, |op| op.ready().is_some());
        let id = ready.ready().unwrap().1.id.clone();
        h.ops
            .retain(|op| op.ready().is_none_or(|(_, file)| file.id != id));
    }),
    ("a node logs a bug", "bug", |h| {
        h.bugs.push("bug: of its own".to_owned())
    }),
    ("a bug is admitted", "internal", |h| {
        find(h, |op| op.ask == Ask::Unread).status = 500
    }),
    ("a status is not in the document", "undocumented", |h| {
        find(h, |op| op.ask == Ask::Unread).status = 418
    }),
    ("a good token is refused", "dishonest", |h| {
        find(h, |op| op.ask == Ask::Unread).status = 401
    }),
    ("nothing is broken, and it says so", "dishonest", |h| {
        let op = find(h, |op| op.ask == Ask::Unread);
        (op.status, op.body) = (503, json!({"code": "storage_unavailable"}));
    }),
    ("a healthy node does not answer", "no-answer", |h| {
        find(h, |op| op.ask == Ask::Unread).status = 0
    }),
    ("an answer comes late", "deadline", |h| {
        find(h, |op| op.ask == Ask::Unread).answered += 9 * SECOND
    }),
    ("the service does not come back", "not-back", |h| {
        h.ops.last_mut().unwrap().status = 503;
        h.windows.push(crate::history::Window {
            what: String::new(),
            node: None,
            from: 0,
            to: 1,
        });
    }),
];

/// The messages of the first conversation, as its first member reads them.
fn archive(h: &mut History) -> &mut Vec<Value> {
    let id = h.cast.chats[0].id.clone();
    let outcome = &mut h.outcomes[h.cast.chats[0].members[0]];
    let at = outcome
        .conversations
        .iter()
        .position(|one| one["id"] == id.as_str())
        .unwrap();
    &mut outcome.archives[at]
}

/// The sends of one message that were acknowledged.
fn sends(h: &History) -> impl Iterator<Item = usize> + '_ {
    (0..h.ops.len()).filter(|n| h.ops[*n].acknowledged().len() == 1)
}

fn find(h: &mut History, is_it: impl Fn(&Op) -> bool) -> &mut Op {
    h.ops.iter_mut().find(|op| is_it(op)).unwrap()
}

/// Asserts that this history has no violation, and that each seeded defect is detected.
pub fn verify(healthy: &History) {
    let found = check(healthy);
    assert!(found.is_empty(), "{found:#?}");
    for (defect, name, seed) in DEFECTS {
        let mut history = healthy.clone();
        seed(&mut history);
        let found = check(&history);
        assert!(
            found.iter().any(|one| one.name == *name),
            "{defect}: not {name}, but {found:#?}"
        );
    }
}
