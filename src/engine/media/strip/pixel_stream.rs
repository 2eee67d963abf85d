//! Where the compressed pixels of a PNG file end. They are inflated for that, and not kept.

use flate2::{Decompress, FlushDecompress, Status};

/// The bytes before and behind what is deflated: the header of zlib, and its checksum, which decoders do not agree to check.
const HEAD: usize = 2;
const TAIL: usize = 4;

const BUFFER: usize = 64 << 10;

/// A stream that comes in parts.
pub struct PixelStream {
    inflate: Decompress,
    buffer: Vec<u8>,
    head: usize,
    tail: usize,
    /// How much more it may inflate to.
    room: u64,
    is_open: bool,
}

impl PixelStream {
    /// A stream of so many bytes of pixels. What it has beyond them does not belong to it.
    pub fn new(bytes: u64) -> Self {
        let mut new = Self {
            inflate: Decompress::new(false),
            buffer: vec![0; BUFFER],
            head: 0,
            tail: 0,
            room: 0,
            is_open: false,
        };
        new.restart(bytes);
        new
    }

    /// Another stream begins.
    pub fn restart(&mut self, bytes: u64) {
        self.inflate.reset(false);
        (self.head, self.tail) = (HEAD, TAIL);
        // With one more, an end right behind the pixels is found.
        self.room = bytes.saturating_add(1);
        self.is_open = true;
    }

    /// How many bytes of the next part belong to the stream; none if they are not deflated.
    pub fn take(&mut self, part: &[u8]) -> Option<usize> {
        let mut at = self.head.min(part.len());
        self.head -= at;
        while self.is_open && at < part.len() {
            let room = usize::try_from(self.room).unwrap_or(BUFFER).min(BUFFER);
            let (read, written) = (self.inflate.total_in(), self.inflate.total_out());
            let output = self.buffer.get_mut(..room)?;
            let none = FlushDecompress::None;
            let status = self
                .inflate
                .decompress(part.get(at..)?, output, none)
                .ok()?;
            at += usize::try_from(self.inflate.total_in() - read).ok()?;
            self.room -= self.inflate.total_out() - written;
            match status {
                Status::StreamEnd => self.is_open = false,
                Status::BufError => return None,
                Status::Ok if self.room == 0 => (self.is_open, self.tail) = (false, 0),
                Status::Ok => {}
            }
        }
        if !self.is_open {
            let tail = self.tail.min(part.len() - at);
            self.tail -= tail;
            at += tail;
        }
        Some(at)
    }
}
