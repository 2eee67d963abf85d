//! The words of a text, as search compares them.
//!
//! Case, width, the marks of Latin letters, and characters that show nothing do not count. A word is a run of letters, digits and
//! marks. Scripts that are written without spaces have no words here: each of their characters is one, with its marks.

use icu_normalizer::{ComposingNormalizerBorrowed, DecomposingNormalizerBorrowed};
use icu_properties::props::{
    DefaultIgnorableCodePoint, GeneralCategory, GeneralCategoryGroup, Script,
};
use icu_properties::{CodePointMapData, CodePointSetData};
use std::borrow::Cow;
use std::ops::Range;
use unicode_segmentation::UnicodeSegmentation;

const NFKC: ComposingNormalizerBorrowed<'_> = ComposingNormalizerBorrowed::new_nfkc();
const NFC: ComposingNormalizerBorrowed<'_> = ComposingNormalizerBorrowed::new_nfc();
const NFD: DecomposingNormalizerBorrowed<'_> = DecomposingNormalizerBorrowed::new_nfd();

/// Scripts that are written without spaces. Han and Kana are one: a Japanese word may have both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unspaced {
    /// Han, Hiragana, Katakana and Bopomofo.
    HanKana,
    /// Hangul syllables.
    Hangul,
    /// Thai.
    Thai,
    /// Lao.
    Lao,
    /// Khmer.
    Khmer,
    /// Burmese.
    Myanmar,
}

/// A word, or a character of a script without spaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// What is compared.
    pub folded: String,
    /// The script without spaces; none for a word.
    pub script: Option<Unspaced>,
    /// Where it stands in the text, in bytes. It covers whole characters with their marks.
    pub place: Range<usize>,
}

/// The words of a text, in order.
pub fn words(text: &str) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    // Whether the next letter belongs to the last word.
    let mut is_open = false;
    for (start, cluster) in clusters(text) {
        let end = start + cluster.len();
        for c in fold(cluster).chars() {
            let class = Class::of(c);
            let script = match class {
                Class::Letter(script) => script,
                Class::Mark => None,
                Class::Other => {
                    is_open = false;
                    continue;
                }
            };
            match words.last_mut() {
                Some(last) if is_open && class == Class::Mark => last.extend(c, end),
                Some(last) if is_open && script.is_none() && last.script.is_none() => {
                    last.extend(c, end);
                }
                _ if class == Class::Mark => {}
                _ => {
                    words.push(Word {
                        folded: c.into(),
                        script,
                        place: start..end,
                    });
                    is_open = true;
                }
            }
        }
    }
    words
}

impl Word {
    fn extend(&mut self, c: char, end: usize) {
        self.folded.push(c);
        self.place.end = end;
    }

    /// Where the beginning of this word ends in its text, in bytes, that has at least so many compared characters.
    pub fn end_of_prefix(&self, text: &str, characters: usize) -> usize {
        let own = text.get(self.place.clone()).unwrap_or_default();
        let mut seen = 0;
        for (start, cluster) in own.grapheme_indices(true) {
            seen += fold(cluster).chars().count();
            if seen >= characters {
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

/// A character with its marks, as it is compared.
fn fold(cluster: &str) -> Cow<'_, str> {
    if let &[byte] = cluster.as_bytes() {
        return match byte.is_ascii_uppercase() {
            true => cluster.to_ascii_lowercase().into(),
            false => cluster.into(),
        };
    }
    let lower: String = NFKC
        .normalize(cluster)
        .chars()
        .flat_map(char::to_lowercase)
        .collect();
    let lower = lower.replace('ς', "σ").replace('ß', "ss");
    let mut is_latin = false;
    let kept = |c: &char| {
        let is_mark = ('\u{300}'..='\u{36f}').contains(c);
        if !is_mark {
            is_latin = script(*c) == Script::Latin;
        }
        let is_ignored = CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(*c);
        !(is_ignored || is_mark && is_latin)
    };
    let bare: String = NFD.normalize(&lower).chars().filter(kept).collect();
    NFC.normalize(&bare).into_owned().into()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Letter(Option<Unspaced>),
    Mark,
    Other,
}

impl Class {
    fn of(c: char) -> Self {
        let category = CodePointMapData::<GeneralCategory>::new().get(c);
        if GeneralCategoryGroup::Mark.contains(category) {
            return Self::Mark;
        }
        let is_letter = GeneralCategoryGroup::Letter.contains(category);
        if !is_letter && !GeneralCategoryGroup::Number.contains(category) {
            return Self::Other;
        }
        Self::Letter(match script(c) {
            // Digits of these scripts make up words.
            _ if !is_letter && c != '〇' => None,
            Script::Han | Script::Hiragana | Script::Katakana | Script::Bopomofo => {
                Some(Unspaced::HanKana)
            }
            // The mark of a long vowel belongs to both scripts of Kana.
            _ if c == 'ー' || c == '〇' => Some(Unspaced::HanKana),
            Script::Hangul => Some(Unspaced::Hangul),
            Script::Thai => Some(Unspaced::Thai),
            Script::Lao => Some(Unspaced::Lao),
            Script::Khmer => Some(Unspaced::Khmer),
            Script::Myanmar => Some(Unspaced::Myanmar),
            _ => None,
        })
    }
}

fn script(c: char) -> Script {
    CodePointMapData::<Script>::new().get(c)
}

#[cfg(test)]
mod tests {
    use super::words;

    fn folded(text: &str) -> Vec<String> {
        words(text).into_iter().map(|word| word.folded).collect()
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
        let all = words(text);
        let places: Vec<_> = all.iter().map(|word| &text[word.place.clone()]).collect();
        assert_eq!(places, ["e\u{301}tude", "Straße"]);
        let prefix = |characters| &text[all[1].place.start..all[1].end_of_prefix(text, characters)];
        assert_eq!(
            [prefix(4), prefix(5), prefix(6), prefix(9)],
            ["Stra", "Straß", "Straß", "Straße"]
        );
        // A flood of marks is one character.
        let flood = format!("a{}b", "\u{301}".repeat(8_000));
        assert_eq!(folded(&flood), ["ab"]);
    }
}
