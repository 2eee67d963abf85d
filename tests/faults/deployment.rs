//! Two nodes as processes behind proxies, on their own PostgreSQL and Redis, and the users who talk to them.

use crate::environment::{Environment, Variable};
use crate::history::{Ask, Cast, Chat, Micros, Op, PART, Recorder, SECOND, digest};
use crate::outcomes;
use crate::support::{Answer, NodeProcess, PASSWORD, Person, Proxy, http};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tideline::dev::services::Services;
use tideline::storage::pg::operations::instance;

/// A node answers within this time whatever is broken behind it: 5 s, plus one for a busy machine.
const LIMIT: Micros = 6 * SECOND;

/// A `complete` waits this long for media to be ready.
const COMPLETE: Micros = 10 * SECOND;

/// The client gives up this much later.
const PATIENCE: Micros = 2 * SECOND;

pub struct Deployment {
    pub nodes: [Mutex<NodeProcess>; 2],
    /// Between the clients and the nodes.
    pub fronts: [Proxy; 2],
    pub environment: Environment,
    pub recorder: Recorder,
    pub cast: Cast,
    /// The devices of each user.
    pub people: Vec<Vec<Person>>,
    /// The highest seq that any client has seen, for each conversation.
    pub heads: Vec<AtomicI64>,
    /// The messages with files that were acknowledged: conversations and seqs.
    pub files: Mutex<Vec<(usize, i64)>>,
    http: reqwest::Client,
}

/// The number of users: seven busy ones, of which some join and leave, and two that receive little, so that the next message does
/// not hide a lost wake-up.
const PEOPLE: usize = 9;
pub const QUIET: [usize; 2] = [7, 8];

const DIRECT: [[usize; 2]; 7] = [[0, 1], [1, 2], [2, 3], [3, 4], [4, 5], [5, 6], QUIET];

/// Owner and members, then guests.
const GROUPS: [([usize; 3], [usize; 2]); 2] = [([0, 1, 2], [3, 4]), ([5, 0, 3], [1, 6])];

/// With more members than the limit of write fan-out.
const LARGE: [usize; 6] = [6, 2, 3, 4, 7, 8];
const FANOUT_LIMIT: &str = "5";

impl Deployment {
    /// Starts two nodes in this environment.
    pub async fn start(environment: Environment) -> Self {
        let services = &environment.services;
        instance::migrate(&services.database_url()).unwrap();
        let nodes = [0, 1].map(|node: usize| serve(services, &environment.variables[node]));
        let fronts = [0, 1].map(|n: usize| Proxy::before(&nodes[n].process.url));
        let http = http();
        let urls = [0, 1].map(|n: usize| fronts[n].url().to_owned());
        let mut people = Vec::new();
        for n in 0..PEOPLE {
            let first = Person::register(&http, &urls[n % 2], &format!("person{n}")).await;
            let body = json!({"username": first.name, "password": PASSWORD});
            let login = http.post(format!("{}/v1/auth/login", urls[0])).json(&body);
            let session = Answer::of(login.send().await.unwrap()).await.ok(200);
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let second = Person {
                device: text(&session["device_id"]),
                token: text(&session["access_token"]),
                ..first.clone()
            };
            people.push(vec![first, second]);
        }
        let mut chats = Vec::new();
        for pair in DIRECT {
            let id = people[pair[0]][0].direct(&people[pair[1]][0]).await;
            chats.push((id, pair.to_vec(), Vec::new()));
        }
        for (members, guests) in GROUPS {
            let others: Vec<_> = members[1..].iter().map(|n| &people[*n][0]).collect();
            let id = people[members[0]][0].group(&others).await;
            chats.push((id, members.to_vec(), guests.to_vec()));
        }
        let others: Vec<_> = LARGE[1..].iter().map(|n| &people[*n][0]).collect();
        let large = people[LARGE[0]][0].group(&others).await;
        chats.push((large.clone(), LARGE.to_vec(), Vec::new()));
        let chats = chats.into_iter().enumerate();
        let cast = Cast {
            users: people.iter().map(|devices| devices[0].id.clone()).collect(),
            chats: chats
                .map(|(n, (id, members, guests))| Chat {
                    large: id == large,
                    id,
                    canary: format!("canary-{n}-"),
                    members,
                    guests,
                })
                .collect(),
        };
        let heads = cast.chats.iter().map(|_| AtomicI64::new(0)).collect();
        Self {
            nodes: nodes.map(Mutex::new),
            fronts,
            environment,
            recorder: Recorder::start(),
            cast,
            people,
            heads,
            files: Mutex::default(),
            http,
        }
    }

    /// Starts a node in place of one that has ended.
    pub fn restart(&self, node: usize) {
        let new = serve(
            &self.environment.services,
            &self.environment.variables[node],
        );
        self.fronts[node].lead_to(&new.process.url);
        *self.nodes[node].lock().unwrap() = new;
    }

    /// The URLs of the nodes, without the proxies.
    pub fn urls(&self) -> [String; 2] {
        [0, 1].map(|node: usize| self.nodes[node].lock().unwrap().process.url.clone())
    }

    /// Kills the nodes, restores a backup that was begun at `then`, and begins a new epoch as docs/OPERATIONS.md says.
    pub async fn restore(&self, backup: &Path, then: Micros) {
        for front in &self.fronts {
            front.cut();
        }
        for node in &self.nodes {
            let mut node = node.lock().unwrap();
            node.process.signal("KILL");
            node.process.wait();
        }
        self.environment.restore(backup);
        for node in [0, 1] {
            self.restart(node);
        }
        // No client keeps seqs of the former epoch, other than as a position in the inbox.
        for head in &self.heads {
            head.store(0, Ordering::Relaxed);
        }
        self.files.lock().unwrap().clear();
        let starts = outcomes::read_back(self, &self.urls()).await;
        self.recorder.restored(then, starts);
        for front in &self.fronts {
            front.heal();
        }
    }

    /// Sends a request and records its answer.
    pub async fn ask(&self, user: usize, device: usize, node: usize, ask: Ask) -> Op {
        let person = &self.people[user][device];
        let chat = ask.chat().map_or("", |n| self.cast.chats[n].id.as_str());
        let at = format!("/conversations/{chat}");
        let message = |(id, text): &(String, String)| json!({"client_msg_id": id, "kind": "text", "content": {"text": text}});
        let (method, path, body) = match &ask {
            Ask::Send {
                messages,
                file: Some((media, _)),
                ..
            } => {
                let id = &messages[0].0;
                let content = json!({"media_id": media});
                let body = json!({"client_msg_id": id, "kind": "file", "content": content});
                ("POST", format!("{at}/messages"), body)
            }
            Ask::Create { file } => {
                let body = json!({
                    "client_media_id": file.id, "kind": "file", "name": file.name, "mime": "application/octet-stream", "size": file.size
                });
                ("POST", "/media".to_owned(), body)
            }
            Ask::Part { media, part, .. } => {
                let path = format!("/media/{media}/parts/{part}");
                ("PUT", path, Value::Null)
            }
            Ask::Complete { media, .. } => {
                ("POST", format!("/media/{media}/complete"), Value::Null)
            }
            Ask::Download { seq, .. } => ("GET", format!("{at}/messages/{seq}/media"), Value::Null),
            Ask::Send { messages, .. } => match messages.as_slice() {
                [one] => ("POST", format!("{at}/messages"), message(one)),
                many => {
                    let many: Vec<_> = many.iter().map(message).collect();
                    (
                        "POST",
                        format!("{at}/messages/batch"),
                        json!({"messages": many}),
                    )
                }
            },
            Ask::Mark { seq, .. } => ("PUT", format!("{at}/read"), json!({"seq": seq})),
            Ask::Wait {
                since,
                timeout,
                watch,
            } => {
                let mut path = format!("/notices?since_seq={since}&timeout={timeout}");
                for (chat, seq) in watch {
                    path += &format!("&watch={}:{seq}", self.cast.chats[*chat].id);
                }
                ("GET", path, Value::Null)
            }
            Ask::Fetch { since } => {
                let path = format!("/inbox?since_seq={since}&limit=100");
                ("GET", path, Value::Null)
            }
            Ask::Unread => ("GET", "/unread".to_owned(), Value::Null),
            Ask::List => {
                let path = "/conversations?order=id&limit=1".to_owned();
                ("GET", path, Value::Null)
            }
            Ask::Live => ("GET", "/health/live".to_owned(), Value::Null),
            Ask::Read { since, .. } => {
                let path = format!("{at}/messages?since_seq={since}&limit=100");
                ("GET", path, Value::Null)
            }
            Ask::Peek { .. } => ("GET", at, Value::Null),
            Ask::Search { canary } => {
                let canary = &self.cast.chats[*canary].canary;
                // A phrase.
                let path = format!("/search/messages?q=%22{canary}%22&limit=50");
                ("GET", path, Value::Null)
            }
            Ask::Add { guest, .. } => {
                let body = json!({"user_ids": [self.cast.users[*guest]]});
                ("POST", format!("{at}/members"), body)
            }
            Ask::Remove { guest, .. } => {
                let path = format!("{at}/members/{}", self.cast.users[*guest]);
                ("DELETE", path, Value::Null)
            }
        };
        let sleeps = match &ask {
            Ask::Wait { timeout, .. } => timeout * SECOND,
            Ask::Complete { .. } => COMPLETE,
            _ => 0,
        };
        let bytes = match &ask {
            Ask::Part { file, part, .. } => {
                file.bytes().chunks(PART).nth(part - 1).map(<[u8]>::to_vec)
            }
            _ => None,
        };
        let (limit, invoked) = (LIMIT + sleeps, self.recorder.now());
        let request = self.call(person, node, method, &path, &body, bytes);
        let answer = tokio::time::timeout(Duration::from_micros(limit + PATIENCE), request).await;
        let (status, body) = match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => (0, json!({"transport": error.without_url().to_string()})),
            Err(_elapsed) => (0, json!({"transport": "given up"})),
        };
        let op = Op {
            user,
            device,
            node,
            ask,
            invoked,
            answered: self.recorder.now(),
            limit,
            status,
            body,
        };
        self.recorder.op(op.clone());
        op
    }

    /// A truncated answer counts as none. Elsewhere in the tests it would be a failure, here it is expected.
    async fn call(
        &self,
        person: &Person,
        node: usize,
        method: &str,
        path: &str,
        body: &Value,
        sent: Option<Vec<u8>>,
    ) -> reqwest::Result<(u16, Value)> {
        let base = if path.starts_with("/health") {
            ""
        } else {
            "/v1"
        };
        let url = format!("{}{base}{path}", self.fronts[node].url());
        let mut request = self.http.request(method.parse().unwrap(), url);
        request = request.bearer_auth(&person.token);
        if !body.is_null() {
            request = request.json(body);
        }
        if let Some(sent) = sent {
            request = request.header("content-type", "application/octet-stream");
            request = request.body(sent);
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        let bytes = response.bytes().await?;
        let body = match serde_json::from_slice(&bytes) {
            Ok(body) => body,
            Err(_) if bytes.is_empty() => Value::Null,
            Err(_) => json!({"sha256": digest(&bytes)}),
        };
        Ok((status, body))
    }
}

fn serve(services: &Services, more: &[Variable]) -> NodeProcess {
    // Both nodes have this directory.
    let media = format!("file://{}", services.data_dir().join("media").display());
    let mut variables = vec![
        ("TIDELINE_MEDIA_URL", media.as_str()),
        ("TIDELINE_DRAIN_SECONDS", "4"),
        ("TIDELINE_FANOUT_LIMIT", FANOUT_LIMIT),
        ("RUST_LOG", "warn"),
    ];
    variables.extend(
        more.iter()
            .map(|(name, value)| (name.as_str(), value.as_str())),
    );
    NodeProcess::serve(&services.database_url(), &services.redis_url(), &variables)
}
