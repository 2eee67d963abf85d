//! What the index has, and when it loses it.

use super::words::{results, search};
use crate::support::{App, Person, eventually, execute, id, number};
use diesel::{PgConnection, QueryableByName, RunQueryDsl, sql_query};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tideline::config::RateLimit;
use tideline::domain::search::indexing;
use tideline::model::ids::UserId;

const SOON: Duration = Duration::from_secs(20);

/// Stores this many messages in batches, of which each has a number.
async fn fill(by: &Person, chat: &str, count: usize) {
    let all: Vec<_> = (1..=count)
        .map(|n| json!({"client_msg_id": id(), "kind": "text", "content": {"text": format!("filler number{n}x")}}))
        .collect();
    for messages in all.chunks(100) {
        let batch = json!({"messages": messages});
        by.post(&format!("/conversations/{chat}/messages/batch"), batch)
            .await
            .ok(200);
    }
}

/// A node that indexes.
async fn indexing() -> App {
    App::configured(|config| {
        config.index_pause = Some(Duration::from_millis(10));
        config.edit_seconds = -1;
        // With many rounds it takes longer than a token is valid.
        config.access_token = Duration::from_secs(86_400);
    })
    .await
}

/// Returns once this many blocks are written.
async fn written(app: &App, count: i64) {
    let mut conn = app.database();
    let sql = "SELECT count(*) AS n FROM search_blocks WHERE NOT marked";
    eventually(
        "written",
        SOON,
        async || number(&mut conn, sql),
        |n| *n == count,
    )
    .await;
}

/// The number of blocks that have a lexeme.
fn with(conn: &mut PgConnection, lexeme: &str) -> i64 {
    let sql = format!("SELECT count(*) AS n FROM search_blocks WHERE tokens @@ '''{lexeme}'''");
    number(conn, &sql)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_recalled_or_edited_leaves_the_index_with_its_commit() {
    let app = indexing().await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    fill(&ann, &chat, 96).await;
    written(&app, 3).await;
    assert_eq!(
        [
            with(&mut app.database(), "number40x"),
            with(&mut app.database(), "number41x"),
            with(&mut app.database(), "fresh")
        ],
        [1, 1, 0]
    );
    let messages = format!("/conversations/{chat}/messages");
    ann.call("DELETE", &format!("{messages}/40")).await.ok(200);
    let change = json!({"version": 1, "content": {"text": "fresh words"}});
    ann.patch(&format!("{messages}/41"), change).await.ok(200);
    assert_eq!(
        [
            with(&mut app.database(), "number40x"),
            with(&mut app.database(), "number41x")
        ],
        [0, 0]
    );
    for (q, count) in [
        ("number40x", 0),
        ("number41x", 0),
        ("fresh", 1),
        ("number42x", 1),
    ] {
        assert_eq!(results(&ben, &[("q", q)]).await.len(), count, "{q}");
    }
    written(&app, 3).await;
    assert_eq!(
        [
            with(&mut app.database(), "number40x"),
            with(&mut app.database(), "number41x"),
            with(&mut app.database(), "fresh")
        ],
        [0, 0, 1]
    );
    // A reaction changes no words.
    ann.put(&format!("{messages}/41/reactions/👍"), Value::Null)
        .await
        .ok(200);
    let marks = number(
        &mut app.database(),
        "SELECT sum(version)::bigint AS n FROM search_blocks",
    );
    assert_eq!(marks, 2);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_messages_leave_the_index() {
    let app = indexing().await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let chat = ann.group(&[&ben]).await;
    let ttl = json!({"message_ttl_seconds": 10});
    ann.patch(&format!("/conversations/{chat}"), ttl)
        .await
        .ok(200);
    fill(&ann, &chat, 32).await;
    written(&app, 1).await;
    assert_eq!(
        (
            with(&mut app.database(), "number7x"),
            results(&ben, &[("q", "number7x")]).await.len()
        ),
        (1, 1)
    );
    let mut conn = app.database();
    let gone = async || {
        (
            with(&mut app.database(), "number7x"),
            number(
                &mut conn,
                "SELECT count(*) AS n FROM messages WHERE content IS NOT NULL",
            ),
        )
    };
    eventually("gone", Duration::from_secs(40), gone, |gone| {
        *gone == (0, 0)
    })
    .await;
    assert_eq!(results(&ben, &[("q", "number7x")]).await, [] as [Value; 0]);
    app.finish().await;
}

/// An edit against the indexer: whichever comes first, the present text is found, and the old one is not.
#[tokio::test(flavor = "multi_thread")]
async fn edits_beside_the_indexer_are_never_lost() {
    let rounds: usize = tideline::config::environment("ROUNDS").map_or(60, |n| n.parse().unwrap());
    let app = indexing().await;
    let [ann] = app.people(["ann"]).await;
    let readers = app.people(["ben", "cat", "dan", "eva"]).await;
    let edit = async |(at, reader): (usize, &Person)| {
        let chat = ann.direct(reader).await;
        let path = format!("/conversations/{chat}/messages");
        let mut conn = app.database();
        for round in (at..rounds).step_by(readers.len()) {
            fill(&ann, &chat, 31).await;
            let (new, old) = (format!("new{round}x"), format!("old{round}x"));
            let first = ann.send(&chat, &old).await;
            // The block is full now, and is inserted and written meanwhile.
            tokio::time::sleep(Duration::from_micros(rand::random_range(0..30_000))).await;
            let change = json!({"version": 1, "content": {"text": new}});
            let edited = format!("{path}/{}", first["seq"]);
            ann.patch(&edited, change).await.ok(200);
            let found = results(reader, &[("q", &new)]).await.len();
            let lost = results(reader, &[("q", &old)]).await.len();
            let indexed = with(&mut conn, &old);
            assert_eq!((found, lost, indexed), (1, 0, 0), "{round}");
        }
    };
    join_all(readers.iter().enumerate().map(edit)).await;
    written(&app, i64::try_from(rounds).unwrap()).await;
    let mut conn = app.database();
    for round in 0..rounds {
        assert_eq!(with(&mut conn, &format!("new{round}x")), 1, "{round}");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_is_indexed_later_and_the_index_can_be_made_again() {
    let app = App::configured(|config| config.index_pause = None).await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    fill(&ann, &chat, 330).await;
    assert_eq!(
        number(
            &mut app.database(),
            "SELECT count(*) AS n FROM search_blocks"
        ),
        0
    );
    let printed = app.admin(&["search", "rebuild"]);
    assert!(printed.status.success(), "{printed:?}");
    assert_eq!(
        String::from_utf8(printed.stdout).unwrap(),
        "{\"blocks\":10}\n"
    );
    written(&app, 10).await;
    // A damaged index costs nothing but time.
    execute(
        &mut app.database(),
        "UPDATE search_blocks SET tokens = '' WHERE block = 3",
    );
    assert_eq!(results(&ben, &[("q", "number100x")]).await.len(), 0);
    app.admin(&["search", "rebuild"]);
    written(&app, 10).await;
    assert_eq!(results(&ben, &[("q", "number100x")]).await.len(), 1);
    // The sweep of a node finds what is missing, and what no hint has named.
    execute(
        &mut app.database(),
        "DELETE FROM search_blocks WHERE block >= 5; UPDATE search_blocks SET tokens = '*', marked = true WHERE block = 1",
    );
    let mut app = app;
    let mut config = app.config.clone();
    config.index_pause = Some(Duration::from_millis(10));
    app.add_node_with(config).await;
    written(&app, 10).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_with_too_many_words_may_have_anything() {
    let app = indexing().await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    for message in 0..32 {
        let words: Vec<_> = (0..1_500)
            .map(|word| format!("w{message}x{word}"))
            .collect();
        ann.send(&chat, &words.join(" ")).await;
    }
    let mut conn = app.database();
    let sql = "SELECT count(*) AS n FROM search_blocks WHERE tokens @@ '''*''' AND NOT marked";
    eventually(
        "too many",
        SOON,
        async || number(&mut conn, sql),
        |n| *n == 1,
    )
    .await;
    assert_eq!(results(&ben, &[("q", "w31x1499")]).await.len(), 1);
    assert_eq!(results(&ben, &[("q", "w32x0")]).await.len(), 0);
    app.finish().await;
}

/// A character that is compared as eighteen: the words of one message are a hundred thousand characters.
#[tokio::test(flavor = "multi_thread")]
async fn blocks_of_long_words_are_written() {
    let app = indexing().await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    for _ in 0..64 {
        ann.send(&chat, &"\u{fdfa}".repeat(5_400)).await;
    }
    written(&app, 2).await;
    assert_eq!(with(&mut app.database(), "وسلم"), 2);
    // All of a message's text counts.
    ann.send(&chat, &format!("{}needle", "\u{fdfa}".repeat(5_400)))
        .await;
    assert_eq!(results(&ben, &[("q", "needle")]).await.len(), 0);
    let words = "\u{fdfa}".repeat(256);
    let found = results(&ben, &[("q", &words), ("limit", "50")]).await;
    assert_eq!(found.len(), 65);
    app.finish().await;
}

/// What cannot be written in one conversation does not hold up the others.
#[tokio::test(flavor = "multi_thread")]
async fn marks_of_other_conversations_are_written_when_one_cannot_be() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chats = [ann.group(&[&ben]).await, ann.group(&[&ben]).await];
    for chat in &chats {
        fill(&ann, chat, 32).await;
    }
    let delivery = &app.nodes[0].handles.delivery;
    indexing::sweep(delivery, None).await.unwrap();
    let mut conn = app.database();
    let first = chats.iter().min().unwrap();
    execute(
        &mut conn,
        &format!(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''no''; END';
             UPDATE search_blocks SET marked = true, version = version + 1;
             CREATE TRIGGER refuse BEFORE UPDATE ON search_blocks FOR EACH ROW
                 WHEN (NEW.conversation_id = '{first}') EXECUTE FUNCTION refuse()"
        ),
    );
    indexing::write_marked(delivery).await.unwrap();
    let marked = "SELECT count(*) AS n FROM search_blocks WHERE marked";
    assert_eq!(number(&mut conn, marked), 1);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_that_is_nowhere_ends_after_bounded_pages() {
    let app = App::configured(|config| config.index_pause = None).await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    fill(&ann, &chat, 13_000).await;
    let (mut pages, mut cursor) = (0, String::new());
    loop {
        let mut given = vec![("q", "nowhere")];
        if !cursor.is_empty() {
            given.push(("cursor", &cursor));
        }
        let page = search(&ben, &given).await.ok(200);
        pages += 1;
        assert_eq!(page["results"], json!([]));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(pages, 3, "6,400 messages each");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_are_limited_and_refused_first() {
    let app = App::configured(|config| {
        config.rate_limit = Some(RateLimit {
            per_second: 1_000,
            burst: 10_000,
        });
    })
    .await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let started = Instant::now();
    let mut answers = Vec::new();
    while answers.len() < 60 {
        answers.push(search(&ann, &[("q", "word")]).await.status);
    }
    let passed = answers.iter().filter(|status| **status == 200).count();
    let most = 20 + 5 * usize::try_from(started.elapsed().as_secs() + 1).unwrap();
    assert!(
        (20..=most).contains(&passed),
        "{passed} of {most}: {answers:?}"
    );
    let refused = search(&ann, &[("q", "word")]).await;
    if refused.status == 429 {
        assert_eq!(
            refused.clone().problem(429, "rate_limited")["code"],
            "rate_limited"
        );
        assert!(refused.headers.contains_key("retry-after"));
    }
    // Another person has another bucket.
    search(&ben, &[("q", "word")]).await.ok(200);
    // Of one user one search runs, and takes nobody else's turn.
    let gate = &app.nodes[0].handles.delivery.search.as_ref().unwrap().gate;
    let users: Vec<_> = (0..40).map(|n| UserId(uuid::Uuid::from_u128(n))).collect();
    let own = gate.enter(users[0]).await.unwrap();
    assert!(gate.enter(users[0]).await.is_err());
    let more = join_all((0..5).map(|_| gate.enter(users[0]))).await;
    assert!(more.iter().all(Result::is_err));
    search(&ben, &[("q", "word")]).await.ok(200);
    // While two run and 32 wait, more are refused without a wait.
    let other = gate.enter(users[1]).await.unwrap();
    let waiting = join_all(users[2..34].iter().map(|user| gate.enter(*user)));
    let refused = async {
        let begun = Instant::now();
        let refused = gate.enter(users[34]).await.is_err();
        (refused, begun.elapsed() < Duration::from_millis(400))
    };
    let (waited, refused) = tokio::join!(waiting, refused);
    assert!(waited.iter().all(Result::is_err));
    assert_eq!(refused, (true, true));
    let busy = search(&ben, &[("q", "word")]).await;
    assert_eq!(
        busy.clone().problem(503, "overloaded")["code"],
        "overloaded"
    );
    assert!(busy.headers.contains_key("retry-after"));
    drop((own, other));
    search(&ben, &[("q", "word")]).await.ok(200);
    app.finish().await;
}

/// Kinds, senders and the rest are in the index beside words, and no word finds them.
#[tokio::test(flavor = "multi_thread")]
async fn lexemes_that_are_no_words_are_not_found_as_words() {
    let app = indexing().await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    fill(&ann, &chat, 31).await;
    ann.send(&chat, "https://example.org").await;
    written(&app, 1).await;
    for word in ["kind", "ki", "from", "fr", "has", "ha"] {
        let sql = format!("SELECT count(*) AS n FROM search_blocks WHERE tokens @@ '{word}:*'");
        assert_eq!(number(&mut app.database(), &sql), 0, "{word}");
    }
    let filters = [
        ("kind", "text"),
        ("has", "link"),
        ("sender_id", ann.id.as_str()),
    ];
    assert_eq!(results(&ben, &filters).await.len(), 1);
    app.finish().await;
}

/// A page with a time looks at no more messages than another one, though it begins within the blocks of many conversations.
#[tokio::test(flavor = "multi_thread")]
async fn pages_that_begin_within_blocks_are_bounded() {
    let app = indexing().await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let mut chats = Vec::new();
    for _ in 0..24 {
        chats.push(ann.group(&[&ben]).await);
    }
    let long = "w ".repeat(4_000);
    let mut middle = String::new();
    for n in 0..32 {
        for chat in &chats {
            let sent = ann.send(chat, &format!("{long} needle")).await;
            if n == 16 {
                sent["created_at"].as_str().unwrap().clone_into(&mut middle);
            }
        }
    }
    written(&app, 24).await;
    let given = [("q", "needle"), ("to", middle.as_str()), ("limit", "50")];
    let found = results(&ben, &given).await;
    let seqs: Vec<_> = found
        .iter()
        .map(|one| one["message"]["seq"].as_i64().unwrap())
        .collect();
    assert_eq!(seqs.len(), 24 * 16 + 23, "{seqs:?}");
    assert!(seqs.is_sorted_by(|a, b| a >= b));
    // A mebibyte of contents, and the rest of the block that goes beyond it.
    let page = search(&ben, &given).await.ok(200);
    assert!(page["results"].as_array().unwrap().len() < 50);
    app.finish().await;
}

/// Whatever the planner knows: by the key of the table it would read the lexemes of all blocks of the conversations.
#[tokio::test(flavor = "multi_thread")]
async fn candidates_are_found_by_their_lexemes() {
    let app = App::start().await;
    let mut conn = app.database();
    let settings =
        "SET plan_cache_mode = force_generic_plan; SET jit = off; SET enable_seqscan = off;
        SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off";
    let newest = include_str!("../../../src/storage/pg/search/newest_candidates.sql");
    let around = include_str!("../../../src/storage/pg/search/candidates_around.sql");
    let types = "text, uuid[], uuid[], bigint, bigint[], uuid[], timestamptz, timestamptz";
    let no_one = "'00000000-0000-0000-0000-000000000001'";
    let some = format!(
        "'word', ARRAY[{no_one}::uuid], ARRAY[{no_one}::uuid], 32, '{{0}}', ARRAY[{no_one}::uuid], now(), now()"
    );
    let fill = "INSERT INTO search_blocks (conversation_id, block, marked, oldest_at, newest_at, tokens)
        SELECT ('00000000-0000-0000-0000-' || lpad((n % 97)::text, 12, '0'))::uuid, n, false, now(), now(),
            array_to_tsvector(ARRAY['word' || n % 50, 'word', 'rare' || n]) FROM generate_series(1, 5000) AS n";
    execute(&mut conn, settings);
    for step in [
        "",
        "ANALYZE search_blocks",
        fill,
        "",
        "ANALYZE search_blocks",
    ] {
        execute(&mut conn, &format!("{step}; DEALLOCATE ALL"));
        execute(
            &mut conn,
            &format!("PREPARE newest({types}, bigint) AS {newest}"),
        );
        execute(&mut conn, &format!("PREPARE around({types}) AS {around}"));
        for statement in [format!("newest({some}, 201)"), format!("around({some})")] {
            let plan = lines(&mut conn, &format!("EXPLAIN EXECUTE {statement}"));
            let uses = |index: &str| plan.iter().filter(|line| line.contains(index)).count();
            assert_eq!(
                (uses("tokens_idx"), uses("pkey")),
                (8, 0),
                "{step}: {plan:#?}"
            );
        }
    }
    execute(&mut conn, "DELETE FROM search_blocks");
    app.finish().await;
}

/// The lines of a plan.
fn lines(conn: &mut PgConnection, explain: &str) -> Vec<String> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = diesel::sql_types::Text, column_name = "QUERY PLAN")]
        line: String,
    }
    let rows: Vec<Row> = sql_query(explain).load(conn).unwrap();
    rows.into_iter().map(|row| row.line).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_beside_a_rebuild_miss_nothing() {
    let app = indexing().await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    fill(&ann, &chat, 640).await;
    written(&app, 20).await;
    // A block that was lost between others is made again too.
    execute(
        &mut app.database(),
        "DELETE FROM search_blocks WHERE block = 7",
    );
    let delivery = &app.nodes[0].handles.delivery;
    indexing::rebuild(delivery, |_| ()).await.unwrap();
    let searches = async {
        for _ in 0..60 {
            for word in ["number2x", "number240x", "number630x"] {
                assert_eq!(results(&ben, &[("q", word)]).await.len(), 1, "{word}");
            }
        }
    };
    let rebuilds = async {
        loop {
            indexing::rebuild(delivery, |_| ()).await.unwrap();
        }
    };
    tokio::select! {
        () = searches => {}
        () = rebuilds => {}
    }
    written(&app, 20).await;
    app.finish().await;
}
