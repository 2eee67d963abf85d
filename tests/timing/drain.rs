//! The time that a drain takes.

use crate::support::App;
use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

/// The node closes what is open one second after the ramp, with time to spare.
#[tokio::test(flavor = "multi_thread")]
async fn unfinished_request_does_not_exceed_the_shortest_drain_time() {
    let app = App::start().await;
    let mut node = app.add_process(&[("TIDELINE_DRAIN_SECONDS", "2")]);
    let address = node.process.url.replace("http://", "");
    let mut client = TcpStream::connect(&address).unwrap();
    let head = format!(
        "POST /v1/auth/login HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{{"
    );
    client.write_all(head.as_bytes()).unwrap();
    // So that a worker reads it before the listener closes.
    tokio::time::sleep(Duration::from_millis(200)).await;
    node.process.signal("TERM");
    let most = Duration::from_secs(10);
    let code = tokio::task::spawn_blocking(move || node.process.wait_for(most))
        .await
        .unwrap();
    assert_eq!(code, 0, "it had to give up");
    drop(client);
    app.finish().await;
}
