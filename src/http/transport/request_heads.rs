//! The heads of requests, as they pass on their way to a dispatcher.
//!
//! Nothing is kept of them but what cannot be asked for later: how long the head is, whether it is all that was sent, and who
//! asks, for the answer to a head that the dispatcher cannot read. One thing is changed: an offer to change the protocol is
//! made unknown. actix-http 3.20 says `connection: upgrade` in its answer to an offer that nobody takes and closes the
//! connection, and reads the body of a request with `Upgrade: websocket` until the connection ends (not reported; this goes
//! when such a request is answered as one without the offer).
//!
//! A body is never looked at. After a write that came in the middle of one, its rest may be taken for a head only where it
//! begins like one; and what is changed then is a letter in a line that no JSON can have.

use memchr::memchr;

/// A field that is looked for.
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
    /// Its name, in lower case.
    fn name(self) -> &'static [u8] {
        match self {
            Self::Connection => b"connection:",
            Self::Length => b"content-length:",
            Self::Coding => b"transfer-encoding:",
            // Without its colon: the last letter is changed before it is known whether the name goes on.
            Self::Upgrade => UPGRADE,
            Self::Origin => b"origin:",
            Self::RequestId => b"x-request-id:",
        }
    }
}

/// The name of an offer, and of the option that points to it.
const UPGRADE: &[u8] = b"upgrade";

/// The most that is kept of a field.
const VALUE: usize = 256;

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// Nothing yet, or blank lines before a request.
    #[default]
    Before,
    Method,
    Target,
    /// The beginning of a line, or the blank one at the end.
    Line,
    /// A name, which is that of this field for so many letters.
    Name(Field, u8),
    /// The options of the connection, with so many letters of an offer.
    Options(u8),
    /// The value of a field that is kept.
    Value(Field),
    /// The rest of a line that nobody needs.
    Rest,
    /// A body, or what is no HTTP.
    Beyond,
}

/// What has passed since something was written.
#[derive(Debug, Default)]
pub(in crate::http) struct Heads {
    place: Place,
    length: u32,
    /// A head has ended.
    has_passed: bool,
    /// No other request was under way when the head began.
    is_alone: bool,
    /// The head tells of a body.
    has_body: bool,
    /// The head has ended, and nothing has followed.
    is_whole: bool,
    /// What is known of who asks. There are thousands of connections that nobody asks on: it has a box of its own.
    values: Option<Box<Values>>,
}

/// The values of fields that are kept.
#[derive(Debug, Default)]
struct Values {
    origin: Vec<u8>,
    request_id: Vec<u8>,
}

impl Heads {
    /// Looks at what was read. `is_idle`: no other request is under way.
    pub(in crate::http) fn follow(&mut self, mut bytes: &mut [u8], is_idle: bool) {
        while !bytes.is_empty() {
            let end = match self.place {
                Place::Beyond => {
                    self.is_whole = false;
                    return;
                }
                Place::Rest => {
                    let line = memchr(b'\n', bytes);
                    if line.is_some() {
                        self.place = Place::Line;
                    }
                    let end = line.map_or(bytes.len(), |at| at + 1);
                    self.length = self
                        .length
                        .saturating_add(u32::try_from(end).unwrap_or(u32::MAX));
                    end
                }
                _ => {
                    if self.place == Place::Before {
                        *self = Self {
                            has_passed: self.has_passed,
                            is_alone: is_idle && !self.has_passed,
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
        self.place = match self.place {
            Place::Before if matches!(letter, b'\r' | b'\n') => Place::Before,
            Place::Before | Place::Method if byte.is_ascii_uppercase() => Place::Method,
            Place::Method if letter == b' ' => Place::Target,
            Place::Target if matches!(letter, b'/' | b'*' | b'h') => Place::Rest,
            Place::Before | Place::Method | Place::Target | Place::Beyond => Place::Beyond,
            Place::Line if letter == b'\n' => {
                self.has_passed = true;
                self.is_whole = self.is_alone;
                if self.has_body {
                    Place::Beyond
                } else {
                    Place::Before
                }
            }
            _ if letter == b'\n' => Place::Line,
            Place::Line => match letter {
                b'\r' => Place::Line,
                b'c' => Place::Name(Field::Connection, 1),
                b'u' => Place::Name(Field::Upgrade, 1),
                b'o' => Place::Name(Field::Origin, 1),
                b't' => Place::Name(Field::Coding, 1),
                b'x' => Place::Name(Field::RequestId, 1),
                _ => Place::Rest,
            },
            Place::Name(Field::Connection, 3) if letter == b't' => Place::Name(Field::Length, 4),
            Place::Name(field, so_far) => match fits(field.name(), so_far, letter) {
                Fit::Not => Place::Rest,
                Fit::SoFar => Place::Name(field, so_far + 1),
                Fit::Whole => self.begin(field, byte),
            },
            Place::Options(so_far) => match fits(UPGRADE, so_far, letter) {
                Fit::Not => Place::Options(u8::from(letter == b'u')),
                Fit::SoFar => Place::Options(so_far + 1),
                Fit::Whole => {
                    *byte = b'x';
                    Place::Options(0)
                }
            },
            Place::Value(field) => {
                self.keep(field, *byte);
                Place::Value(field)
            }
            Place::Rest => Place::Rest,
        };
    }

    /// The name of a field has ended.
    fn begin(&mut self, field: Field, byte: &mut u8) -> Place {
        match field {
            Field::Connection => Place::Options(0),
            Field::Upgrade => {
                *byte = b'x';
                Place::Rest
            }
            Field::Length | Field::Coding => {
                self.has_body = true;
                Place::Rest
            }
            Field::Origin | Field::RequestId => {
                // Between several there is a comma.
                self.keep(field, b',');
                Place::Value(field)
            }
        }
    }

    fn keep(&mut self, field: Field, byte: u8) {
        let values = self.values.get_or_insert_default();
        let value = match field {
            Field::Origin => &mut values.origin,
            _ => &mut values.request_id,
        };
        if byte != b'\r' && value.len() < VALUE {
            value.push(byte);
        }
    }

    /// Something was written: what has passed before is answered, or a part of it.
    pub(in crate::http) fn written(&mut self) {
        if !self.is_within() {
            *self = Self::default();
        }
    }

    /// The length of the head that has passed, when it is all that has passed since something was written, and nothing was
    /// under way before.
    pub(in crate::http) fn only(&self) -> Option<usize> {
        let length = usize::try_from(self.length).unwrap_or(usize::MAX);
        self.is_whole.then_some(length)
    }

    /// Whether a part of a head has passed, and the rest has not.
    pub(in crate::http) fn is_within(&self) -> bool {
        !matches!(self.place, Place::Before | Place::Beyond)
    }

    /// The value of `Origin`; several have a comma between them.
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

enum Fit {
    Not,
    SoFar,
    Whole,
}

/// Whether a word goes on with a letter after so many.
fn fits(word: &[u8], so_far: u8, letter: u8) -> Fit {
    let at = usize::from(so_far);
    if word.get(at) != Some(&letter) {
        Fit::Not
    } else if at + 1 < word.len() {
        Fit::SoFar
    } else {
        Fit::Whole
    }
}

#[cfg(test)]
mod tests {
    use super::Heads;

    const OFFER: &str = "POST /v1/x HTTP/1.1\r\nConnection: keep-alive, Upgrade, HTTP2-Settings\r\nOrigin:  https://a.example\r\n\
        X-Request-Id: one\r\nUpgrade: h2c\r\nContent-Length: 7\r\nX-Upgrade: upgrade\r\nOrigins: x\r\n\r\n";

    /// Follows bytes in pieces of a size.
    fn follow(heads: &mut Heads, text: &str, size: usize) -> String {
        let mut bytes = text.as_bytes().to_vec();
        for piece in bytes.chunks_mut(size) {
            heads.follow(piece, true);
        }
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn an_offer_is_made_unknown_wherever_the_head_is_cut() {
        for size in 1..=OFFER.len() {
            let mut heads = Heads::default();
            let seen = follow(&mut heads, OFFER, size);
            let expected = OFFER
                .replace("e, Upgrade,", "e, Upgradx,")
                .replace("\nUpgrade:", "\nUpgradx:");
            assert_eq!(seen, expected, "{size}");
            assert_eq!(heads.only(), Some(OFFER.len()), "{size}");
            assert_eq!(heads.origin(), b"https://a.example");
            assert_eq!(heads.request_id(), b"one");
            // Not in the body, whatever it is.
            assert_eq!(
                follow(&mut heads, "\nUpgrade: h2c\n", size),
                "\nUpgrade: h2c\n"
            );
            assert_eq!(heads.only(), None, "{size}");
        }
    }

    #[test]
    fn only_a_whole_head_with_nothing_around_it_is_alone() {
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
                let mut heads = Heads::default();
                follow(&mut heads, &text, size);
                assert_eq!(heads.only(), length, "{text:?} {size}");
            }
        }
        let mut heads = Heads::default();
        heads.follow(&mut get.as_bytes().to_vec(), false);
        assert_eq!(heads.only(), None);
        heads.written();
        heads.follow(&mut get.as_bytes().to_vec(), true);
        assert_eq!(heads.only(), Some(get.len()));
    }

    #[test]
    fn values_are_those_of_the_last_head() {
        let mut heads = Heads::default();
        let get = "GET / HTTP/1.1\r\nOrigin: https://a.example\r\n\r\n";
        follow(&mut heads, &get.repeat(2), 5);
        assert_eq!(heads.origin(), b"https://a.example");
        assert_eq!(heads.request_id(), b"");
        follow(
            &mut heads,
            "GET / HTTP/1.1\r\nOrigin: x\r\nOrigin: y\r\n",
            5,
        );
        assert_eq!(heads.origin(), b"x, y");
        heads.written();
        assert_eq!(heads.origin(), b"x, y");
    }

    #[test]
    fn heads_follow_one_another_where_there_is_no_body() {
        let get = "GET /v1/me HTTP/1.1\r\nUpgrade: h2c\r\n\r\n";
        let mut heads = Heads::default();
        let seen = follow(&mut heads, &get.repeat(2), 5);
        assert_eq!(seen.matches("Upgradx").count(), 2);
        assert!(!heads.is_within());
        follow(&mut heads, &get[..30], 5);
        // What came before is answered, and the last head is still to come.
        heads.written();
        assert!(heads.is_within());
        for body in ["Content-Length: 9", "Transfer-Encoding: chunked"] {
            let mut heads = Heads::default();
            let post = format!("POST / HTTP/1.1\r\n{body}\r\n\r\n");
            let seen = follow(&mut heads, &(post.clone() + get), 5);
            assert_eq!(seen, post + get);
        }
    }

    #[test]
    fn what_follows_a_write_is_a_head_only_if_it_begins_like_one() {
        for body in [
            "A\r\nupgrade it\r\n",
            "upgrade",
            "HELLO upgrade\nupgrade",
            "\u{1}\nupgrade",
        ] {
            let mut heads = Heads::default();
            heads.written();
            assert_eq!(follow(&mut heads, body, 1), body);
        }
        // A write in the middle of a head does not end it.
        let mut heads = Heads::default();
        let (before, after) = OFFER.split_at(30);
        follow(&mut heads, before, 7);
        heads.written();
        assert!(!follow(&mut heads, after, 7).contains("Upgrade,"));
    }
}
