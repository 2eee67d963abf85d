//! Row 10: everything that people do, for half an hour. What a node holds of memory, files and connections to PostgreSQL
//! after a sixth of the time is about what it may hold in the end.

use crate::client::{Connection, Person};
use crate::deployment::{Deployment, Ground, TARGET};
use crate::load::send;
use hyper::Method;
use rand::RngExt;
use rand::rngs::StdRng;
use rand::{SeedableRng, seq::IndexedRandom};
use serde_json::{Value, json};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

const PEOPLE: usize = 200;

/// Groups, and of how many who stay; the next one in the list of people comes and goes.
const GROUPS: usize = 10;
const MEMBERS: usize = 19;

/// What may be more in the end.
const GROWTH: f64 = 1.1;

/// What may not. (Threads for blocking work come and go with the load, and have a bound.)
const WATCHED: [&str; 3] = ["memory_mib", "files", "connections"];

/// Whether nothing has grown.
pub async fn run(ground: &Ground, minutes: f64) -> bool {
    let deployment = ground.deploy("soak", PEOPLE).await;
    let place = Arc::new(Place::of(&deployment).await);
    let mut people = JoinSet::new();
    for who in 0..PEOPLE {
        let actor = |role| Actor::new(&place, &deployment, who, role);
        people.spawn(actor(0).await.read_on());
        people.spawn(actor(1).await.talk());
    }
    for group in 0..GROUPS {
        let actor = Actor::new(&place, &deployment, group * (MEMBERS + 1), 2);
        people.spawn(actor.await.keep_the_door(group));
    }
    people.spawn(Actor::new(&place, &deployment, 0, 3).await.come_and_go());

    let time = Duration::from_secs_f64(60.0 * minutes);
    let samples = watch(&deployment, &place, time).await;
    drop(people);
    deployment.node.until_parked(0).await;
    ground.clear(deployment).await;
    publish(minutes, &samples)
}

/// What is there to talk in.
struct Place {
    people: Vec<Person>,
    /// The nth is between person n and the next one.
    directs: Vec<String>,
    groups: Vec<String>,
    requests: AtomicU64,
    /// Those that were to be repeated later.
    put_off: AtomicU64,
}

impl Place {
    async fn of(deployment: &Deployment) -> Self {
        let directs = deployment.ring("").await;
        let people = deployment.people.clone();
        let mut connection = Connection::open(deployment.node.address).await.unwrap();
        let mut groups = Vec::new();
        for members in people.chunks(MEMBERS + 1).take(GROUPS) {
            let others: Vec<_> = members[1..MEMBERS].iter().map(|it| &*it.id).collect();
            let body =
                json!({"kind": "group", "title": "friends", "member_ids": others}).to_string();
            let made = connection
                .post("/v1/conversations", &members[0], body)
                .await;
            groups.push(made.unwrap().json(201)["id"].as_str().unwrap().to_owned());
        }
        Self {
            people,
            directs,
            groups,
            requests: AtomicU64::new(0),
            put_off: AtomicU64::new(0),
        }
    }
}

/// Somebody in one of their roles, on a connection of its own.
struct Actor {
    place: Arc<Place>,
    address: std::net::SocketAddr,
    connection: Connection,
    me: Person,
    who: usize,
    rng: StdRng,
}

impl Actor {
    async fn new(place: &Arc<Place>, on: &Deployment, who: usize, role: u64) -> Self {
        Self {
            place: Arc::clone(place),
            address: on.node.address,
            connection: Connection::open(on.node.address).await.unwrap(),
            me: on.people[who].clone(),
            who,
            rng: StdRng::seed_from_u64(role << 32 | who as u64),
        }
    }

    /// Repeats what was put off, as clients do: so there may be several good answers.
    async fn call(&mut self, method: Method, path: &str, body: String, good: &[u16]) -> Value {
        loop {
            let (me, method, body) = (Some(&self.me), method.clone(), body.clone());
            let answer = self.connection.call(method, path, me, body).await.unwrap();
            self.place.requests.fetch_add(1, Ordering::Relaxed);
            if let Some(seconds) = answer.retry_after {
                self.place.put_off.fetch_add(1, Ordering::Relaxed);
                sleep(Duration::from_secs(seconds)).await;
                continue;
            }
            let said = String::from_utf8_lossy(&answer.body);
            assert!(good.contains(&answer.status), "{path}: {said}");
            return serde_json::from_str(&said).unwrap_or(Value::Null);
        }
    }

    async fn get(&mut self, path: &str) -> Value {
        self.call(Method::GET, path, String::new(), &[200]).await
    }

    async fn pause(&mut self, milliseconds: std::ops::Range<u64>) {
        let time = self.rng.random_range(milliseconds);
        sleep(Duration::from_millis(time)).await;
    }

    /// A device in sync, which is sometimes gone in the middle of a wait.
    async fn read_on(mut self) {
        let mut since = 0;
        loop {
            let seconds = self.rng.random_range(5..25);
            let path = format!("/v1/notices?since_seq={since}&timeout={seconds}");
            let patience = if self.rng.random_bool(0.05) {
                300
            } else {
                30_000
            };
            let wait = timeout(Duration::from_millis(patience), self.get(&path)).await;
            if wait.is_err() {
                self.connection = Connection::open(self.address).await.unwrap();
                continue;
            }
            loop {
                let page = self
                    .get(&format!("/v1/inbox?since_seq={since}&limit=50"))
                    .await;
                since = page["next_since_seq"].as_i64().unwrap();
                let entries = page["entries"].as_array().unwrap();
                let last = entries.iter().rfind(|entry| entry["kind"] == "message");
                if let Some(entry) = last
                    && self.rng.random_bool(0.3)
                {
                    let id = entry["conversation_id"].as_str().unwrap();
                    let body = json!({"seq": entry["message"]["seq"]}).to_string();
                    // They may have left it since.
                    let path = format!("/v1/conversations/{id}/read");
                    self.call(Method::PUT, &path, body, &[200, 404]).await;
                }
                if page["has_more"] == false {
                    break;
                }
            }
        }
    }

    async fn talk(mut self) {
        loop {
            self.pause(500..3_500).await;
            let direct = self.place.directs[self.who].clone();
            let group = self.who / (MEMBERS + 1);
            match self.rng.random_range(0..100) {
                0..60 => self.send(&direct).await,
                60..75 if self.who % (MEMBERS + 1) < MEMBERS => {
                    let group = self.place.groups[group].clone();
                    self.send(&group).await;
                }
                75..82 => drop(self.get("/v1/unread").await),
                82..90 => drop(self.get("/v1/conversations?limit=20").await),
                90..96 => {
                    let path = format!("/v1/conversations/{direct}/messages?limit=50");
                    self.get(&path).await;
                }
                _ => drop(self.get("/v1/me/devices").await),
            }
        }
    }

    async fn send(&mut self, conversation: &str) {
        let ask = send(&self.me, conversation);
        self.call(ask.method, &ask.path, ask.body, &[201, 200])
            .await;
    }

    /// Lets a guest in and out of a group.
    async fn keep_the_door(mut self, group: usize) {
        let path = format!("/v1/conversations/{}/members", self.place.groups[group]);
        let guest = Arc::clone(&self.place.people[self.who + MEMBERS].id);
        loop {
            self.pause(1_000..5_000).await;
            let body = json!({"user_ids": [&*guest]}).to_string();
            self.call(Method::POST, &path, body, &[200]).await;
            self.pause(1_000..5_000).await;
            let path = format!("{path}/{guest}");
            self.call(Method::DELETE, &path, String::new(), &[204, 404])
                .await;
        }
    }

    /// Signs up, logs in and out.
    async fn come_and_go(mut self) {
        let mut names = Vec::new();
        loop {
            self.pause(500..1_500).await;
            if names.len() < 20 {
                let name = format!("guest{}", names.len());
                let body = json!({"username": name, "password": "correct horse"});
                let path = "/v1/auth/register";
                self.call(Method::POST, path, body.to_string(), &[201, 409])
                    .await;
                names.push(name);
            }
            let name = names.choose(&mut self.rng).unwrap();
            let body = json!({"username": name, "password": "correct horse"});
            let path = "/v1/auth/login";
            let session = self
                .call(Method::POST, path, body.to_string(), &[200])
                .await;
            let token = session["access_token"].as_str().unwrap();
            let guest = Person::new("", token);
            let me = std::mem::replace(&mut self.me, guest);
            self.get("/v1/me").await;
            let path = "/v1/auth/logout";
            self.call(Method::POST, path, String::new(), &[204, 401])
                .await;
            self.me = me;
        }
    }
}

/// Looks at the node every few seconds.
async fn watch(on: &Deployment, place: &Place, time: Duration) -> Vec<Value> {
    let begun = Instant::now();
    let mut samples = Vec::new();
    let connections = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
    while begun.elapsed() < time {
        sleep((time / 360).min(Duration::from_secs(5))).await;
        samples.push(json!({
            "seconds": begun.elapsed().as_secs_f64(),
            "memory_mib": on.node.status("VmRSS:") / 1024.0,
            "files": on.node.files(),
            "threads": on.node.status("Threads:"),
            "connections": on.number(connections).await,
            "parked": on.node.parked().await,
            "requests": place.requests.load(Ordering::Relaxed),
            "put_off": place.put_off.load(Ordering::Relaxed),
        }));
    }
    samples
}

/// The median of some samples.
fn median(samples: &[Value], of: &str) -> f64 {
    let mut sorted: Vec<_> = samples.iter().map(|it| it[of].as_f64().unwrap()).collect();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// Prints what was seen, writes it down, and judges it.
fn publish(minutes: f64, samples: &[Value]) -> bool {
    let parts: Vec<_> = samples.chunks(samples.len().div_ceil(12)).collect();
    println!("minute  memory MiB  files  threads  connections  parked  requests  put off");
    for part in &parts {
        let of = |name| median(part, name);
        println!(
            "{:6.1}  {:10.1}  {:5}  {:7}  {:11}  {:6}  {:8}  {:7}",
            of("seconds") / 60.0,
            of("memory_mib"),
            of("files"),
            of("threads"),
            of("connections"),
            of("parked"),
            of("requests"),
            of("put_off"),
        );
    }
    // After a sixth, and in the end.
    let (then, now) = (parts[2], parts[parts.len() - 1]);
    let verdict: Vec<_> = WATCHED
        .into_iter()
        .map(|what| {
            let (then, now) = (median(then, what), median(now, what));
            let flat = now <= GROWTH * then;
            println!(
                "{what}: {then:.1}, then {now:.1}: {}",
                if flat { "flat" } else { "GROWN" }
            );
            json!({"what": what, "after_a_sixth": then, "in_the_end": now, "flat": flat})
        })
        .collect();
    let good = verdict.iter().all(|it| it["flat"] == true);
    let report = json!({"minutes": minutes, "good": good, "verdict": verdict, "samples": samples});
    let dir = format!("{TARGET}/soak");
    fs::create_dir_all(&dir).unwrap();
    fs::write(format!("{dir}/report.json"), format!("{report:#}\n")).unwrap();
    good
}
