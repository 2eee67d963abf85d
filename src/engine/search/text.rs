//! The words of a text, as search compares them.
//!
//! Case, width, the marks of Latin letters, and characters that show nothing do not count. A word is a run of letters, digits and
//! marks. Scripts that are written without spaces have no words here: each of their characters is one, with its marks.

use crate::engine::search::folding::{Class, Unspaced, fold, with_folded};
use std::ops::Range;
use unicode_segmentation::UnicodeSegmentation;

/// A word, or a character of a script without spaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Where it begins in [`Words::folded`], in bytes.
    begin: usize,
    /// The compared characters of its first character that stand before it: those of `½` are `1⁄2`, and its second word is `2`.
    skipped: usize,
    /// The script without spaces; none for a word.
    pub script: Option<Unspaced>,
    /// Where it stands in the text, in bytes. It covers whole characters with their marks.
    pub place: Range<usize>,
}

/// The words of a text, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// What is compared of each, between line breaks, which no word has. So a phrase is a part of this string.
    pub folded: String,
    /// Each word.
    pub all: Vec<Word>,
}

impl Words {
    /// What is compared of a word.
    pub fn compared(&self, at: usize) -> &str {
        let begin = self.all.get(at).map(|word| word.begin);
        let word = begin.and_then(|begin| self.folded.get(begin..self.end(at)));
        word.unwrap_or_default()
    }

    /// The word that begins there in `folded`.
    pub fn at(&self, begin: usize) -> usize {
        self.all.partition_point(|word| word.begin < begin)
    }

    /// Where the line break after a word is in `folded`.
    pub fn end(&self, at: usize) -> usize {
        let next = self
            .all
            .get(at + 1)
            .map_or(self.folded.len(), |next| next.begin);
        next - 1
    }
}

/// Finds the words of a text.
pub fn words(text: &str) -> Words {
    let mut folded = String::with_capacity(text.len() + text.len() / 4 + 2);
    folded.push('\n');
    let mut words: Vec<Word> = Vec::new();
    // Whether the next letter belongs to the last word.
    let mut is_open = false;
    for (start, cluster) in clusters(text) {
        let end = start + cluster.len();
        let mut seen = 0;
        with_folded(cluster, |c, class| {
            let skipped = seen;
            seen += 1;
            let script = match class {
                Class::Letter(script) => script,
                Class::Mark => None,
                Class::Other => {
                    is_open = false;
                    return;
                }
            };
            match words.last_mut() {
                Some(last)
                    if is_open
                        && (class == Class::Mark || script.is_none() && last.script.is_none()) =>
                {
                    last.place.end = end;
                }
                _ if class == Class::Mark => return,
                last => {
                    if last.is_some() {
                        folded.push('\n');
                    }
                    words.push(Word {
                        begin: folded.len(),
                        skipped,
                        script,
                        place: start..end,
                    });
                    is_open = true;
                }
            }
            folded.push(c);
        });
    }
    folded.push('\n');
    Words { folded, all: words }
}

impl Word {
    /// Where the beginning of this word ends in its text, in bytes, that has at least so many compared characters.
    pub fn end_of_prefix(&self, text: &str, characters: usize) -> usize {
        let own = text.get(self.place.clone()).unwrap_or_default();
        let mut seen = 0;
        for (start, cluster) in own.grapheme_indices(true) {
            seen += fold(cluster).chars().count();
            if seen >= self.skipped + characters {
                return self.place.start + start + cluster.len();
            }
        }
        self.place.end
    }
}

/// The characters of a text with their marks, each with its place. ASCII characters before another one have none: to know that costs less
/// than the rules of Unicode. (A line break of two characters comes as two.)
fn clusters(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = text.get(at..)?;
        let cluster = match rest.as_bytes() {
            [one, next, ..] if one.is_ascii() && next.is_ascii() => rest.get(..1)?,
            _ => rest.graphemes(true).next()?,
        };
        let start = at;
        at += cluster.len();
        Some((start, cluster))
    })
}

#[cfg(test)]
mod tests {
    use super::words;

    fn folded(text: &str) -> Vec<String> {
        let words = words(text);
        (0..words.all.len())
            .map(|at| words.compared(at).to_owned())
            .collect()
    }

    #[test]
    fn words_are_compared_without_case_width_and_latin_marks() {
        for (text, expected) in [
            ("The WHO, or not?", vec!["the", "who", "or", "not"]),
            ("don't a.b@c", vec!["don", "t", "a", "b", "c"]),
            ("Straße STRASSE ẞ", vec!["strasse", "strasse", "ss"]),
            ("İstanbul ſun ＡＢＣ", vec!["istanbul", "sun", "abc"]),
            ("Crème Bru\u{302}lée Øl", vec!["creme", "brulee", "øl"]),
            ("ΟΔΟΣ οδος οδοσ", vec!["οδοσ", "οδοσ", "οδοσ"]),
            ("Ёлка й", vec!["ёлка", "й"]),
            ("iPhone15手机", vec!["iphone15", "手", "机"]),
            (
                "我家在上海东边。",
                vec!["我", "家", "在", "上", "海", "东", "边"],
            ),
            ("ｶﾞード", vec!["ガ", "ー", "ド"]),
            ("\u{1112}\u{1161}\u{11ab}국", vec!["한", "국"]),
            (
                "soft\u{ad}hyphen zero\u{200b}width",
                vec!["softhyphen", "zerowidth"],
            ),
            ("नमस्ते", vec!["नमस्ते"]),
            ("👩‍👩‍👧 ❤️ & -- \u{301}", vec![]),
            ("𠀀字", vec!["𠀀", "字"]),
            ("㍿", vec!["株", "式", "会", "社"]),
            ("ที่ 1๒", vec!["ที่", "1๒"]),
            ("ສະບາຍ", vec!["ສ", "ະ", "ບ", "າ", "ຍ"]),
            ("ភាសា", vec!["ភា", "សា"]),
            ("မြန်မာ", vec!["မြ", "န်", "မာ"]),
        ] {
            assert_eq!(folded(text), expected, "{text}");
        }
    }

    #[test]
    fn a_place_covers_whole_characters() {
        let text = "e\u{301}tude—Straße";
        let all = words(text).all;
        let places: Vec<_> = all.iter().map(|word| &text[word.place.clone()]).collect();
        assert_eq!(places, ["e\u{301}tude", "Straße"]);
        let prefix = |characters| &text[all[1].place.start..all[1].end_of_prefix(text, characters)];
        assert_eq!(
            [prefix(4), prefix(5), prefix(6), prefix(9)],
            ["Stra", "Straß", "Straß", "Straße"]
        );
        // The beginning of a word counts from the word, not from the character that it begins inside of.
        for (text, at, expected) in [
            ("½①x", 1, vec!["½", "½①", "½①x"]),
            ("½①Ⅷ", 1, vec!["½", "½①", "½①Ⅷ", "½①Ⅷ"]),
            ("⑴½①x", 0, vec!["⑴"]),
            ("⑴½①x", 1, vec!["½"]),
            ("⑴½①x", 2, vec!["½", "½①", "½①x"]),
        ] {
            let word = &words(text).all[at];
            let prefixes = (1..=expected.len())
                .map(|characters| &text[word.place.start..word.end_of_prefix(text, characters)]);
            assert_eq!(prefixes.collect::<Vec<_>>(), expected, "{text} {at}");
        }
        // A flood of marks is one character.
        let flood = format!("a{}b", "\u{301}".repeat(8_000));
        assert_eq!(folded(&flood), ["ab"]);
    }
}
