//! Row 10, the soak test: all operations for half an hour. Memory, open files and connections to PostgreSQL of the node must not
//! grow after a sixth of the time.

use crate::client::{Connection, Person};
use crate::deployment::{Deployment, Environment, TARGET};
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

/// Groups, and the permanent members of each. The next person of the list is added and removed repeatedly.
const GROUPS: usize = 10;
const MEMBERS: usize = 19;

/// The factor by which a value may grow.
const GROWTH: f64 = 1.1;

/// The values that must not grow. (The number of blocking threads follows the load, and has a bound.)
const CHECKED: [&str; 3] = ["memory_mib", "files", "connections"];

/// Runs the soak test. Returns whether no value has grown.
pub async fn run(environment: &Environment, minutes: f64) -> bool {
    let deployment = environment.deploy("soak", PEOPLE).await;
    let world = Arc::new(World::of(&deployment).await);
    let mut people = JoinSet::new();
    for who in 0..PEOPLE {
        let actor = |role| Actor::new(&world, &deployment, who, role);
        people.spawn(actor(0).await.read_on());
        people.spawn(actor(1).await.talk());
    }
    for group in 0..GROUPS {
        let actor = Actor::new(&world, &deployment, group * (MEMBERS + 1), 2);
        people.spawn(actor.await.add_and_remove_guest(group));
    }
    people.spawn(Actor::new(&world, &deployment, 0, 3).await.log_in_and_out());

    let time = Duration::from_secs_f64(60.0 * minutes);
    let samples = watch(&deployment, &world, time).await;
    drop(people);
    deployment.node.until_parked(0).await;
    environment.clear(deployment).await;
    publish(minutes, &samples)
}

/// The people and conversations, and counters.
struct World {
    people: Vec<Person>,
    /// The nth is the conversation of person n and the next person.
    directs: Vec<String>,
    groups: Vec<String>,
    requests: AtomicU64,
    /// Responses with `Retry-After`.
    put_off: AtomicU64,
}

impl World {
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

/// A person in one role, on its own connection.
struct Actor {
    world: Arc<World>,
    address: std::net::SocketAddr,
    connection: Connection,
    me: Person,
    who: usize,
    rng: StdRng,
}

impl Actor {
    async fn new(world: &Arc<World>, on: &Deployment, who: usize, role: u64) -> Self {
        Self {
            world: Arc::clone(world),
            address: on.node.address,
            connection: Connection::open(on.node.address).await.unwrap(),
            me: on.people[who].clone(),
            who,
            rng: StdRng::seed_from_u64(role << 32 | who as u64),
        }
    }

    /// Sends a request, and repeats it after `Retry-After`, as clients do. The response must have one of the `good` statuses.
    async fn call(&mut self, method: Method, path: &str, body: String, good: &[u16]) -> Value {
        loop {
            let (me, method, body) = (Some(&self.me), method.clone(), body.clone());
            let answer = self.connection.call(method, path, me, body).await.unwrap();
            self.world.requests.fetch_add(1, Ordering::Relaxed);
            if let Some(seconds) = answer.retry_after {
                self.world.put_off.fetch_add(1, Ordering::Relaxed);
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

    /// A device that syncs, and sometimes disconnects during a wait.
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
                    // 404: the person has left the conversation since.
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
            let direct = self.world.directs[self.who].clone();
            let group = self.who / (MEMBERS + 1);
            match self.rng.random_range(0..100) {
                0..60 => self.send(&direct).await,
                60..75 if self.who % (MEMBERS + 1) < MEMBERS => {
                    let group = self.world.groups[group].clone();
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
        let request = send(&self.me, conversation);
        self.call(request.method, &request.path, request.body, &[201, 200])
            .await;
    }

    /// Adds a guest to a group and removes them, repeatedly.
    async fn add_and_remove_guest(mut self, group: usize) {
        let path = format!("/v1/conversations/{}/members", self.world.groups[group]);
        let guest = Arc::clone(&self.world.people[self.who + MEMBERS].id);
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

    /// Registers, logs in and logs out, repeatedly.
    async fn log_in_and_out(mut self) {
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

/// Samples the values of the node every few seconds.
async fn watch(on: &Deployment, world: &World, time: Duration) -> Vec<Value> {
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
            "requests": world.requests.load(Ordering::Relaxed),
            "put_off": world.put_off.load(Ordering::Relaxed),
        }));
    }
    samples
}

/// The median of a value of the samples.
fn median(samples: &[Value], of: &str) -> f64 {
    let mut sorted: Vec<_> = samples.iter().map(|it| it[of].as_f64().unwrap()).collect();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// Prints and writes the samples and the verdict. Returns whether all values passed.
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
    // The values after a sixth of the time, and at the end.
    let (then, now) = (parts[2], parts[parts.len() - 1]);
    let verdict: Vec<_> = CHECKED
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
