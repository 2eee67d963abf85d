//! Raw bytes that a client library would not send.

use crate::http::hostile::raw::{Head, exchange};
use crate::support::{Answer, App, text};

/// Asserts at most one response, no 5xx, and a problem if the response is ours. (actix itself rejects bytes that are not HTTP,
/// with an empty 400.)
#[track_caller]
fn is_refused(what: &str, answers: &[Answer]) {
    assert!(answers.len() <= 1, "{what}: {answers:#?}");
    for answer in answers {
        assert!(
            (400..500).contains(&answer.status) || answer.status == 505,
            "{what}: {answer:#?}"
        );
        if !answer.body.is_null() {
            let code = answer.body["code"].as_str().unwrap().to_owned();
            answer.clone().problem(answer.status, &code);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_http_is_rejected_and_the_connection_closed() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let sends = format!("/v1/conversations/{chat}/messages");
    let get = || Head::get(&ann, "/v1/me");
    let post = || Head::post(&ann, &sends, text("smuggled"));
    let smuggled = post().bytes();
    let long = "x".repeat(200_000);
    let many =
        |count: usize| (0..count).fold(get(), |head, n| head.with(format!("X-Flood-{n}: {n}")));
    let chunked = |body: &[u8]| {
        post()
            .without("Content-Length")
            .with("Transfer-Encoding: chunked")
            .body(body)
    };
    let mut bad: Vec<(&str, Head)> = vec![
        ("a line without a version", get().line("GET /v1/me")),
        ("no method", get().line(" /v1/me HTTP/1.1")),
        ("a version to come", get().line("GET /v1/me HTTP/9.9")),
        ("another protocol", get().line("PRI * HTTP/2.0")),
        (
            "a space in the path",
            get().line("GET /v1/me /v1/me HTTP/1.1"),
        ),
        ("a NUL in the path", get().line("GET /v1/\0me HTTP/1.1")),
        (
            "a control character in the path",
            get().line("GET /v1/\x07me HTTP/1.1"),
        ),
        (
            "a long path",
            get().line(&format!("GET /v1/{long} HTTP/1.1")),
        ),
        (
            "a long query",
            get().line(&format!("GET /v1/me?x={long} HTTP/1.1")),
        ),
        (
            "a long method",
            get().line(&format!("{} /v1/me HTTP/1.1", "G".repeat(10_000))),
        ),
        ("a long header", get().with(format!("X-Long: {long}"))),
        ("a long name", get().with(format!("{long}: 1"))),
        (
            "a long token",
            get()
                .without("Authorization")
                .with(format!("Authorization: Bearer {long}")),
        ),
        ("many headers", many(200)),
        ("very many headers", many(20_000)),
        ("a header without a colon", get().with("X-Nothing")),
        ("a space before the colon", get().with("X-Space : 1")),
        ("a space in a name", get().with("X Space: 1")),
        ("a NUL in a value", get().with("X-Nul: a\0b")),
        ("a line feed in a value", get().with("X-Feed: a\rb")),
        ("a folded header", get().with("X-Fold: a\r\n b")),
        ("an empty name", get().with(": 1")),
        (
            "a length that is none",
            post()
                .without("Content-Length")
                .with("Content-Length: many"),
        ),
        (
            "a negative length",
            post().without("Content-Length").with("Content-Length: -1"),
        ),
        (
            "a signed length",
            post().without("Content-Length").with("Content-Length: +5"),
        ),
        (
            "a length beyond all",
            post()
                .without("Content-Length")
                .with("Content-Length: 18446744073709551616"),
        ),
        (
            "a huge length",
            post()
                .without("Content-Length")
                .with("Content-Length: 9223372036854775807"),
        ),
        ("two lengths", post().with("Content-Length: 5")),
        (
            "two lengths in one",
            post()
                .without("Content-Length")
                .with("Content-Length: 5, 6"),
        ),
        (
            "a coding that nobody has",
            post()
                .without("Content-Length")
                .with("Transfer-Encoding: gzip"),
        ),
        (
            "chunked in the middle",
            post()
                .without("Content-Length")
                .with("Transfer-Encoding: chunked, gzip"),
        ),
        (
            "chunked twice",
            post()
                .without("Content-Length")
                .with("Transfer-Encoding: chunked, chunked"),
        ),
        ("a chunk of no size", chunked(b"zz\r\n\r\n0\r\n\r\n")),
        (
            "a chunk of a negative size",
            chunked(b"-1\r\n\r\n0\r\n\r\n"),
        ),
        (
            "a chunk beyond all",
            chunked(b"fffffffffffffffff\r\n\r\n0\r\n\r\n"),
        ),
        (
            "a chunk with a huge size",
            chunked(b"7fffffffffffffff\r\nx\r\n0\r\n\r\n"),
        ),
        (
            "a chunk with more than it says",
            chunked(b"1\r\n{}\r\n0\r\n\r\n"),
        ),
    ];
    // Both kinds of length: a parser that believes the other one finds a second request.
    let both = [b"0\r\n\r\n".as_slice(), &smuggled].concat();
    let length = format!("Content-Length: {}", both.len());
    bad.push((
        "two kinds of length",
        post()
            .without("Content-Length")
            .with(length)
            .with("Transfer-Encoding: chunked")
            .body(&both),
    ));
    bad.push((
        "a body in disguise",
        post()
            .without("Content-Length")
            .with("Content-Length: 0\r\nTransfer-Encoding:\x0bchunked")
            .body(&smuggled),
    ));
    for (what, head) in bad {
        let answers = exchange(&app, head.bytes()).await;
        is_refused(what, &answers);
    }
    for bytes in [
        &b"\0\0\0\0\r\n\r\n"[..],
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n\r\n",
        b"\xff\xfe\r\n\r\n",
        b"hello\r\n\r\n",
    ] {
        is_refused("not HTTP", &exchange(&app, bytes.to_vec()).await);
    }
    assert!(
        ann.history(&chat, 0).await.is_empty(),
        "nothing was smuggled"
    );
    ann.send(&chat, "still here").await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unusual_http_gets_the_documented_response() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let phone = ann.another_device(&app).await;
    let device = format!("/v1/me/devices/{}", phone.device);
    let get = || Head::get(&ann, "/v1/me");
    let gone = |head: Head| head.without("Authorization");
    for (what, head, status, code) in [
        ("an old version", get().line("GET /v1/me HTTP/1.0"), 200, ""),
        (
            "no host, of old",
            get().without("Host").line("GET /v1/me HTTP/1.0"),
            200,
            "",
        ),
        (
            "the whole address",
            get().line("GET http://elsewhere.example/v1/me HTTP/1.1"),
            200,
            "",
        ),
        (
            "bytes that are no text",
            get().with(b"X-Odd: \xff\xfe\x80".to_vec()),
            200,
            "",
        ),
        (
            "a request id of such",
            get().with(b"X-Request-Id: \xff".to_vec()),
            200,
            "",
        ),
        (
            "an address of such",
            get().with(b"X-Forwarded-For: \xff, \xc0\x80".to_vec()),
            200,
            "",
        ),
        (
            "fifty headers",
            (0..50).fold(get(), |head, n| head.with(format!("X-Flood-{n}: {n}"))),
            200,
            "",
        ),
        (
            "a token of such",
            gone(get()).with(b"Authorization: Bearer \xff\xfe".to_vec()),
            401,
            "unauthenticated",
        ),
        (
            "a token in a cookie",
            gone(get()).with(format!("Cookie: access_token={}", ann.token)),
            401,
            "unauthenticated",
        ),
        (
            "a user in front of the host",
            gone(get()).line("GET http://ann:x@tideline/v1/me HTTP/1.1"),
            401,
            "unauthenticated",
        ),
        (
            "a small method",
            get().line("get /v1/me HTTP/1.1"),
            405,
            "method_not_allowed",
        ),
        (
            "a method of one's own",
            get().line("EXPLODE /v1/me HTTP/1.1"),
            405,
            "method_not_allowed",
        ),
        (
            "a trace",
            get().line("TRACE /v1/me HTTP/1.1"),
            405,
            "method_not_allowed",
        ),
        (
            "the method in a header",
            Head::get(&ann, &device).with("X-HTTP-Method-Override: DELETE"),
            405,
            "method_not_allowed",
        ),
        (
            "another such header",
            Head::get(&ann, &device).with("X-Method-Override: DELETE"),
            405,
            "method_not_allowed",
        ),
        (
            "the method in the query",
            Head::get(&ann, &format!("{device}?_method=DELETE")),
            405,
            "method_not_allowed",
        ),
        (
            "a path in another header",
            get()
                .with("X-Original-URL: /v1/unread")
                .with("X-Rewrite-URL: /v1/unread"),
            200,
            "",
        ),
        ("another case", Head::get(&ann, "/V1/me"), 404, "not_found"),
        (
            "a way around",
            Head::get(&ann, "/v1/users/../me"),
            404,
            "not_found",
        ),
        (
            "a coded way around",
            Head::get(&ann, "/v1/users/%2e%2e/me"),
            404,
            "not_found",
        ),
        ("two slashes", Head::get(&ann, "//v1//me"), 404, "not_found"),
        (
            "a file",
            Head::get(&ann, "/docs/../../../../etc/passwd"),
            404,
            "not_found",
        ),
        (
            "a coded file",
            Head::get(&ann, "/docs/%2e%2e%2f%2e%2e%2fetc%2fpasswd"),
            404,
            "not_found",
        ),
        (
            "what the operator reads",
            Head::get(&ann, "/metrics"),
            404,
            "not_found",
        ),
    ] {
        let answers = exchange(&app, head.bytes()).await;
        assert_eq!(answers.len(), 1, "{what}");
        let answer = answers[0].clone();
        assert_eq!(answer.status, status, "{what}: {}", answer.body);
        if code.is_empty() {
            assert_eq!(answer.body["username"], "ann", "{what}");
        } else {
            answer.problem(status, code);
        }
    }
    phone.get("/me").await.ok(200);

    // A percent-encoded letter equals the letter.
    let coded = exchange(&app, Head::get(&ann, "/v1/%6d%65").bytes()).await;
    assert_eq!(coded[0].body["username"], "ann");
    // An endless body is answered and the connection closed, although no timer of actix covers this case.
    for line in [
        "GET /v1/me HTTP/1.1",
        "DELETE /v1/me HTTP/1.1",
        "GET /v1/nothing HTTP/1.1",
    ] {
        let endless = get().line(line).with("Transfer-Encoding: chunked");
        let endless = endless.without("Connection").body(b"5\r\nhe");
        let answers = exchange(&app, endless.bytes()).await;
        assert_eq!(answers.len(), 1, "{line}");
    }
    // Pipelined requests are answered in order. An unread body does not get in the way.
    let keep = |head: Head| head.without("Connection").bytes();
    let unread = Head::get(&ann, "/v1/me")
        .with("Content-Length: 3")
        .body(b"GET");
    let sends = format!("/v1/conversations/{chat}/messages");
    let pipeline = [
        keep(get()),
        keep(unread),
        keep(Head::get(&ann, "/v1/nothing")),
        keep(Head::post(&ann, &sends, text("piped"))),
        Head::get(&ann, "/v1/unread").bytes(),
    ];
    let answers = exchange(&app, pipeline.concat()).await;
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 200, 404, 201, 200]);
    // The bytes after a body that was too large are not parsed as a request.
    let mut large = Head::post(&ann, &sends, text("x"))
        .without("Content-Length")
        .without("Connection");
    large =
        large
            .with("Content-Length: 2000000")
            .body(&keep(Head::post(&ann, &sends, text("hidden"))));
    let answers = exchange(&app, large.bytes()).await;
    assert_eq!(answers.len(), 1);
    answers[0].clone().problem(413, "payload_too_large");
    assert_eq!(ann.history(&chat, 0).await.len(), 1);
    app.finish().await;
}
