//! What happened in a run as its clients saw it, without anything that only the server knows.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

/// Microseconds since the run began, on one monotonic clock.
pub type Micros = u64;

pub const SECOND: Micros = 1_000_000;

/// A whole run: enough to judge it again without a server.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct History {
    pub cast: Cast,
    pub ops: Vec<Op>,
    pub windows: Vec<Window>,
    /// The state when this epoch began: empty, unless a backup was restored.
    pub starts: Vec<Outcome>,
    pub outcomes: Vec<Outcome>,
    /// What the nodes that were running in the end have logged as bugs.
    pub bugs: Vec<String>,
}

/// The users, and the members of each conversation.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Cast {
    /// Ids of the users.
    pub users: Vec<String>,
    pub chats: Vec<Chat>,
}

/// A conversation. Users are indexes into the list of users.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Chat {
    pub id: String,
    /// Words that are in each of its messages, and nowhere else.
    pub canary: String,
    /// The permanent members; the first one is the owner of a group.
    pub members: Vec<usize>,
    /// Guests, who join and leave.
    pub guests: Vec<usize>,
    /// It has read fan-out: its messages are in no inbox, and its members watch it.
    pub large: bool,
}

impl Chat {
    pub fn knows(&self, user: usize) -> bool {
        self.members.contains(&user) || self.guests.contains(&user)
    }
}

/// The size of all parts of an upload but the last.
pub const PART: usize = 8 * 1024 * 1024;

/// A file that a user uploads. Its bytes are made of its client id, so no two files have a part in common.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct File {
    pub id: String,
    /// The words that a search finds.
    pub name: String,
    pub size: usize,
}

impl File {
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.id.repeat(self.size / self.id.len() + 1).into_bytes();
        bytes.truncate(self.size);
        bytes
    }

    pub fn digest(&self) -> String {
        digest(&self.bytes())
    }
}

/// SHA-256 in base64, as media have it.
pub fn digest(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(Sha256::digest(bytes))
}

/// What a device requested.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Ask {
    /// One message, or a batch: their client ids and texts. A file is sent with the id of its media, and its
    /// text is its name.
    Send {
        chat: usize,
        messages: Vec<(String, String)>,
        #[serde(default)]
        file: Option<(String, File)>,
    },
    Create {
        file: File,
    },
    /// The parts are numbered from 1.
    Part {
        file: File,
        media: String,
        part: usize,
    },
    Complete {
        file: File,
        media: String,
    },
    /// The file of a message; of its bytes the answer records the digest.
    Download {
        chat: usize,
        seq: i64,
    },
    Mark {
        chat: usize,
        seq: i64,
    },
    /// `timeout` in seconds; `watch` the conversations with read fan-out, with the last seq that the device has.
    Wait {
        since: i64,
        timeout: u64,
        watch: Vec<(usize, i64)>,
    },
    Fetch {
        since: i64,
    },
    Unread,
    /// The resync of a device whose position is no longer valid.
    List,
    /// Whether the node is alive. It is, whatever is broken behind it.
    Live,
    Read {
        chat: usize,
        since: i64,
    },
    Peek {
        chat: usize,
    },
    /// A search for the canary of a conversation, which may be one of others.
    Search {
        canary: usize,
    },
    Add {
        chat: usize,
        guest: usize,
    },
    Remove {
        chat: usize,
        guest: usize,
    },
}

impl Ask {
    /// Its name in the OpenAPI document.
    pub fn operation(&self) -> &'static str {
        match self {
            Self::Send { messages, .. } if messages.len() == 1 => "send_message",
            Self::Send { .. } => "send_messages",
            Self::Create { .. } => "create_media",
            Self::Part { .. } => "upload_part",
            Self::Complete { .. } => "complete_media",
            Self::Download { .. } => "get_message_media",
            Self::Mark { .. } => "mark_read",
            Self::Wait { .. } => "wait_notices",
            Self::Fetch { .. } => "fetch_inbox",
            Self::Unread => "get_unread",
            Self::List => "list_conversations",
            Self::Live => "get_live",
            Self::Read { .. } => "list_messages",
            Self::Peek { .. } => "get_conversation",
            Self::Search { .. } => "search_messages",
            Self::Add { .. } => "add_members",
            Self::Remove { .. } => "remove_member",
        }
    }

    /// Whether it needs media that exist: a restored backup may lack them.
    pub fn needs_media(&self) -> bool {
        matches!(
            self,
            Self::Part { .. }
                | Self::Complete { .. }
                | Self::Download { .. }
                | Self::Send { file: Some(_), .. }
        )
    }

    /// The conversation that it is about.
    pub fn chat(&self) -> Option<usize> {
        match self {
            Self::Send { chat, .. }
            | Self::Download { chat, .. }
            | Self::Mark { chat, .. }
            | Self::Read { chat, .. }
            | Self::Peek { chat }
            | Self::Add { chat, .. }
            | Self::Remove { chat, .. } => Some(*chat),
            Self::Create { .. }
            | Self::Part { .. }
            | Self::Complete { .. }
            | Self::Wait { .. }
            | Self::Fetch { .. }
            | Self::Unread
            | Self::List
            | Self::Live
            | Self::Search { .. } => None,
        }
    }
}

/// What a client knows after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Ok,
    /// Rejected: it was not done.
    Fail,
    /// No answer, or one that leaves the outcome open.
    Unknown,
}

/// A request and its answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Op {
    pub user: usize,
    pub device: usize,
    pub node: usize,
    pub ask: Ask,
    pub invoked: Micros,
    pub answered: Micros,
    /// The time within which it had to be answered.
    pub limit: Micros,
    /// 0: no answer came.
    pub status: u16,
    pub body: Value,
}

impl Op {
    pub fn class(&self) -> Class {
        match self.status {
            200..=299 => Class::Ok,
            400..=499 => Class::Fail,
            _ => Class::Unknown,
        }
    }

    pub fn is_ok(&self) -> bool {
        self.class() == Class::Ok
    }

    /// The media that it says are ready, with their file.
    pub fn ready(&self) -> Option<(&str, &File)> {
        match &self.ask {
            Ask::Complete { file, media } if self.body["state"] == "ready" => Some((media, file)),
            _ => None,
        }
    }

    /// The messages that a send has acknowledged, in order.
    pub fn acknowledged(&self) -> Vec<&Value> {
        if !matches!(self.ask, Ask::Send { .. }) || !self.is_ok() {
            return Vec::new();
        }
        match self.body.get("results").and_then(Value::as_array) {
            Some(results) => results
                .iter()
                .filter_map(|one| one.get("message"))
                .collect(),
            None => vec![&self.body],
        }
    }
}

/// The media of a user that are ready, and that no request has sent, with their files.
pub fn unsent(ops: &[Op], user: usize) -> BTreeMap<&str, &File> {
    let own = || ops.iter().filter(|op| op.user == user);
    let mut unsent: BTreeMap<&str, &File> = own().filter_map(Op::ready).collect();
    for op in own() {
        if let Ask::Send {
            file: Some((media, _)),
            ..
        } = &op.ask
        {
            unsent.remove(media.as_str());
        }
    }
    unsent
}

/// The time of a fault. With a node: its clients may be left without an answer. Without one: a service behind the nodes is
/// away, and they must report it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Window {
    pub what: String,
    pub node: Option<usize>,
    pub from: Micros,
    pub to: Micros,
}

/// Everything that a user can read after the run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    pub inbox: Vec<Value>,
    /// `GET /v1/unread` of each node.
    pub unread: Vec<Value>,
    /// `GET /v1/notices?timeout=0` of each node.
    pub notices: Vec<Value>,
    pub conversations: Vec<Value>,
    /// The messages of the listed conversations, in the same order.
    pub archives: Vec<Vec<Value>>,
    /// What a search finds in each of them, newest first: the seqs.
    #[serde(default)]
    pub found: Vec<Vec<i64>>,
    /// The files of these messages: the seqs, and the digests of what was downloaded.
    #[serde(default)]
    pub files: Vec<BTreeMap<i64, String>>,
    /// The same of own media that were ready and in no message, by their ids.
    #[serde(default)]
    pub unsent: BTreeMap<String, String>,
}

impl Outcome {
    /// The head of the inbox.
    pub fn head(&self) -> i64 {
        let last_seq = self
            .notices
            .first()
            .and_then(|notice| notice["last_seq"].as_i64());
        last_seq.unwrap_or(-1)
    }
}

/// Records what happens.
pub struct Recorder {
    began: Instant,
    ops: Mutex<Vec<Op>>,
    windows: Mutex<Vec<Window>>,
    starts: Mutex<Vec<Outcome>>,
}

impl Recorder {
    pub fn start() -> Self {
        Self {
            began: Instant::now(),
            ops: Mutex::default(),
            windows: Mutex::default(),
            starts: Mutex::default(),
        }
    }

    pub fn now(&self) -> Micros {
        self.began.elapsed().as_micros() as Micros
    }

    pub fn op(&self, op: Op) {
        self.ops.lock().unwrap().push(op);
    }

    /// Records a fault that began at `from` and ends now.
    pub fn window(&self, what: &str, node: Option<usize>, from: Micros) {
        let window = Window {
            what: what.to_owned(),
            node,
            from,
            to: self.now(),
        };
        self.windows.lock().unwrap().push(window);
    }

    /// The database was restored to a moment after `then`, and this is its content. What was acknowledged before `then` is
    /// there. The outcome of later requests is unknown, and reads of the former epoch are not compared.
    pub fn restored(&self, then: Micros, starts: Vec<Outcome>) {
        let mut ops = self.ops.lock().unwrap();
        ops.retain(|op| match op.ask {
            Ask::Send { .. } | Ask::Add { .. } => true,
            Ask::Mark { .. } | Ask::Remove { .. } => op.answered < then,
            _ => false,
        });
        for op in ops.iter_mut().filter(|op| op.answered >= then) {
            (op.status, op.body) = (0, Value::Null);
        }
        *self.starts.lock().unwrap() = starts;
    }

    /// The sends of unknown outcome, each once, in the order of their first attempts.
    pub fn open_sends(&self) -> Vec<Op> {
        let ops = self.ops.lock().unwrap();
        let settled: HashSet<String> = ops
            .iter()
            .flat_map(|op| match (&op.ask, op.class()) {
                (Ask::Send { messages, .. }, Class::Fail) => {
                    messages.iter().map(|(id, _)| id.clone()).collect()
                }
                _ => op
                    .acknowledged()
                    .into_iter()
                    .map(|one| one["client_msg_id"].as_str().unwrap_or_default().to_owned())
                    .collect::<Vec<_>>(),
            })
            .collect();
        let mut open: Vec<Op> = Vec::new();
        for op in ops.iter() {
            if let Ask::Send { messages, .. } = &op.ask
                && !messages.iter().all(|(id, _)| settled.contains(id))
                && !open.iter().any(|other| other.ask == op.ask)
            {
                open.push(op.clone());
            }
        }
        open.sort_by_key(|op| op.invoked);
        open
    }

    /// The uploads that were begun and not seen to be ready, each once: the first requests.
    pub fn open_uploads(&self) -> Vec<Op> {
        let ops = self.ops.lock().unwrap();
        let ready: HashSet<&str> = ops
            .iter()
            .filter_map(Op::ready)
            .map(|it| it.1.id.as_str())
            .collect();
        let mut open: Vec<Op> = Vec::new();
        for op in ops.iter() {
            if let Ask::Create { file } = &op.ask
                && !ready.contains(file.id.as_str())
                && !open.iter().any(|other| other.ask == op.ask)
            {
                open.push(op.clone());
            }
        }
        open
    }

    /// The media of a user that are ready, and that no request has sent.
    pub fn unsent(&self, user: usize) -> Vec<String> {
        let ops = self.ops.lock().unwrap();
        unsent(&ops, user).into_keys().map(str::to_owned).collect()
    }

    /// The history, with the final reads.
    pub fn finish(&self, cast: Cast, outcomes: Vec<Outcome>, bugs: Vec<String>) -> History {
        let mut ops = std::mem::take(&mut *self.ops.lock().unwrap());
        ops.sort_by_key(|op| op.invoked);
        History {
            cast,
            ops,
            windows: std::mem::take(&mut *self.windows.lock().unwrap()),
            starts: std::mem::take(&mut *self.starts.lock().unwrap()),
            outcomes,
            bugs,
        }
    }
}

impl History {
    /// Writes it, one JSON value per line: the cast, the windows, the first reads, every request, the final reads, and bugs.
    pub fn write(&self, path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = BufWriter::new(fs::File::create(path).unwrap());
        let mut line = |value: Value| writeln!(file, "{value}").unwrap();
        line(serde_json::to_value(&self.cast).unwrap());
        line(serde_json::to_value(&self.windows).unwrap());
        line(serde_json::to_value(&self.starts).unwrap());
        for op in &self.ops {
            line(serde_json::to_value(op).unwrap());
        }
        line(serde_json::to_value(&self.outcomes).unwrap());
        line(serde_json::to_value(&self.bugs).unwrap());
    }

    /// Reads a file that `write` has written.
    pub fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let [cast, windows, starts, ops @ .., outcomes, bugs] = lines.as_slice() else {
            panic!("{} is no history", path.display());
        };
        Self {
            cast: serde_json::from_str(cast).unwrap(),
            windows: serde_json::from_str(windows).unwrap(),
            starts: serde_json::from_str(starts).unwrap(),
            ops: ops
                .iter()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect(),
            outcomes: serde_json::from_str(outcomes).unwrap(),
            bugs: serde_json::from_str(bugs).unwrap(),
        }
    }
}
