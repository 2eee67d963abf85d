//! The node's side of the decoder: a child process for each upload, of which nothing is trusted.

use crate::engine::media::protocol::{
    HEAD_BYTES, InspectionReply, InspectionRequest, MAX_LINE_BYTES, MAX_SIDE, MEDIUM_SIDE,
    OutputHeader, OutputName, Rejection, SMALL_SIDE,
};
use crate::engine::media::sniff;
use crate::model::wire::media::MediaKind;
use base64::engine::general_purpose::STANDARD;
use base64::{DecodeError, Engine};
use bytes::Bytes;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// How many uploads may wait for a child.
const QUEUE: usize = 64;

/// After this time a child is killed.
const TIME: Duration = Duration::from_secs(10);

/// What the original may have more than the upload: an orientation is written anew.
const ADDED_BYTES: usize = 1024;

/// The bytes of a pixel.
const PIXEL: usize = 4;

/// The outputs of a picture, in their order. Later ones may be missing.
const ORDER: [OutputName; 3] = [OutputName::Original, OutputName::Small, OutputName::Medium];

/// What an encoded variant may have more than its pixels.
const VARIANT_OVERHEAD: usize = 64 * 1024;

/// The longest placeholder.
const MAX_THUMBHASH_BYTES: usize = 25;

/// The signals that end a process for what it did itself: SIGILL, SIGABRT (an allocation failed), SIGBUS, SIGFPE, SIGSEGV,
/// SIGXCPU (its processor time is used up) and SIGXFSZ.
const OWN_SIGNALS: [i32; 7] = [4, 6, 7, 8, 11, 24, 25];

/// Inspects uploads in child processes, a few at a time.
pub struct Decoder {
    program: PathBuf,
    /// One permit for each child that may run for a picture.
    children: Semaphore,
    /// The same for the beginnings of videos and files, which take no time.
    heads: Semaphore,
    /// One permit for each upload that runs or waits.
    places: Semaphore,
}

/// What an inspection found.
#[derive(Debug)]
pub enum Inspection {
    /// The upload may be used.
    Accepted {
        /// The type that was found.
        mime: String,
        /// The width in pixels as displayed, of an image.
        width: Option<u32>,
        /// The height in pixels as displayed, of an image.
        height: Option<u32>,
        /// The placeholder, of an image.
        thumbhash: Option<Vec<u8>>,
        /// What to store. None for a video or a file, which is stored as it came.
        outputs: Vec<Output>,
    },
    /// The upload may not be used.
    Rejected(Rejection),
}

/// What is to be stored of a picture.
#[derive(Debug)]
pub struct Output {
    /// Which one it is.
    pub name: OutputName,
    /// Its type.
    pub mime: String,
    /// Its width in pixels, as displayed.
    pub width: u32,
    /// Its height in pixels, as displayed.
    pub height: u32,
    /// Its bytes.
    pub bytes: Bytes,
}

/// Why there is no result. Both may be tried again.
#[derive(Debug, thiserror::Error)]
pub enum DecoderError {
    /// Too many uploads wait.
    #[error("too many uploads wait for a decoder")]
    Busy,
    /// The child did not start, was killed from outside, took too long, or did not follow the protocol.
    #[error("the decoder failed: {0}")]
    Failed(String),
}

impl From<io::Error> for DecoderError {
    fn from(error: io::Error) -> Self {
        failed(&error.to_string())
    }
}

impl From<serde_json::Error> for DecoderError {
    fn from(error: serde_json::Error) -> Self {
        failed(&error.to_string())
    }
}

impl From<DecodeError> for DecoderError {
    fn from(error: DecodeError) -> Self {
        failed(&error.to_string())
    }
}

fn failed(text: &str) -> DecoderError {
    DecoderError::Failed(text.to_owned())
}

impl Decoder {
    /// A decoder whose children run `program decode`, at most `children` at a time for pictures and for all others.
    pub fn new(program: PathBuf, children: usize) -> Self {
        Self {
            program,
            children: Semaphore::new(children),
            heads: Semaphore::new(children),
            places: Semaphore::new(children + QUEUE),
        }
    }

    /// Inspects an upload of this kind and declared type. Of an image `bytes` is all, of a video or a file the beginning is enough.
    /// Waits while others are inspected. Dropping the future ends the child.
    pub async fn inspect(
        &self,
        kind: MediaKind,
        mime: &str,
        bytes: Bytes,
    ) -> Result<Inspection, DecoderError> {
        let Ok(_place) = self.places.try_acquire() else {
            return Err(DecoderError::Busy);
        };
        let mut upload = bytes;
        let turns = match kind {
            MediaKind::Image => &self.children,
            MediaKind::Video | MediaKind::File => {
                upload.truncate(HEAD_BYTES);
                &self.heads
            }
        };
        let Ok(_turn) = turns.acquire().await else {
            return Err(DecoderError::Busy);
        };
        let request = InspectionRequest {
            kind,
            mime: mime.to_owned(),
        };
        let mut child = self.start()?;
        match timeout(TIME, converse(&mut child, &request, &upload)).await {
            Ok(result) => result,
            Err(_) => {
                child.kill().await?;
                Err(failed("it took too long"))
            }
        }
    }

    /// A child without environment, whose only descriptors are its pipes: the environment of a node has its secrets.
    fn start(&self) -> Result<Child, DecoderError> {
        let mut command = Command::new(&self.program);
        command
            .arg("decode")
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        Ok(command.spawn()?)
    }
}

/// Gives the child the upload, reads its reply, and waits until it has ended.
async fn converse(
    child: &mut Child,
    request: &InspectionRequest,
    upload: &Bytes,
) -> Result<Inspection, DecoderError> {
    let (Some(mut stdin), Some(mut stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(failed("it has no pipes"));
    };
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    let write = async move {
        // A child may end before it has read all.
        let _ = stdin.write_all(&line).await;
        let _ = stdin.write_all(upload).await;
    };
    let read = async {
        let inspection = read_reply(&mut stdout, request.kind, upload.len()).await;
        // A child that still writes would never end.
        drop(stdout);
        inspection
    };
    let ((), inspection) = tokio::join!(write, read);
    let status = child.wait().await?;
    if status.success() {
        inspection
    } else {
        judge(status)
    }
}

/// What the end of a child without success means.
fn judge(status: ExitStatus) -> Result<Inspection, DecoderError> {
    match status.signal() {
        Some(signal) if OWN_SIGNALS.contains(&signal) => {
            Ok(Inspection::Rejected(Rejection::Damaged))
        }
        _ => Err(failed(&status.to_string())),
    }
}

/// Reads the reply and its outputs. None of what it says is believed before it is checked.
async fn read_reply(
    stdout: &mut ChildStdout,
    kind: MediaKind,
    upload: usize,
) -> Result<Inspection, DecoderError> {
    let mut stdout = BufReader::new(stdout);
    let mut line = Vec::new();
    let mut start = (&mut stdout).take(MAX_LINE_BYTES);
    start.read_until(b'\n', &mut line).await?;
    let (mime, width, height, thumbhash, headers) = match serde_json::from_slice(&line)? {
        InspectionReply::Rejected { reason } => return Ok(Inspection::Rejected(reason)),
        InspectionReply::Accepted {
            mime,
            width,
            height,
            thumbhash,
            outputs,
        } => (mime, width, height, thumbhash, outputs),
    };
    let thumbhash = thumbhash.map(|text| STANDARD.decode(text)).transpose()?;
    let hash_bytes = thumbhash.as_ref().map_or(0, Vec::len);
    let shown = headers
        .first()
        .map(|original| (original.width, original.height));
    let names: Vec<_> = headers.iter().map(|output| output.name).collect();
    let is_possible = sniff::is_type_of(kind, &mime)
        && hash_bytes <= MAX_THUMBHASH_BYTES
        && shown.unzip() == (width, height)
        && ORDER.starts_with(&names)
        && names.is_empty() == (kind != MediaKind::Image)
        && headers
            .iter()
            .all(|output| is_possible(output, &mime, upload));
    if !is_possible {
        return Err(failed("its reply is out of bounds"));
    }
    let mut outputs = Vec::new();
    for header in headers {
        let mut bytes = Vec::with_capacity(header.bytes);
        let mut body = (&mut stdout).take(header.bytes as u64);
        if body.read_to_end(&mut bytes).await? != header.bytes {
            return Err(failed("an output is cut off"));
        }
        outputs.push(Output {
            name: header.name,
            mime: header.mime,
            width: header.width,
            height: header.height,
            bytes: bytes.into(),
        });
    }
    if stdout.read(&mut [0]).await? > 0 {
        return Err(failed("more than its outputs came"));
    }
    Ok(Inspection::Accepted {
        mime,
        width,
        height,
        thumbhash,
        outputs,
    })
}

/// Whether an upload of this type and of `upload` bytes can have such an output.
fn is_possible(output: &OutputHeader, mime: &str, upload: usize) -> bool {
    let OutputHeader { width, height, .. } = *output;
    let area = width as usize * height as usize;
    let (side, bytes, has_type) = match output.name {
        OutputName::Original => (MAX_SIDE, upload + ADDED_BYTES, output.mime == mime),
        OutputName::Small | OutputName::Medium => {
            let is_small = output.name == OutputName::Small;
            let side = if is_small { SMALL_SIDE } else { MEDIUM_SIDE };
            let has_type = ["image/jpeg", "image/webp"].contains(&output.mime.as_str());
            (side, area * PIXEL + VARIANT_OVERHEAD, has_type)
        }
    };
    has_type && area > 0 && width.max(height) <= side && output.bytes <= bytes
}
