//! The decoder as a process: its limits, its ends, and how many run.

use super::pictures::{self, encode};
use bytes::Bytes;
use futures_util::future::join_all;
use image::ImageFormat::Png;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tideline::engine::media::decoder::{Decoder, DecoderError, Inspection};
use tideline::engine::media::protocol::Rejection;
use tideline::model::wire::media::MediaKind;
use tokio::time::{sleep, timeout};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_tideline");

/// A program that runs instead of the decoder, with a folder for what it notes (`$D`).
pub struct Script {
    dir: PathBuf,
    pub path: PathBuf,
}

impl Script {
    pub fn new(text: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        // Also the name of the process, by which its zombie would be found: at most 15 bytes are kept.
        let name = format!("d{}x{number}", std::process::id());
        let dir = std::env::temp_dir().join(format!("tideline-decoder-{name}"));
        fs::create_dir(&dir).unwrap();
        let path = dir.join(name);
        // Written by another process: a test that starts one in this moment would inherit the open file, and a file that is
        // open for writing cannot be run.
        let mut writer = Command::new("/bin/sh");
        writer
            .args(["-c", "cat >\"$0\" && chmod 700 \"$0\""])
            .arg(&path);
        let mut writer = writer.stdin(Stdio::piped()).spawn().unwrap();
        let text = format!("#!/bin/sh\nD={}\n{text}\n", dir.display());
        writer
            .stdin
            .take()
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        assert!(writer.wait().unwrap().success());
        Self { dir, path }
    }

    fn decoder(&self, children: usize) -> Decoder {
        Decoder::new(self.path.clone(), children)
    }

    /// What the script noted under this name, as soon as it is there.
    async fn note(&self, name: &str) -> String {
        loop {
            match fs::read_to_string(self.dir.join(name)) {
                Ok(text) if text.ends_with('\n') => return text,
                _ => sleep(Duration::from_millis(5)).await,
            }
        }
    }

    /// The states of the processes of this script.
    fn states(&self) -> Vec<String> {
        let name = format!("({})", self.path.file_name().unwrap().to_str().unwrap());
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let stats =
            processes.filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
        let stats = stats.filter(|stat| stat.contains(&name));
        stats
            .map(|stat| stat.split(' ').nth(2).unwrap().to_owned())
            .collect()
    }

    async fn has_ended(&self) {
        let ended = async {
            while !self.states().is_empty() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(5), ended).await.unwrap();
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// A value of this process, in kB.
fn status(process: &Path, name: &str) -> u64 {
    let text = fs::read_to_string(process.join("status")).unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

async fn inspect(decoder: &Decoder, file: &Bytes) -> Result<Inspection, DecoderError> {
    decoder
        .inspect(MediaKind::Image, "image/png", file.clone())
        .await
}

/// Inspects, up to three times as a caller does: on a busy machine the time of a child may not be enough.
pub async fn patiently(decoder: &Decoder, kind: MediaKind, mime: &str, file: &Bytes) -> Inspection {
    for _ in 0..2 {
        if let Ok(inspection) = decoder.inspect(kind, mime, file.clone()).await {
            return inspection;
        }
    }
    decoder.inspect(kind, mime, file.clone()).await.unwrap()
}

async fn inspect_patiently(decoder: &Decoder, file: &Bytes) -> Inspection {
    patiently(decoder, MediaKind::Image, "image/png", file).await
}

fn picture() -> Bytes {
    encode(&pictures::quarters(400, 300), Png).into()
}

fn is_failed(result: &Result<Inspection, DecoderError>) -> bool {
    matches!(result, Err(DecoderError::Failed(_)))
}

fn is_damaged(inspection: &Inspection) -> bool {
    matches!(inspection, Inspection::Rejected(Rejection::Damaged))
}

#[tokio::test]
async fn a_child_limits_itself() {
    let mut command = Command::new(PROGRAM);
    command
        .arg("decode")
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    let process = PathBuf::from(format!("/proc/{}", child.id()));
    let begun = Instant::now();
    let limits = loop {
        let limits = fs::read_to_string(process.join("limits")).unwrap();
        // The last that is set.
        let mut lines = limits.lines();
        let is_unlimited =
            lines.any(|line| line.starts_with("Max cpu time") && line.contains("unlimited"));
        if !is_unlimited || begun.elapsed() > Duration::from_secs(10) {
            break limits;
        }
        sleep(Duration::from_millis(5)).await;
    };
    let limit = |name: &str| {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        let values = line.trim_start_matches(name).split_whitespace().take(2);
        values
            .map(|value| value.parse().unwrap())
            .collect::<Vec<u64>>()
    };
    assert_eq!(limit("Max address space"), [512 << 20; 2]);
    assert_eq!(limit("Max cpu time"), [8, 10]);
    assert_eq!(limit("Max open files"), [3; 2]);
    assert_eq!(limit("Max core file size"), [0; 2]);
    assert_eq!(limit("Max file size"), [0; 2]);
    drop(child.stdin.take());
    // Nothing is not a request.
    assert!(!child.wait().unwrap().success());
}

#[tokio::test]
async fn a_child_has_no_environment_and_only_its_pipes() {
    // The listing itself has a descriptor.
    let script =
        Script::new("cat /proc/$$/environ >$D/environ; exec ls /proc/self/fd >$D/descriptors");
    let opened = fs::File::open("/dev/null").unwrap();
    assert!(is_failed(&inspect(&script.decoder(1), &picture()).await));
    drop(opened);
    assert_eq!(fs::read_to_string(script.dir.join("environ")).unwrap(), "");
    let descriptors = fs::read_to_string(script.dir.join("descriptors")).unwrap();
    // What this process got from its own parent, open for its children too, is passed on.
    let is_inherited = |number: &str| {
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap_or_default();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
        flags.is_some_and(|flags| u32::from_str_radix(flags.trim(), 8).unwrap() & 0o2_000_000 == 0)
    };
    let own = descriptors
        .lines()
        .filter(|number| !is_inherited(number) || number.len() == 1);
    assert_eq!(own.collect::<Vec<_>>(), ["0", "1", "2", "3"]);
}

#[tokio::test]
async fn an_end_from_outside_is_a_failure_that_may_be_tried_again() {
    let script = Script::new("echo $$ >$D/pid; exec /bin/sleep 30");
    let decoder = script.decoder(1);
    let file = picture();
    let kill = async {
        let pid = script.note("pid").await;
        let killed = Command::new("/bin/kill").args(["-9", pid.trim()]).status();
        assert!(killed.unwrap().success());
    };
    let (result, ()) = tokio::join!(inspect(&decoder, &file), kill);
    assert!(is_failed(&result), "{result:?}");

    let missing = Decoder::new("/nowhere/tideline".into(), 1);
    assert!(is_failed(&inspect(&missing, &file).await));
    for text in [
        "exit 0",
        "exit 1",
        "kill -TERM $$",
        "kill -KILL $$",
        "kill -HUP $$",
    ] {
        let result = inspect(&Script::new(text).decoder(1), &file).await;
        assert!(is_failed(&result), "{text}: {result:?}");
    }
    let accepted = inspect_patiently(&Decoder::new(PROGRAM.into(), 1), &file).await;
    assert!(matches!(accepted, Inspection::Accepted { .. }));
}

#[tokio::test]
async fn a_child_without_a_result_is_killed_after_ten_seconds() {
    let script = Script::new("exec /bin/sleep 60");
    let began = Instant::now();
    let result = inspect(&script.decoder(1), &picture()).await;
    assert!(is_failed(&result));
    assert!((10..15).contains(&began.elapsed().as_secs()));
    script.has_ended().await;
}

#[tokio::test]
async fn a_child_beyond_its_limits_is_a_damaged_picture() {
    let file = picture();
    // The limit that a child sets itself is eight seconds.
    let busy = Script::new("ulimit -S -t 1; while :; do :; done");
    assert!(is_damaged(
        &inspect_patiently(&busy.decoder(1), &file).await
    ));
    for signal in ["ABRT", "SEGV", "BUS", "ILL", "FPE", "XCPU"] {
        let script = Script::new(&format!("ulimit -c 0; kill -{signal} $$"));
        assert!(
            is_damaged(&inspect_patiently(&script.decoder(1), &file).await),
            "{signal}"
        );
    }
    // The memory that is enough for the small picture is too little for one of 36 MB.
    let large = encode(&image::DynamicImage::new_rgb8(4_000, 3_000), Png).into();
    let mut damaged = None;
    for megabytes in (60..300).step_by(15) {
        let limit = megabytes * 1_000;
        let script = Script::new(&format!("ulimit -v {limit}; exec {PROGRAM} decode"));
        let decoder = script.decoder(1);
        if let Ok(Inspection::Accepted { .. }) = inspect(&decoder, &file).await {
            damaged = Some(is_damaged(&inspect_patiently(&decoder, &large).await));
            break;
        }
    }
    assert_eq!(damaged, Some(true));
}

#[tokio::test]
async fn a_reply_out_of_bounds_is_not_read() {
    let accepted = |outputs: &str| {
        format!(
            r#"{{"outcome":"accepted","mime":"image/png","width":1,"height":1,"thumbhash":"","outputs":[{outputs}]}}"#
        )
    };
    let output = |name: &str, mime: &str, bytes: u64, side: u32| {
        format!(
            r#"{{"name":"{name}","mime":"{mime}","bytes":{bytes},"width":{side},"height":{side}}}"#
        )
    };
    let original = output("original", "image/png", 5, 1);
    let endless = "exec /bin/cat /dev/zero";
    let replies = [
        String::new(),
        accepted(&output("original", "image/png", 99_000_000_000, 1)),
        accepted(&output("original", "image/png", 5, 20_000)),
        accepted(&output("original", "image/jpeg", 5, 1)),
        accepted(&format!(
            "{original},{}",
            output("small", "image/jpeg", 5, 321)
        )),
        accepted(&format!(
            "{original},{}",
            output("small", "image/jpeg", 900_000, 320)
        )),
        accepted(&format!(
            "{original},{}",
            output("small", "text/html", 5, 320)
        )),
        accepted(&format!("{original},{original}")),
        accepted(&output("small", "image/jpeg", 5, 5)),
        accepted(""),
        accepted(&original).replace("image/png", "text/html"),
        accepted(&original).replace(
            r#""thumbhash":"""#,
            &format!(r#""thumbhash":"{}""#, "A".repeat(36)),
        ),
        r#"{"outcome":"rejected","reason":"because"}"#.to_owned(),
        format!(
            r#"{{"outcome":"rejected","reason":"type","x":"{}"}}"#,
            "x".repeat(5_000)
        ),
    ];
    let file = picture();
    let own = PathBuf::from("/proc/self");
    let before = status(&own, "VmRSS:");
    for reply in &replies {
        let script = Script::new(&format!(
            "cat >/dev/null; cat <<'END'\n{reply}\nEND\n{endless}"
        ));
        let result = inspect(&script.decoder(1), &file).await;
        assert!(is_failed(&result), "{reply}: {result:?}");
        script.has_ended().await;
    }
    // The process of the tests does more at the same time.
    assert!(status(&own, "VmRSS:") < before + 300_000);
    for (reply, rest, is_whole) in [
        (accepted(&original), "printf 12345", true),
        (accepted(&original), "printf 1234", false),
        (accepted(&original), "printf 123456", false),
        (accepted(&original), "printf 12345; exit 3", false),
    ] {
        let script = Script::new(&format!(
            "cat >/dev/null; cat <<'END'\n{reply}\nEND\n{rest}"
        ));
        let result = inspect(&script.decoder(1), &file).await;
        assert_eq!(!is_failed(&result), is_whole, "{rest}: {result:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn few_children_run_and_none_is_left() {
    let script = Script::new(&format!(
        "mkdir -p $D/now; : >$D/now/$$; n=0
        for p in $D/now/*; do kill -0 ${{p##*/}} 2>/dev/null && n=$((n+1)); done
        echo $n >>$D/counts; {PROGRAM} decode; rm $D/now/$$"
    ));
    let decoder = script.decoder(2);
    let file = picture();
    for inspection in join_all((0..20).map(|_| inspect_patiently(&decoder, &file))).await {
        let Inspection::Accepted { outputs, .. } = inspection else {
            panic!("{inspection:?}");
        };
        assert_eq!(outputs.len(), 2);
    }
    let counts = fs::read_to_string(script.dir.join("counts")).unwrap();
    let counts: Vec<u32> = counts
        .lines()
        .map(|line| line.trim().parse().unwrap())
        .collect();
    assert!(counts.len() >= 20);
    assert_eq!(counts.iter().max(), Some(&2));
    assert_eq!(script.states(), [""; 0]);

    // A caller that does not wait ends its child.
    let sleeping = Script::new("echo $$ >$D/pid; exec /bin/sleep 30");
    let decoder = sleeping.decoder(1);
    tokio::select! {
        result = inspect(&decoder, &file) => panic!("{result:?}"),
        _ = sleeping.note("pid") => {}
    }
    let pid = sleeping.note("pid").await;
    let process = PathBuf::from(format!("/proc/{}", pid.trim()));
    let ended = async {
        while process.exists() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(5), ended).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_callers_wait_and_more_are_refused() {
    let script = Script::new("exec /bin/sleep 30");
    let decoder = Arc::new(script.decoder(1));
    let file = picture();
    let callers = (0..70).map(|_| {
        let (decoder, file) = (decoder.clone(), file.clone());
        tokio::spawn(async move { inspect(&decoder, &file).await })
    });
    let mut callers: Vec<_> = callers.collect();
    let refused = async {
        while callers.iter().filter(|caller| caller.is_finished()).count() < 5 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(5), refused).await.unwrap();
    // One runs, 64 wait.
    sleep(Duration::from_millis(100)).await;
    let (refused, waiting): (Vec<_>, Vec<_>) = callers.drain(..).partition(|one| one.is_finished());
    assert_eq!(refused.len(), 5);
    for result in join_all(refused).await {
        assert!(matches!(result, Ok(Err(DecoderError::Busy))), "{result:?}");
    }
    let callers = waiting;
    for caller in callers {
        caller.abort();
    }
    // Their places are free again.
    let free = async {
        while matches!(
            timeout(Duration::from_millis(50), inspect(&decoder, &file)).await,
            Ok(Err(_))
        ) {}
    };
    timeout(Duration::from_secs(5), free).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn files_do_not_wait_behind_pictures() {
    let script = Script::new(
        "read line; case $line in *image*) echo $$ >$D/pid; exec /bin/sleep 30;; esac; exit 3",
    );
    let decoder = script.decoder(1);
    let (picture, mime) = (picture(), "application/octet-stream");
    let after = async {
        script.note("pid").await;
        let file = Bytes::from_static(b"bytes");
        let inspection = decoder.inspect(MediaKind::File, mime, file);
        timeout(Duration::from_secs(5), inspection).await.unwrap()
    };
    tokio::select! {
        result = inspect(&decoder, &picture) => panic!("{result:?}"),
        result = after => assert!(is_failed(&result), "{result:?}"),
    }
}
