//! The child's side: inspects one upload and writes what is to be stored.

use rlimit::Resource;
use std::io::{self, BufRead, Write};

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
pub fn run(_input: impl BufRead, _output: impl Write) -> io::Result<()> {
    Ok(())
}
