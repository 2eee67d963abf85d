//! Names for people to read: of users, groups and devices.

use crate::model::validators::chars;
use serde::Deserialize;
use std::ops::RangeInclusive;

/// A name as typed, without the white space around it. [`is_name`] says whether it is a good one.
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

/// A name of at most so many characters, without what makes a line look like another one, and with something to be seen.
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

/// Control characters, the line and paragraph separators, and the overrides that turn the text after them around. Isolates
/// and marks are fine: phones put them into names, and right-to-left scripts need them.
fn misleads(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202d}' | '\u{202e}')
}

/// White space, what Unicode calls default ignorable, annotation marks, and the blank of Braille.
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
