//! Scans the heads of requests on their way to a dispatcher.
//!
//! It records what the dispatcher does not offer: the length of the head, whether the head is all that the client sent, and
//! `Origin` and `X-Request-Id`, for the response to a head that the dispatcher cannot parse. It also masks offers to upgrade the
//! protocol (`Upgrade` becomes `Upgradx`). actix-http 3.20 answers an offer that no service accepts with `connection: upgrade`
//! and closes the connection, and reads the body of a request with `Upgrade: websocket` until the connection ends (not
//! reported; remove this when such a request is handled as one without the offer).
//!
//! Bodies are not scanned. After a write in the middle of a body, its rest may be mistaken for a head only if it begins like
//! one; the masking then changes a letter in a line that cannot occur in JSON.

use memchr::memchr;

/// A header field that is scanned for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Connection,
    Length,
    Coding,
    Upgrade,
    Origin,
    RequestId,
}

impl Field {
    /// The name in lower case, with its colon.
    fn name(self) -> &'static [u8] {
        match self {
            Self::Connection => b"connection:",
            Self::Length => b"content-length:",
            Self::Coding => b"transfer-encoding:",
            // Without its colon: the last letter is masked before the end of the name is known.
            Self::Upgrade => UPGRADE,
            Self::Origin => b"origin:",
            Self::RequestId => b"x-request-id:",
        }
    }
}

/// The name of the header field, and of its option in `Connection`.
const UPGRADE: &[u8] = b"upgrade";

/// The most bytes that are kept of a value.
const MAX_VALUE: usize = 256;

/// The state of the scanner: what the next byte belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ScanState {
    /// Blank lines before a request, or its first byte.
    #[default]
    Start,
    Method,
    Target,
    /// The start of a line, or the blank line at the end.
    LineStart,
    /// A name that matches this field for this many letters.
    Name(Field, u8),
    /// The value of `Connection`, of which the last letters match this many of [`UPGRADE`].
    ConnectionOptions(u8),
    /// The value of a recorded field.
    Value(Field),
    /// The rest of a line that is not needed.
    SkipLine,
    /// A body, or bytes that are not HTTP.
    Body,
}

/// The heads that were read since the last write.
#[derive(Debug, Default)]
pub(in crate::http) struct RequestHeads {
    state: ScanState,
    length: u32,
    /// A head was read to its end.
    has_head: bool,
    /// No other request was in flight when the head began.
    is_alone: bool,
    /// The head announces a body.
    has_body: bool,
    /// The head was read to its end, and no byte followed.
    is_only: bool,
    /// The recorded values. Boxed, because thousands of idle connections have none.
    values: Option<Box<Values>>,
}

/// The values of the recorded fields.
#[derive(Debug, Default)]
struct Values {
    origin: Vec<u8>,
    request_id: Vec<u8>,
}

impl RequestHeads {
    /// Scans bytes that were read. `is_idle`: no other request is in flight.
    pub(in crate::http) fn scan(&mut self, mut bytes: &mut [u8], is_idle: bool) {
        while !bytes.is_empty() {
            let end = match self.state {
                ScanState::Body => {
                    self.is_only = false;
                    return;
                }
                ScanState::SkipLine => {
                    let line = memchr(b'\n', bytes);
                    if line.is_some() {
                        self.state = ScanState::LineStart;
                    }
                    let end = line.map_or(bytes.len(), |at| at + 1);
                    self.length = self
                        .length
                        .saturating_add(u32::try_from(end).unwrap_or(u32::MAX));
                    end
                }
                _ => {
                    if self.state == ScanState::Start {
                        *self = Self {
                            has_head: self.has_head,
                            is_alone: is_idle && !self.has_head,
                            ..Self::default()
                        };
                    }
                    if let Some(byte) = bytes.first_mut() {
                        self.step(byte);
                    }
                    1
                }
            };
            bytes = bytes.split_at_mut(end).1;
        }
    }

    fn step(&mut self, byte: &mut u8) {
        self.length += 1;
        let letter = byte.to_ascii_lowercase();
        self.state = match self.state {
            ScanState::Start if matches!(letter, b'\r' | b'\n') => ScanState::Start,
            ScanState::Start | ScanState::Method if byte.is_ascii_uppercase() => ScanState::Method,
            ScanState::Method if letter == b' ' => ScanState::Target,
            ScanState::Target if matches!(letter, b'/' | b'*' | b'h') => ScanState::SkipLine,
            ScanState::Start | ScanState::Method | ScanState::Target | ScanState::Body => {
                ScanState::Body
            }
            ScanState::LineStart if letter == b'\n' => {
                self.has_head = true;
                self.is_only = self.is_alone;
                if self.has_body {
                    ScanState::Body
                } else {
                    ScanState::Start
                }
            }
            _ if letter == b'\n' => ScanState::LineStart,
            ScanState::LineStart => match letter {
                b'\r' => ScanState::LineStart,
                b'c' => ScanState::Name(Field::Connection, 1),
                b'u' => ScanState::Name(Field::Upgrade, 1),
                b'o' => ScanState::Name(Field::Origin, 1),
                b't' => ScanState::Name(Field::Coding, 1),
                b'x' => ScanState::Name(Field::RequestId, 1),
                _ => ScanState::SkipLine,
            },
            ScanState::Name(Field::Connection, 3) if letter == b't' => {
                ScanState::Name(Field::Length, 4)
            }
            ScanState::Name(field, matched) => match match_letter(field.name(), matched, letter) {
                Match::None => ScanState::SkipLine,
                Match::Prefix => ScanState::Name(field, matched + 1),
                Match::Complete => self.begin_value(field, byte),
            },
            ScanState::ConnectionOptions(matched) => match match_letter(UPGRADE, matched, letter) {
                Match::None => ScanState::ConnectionOptions(u8::from(letter == b'u')),
                Match::Prefix => ScanState::ConnectionOptions(matched + 1),
                Match::Complete => {
                    *byte = b'x';
                    ScanState::ConnectionOptions(0)
                }
            },
            ScanState::Value(field) => {
                self.keep(field, *byte);
                ScanState::Value(field)
            }
            ScanState::SkipLine => ScanState::SkipLine,
        };
    }

    /// The name of a field was read to its end.
    fn begin_value(&mut self, field: Field, byte: &mut u8) -> ScanState {
        match field {
            Field::Connection => ScanState::ConnectionOptions(0),
            Field::Upgrade => {
                *byte = b'x';
                ScanState::SkipLine
            }
            Field::Length | Field::Coding => {
                self.has_body = true;
                ScanState::SkipLine
            }
            Field::Origin | Field::RequestId => {
                // Repeated fields are joined by a comma.
                self.keep(field, b',');
                ScanState::Value(field)
            }
        }
    }

    fn keep(&mut self, field: Field, byte: u8) {
        let values = self.values.get_or_insert_default();
        let value = match field {
            Field::Origin => &mut values.origin,
            _ => &mut values.request_id,
        };
        if byte != b'\r' && value.len() < MAX_VALUE {
            value.push(byte);
        }
    }

    /// After a write: the heads before it belong to answered requests.
    pub(in crate::http) fn on_write(&mut self) {
        if !self.is_incomplete() {
            *self = Self::default();
        }
    }

    /// The length of the head, if it is all that was read since the last write, and no other request was in flight.
    pub(in crate::http) fn only_length(&self) -> Option<usize> {
        let length = usize::try_from(self.length).unwrap_or(usize::MAX);
        self.is_only.then_some(length)
    }

    /// Whether a head has arrived only in part.
    pub(in crate::http) fn is_incomplete(&self) -> bool {
        !matches!(self.state, ScanState::Start | ScanState::Body)
    }

    /// The value of `Origin`; several are joined by commas.
    pub(in crate::http) fn origin(&self) -> &[u8] {
        self.values
            .as_ref()
            .map_or(b"", |values| value(&values.origin))
    }

    /// The value of `X-Request-Id`.
    pub(in crate::http) fn request_id(&self) -> &[u8] {
        self.values
            .as_ref()
            .map_or(b"", |values| value(&values.request_id))
    }
}

fn value(kept: &[u8]) -> &[u8] {
    kept.strip_prefix(b",").unwrap_or(kept).trim_ascii()
}

enum Match {
    None,
    Prefix,
    Complete,
}

/// Whether the letter continues a word of which `matched` letters were read.
fn match_letter(word: &[u8], matched: u8, letter: u8) -> Match {
    let at = usize::from(matched);
    if word.get(at) != Some(&letter) {
        Match::None
    } else if at + 1 < word.len() {
        Match::Prefix
    } else {
        Match::Complete
    }
}

#[cfg(test)]
mod tests {
    use super::RequestHeads;

    const OFFER: &str = "POST /v1/x HTTP/1.1\r\nConnection: keep-alive, Upgrade, HTTP2-Settings\r\nOrigin:  https://a.example\r\n\
        X-Request-Id: one\r\nUpgrade: h2c\r\nContent-Length: 7\r\nX-Upgrade: upgrade\r\nOrigins: x\r\n\r\n";

    /// Scans bytes in pieces of a size.
    fn scan(heads: &mut RequestHeads, text: &str, size: usize) -> String {
        let mut bytes = text.as_bytes().to_vec();
        for piece in bytes.chunks_mut(size) {
            heads.scan(piece, true);
        }
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn upgrade_offers_are_masked_at_every_split() {
        for size in 1..=OFFER.len() {
            let mut heads = RequestHeads::default();
            let seen = scan(&mut heads, OFFER, size);
            let expected = OFFER
                .replace("e, Upgrade,", "e, Upgradx,")
                .replace("\nUpgrade:", "\nUpgradx:");
            assert_eq!(seen, expected, "{size}");
            assert_eq!(heads.only_length(), Some(OFFER.len()), "{size}");
            assert_eq!(heads.origin(), b"https://a.example");
            assert_eq!(heads.request_id(), b"one");
            // Not in the body.
            assert_eq!(
                scan(&mut heads, "\nUpgrade: h2c\n", size),
                "\nUpgrade: h2c\n"
            );
            assert_eq!(heads.only_length(), None, "{size}");
        }
    }

    #[test]
    fn only_length_requires_one_complete_head_and_nothing_else() {
        let get = "GET /v1/me HTTP/1.1\r\nHost: x\r\n\r\n";
        for (text, length) in [
            (get.to_owned(), Some(get.len())),
            (format!("\r\n{get}"), Some(get.len())),
            (get.replace("\r\n\r\n", "\n\n"), Some(get.len() - 2)),
            (get.replace("\r\n\r\n", "\n\r\n"), Some(get.len() - 1)),
            (get.replace("\r\n\r\n", "\r\n\n"), Some(get.len() - 1)),
            (format!("{get}{get}"), None),
            (format!("{get}{}", &get[..9]), None),
            (format!("{get}\n"), None),
            (get[..get.len() - 1].to_owned(), None),
            ("5\r\nhello\r\n\r\n".to_owned(), None),
        ] {
            for size in 1..=text.len() {
                let mut heads = RequestHeads::default();
                scan(&mut heads, &text, size);
                assert_eq!(heads.only_length(), length, "{text:?} {size}");
            }
        }
        let mut heads = RequestHeads::default();
        heads.scan(&mut get.as_bytes().to_vec(), false);
        assert_eq!(heads.only_length(), None);
        heads.on_write();
        heads.scan(&mut get.as_bytes().to_vec(), true);
        assert_eq!(heads.only_length(), Some(get.len()));
    }

    #[test]
    fn values_belong_to_the_last_head() {
        let mut heads = RequestHeads::default();
        let get = "GET / HTTP/1.1\r\nOrigin: https://a.example\r\n\r\n";
        scan(&mut heads, &get.repeat(2), 5);
        assert_eq!(heads.origin(), b"https://a.example");
        assert_eq!(heads.request_id(), b"");
        scan(
            &mut heads,
            "GET / HTTP/1.1\r\nOrigin: x\r\nOrigin: y\r\n",
            5,
        );
        assert_eq!(heads.origin(), b"x, y");
        heads.on_write();
        assert_eq!(heads.origin(), b"x, y");
    }

    #[test]
    fn pipelined_heads_are_scanned_until_a_body() {
        let get = "GET /v1/me HTTP/1.1\r\nUpgrade: h2c\r\n\r\n";
        let mut heads = RequestHeads::default();
        let seen = scan(&mut heads, &get.repeat(2), 5);
        assert_eq!(seen.matches("Upgradx").count(), 2);
        assert!(!heads.is_incomplete());
        scan(&mut heads, &get[..30], 5);
        // The earlier requests are answered, and the last head is incomplete.
        heads.on_write();
        assert!(heads.is_incomplete());
        for body in ["Content-Length: 9", "Transfer-Encoding: chunked"] {
            let mut heads = RequestHeads::default();
            let post = format!("POST / HTTP/1.1\r\n{body}\r\n\r\n");
            let seen = scan(&mut heads, &(post.clone() + get), 5);
            assert_eq!(seen, post + get);
        }
    }

    #[test]
    fn bytes_after_a_write_are_a_head_only_if_they_begin_like_one() {
        for body in [
            "A\r\nupgrade it\r\n",
            "upgrade",
            "HELLO upgrade\nupgrade",
            "\u{1}\nupgrade",
        ] {
            let mut heads = RequestHeads::default();
            heads.on_write();
            assert_eq!(scan(&mut heads, body, 1), body);
        }
        // A write in the middle of a head does not end it.
        let mut heads = RequestHeads::default();
        let (before, after) = OFFER.split_at(30);
        scan(&mut heads, before, 7);
        heads.on_write();
        assert!(!scan(&mut heads, after, 7).contains("Upgrade,"));
    }
}
