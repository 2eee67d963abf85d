//! What is wrong with an input, and where.

use serde::Serialize;
use std::borrow::Cow;
use utoipa::ToSchema;

/// How many bytes of what a client sent an answer or a line of the log repeats at most.
const MAX_REPEATED: usize = 256;

/// The beginning of a text that a client sent, cut between two characters: what is told of a request does not grow with it.
pub fn cut(text: &str) -> Cow<'_, str> {
    const MARK: &str = "…";
    if text.len() <= MAX_REPEATED {
        return Cow::Borrowed(text);
    }
    let mut end = MAX_REPEATED - MARK.len();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Cow::Owned(format!("{}{MARK}", text.get(..end).unwrap_or_default()))
}

/// One fault of an input: where it is (an RFC 6901 pointer into the body, or the name of a parameter) and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Violation {
    /// JSON pointer into the body (`/content/text`; empty: the whole body), or the name of the query or path parameter. Cut
    /// at 256 bytes.
    #[schema(example = "/content/text")]
    pointer: String,
    /// What is wrong, in a sentence for people whose subject is the place. Cut at 256 bytes.
    #[schema(example = "must be 1 to 16384 bytes long")]
    detail: String,
}

impl Violation {
    /// A fault at a place.
    pub fn new(pointer: &str, detail: impl AsRef<str>) -> Self {
        Self {
            pointer: cut(pointer).into_owned(),
            detail: cut(detail.as_ref()).into_owned(),
        }
    }

    /// The same fault, seen from a place further out.
    pub fn inside(&self, prefix: &str) -> Self {
        Self::new(&format!("{prefix}{}", self.pointer), &self.detail)
    }

    /// The whole sentence, with the place as its subject.
    pub fn sentence(&self) -> String {
        let place = match self.pointer.trim_start_matches('/') {
            "" => "the body",
            place => place,
        };
        cut(&format!("{place} {}", self.detail)).into_owned()
    }

    /// The faults that a garde report lists, their paths turned into pointers below `prefix`.
    pub fn from_report(prefix: &str, report: &garde::Report) -> Vec<Self> {
        report
            .iter()
            .map(|(path, error)| {
                let path = path.to_string().replace(['.', '['], "/").replace(']', "");
                let pointer = if path.is_empty() {
                    prefix.to_owned()
                } else {
                    format!("{prefix}/{path}")
                };
                Self::new(&pointer, error.message())
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_REPEATED, Violation, cut};

    #[test]
    fn what_is_repeated_is_cut_between_two_characters() {
        let longest = "x".repeat(MAX_REPEATED);
        assert_eq!(cut(&longest), longest);
        for character in ["x", "é", "€", "👋"] {
            for before in 0..4 {
                let text = "-".repeat(before) + &character.repeat(MAX_REPEATED + 1);
                let cut = cut(&text);
                let kept = cut.strip_suffix('…').unwrap();
                assert!(text.starts_with(kept) && cut.len() <= MAX_REPEATED, "{cut}");
                assert!(cut.len() > MAX_REPEATED - 4, "{cut}");
            }
        }
        let fault = Violation::new(&"/x".repeat(1_000), "y".repeat(1_000));
        let fault = fault.inside("/messages/1");
        for part in [&fault.pointer, &fault.detail, &fault.sentence()] {
            assert!(part.len() <= MAX_REPEATED, "{part}");
        }
    }

    #[test]
    fn the_sentence_has_the_place_as_its_subject() {
        let sentence = |pointer| Violation::new(pointer, "is required").sentence();
        assert_eq!(sentence("/content/text"), "content/text is required");
        assert_eq!(sentence("since_seq"), "since_seq is required");
        assert_eq!(sentence(""), "the body is required");
    }
}
