//! Characters as search compares them: without case, width, the marks of Latin letters, and what shows nothing.

use icu_normalizer::{ComposingNormalizerBorrowed, DecomposingNormalizerBorrowed};
use icu_properties::props::{
    DefaultIgnorableCodePoint, GeneralCategory, GeneralCategoryGroup, Script,
};
use icu_properties::{CodePointMapData, CodePointSetData};
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;

const NFKC: ComposingNormalizerBorrowed<'_> = ComposingNormalizerBorrowed::new_nfkc();
const NFC: ComposingNormalizerBorrowed<'_> = ComposingNormalizerBorrowed::new_nfc();
const NFD: DecomposingNormalizerBorrowed<'_> = DecomposingNormalizerBorrowed::new_nfd();

/// The most characters that are remembered, and the most bytes of one with its marks.
const REMEMBERED: usize = 20_000;
const REMEMBERED_BYTES: usize = 16;

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

/// The compared characters of characters with their marks.
type Folded = HashMap<Box<str>, Box<[(char, Class)]>>;

thread_local! {
    /// A look-up costs a tenth of the folding, and texts use few characters.
    static KNOWN: RefCell<Folded> = RefCell::default();
}

/// Calls `each` with the compared characters of a character with its marks.
pub fn with_folded(cluster: &str, mut each: impl FnMut(char, Class)) {
    if let &[byte] = cluster.as_bytes() {
        let class = match byte.is_ascii_alphanumeric() {
            true => Class::Letter(None),
            false => Class::Other,
        };
        return each(byte.to_ascii_lowercase().into(), class);
    }
    let classify = || {
        fold(cluster)
            .chars()
            .map(|c| (c, Class::of(c)))
            .collect::<Box<[_]>>()
    };
    let mut tell = |folded: &[(char, Class)]| folded.iter().for_each(|(c, class)| each(*c, *class));
    if cluster.len() > REMEMBERED_BYTES {
        return tell(&classify());
    }
    KNOWN.with_borrow_mut(|known| {
        if let Some(folded) = known.get(cluster) {
            return tell(folded);
        }
        if known.len() == REMEMBERED {
            known.clear();
        }
        tell(known.entry(cluster.into()).or_insert_with(classify));
    });
}

/// A character with its marks, as it is compared.
pub fn fold(cluster: &str) -> Cow<'_, str> {
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

/// What a character is for the words of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A letter or digit, and its script if that is written without spaces.
    Letter(Option<Unspaced>),
    /// It belongs to the letter before it.
    Mark,
    /// It is in no word.
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
