//! Violations: errors of an input with their place.

use serde::Serialize;
use std::borrow::Cow;
use utoipa::ToSchema;

/// The most bytes of a client's text that a response or a log line repeats.
const MAX_REPEATED: usize = 256;

/// The beginning of a client's text, cut between two characters, so that responses and log lines stay short.
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

/// One error of an input: its place (an RFC 6901 pointer into the body, or the name of a parameter) and a description.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Violation {
    /// JSON pointer into the body (`/content/text`; empty: the whole body), or the name of the query or path parameter. Cut
    /// at 256 bytes.
    #[schema(example = "/content/text")]
    pointer: String,
    /// What is wrong, as the rest of a sentence whose subject is the place. Cut at 256 bytes.
    #[schema(example = "must be 1 to 16384 bytes long")]
    detail: String,
}

impl Violation {
    /// An error at a place.
    pub fn new(pointer: &str, detail: impl AsRef<str>) -> Self {
        Self {
            pointer: cut(pointer).into_owned(),
            detail: cut(detail.as_ref()).into_owned(),
        }
    }

    /// The same error, with its place below `prefix`.
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

    /// The errors of a garde report, with their paths as pointers below `prefix`.
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
    fn repeated_text_is_cut_between_two_characters() {
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
