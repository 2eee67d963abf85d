//! TLS to PostgreSQL and Redis, configured by URLs, with a private authority made by the test.

use crate::support::{Answer, Person, Process, SECRET, eventually, http, throw_away_as};
use diesel::{Connection, PgConnection};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tideline::dev::services::{Identity, Services};
use tideline::storage::pg::operations::instance;

const SOON: Duration = Duration::from_secs(10);

/// Private servers with certificates for `localhost`.
struct Secure {
    services: Services,
    dir: PathBuf,
    /// The certificate file of the authority that signed the server certificates.
    authority: String,
    /// The certificate file of another authority.
    stranger: String,
}

/// An authority and its certificate. The names differ, since OpenSSL identifies issuers by name.
fn authority(name: &str) -> (String, Issuer<'static, KeyPair>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap().pem();
    (certificate, Issuer::new(params, key))
}

impl Secure {
    fn start(name: &str) -> Self {
        let (certificate, issuer) = authority("a private authority");
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let server = params.signed_by(&key, &issuer).unwrap();
        let identity = Identity {
            certificate: &server.pem(),
            key: &key.serialize_pem(),
        };
        let services = throw_away_as(name, Some(identity));
        let dir = std::env::temp_dir().join(format!("tideline-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let file = |name: &str, text: String| {
            let path = dir.join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        Self {
            authority: file("authority.pem", certificate),
            stranger: file("stranger.pem", authority("a stranger").0),
            services,
            dir,
        }
    }

    /// The URL of the database with TLS, without time-outs, which the server adds.
    fn database_url(&self, host: &str, authority: &str) -> String {
        let url = self.services.database_url().replace("127.0.0.1", host);
        let (url, _timeouts) = url.split_once('?').unwrap();
        format!("{url}?sslmode=verify-full&sslrootcert={authority}")
    }

    /// The error of a node that does not start on this database.
    fn refused(&self, database_url: &str) -> String {
        let variables = [
            ("DATABASE_URL", database_url),
            ("REDIS_URL", &self.services.redis_url()),
            ("TIDELINE_JWT_SECRET", SECRET),
            ("TIDELINE_BIND", "127.0.0.1:0"),
        ];
        let mut command = Process::command(&["serve"], &variables);
        let output = command.stderr(Stdio::piped()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.dir).unwrap_or_default();
    }
}

/// The readiness of a node that has begun. Without Redis it waits some time to read who is online.
async fn begun(url: &str) -> Value {
    let now = async || ready(url).await;
    let reads = json!(["the node reads who is online"]);
    let within = Duration::from_secs(15);
    eventually("it has begun", within, now, |one| one["reasons"] != reads).await
}

async fn ready(url: &str) -> Value {
    let answer = http().get(format!("{url}/health/ready")).send().await;
    Answer::of(answer.unwrap()).await.body
}

/// The metrics of a node, at the address in its log.
async fn metrics_of(node: &Process) -> String {
    let url = async || {
        let log = node.log().into_iter();
        let mut urls = log.filter_map(|line| Some(line.split_once("metrics on ")?.1.to_owned()));
        urls.next()
    };
    let url = eventually("it says where", SOON, url, Option::is_some).await;
    let answer = http().get(url.unwrap()).send().await;
    answer.unwrap().text().await.unwrap()
}

fn with_redis(redis: bool) -> Value {
    json!({"ready": true, "reasons": [], "redis": redis})
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_use_tls_with_a_private_ca() {
    let secure = Secure::start("tls");
    let database_url = secure.database_url("localhost", &secure.authority);
    let redis_url = secure.services.rediss_url().unwrap();
    instance::migrate(&database_url).unwrap();
    let node = || {
        let variables = [
            ("SSL_CERT_FILE", secure.authority.as_str()),
            ("TIDELINE_METRICS_BIND", "127.0.0.1:0"),
            ("TIDELINE_WORKERS", "1"),
            ("TIDELINE_DB_POOL", "6"),
        ];
        Process::serve(&database_url, &redis_url, &variables)
    };
    let (one, other) = (node(), node());
    for node in [&one, &other] {
        assert_eq!(
            begun(&node.url).await,
            with_redis(true),
            "{:#?}",
            node.log()
        );
    }
    let (ann, ben) = (
        Person::register(&http(), &one.url, "ann").await,
        Person::register(&http(), &other.url, "ben").await,
    );
    let chat = ann.direct(&ben).await;
    // The notice comes through Redis from the other node; the sweep does not wake the wait.
    let wait = tokio::spawn({
        let ben = ben.clone();
        async move { ben.wait(1, 20).await }
    });
    let parked = async || {
        metrics_of(&other)
            .await
            .contains("\ntideline_notices_parked 1\n")
    };
    eventually("the wait parks", SOON, parked, |parked| *parked).await;
    ann.send(&chat, "hi").await;
    let notice = wait.await.unwrap();
    assert_eq!(
        (&notice["news"], &notice["total_unread"]),
        (&json!(true), &json!(1))
    );
    let metrics = metrics_of(&other).await;
    assert!(
        metrics.contains("\ntideline_notices_recovered_total 0\n"),
        "{metrics}"
    );

    // Only this connection of the test is unencrypted.
    let mut plain = PgConnection::establish(&secure.services.database_url()).unwrap();
    let clients = |encrypted: bool| {
        format!(
            "SELECT count(*) AS n FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
             WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND ssl = {encrypted}"
        )
    };
    assert!(crate::support::number(&mut plain, &clients(true)) >= 2);
    assert_eq!(crate::support::number(&mut plain, &clients(false)), 0);

    // Both connections to Redis are restored.
    secure.services.kill_redis();
    let away = async || ready(&one.url).await;
    eventually("Redis is away", SOON, away, |now| *now == with_redis(false)).await;
    secure.services.start_redis().unwrap();
    for node in [&one, &other] {
        let back = async || ready(&node.url).await;
        eventually("Redis is back", SOON, back, |now| *now == with_redis(true)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn untrusted_server_certificates_are_rejected() {
    let secure = Secure::start("tls-stranger");
    let good = secure.database_url("localhost", &secure.authority);
    instance::migrate(&good).unwrap();
    let password = good.split(['@', ':']).nth(2).unwrap();
    // PostgreSQL: another authority, another name, and a missing file.
    for (url, why) in [
        (
            secure.database_url("localhost", &secure.stranger),
            "certificate verify failed",
        ),
        (
            secure.database_url("127.0.0.1", &secure.authority),
            "does not match host name",
        ),
        (
            secure.database_url("localhost", "/nowhere.pem"),
            "does not exist",
        ),
    ] {
        let said = secure.refused(&url);
        assert!(said.contains(why), "{said}");
        let end = "cannot start: PostgreSQL does not answer at DATABASE_URL";
        assert!(said.trim_end().ends_with(end), "{said}");
        assert!(!said.contains(password), "{said}");
    }
    // Redis is not required: a node serves without a Redis that it cannot verify, and says why.
    let by_name = secure.services.rediss_url().unwrap();
    let by_number = by_name.replace("localhost", "127.0.0.1");
    for (url, authority, why) in [
        (&by_name, &secure.stranger, "UnknownIssuer"),
        (&by_number, &secure.authority, "not valid for name"),
    ] {
        let node = Process::serve(&good, url, &[("SSL_CERT_FILE", authority)]);
        assert_eq!(begun(&node.url).await, with_redis(false));
        let log_text = async || node.log().join("\n");
        let said = eventually("it says why", SOON, log_text, |log| log.contains(why)).await;
        assert!(!said.contains(password), "{said}");
    }
}
