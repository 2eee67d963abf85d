//! The child's side: inspects one upload and writes what is to be stored.

use crate::engine::media::protocol::{
    HEAD_BYTES, InspectionReply, InspectionRequest, MAX_LINE_BYTES, MAX_SIDE, OutputName, Rejection,
};
use crate::engine::media::sniff;
use crate::engine::media::strip::{self, Stripped};
use crate::engine::media::variants::{self, Variant};
use crate::model::wire::media::MediaKind;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::metadata::Orientation;
use image::{ImageDecoder, ImageFormat, ImageReader};
use rlimit::Resource;
use std::io::{self, BufRead, Cursor, Read, Write};
use std::{iter, panic};

/// The most pixels of a picture.
const MAX_PIXELS: u64 = 50_000_000;

/// The most bytes that a decoded picture takes.
const MAX_BYTES: u64 = 256 << 20;

/// The same with what its decoder holds beside it.
const MAX_DECODING_BYTES: u64 = 384 << 20;

/// The most bytes of an image that a node accepts by default.
const USUAL_BYTES: usize = 32 << 20;

/// The memory of a child. The largest picture that is accepted needs less.
const MEMORY_BYTES: u64 = 512 << 20;

/// The processor time of a child, in seconds. Less than the time after which the node kills it, so that a picture that takes too
/// much is known as such.
const CPU_SECONDS: u64 = 8;

/// The descriptors of a child: its input, its output, and a third that leads nowhere.
const DESCRIPTORS: u64 = 3;

/// Limits this process to what a decoder needs. A limit that is lower already stays.
pub fn confine() -> io::Result<()> {
    let limits = [
        // Other systems count differently, or refuse.
        (Resource::AS, MEMORY_BYTES, cfg!(target_os = "linux")),
        (Resource::NOFILE, DESCRIPTORS, true),
        (Resource::CORE, 0, true),
        (Resource::FSIZE, 0, true),
    ];
    for (resource, limit, _) in limits.into_iter().filter(|(_, _, applies)| *applies) {
        let limit = limit.min(resource.get_hard()?);
        resource.set(limit, limit)?;
    }
    // At the soft limit the signal says that it is this limit; at the hard one the process is killed without a reason.
    let hard = Resource::CPU.get_hard()?;
    Resource::CPU.set(CPU_SECONDS.min(hard), (CPU_SECONDS + 2).min(hard))
}

/// Reads a request and an upload, writes a reply and the outputs.
pub fn run(mut input: impl BufRead, mut output: impl Write) -> io::Result<()> {
    let mut line = Vec::new();
    let mut start = (&mut input).take(MAX_LINE_BYTES);
    start.read_until(b'\n', &mut line)?;
    let request: InspectionRequest = serde_json::from_slice(&line)?;
    // Reserved before, since a vector that grows is twice in memory. What is not used is not taken.
    let mut upload = Vec::with_capacity(match request.kind {
        MediaKind::Image => USUAL_BYTES,
        MediaKind::Video | MediaKind::File => HEAD_BYTES,
    });
    input.read_to_end(&mut upload)?;
    // A decoder that panics would do so again.
    let inspected = panic::catch_unwind(|| inspect(&request, upload));
    let (reply, bodies) = inspected
        .unwrap_or(Err(Rejection::Damaged))
        .unwrap_or_else(|reason| (InspectionReply::Rejected { reason }, Vec::new()));
    serde_json::to_writer(&mut output, &reply)?;
    output.write_all(b"\n")?;
    for body in bodies {
        output.write_all(&body)?;
    }
    output.flush()
}

/// The reply, and the bytes of its outputs.
type Inspected = Result<(InspectionReply, Vec<Vec<u8>>), Rejection>;

fn inspect(request: &InspectionRequest, upload: Vec<u8>) -> Inspected {
    let found = match request.kind {
        MediaKind::Image => return inspect_picture(&request.mime, upload),
        MediaKind::Video => sniff::video(&upload, &request.mime).ok_or(Rejection::Type)?,
        MediaKind::File => sniff::file(&upload, &request.mime),
    };
    let reply = InspectionReply::Accepted {
        mime: found.to_owned(),
        width: None,
        height: None,
        thumbhash: None,
        outputs: Vec::new(),
    };
    Ok((reply, Vec::new()))
}

fn inspect_picture(declared: &str, upload: Vec<u8>) -> Inspected {
    let (format, mime) = sniff::picture(&upload, declared).ok_or(Rejection::Type)?;
    let stripped = strip::strip(format, &upload).ok_or(Rejection::Damaged)?;
    drop(upload);
    let Header {
        width,
        height,
        profile,
    } = read_header(format, &stripped)?;
    let picture = image::load_from_memory_with_format(&stripped.bytes, format).ok();
    let is_heavy = stripped.bytes.len() > variants::LIGHT;
    let derived = picture.and_then(|picture| {
        variants::derive(picture, stripped.orientation, is_heavy, profile.as_deref())
    });
    let derived = derived.ok_or(Rejection::Damaged)?;
    let (width, height) = match stripped.orientation {
        Orientation::Rotate90
        | Orientation::Rotate270
        | Orientation::Rotate90FlipH
        | Orientation::Rotate270FlipH => (height, width),
        _ => (width, height),
    };
    let original = Variant {
        name: OutputName::Original,
        mime,
        width,
        height,
        bytes: stripped.bytes,
    };
    let outputs = iter::once(original).chain(derived.variants);
    let (headers, bodies) = outputs.map(Variant::split).unzip();
    let reply = InspectionReply::Accepted {
        mime: mime.to_owned(),
        width: Some(width),
        height: Some(height),
        thumbhash: Some(STANDARD.encode(derived.thumbhash)),
        outputs: headers,
    };
    Ok((reply, bodies))
}

/// What is known of a picture before it is decoded.
struct Header {
    /// The width as stored.
    width: u32,
    /// The height as stored.
    height: u32,
    /// The ICC profile, if the variants are to have it.
    profile: Option<Vec<u8>>,
}

/// A picture that is too large is refused by its header, before memory is reserved for it.
fn read_header(format: ImageFormat, stripped: &Stripped) -> Result<Header, Rejection> {
    let reader = ImageReader::with_format(Cursor::new(&stripped.bytes), format);
    let Ok(mut header) = reader.into_decoder() else {
        return Err(Rejection::Damaged);
    };
    let (width, height) = header.dimensions();
    // `Limits::max_alloc` of the crate did not stop a picture of 392 MB.
    let bytes = header.total_bytes();
    let pixels = u64::from(width) * u64::from(height);
    let fits = width.max(height) <= MAX_SIDE
        && pixels <= MAX_PIXELS
        && bytes <= MAX_BYTES
        && bytes + stripped.working_bytes <= MAX_DECODING_BYTES;
    if !fits {
        return Err(Rejection::Dimensions);
    }
    let profile = header.icc_profile().ok().flatten();
    Ok(Header {
        width,
        height,
        profile: profile.filter(|profile| variants::takes(profile)),
    })
}
