//! Redis as a cluster of three masters with one replica each. `sync/nodes.rs` tests several nodes with a single Redis.

use crate::support::online::{self, TIMINGS};
use crate::support::{Answer, App, Cluster, Person, SECRET, admin, eventually, services};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tideline::config::{Config, RateLimit, Secret};
use tideline::domain::sync::unread::{self, Found};
use tideline::model::ids::UserId;
use tideline::storage::redis::client::Redis;
use tokio::task::JoinHandle;

/// Shorter than the period of the sweep: only a notice wakes a wait this quickly.
const IMMEDIATE: Duration = Duration::from_millis(1_500);

/// The time until the other servers detect a lost master and its replica takes over, on a busy machine.
const FAILOVER: Duration = Duration::from_secs(30);

/// The guaranteed delay of a wake-up without a notice, plus some for a busy machine.
const SWEPT: Duration = Duration::from_millis(5_500);

fn start() -> Cluster {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    Cluster::start(&services().data_dir().join(format!("cluster-{n}")))
}

/// A shared cluster, for tests that do not change it.
fn shared() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(start)
}

/// Two nodes, Ann, and other people, so that each master has some of them.
async fn everywhere(
    cluster: &Cluster,
    set: impl FnOnce(&mut Config),
) -> (App, Person, Vec<Person>) {
    let url = cluster.url();
    let configured = App::configured(|config| {
        config.redis_url = Secret(url);
        set(config);
    });
    let mut app = configured.await;
    app.add_node().await;
    let [ann] = app.people(["ann"]).await;
    let (mut others, mut masters) = (Vec::new(), HashSet::new());
    while masters.len() < 3 {
        let name = format!("other{}", others.len());
        let [other] = app.people([name.as_str()]).await;
        masters.insert(cluster.master_of(&key(&app, &other)));
        others.push(other);
    }
    (app, ann, others)
}

fn second(app: &App) -> String {
    format!("http://{}", app.nodes[1].address)
}

fn id(person: &Person) -> UserId {
    UserId(person.id.parse().unwrap())
}

/// The key of a person's counts.
fn key(app: &App, person: &Person) -> String {
    let epoch = app.nodes[0].handles.delivery.epoch;
    format!("tl:{epoch}:unread:{{{}}}", person.id)
}

/// A wait of this person, once it is parked on the first node.
async fn parked(app: &App, person: &Person, since: i64) -> JoinHandle<Value> {
    let person = person.clone();
    let wait = tokio::spawn(async move { person.wait(since, 40).await });
    app.asleep(0, 1).await;
    wait
}

/// The person waits on the first node, Ann sends through the second: how long the wake-up takes.
async fn wake(app: &App, ann: &Person, person: &Person, chat: &str) -> Duration {
    let head = person.head().await;
    let wait = parked(app, person, head).await;
    let sent = Instant::now();
    ann.at(&second(app)).send(chat, "across").await;
    let notice = wait.await.unwrap();
    let took = sent.elapsed();
    assert_eq!(
        (&notice["last_seq"], &notice["total_unread"]),
        (&json!(head + 1), &json!(person.total().await))
    );
    took
}

/// Waits until every subscription of the first node is active.
async fn all_stand(app: &App) {
    let missing = async || app.nodes[0].handles.delivery.notices.missing();
    let none = |missing: &Vec<_>| missing.is_empty();
    eventually("they stand", FAILOVER, missing, none).await;
}

/// Whether both nodes report Redis as available.
async fn ready(app: &App) -> bool {
    let mut well = true;
    for node in &app.nodes {
        let url = format!("http://{}/health/ready", node.address);
        let answer = Answer::of(app.http.get(url).send().await.unwrap()).await;
        well &= answer.ok(200)["redis"] == true;
    }
    well
}

/// The keys of this deployment on each server.
fn keys(app: &App, cluster: &Cluster) -> Vec<(usize, Vec<String>)> {
    let pattern = format!("tl:{}:*", app.nodes[0].handles.delivery.epoch);
    let masters = cluster.masters().into_iter();
    masters
        .map(|n| (n, cluster.ask(n, &["KEYS", &pattern])))
        .collect()
}

#[tokio::test]
async fn cluster_url_lists_seed_servers() {
    for url in [
        "redis+cluster://localhost",
        "redis+cluster://10.0.0.1:7000,10.0.0.2:7000,redis-3",
        "redis+cluster://user:password@[::1]:7000,[::2]",
        "rediss+cluster://user:p%40ss@one.example:7000,two.example:7000",
    ] {
        let config = Config::load(&|name| match name {
            "DATABASE_URL" => Some("postgres://localhost/tideline".to_owned()),
            "REDIS_URL" => Some(url.to_owned()),
            "TIDELINE_JWT_SECRET" => Some(SECRET.to_owned()),
            _ => None,
        });
        assert_eq!(config.unwrap().redis_url.0, url);
        let redis = Redis::connect(url).unwrap();
        // No server is there, which must not prevent the start.
        assert!(url.contains("localhost") || !redis.ping().await, "{url}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn notices_and_counts_work_in_every_slot() {
    let cluster = shared();
    let (app, ann, others) = everywhere(cluster, |_| ()).await;
    assert!(ready(&app).await);
    let mut chats = Vec::new();
    for other in &others {
        chats.push(ann.direct(other).await);
    }
    // Without a hash that knows the total, with one, and after Redis lost everything.
    for round in 0..3 {
        for (other, chat) in others.iter().zip(&chats) {
            let took = wake(&app, &ann, other, chat).await;
            assert!(took < IMMEDIATE, "round {round}: {took:?}");
        }
        if round == 1 {
            for (n, keys) in keys(&app, cluster) {
                assert!(!keys.is_empty(), "server {n} knows nobody");
                let delete: Vec<_> = keys.iter().map(String::as_str).collect();
                for key in delete {
                    let _: i64 = cluster.ask(n, &["DEL", key]);
                }
            }
        }
    }
    // Coalesced into one announcement, with parts for every server.
    let group = ann.group(&others.iter().collect::<Vec<_>>()).await;
    let sends = (0..50).map(|_| ann.send(&group, "to all"));
    futures_util::future::join_all(sends).await;
    for other in &others {
        assert_eq!(other.total().await, 53);
        let proved = async || {
            unread::audit(&app.nodes[0].handles.delivery, &[id(other)])
                .await
                .ok()
        };
        let exact = |found: &Option<Vec<Found>>| *found == Some(vec![Found::Exact]);
        eventually("Redis knows it", IMMEDIATE, proved, exact).await;
    }
    app.finish().await;
}

/// A watched conversation has its own channel, in its own slot.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn watched_conversations_wake_waits_in_every_slot() {
    let (app, ann, others) = everywhere(shared(), |_| ()).await;
    let ben = &others[0];
    let (mut chats, mut masters) = (Vec::new(), HashSet::new());
    while masters.len() < 3 {
        let channel = json!({"kind": "channel", "title": "News", "member_ids": [ben.id]});
        let channel = ann.post("/conversations", channel).await.ok(201);
        let chat = channel["id"].as_str().unwrap().to_owned();
        masters.insert(shared().master_of(&format!("{{{chat}}}")));
        chats.push(chat);
    }
    for (sent, chat) in chats.iter().enumerate() {
        let (ben, head) = (ben.clone(), ben.head().await);
        let seen = |n: usize| i64::from(n < sent);
        let watch = chats.iter().enumerate();
        let watch: String = watch
            .map(|(n, id)| format!("&watch={id}:{}", seen(n)))
            .collect();
        let path = format!("/notices?since_seq={head}&timeout=40{watch}");
        let wait = tokio::spawn(async move { ben.get(&path).await.ok(200) });
        app.asleep(0, 1).await;
        all_stand(&app).await;
        let sent = Instant::now();
        ann.at(&second(&app)).send(chat, "across").await;
        let watched = &wait.await.unwrap()["watched"];
        assert_eq!(
            watched,
            &json!([{"conversation_id": chat, "last_seq": 1, "change_seq": 0, "reads_moved": false}])
        );
        assert!(sent.elapsed() < IMMEDIATE, "{:?}", sent.elapsed());
    }
    app.finish().await;
}

/// All keys of a user are in one slot. The test checks the existing keys, and that the cluster rejects a script that touches
/// another slot. Without its first line the same script would be accepted as long as one server has both slots.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn keys_have_hash_tags_and_scripts_stay_in_one_slot() {
    let cluster = shared();
    let (app, ann, others) = everywhere(cluster, |config| {
        config.rate_limit = Some(RateLimit {
            per_second: 1,
            burst: 1_000,
        });
    })
    .await;
    for other in &others {
        let chat = ann.direct(other).await;
        other.total().await;
        ann.send(&chat, "hi").await;
        wake(&app, &ann, other, &chat).await;
    }
    // More requests than a node grants without asking Redis.
    for _ in 0..130 {
        ann.get("/me").await.ok(200);
    }
    let nodes = app.nodes.iter();
    let nodes = nodes.map(|node| node.handles.delivery.waiters.presence.node.0.to_string());
    let nodes: HashSet<_> = nodes.chain(["nodes".to_owned()]).collect();
    let people = others.iter().chain([&ann]).map(|one| one.id.as_str());
    let (people, mut kinds): (HashSet<_>, _) = (people.collect(), HashSet::new());
    for (_, keys) in keys(&app, cluster) {
        for key in keys {
            let rest = key.split_once(':').unwrap().1.split_once(':').unwrap().1;
            let (kind, tag) = rest.split_once(":{").unwrap();
            let (tag, end) = tag.split_once('}').unwrap();
            let is_tag = people.contains(tag) || nodes.contains(tag);
            assert!(is_tag && end.is_empty(), "{key}");
            kinds.insert(kind.to_owned());
        }
    }
    let expected = ["beats", "limit:user", "present", "unread"];
    assert_eq!(kinds, expected.map(str::to_owned).into());

    let (here, slot) = ("tl:x:test:{here}", |key: &str| -> u16 {
        cluster.ask(0, &["CLUSTER", "KEYSLOT", key])
    });
    let server = cluster.master_of(here);
    let elsewhere = (0..).map(|n| format!("{{there-{n}}}"));
    let mut elsewhere = elsewhere.filter(|key| cluster.master_of(key) == server);
    let there = elsewhere.find(|key| slot(key) != slot(here)).unwrap();
    let channel = "tl:x:notice:{here}";
    for (script, arguments) in [
        ("admission/limit.lua", vec!["1000000", "10", "1"]),
        ("sync/unread_apply.lua", vec![channel, "1", "1", "c", "1"]),
        ("sync/unread_merge.lua", vec!["60000", "1", "c", "1"]),
        ("sync/beat.lua", vec!["node", "1", "60000"]),
        (
            "sync/present_tell.lua",
            vec![channel, "1", "60000", "", "1", "f", "value", "g"],
        ),
    ] {
        let source = fs::read_to_string(scripts().join(script)).unwrap();
        let run = |source: &str| {
            let call = [&["EVAL", source, "1", here], arguments.as_slice()].concat();
            let result = cluster.try_ask::<redis::Value>(server, &call);
            let _: i64 = cluster.ask(server, &["DEL", here]);
            let _: i64 = cluster.ask(server, &["DEL", &there]);
            result.map_err(|error| error.to_string())
        };
        run(&source).unwrap();
        // The first key that it touches is undeclared, and the resulting error is not caught.
        let astray = source.replace("KEYS[1]", &format!("'{there}'")).replace(
            "pcall(apply, KEYS[user],",
            &format!("true, apply('{there}',"),
        );
        assert_ne!(astray, source);
        let refused = run(&astray).unwrap_err();
        assert!(
            refused.contains("do not hash to the same slot"),
            "{script}: {refused}"
        );
        run(astray.strip_prefix("#!lua\n").unwrap()).unwrap();
    }
    let areas = fs::read_dir(scripts()).unwrap();
    let files = areas.flat_map(|area| fs::read_dir(area.unwrap().path()).into_iter().flatten());
    let all = files.filter(|one| one.as_ref().unwrap().path().extension() == Some("lua".as_ref()));
    assert_eq!(all.count(), 5, "a new script belongs into this test");
    app.finish().await;
}

fn scripts() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/storage/redis")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_nodes_share_a_rate_limit() {
    // The burst admits 40 registrations, which cost 5 each: with fewer people a master may have nobody.
    let burst = 200;
    let (app, _, others) = everywhere(shared(), |config| {
        config.rate_limit = Some(RateLimit {
            per_second: 1,
            burst,
        });
    })
    .await;
    for other in &others {
        let (began, mut good) = (Instant::now(), 0);
        for n in 0..2 * burst {
            let there = if n % 2 == 0 { app.url() } else { second(&app) };
            good += u64::from(other.at(&there).get("/me").await.status == 200);
        }
        // Each node may grant a tenth of the limit without asking Redis.
        let burst = u64::from(burst);
        let most = burst + 2 * burst / 10 + 2 * (began.elapsed().as_secs() + 1);
        assert!((burst..=most).contains(&good), "{good} of at most {most}");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn operator_rebuilds_unread_counts_on_all_masters() {
    let cluster = shared();
    let (app, ann, others) = everywhere(cluster, |_| ()).await;
    for other in &others {
        let chat = ann.direct(other).await;
        ann.send(&chat, "hi").await;
        assert_eq!(other.total().await, 1);
        let proved = async || {
            unread::audit(&app.nodes[0].handles.delivery, &[id(other)])
                .await
                .ok()
        };
        let exact = |found: &Option<Vec<Found>>| *found == Some(vec![Found::Exact]);
        eventually("Redis knows it", IMMEDIATE, proved, exact).await;
        let key = key(&app, other);
        let _: i64 = cluster.ask(cluster.master_of(&key), &["HSET", &key, "total", "9"]);
    }
    let output = admin(&app.database_url(), &cluster.url(), &["rebuild-unread"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let line: Value = serde_json::from_slice(&output.stdout).expect(&said);
    let all = others.len();
    assert_eq!(line, json!({"rebuilt": all, "wrong": all}), "{said}");
    for other in &others {
        assert_eq!(other.total().await, 1);
        let found = unread::audit(&app.nodes[0].handles.delivery, &[id(other)]).await;
        assert_eq!(found.unwrap(), [Found::Exact]);
    }
    app.finish().await;
}

/// A slot moves to another master, and the next wake-up is again caused by a notice.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn subscriptions_follow_moved_slots() {
    let cluster = start();
    let (app, ann, others) = everywhere(&cluster, |_| ()).await;
    let ben = &others[0];
    let chat = ann.direct(ben).await;
    ben.total().await;
    let key = key(&app, ben);
    let notice = key.replace(":unread:", ":notice:");
    for _ in 0..3 {
        let head = ben.head().await;
        let wait = parked(&app, ben, head).await;
        all_stand(&app).await;
        let to = (cluster.master_of(&key) + 1) % 3;
        cluster.move_slot(&key, to);
        assert_eq!(cluster.master_of(&key), to);
        // The server reports the move, and the node subscribes elsewhere without delay.
        let there = async || cluster.ask::<(String, i64)>(to, &["PUBSUB", "SHARDNUMSUB", &notice]);
        eventually("it follows", IMMEDIATE, there, |(_, count)| *count == 1).await;
        all_stand(&app).await;
        let sent = Instant::now();
        ann.at(&second(&app)).send(&chat, "moved").await;
        assert_eq!(wait.await.unwrap()["last_seq"], head + 1);
        assert!(sent.elapsed() < IMMEDIATE, "{:?}", sent.elapsed());
        let counted = cluster.ask::<i64>(to, &["EXISTS", &key]);
        assert_eq!(counted, 1);
    }
    app.finish().await;
}

/// A master is killed or stopped under a parked wait: messages from before the failover are found by the sweep, and later ones
/// cause a notice again.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn subscriptions_survive_the_loss_of_a_master() {
    let cluster = start();
    let (app, ann, others) = everywhere(&cluster, |_| ()).await;
    let ben = &others[0];
    let chat = ann.direct(ben).await;
    let key = key(&app, ben);
    for fault in ["KILL", "STOP"] {
        let master = cluster.master_of(&key);
        ben.total().await;
        let head = ben.head().await;
        let wait = parked(&app, ben, head).await;
        all_stand(&app).await;
        match fault {
            "KILL" => cluster.kill(master),
            _ => cluster.signal(master, fault),
        }
        let sent = Instant::now();
        ann.at(&second(&app)).send(&chat, "missed").await;
        assert_eq!(wait.await.unwrap()["last_seq"], head + 1);
        assert!(sent.elapsed() < SWEPT, "{fault}: {:?}", sent.elapsed());
        // Other users still get notices, except for a moment in which an announcement waits for the lost master.
        let wait = parked(&app, ben, head + 1).await;
        let well = async || ready(&app).await;
        eventually("a replica takes over", FAILOVER, well, |now| *now).await;
        assert_ne!(cluster.master_of(&key), master);
        all_stand(&app).await;
        let sent = Instant::now();
        ann.at(&second(&app)).send(&chat, "received").await;
        assert_eq!(wait.await.unwrap()["last_seq"], head + 2);
        assert!(sent.elapsed() < IMMEDIATE, "{fault}: {:?}", sent.elapsed());
        for other in &others {
            let chat = ann.direct(other).await;
            let took = wake(&app, &ann, other, &chat).await;
            assert!(took < IMMEDIATE, "{fault}: {took:?}");
        }
        match fault {
            "KILL" => cluster.restart(master),
            _ => cluster.signal(master, "CONT"),
        }
        cluster.until("it is a replica now", Cluster::is_well);
        let took = wake(&app, &ann, ben, &chat).await;
        assert!(took < IMMEDIATE, "{fault}, afterwards: {took:?}");
    }
    // All servers of one shard: Redis is incomplete, and all answers are correct.
    let master = cluster.master_of(&key);
    let shard = master % 3;
    cluster.kill(shard);
    cluster.kill(shard + 3);
    // The result of a check is reused for half a second.
    let well = async || ready(&app).await;
    eventually("it is incomplete", FAILOVER, well, |now| !*now).await;
    assert_eq!(ben.total().await, ben.history(&chat, 0).await.len() as i64);
    for n in [shard, shard + 3] {
        cluster.restart(n);
    }
    let well = async || ready(&app).await;
    eventually("it is whole again", FAILOVER, well, |now| *now).await;
    app.finish().await;
}

/// The devices of a node move to another master, with all that its node publishes of them: nobody seems to leave, and who comes is seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn presence_follows_moved_slots() {
    let cluster = start();
    let (app, ann, others) = everywhere(&cluster, |config| config.presence_timings = TIMINGS).await;
    let [ben, cem, ..] = &others[..] else {
        panic!("three people at least")
    };
    let viewer = ann.at(&second(&app));
    let waits = online::stay(ben, "");
    online::shows(&viewer, ben, "online").await;
    for _ in 0..3 {
        let is_presence = |key: &String| key.contains(":present:");
        let all = keys(&app, &cluster).into_iter().flat_map(|(_, keys)| keys);
        let of_nodes: Vec<_> = all.filter(is_presence).collect();
        assert!(!of_nodes.is_empty());
        for key in of_nodes {
            cluster.move_slot(&key, (cluster.master_of(&key) + 1) % 3);
        }
        online::keeps(&viewer, ben, "online", Duration::from_secs(3)).await;
        let comes = online::stay(cem, "");
        online::shows(&viewer, cem, "online").await;
        comes.abort();
        online::shows(&viewer, cem, "offline").await;
    }
    waits.abort();
    app.finish().await;
}
