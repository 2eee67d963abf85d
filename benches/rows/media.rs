//! Row 17: parts of 8 MiB up and down, against nginx that writes and serves them. Row 18: a picture of twelve megapixels until it is ready,
//! against its decoding. Row 19: slow uploads and slow readers: what they cost in memory, and the sends of others meanwhile.

use super::sends_of;
use crate::Options;
use crate::client::{Connection, Person};
use crate::deployment::{Deployment, Environment, TARGET};
use crate::load::load;
use crate::nginx::Nginx;
use crate::report::{Goal, Line};
use crate::slow;
use hyper::Method;
use hyper::body::Bytes;
use image::codecs::jpeg::JpegEncoder;
use image::{ImageFormat, Rgb, RgbImage};
use serde_json::{Value, json};
use std::cell::Cell;
use std::fs::{self, File};
use std::path::PathBuf;
use std::time::Duration;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep};

/// The media store of these rows.
const STORE: &str = concat!("file://", env!("CARGO_MANIFEST_DIR"), "/target/bench/media");

/// The size of a part.
pub const PART: usize = 8 << 20;

/// Connections that send or read parts.
const CLIENTS: usize = 4;

/// Slow uploads, and slow readers.
const SLOW: usize = 200;

/// Sends in a second beside them.
const SENDS: f64 = 300.0;

/// The longest time until slow clients have taken what they can.
const FILLING: Duration = Duration::from_secs(10);

/// The pictures of a round.
const PICTURES: usize = 5;

/// A deployment with a store.
async fn deploy(environment: &Environment, name: &str, people: usize) -> Deployment {
    let mut deployment = environment.deploy(name, people).await;
    deployment.variables = vec![("TIDELINE_MEDIA_URL", STORE)];
    deployment.restart().await;
    deployment
}

async fn clear(environment: &Environment, deployment: Deployment) {
    environment.clear(deployment).await;
    fs::remove_dir_all(format!("{TARGET}/bench/media")).unwrap();
}

/// Begins an upload. Returns its path.
async fn begin(connection: &mut Connection, person: &Person, kind: &str, size: usize) -> String {
    let mime = match kind {
        "image" => "image/jpeg",
        _ => "application/octet-stream",
    };
    let create = json!({"client_media_id": tideline::clock::new_id(), "kind": kind, "name": "a", "mime": mime, "size": size});
    let begun = connection.post("/v1/media", person, create.to_string());
    let begun = begun.await.unwrap().json(201);
    format!("/v1/media/{}", begun["media"]["id"].as_str().unwrap())
}

async fn complete(connection: &mut Connection, person: &Person, media: &str) -> Value {
    loop {
        let path = format!("{media}/complete");
        let complete = connection.post(&path, person, "").await;
        let done = complete.unwrap().json(200);
        match done["state"].as_str().unwrap() {
            "processing" => {}
            state => {
                assert_eq!(state, "ready", "{done}");
                return done;
            }
        }
    }
}

/// A connection with what it transfers repeatedly.
struct Transfer {
    connection: Connection,
    person: Option<Person>,
    method: Method,
    path: String,
    body: Bytes,
    status: u16,
    /// The file that is written: it has to be on the disk as what Tideline has accepted is.
    file: Option<PathBuf>,
}

/// Transfers parts for this time. Returns the rate in MB/s.
async fn rate(transfers: &mut Vec<Transfer>, time: Duration) -> f64 {
    let begun = Instant::now();
    let mut workers = JoinSet::new();
    for mut transfer in transfers.drain(..) {
        workers.spawn(async move {
            let mut count = 0;
            while count == 0 || begun.elapsed() < time {
                let person = transfer.person.as_ref();
                let (method, body) = (transfer.method.clone(), transfer.body.clone());
                let call = transfer
                    .connection
                    .call(method, &transfer.path, person, body);
                let read = call.await.unwrap().ok(transfer.status);
                assert!(transfer.method == Method::PUT || read.len() == PART);
                if let Some(file) = transfer.file.clone() {
                    let sync = move || File::open(file).unwrap().sync_all().unwrap();
                    spawn_blocking(sync).await.unwrap();
                }
                transfer.status = match transfer.status {
                    // nginx says so only of a new file.
                    201 => 204,
                    status => status,
                };
                count += 1;
            }
            (count, transfer)
        });
    }
    let mut parts = 0;
    while let Some(ended) = workers.join_next().await {
        let (count, transfer) = ended.unwrap();
        parts += count;
        transfers.push(transfer);
    }
    (parts * PART) as f64 / 1e6 / begun.elapsed().as_secs_f64()
}

pub async fn transfers(environment: &Environment, options: &Options) -> Vec<Line> {
    let Some(nginx) = Nginx::start().await else {
        eprintln!("row 17 is left out: nginx is not installed");
        return Vec::new();
    };
    let deployment = deploy(environment, "transfers", CLIENTS).await;
    let part = Bytes::from_iter((0..PART).map(|n| (n * n / 255 % 251) as u8));
    // Up and down, ours and the reference.
    let mut sides: [[Vec<Transfer>; 2]; 2] = Default::default();
    for (n, person) in deployment.people.iter().enumerate() {
        let ours = deployment.node.address;
        let mut connection = Connection::open(ours).await.unwrap();
        let [up, down] = [
            begin(&mut connection, person, "file", PART).await,
            begin(&mut connection, person, "file", PART).await,
        ];
        let first = format!("{down}/parts/1");
        let put = connection.call(Method::PUT, &first, Some(person), part.clone());
        put.await.unwrap().ok(204);
        complete(&mut connection, person, &down).await;
        let transfer = async |to, is_up, path: String, status, is_ours, file| Transfer {
            connection: Connection::open(to).await.unwrap(),
            person: Some(person.clone()).filter(|_| is_ours),
            method: if is_up { Method::PUT } else { Method::GET },
            path,
            body: if is_up { part.clone() } else { Bytes::new() },
            status,
            file,
        };
        let (up, down) = (format!("{up}/parts/1"), format!("{down}/content"));
        sides[0][0].push(transfer(ours, true, up, 204, true, None).await);
        sides[1][0].push(transfer(ours, false, down, 200, true, None).await);
        let theirs = nginx.addresses[n % nginx.addresses.len()];
        let (path, file) = (format!("/{n}"), Some(nginx.root.join(n.to_string())));
        sides[0][1].push(transfer(theirs, true, path.clone(), 201, false, file).await);
        sides[1][1].push(transfer(theirs, false, path, 200, false, None).await);
    }
    let mut rates: [[Vec<f64>; 2]; 2] = Default::default();
    for round in 0..options.rounds {
        for (side, rates) in sides.iter_mut().zip(&mut rates) {
            for turn in 0..2 {
                let which = (round + turn) % 2;
                // The file of a download is written by the uploads before.
                rates[which].push(rate(&mut side[which], options.time()).await);
            }
        }
    }
    drop(sides);
    clear(environment, deployment).await;
    let line = |what, [ours, reference]: [Vec<f64>; 2]| Line {
        reference,
        goal: Goal::AtLeast(0.6, 0.9),
        ..Line::fact(17, what, "MB/s", ours)
    };
    let [up, down] = rates;
    vec![
        line("parts of 8 MiB up, against nginx and fsync", up),
        line("parts of 8 MiB down, against nginx", down),
    ]
}

/// Twelve megapixels as a JPEG: of noise, or of a soft gradient.
fn picture(is_noisy: bool) -> Vec<u8> {
    let (width, height) = match cfg!(debug_assertions) {
        true => (800, 600),
        false => (4_000, 3_000),
    };
    let mut state = 7_u32;
    let pixel = |x: u32, y: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise = if is_noisy { state >> 25 } else { 0 };
        Rgb([x * 128 / width, y * 128 / height, (x + y) % 1_024 / 8].map(|it| (it + noise) as u8))
    };
    let picture = RgbImage::from_fn(width, height, pixel);
    let mut file = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut file, 85);
    picture.write_with_encoder(encoder).unwrap();
    file
}

pub async fn pictures(environment: &Environment, options: &Options) -> Vec<Line> {
    let deployment = deploy(environment, "pictures", 2).await;
    let person = &deployment.people[0];
    let mut connection = Connection::open(deployment.node.address).await.unwrap();
    let mut lines = Vec::new();
    for (what, is_noisy) in [
        (
            "a noisy picture, until it is ready, against its decoding",
            true,
        ),
        ("a soft picture, the same", false),
    ] {
        let file = Bytes::from(picture(is_noisy));
        let (mut ours, mut reference) = (Vec::new(), Vec::new());
        for _ in 0..options.rounds * PICTURES {
            let media = begin(&mut connection, person, "image", file.len()).await;
            for (n, part) in file.chunks(PART).enumerate() {
                let path = format!("{media}/parts/{}", n + 1);
                let part = file.slice_ref(part);
                let put = connection.call(Method::PUT, &path, Some(person), part);
                put.await.unwrap().ok(204);
            }
            let begun = Instant::now();
            complete(&mut connection, person, &media).await;
            ours.push(begun.elapsed().as_secs_f64() * 1e3);
            let bytes = file.clone();
            let decode =
                move || image::load_from_memory_with_format(&bytes, ImageFormat::Jpeg).map(drop);
            let begun = Instant::now();
            spawn_blocking(decode).await.unwrap().unwrap();
            reference.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        lines.push(Line {
            reference,
            goal: Goal::AtMost(3.0, 2.0),
            ..Line::fact(18, what, "ms", ours)
        });
    }
    clear(environment, deployment).await;
    lines
}

pub async fn slow_clients(environment: &Environment, options: &Options) -> Vec<Line> {
    let deployment = deploy(environment, "slow_media", options.users).await;
    let ring = deployment.ring("").await;
    let (people, to) = (&deployment.people, deployment.node.address);
    let requests = sends_of(people, &ring);
    let mut connection = Connection::open(to).await.unwrap();
    let mut uploads = Vec::new();
    // The last one of them is read.
    for person in people.iter().take(SLOW + 1) {
        let media = begin(&mut connection, person, "file", PART).await;
        uploads.push((format!("{media}/parts/1"), person));
    }
    let (path, owner) = uploads.pop().unwrap();
    let part = vec![7; PART];
    let put = connection.call(Method::PUT, &path, Some(owner), part);
    put.await.unwrap().ok(204);
    let media = path.trim_end_matches("/parts/1");
    complete(&mut connection, owner, media).await;
    let content = format!("{media}/content");

    let (mut calm, mut busy, mut grown) = (Vec::new(), Vec::new(), Vec::new());
    let (mut up, mut down) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        let sends = || load(to, 8, options.time(), Some(SENDS), &requests);
        calm.push(sends().await.ms(0.99));
        let before = deployment.node.status("RssAnon:");
        let clients = slow::Clients::default();
        let mut tasks = JoinSet::new();
        for (path, person) in &uploads {
            tasks.spawn(clients.clone().upload(to, path.clone(), (*person).clone()));
            tasks.spawn(clients.clone().read(to, content.clone(), owner.clone()));
        }
        sleep(FILLING.min(options.time())).await;
        let most = Cell::new(before);
        let watch = async {
            loop {
                most.set(most.get().max(deployment.node.status("RssAnon:")));
                sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::select! {
            load = sends() => busy.push(load.ms(0.99)),
            () = watch => {}
        }
        grown.push((most.get() - before) / 1024.0);
        let [sent, received] = clients.rates();
        up.push(sent);
        down.push(received);
    }
    clear(environment, deployment).await;
    vec![
        Line {
            reference: calm,
            goal: Goal::AtMost(2.0, 1.2),
            ..Line::fact(
                19,
                "sends at 300/s beside 200 slow uploads and 200 slow readers, p99, against none",
                "ms",
                busy,
            )
        },
        Line {
            goal: Goal::AtMost(256.0, 160.0),
            ..Line::fact(19, "memory of the node for them", "MiB", grown)
        },
        Line::fact(19, "what they send", "MB/s", up),
        Line::fact(19, "what they read", "MB/s", down),
    ]
}
