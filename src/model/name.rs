//! Display names of users, groups and devices.

use crate::model::validators::chars;
use serde::Deserialize;
use std::ops::RangeInclusive;

/// A name as typed, trimmed. [`is_name`] validates it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub struct Name(String);

impl From<String> for Name {
    fn from(typed: String) -> Self {
        Self(typed.trim().to_owned())
    }
}

impl From<Name> for String {
    fn from(Name(text): Name) -> Self {
        text
    }
}

/// A validator: at most `most` characters, none that changes how a line is displayed, and at least one visible.
pub fn is_name(most: usize) -> impl Fn(&Name, &()) -> garde::Result {
    move |Name(text), ()| {
        chars(1..=most)(text, &())?;
        if text.chars().any(misleads) {
            return Err(garde::Error::new(
                "must not contain control characters, line breaks, U+202D or U+202E",
            ));
        }
        if text.chars().all(is_invisible) {
            return Err(garde::Error::new("must contain something visible"));
        }
        Ok(())
    }
}

/// Control characters, line and paragraph separators, and directional overrides. Directional isolates and marks are allowed:
/// phones add them to names, and right-to-left scripts need them.
fn misleads(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202d}' | '\u{202e}')
}

/// White space, default ignorable code points, annotation marks, and the Braille blank.
fn is_invisible(c: char) -> bool {
    const INVISIBLE: [RangeInclusive<char>; 19] = [
        '\u{ad}'..='\u{ad}',
        '\u{34f}'..='\u{34f}',
        '\u{61c}'..='\u{61c}',
        '\u{115f}'..='\u{1160}',
        '\u{17b4}'..='\u{17b5}',
        '\u{180b}'..='\u{180f}',
        '\u{200b}'..='\u{200f}',
        '\u{202a}'..='\u{202e}',
        '\u{2060}'..='\u{206f}',
        '\u{2800}'..='\u{2800}',
        '\u{3164}'..='\u{3164}',
        '\u{fe00}'..='\u{fe0f}',
        '\u{feff}'..='\u{feff}',
        '\u{ffa0}'..='\u{ffa0}',
        '\u{fff0}'..='\u{fffb}',
        '\u{1bca0}'..='\u{1bca3}',
        '\u{1d159}'..='\u{1d159}',
        '\u{1d173}'..='\u{1d17a}',
        '\u{e0000}'..='\u{e0fff}',
    ];
    c.is_whitespace() || INVISIBLE.iter().any(|range| range.contains(&c))
}
