//! A query: the terms that a message must have, and those that it must not have.

use crate::engine::search::text::{Words, words};
use crate::model::wire::violation::Violation;
use memchr::memmem;
use std::ops::Range;

/// The most terms of a query.
pub const MAX_TERMS: usize = 10;

/// The most characters of a query.
pub const MAX_CHARACTERS: usize = 256;

/// The characters of a word that the index has. Longer ones are compared by the messages.
const INDEXED: usize = 24;

/// The least characters of the beginning of a word.
const MIN_PREFIX: usize = 2;

/// Words that stand next to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    words: Words,
    /// The last word may go on.
    is_prefix: bool,
}

/// What is searched for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    wanted: Vec<Term>,
    excluded: Vec<Term>,
}

impl Terms {
    /// Parses a query: words, `"a phrase"`, `word*` and `-word`. Anything else is text without a meaning.
    pub fn parse(query: &str) -> Result<Self, Violation> {
        let invalid = |detail: String| Violation::new("q", detail);
        if !(1..=MAX_CHARACTERS).contains(&query.chars().count()) {
            return Err(invalid(format!("must be 1 to {MAX_CHARACTERS} characters")));
        }
        let mut terms = Self::default();
        let mut rest = query.trim_start();
        while !rest.is_empty() {
            let (is_excluded, from) = match rest.strip_prefix('-') {
                Some(after) if !after.starts_with(char::is_whitespace) => (true, after),
                _ => (false, rest),
            };
            let phrase = from.strip_prefix('"').and_then(|from| from.split_once('"'));
            let (text, after) = match phrase {
                Some(phrase) => phrase,
                None => from.split_once(char::is_whitespace).unwrap_or((from, "")),
            };
            rest = after.trim_start();
            let words = words(text);
            let Some(last) = words.all.last() else {
                continue;
            };
            let compared = words.compared(words.all.len() - 1);
            let may_go_on = last.script.is_none() && compared.chars().count() >= MIN_PREFIX;
            let is_prefix = phrase.is_none()
                && !is_excluded
                && may_go_on
                && (rest.is_empty() || text.ends_with('*'));
            let list = match is_excluded {
                true => &mut terms.excluded,
                false => &mut terms.wanted,
            };
            list.push(Term { words, is_prefix });
        }
        if terms.wanted.is_empty() {
            let detail =
                "must have a word to search for, of letters or digits, that is not excluded";
            return Err(invalid(detail.to_owned()));
        }
        if terms.wanted.len() + terms.excluded.len() > MAX_TERMS {
            return Err(invalid(format!("must have at most {MAX_TERMS} terms")));
        }
        Ok(terms)
    }

    /// The conditions for a block that may have a match, as parts of a `tsquery`. The words are letters, digits and marks: nothing in
    /// them is special.
    pub fn conditions(&self) -> Vec<String> {
        self.wanted.iter().flat_map(Term::conditions).collect()
    }

    /// Where a text has the terms, in bytes of `text`, ascending and apart; none if it does not match.
    pub fn find(&self, text: &str) -> Option<Vec<Range<usize>>> {
        let words = words(text);
        if self.excluded.iter().any(|term| term.is_in(&words)) {
            return None;
        }
        if !self.wanted.iter().all(|term| term.is_in(&words)) {
            return None;
        }
        let mut found: Vec<_> = self
            .wanted
            .iter()
            .flat_map(|term| term.places(text, &words))
            .collect();
        found.sort_unstable_by_key(|place| (place.start, place.end));
        let mut apart: Vec<Range<usize>> = Vec::new();
        for place in found {
            match apart.last_mut() {
                Some(last) if place.start < last.end => last.end = last.end.max(place.end),
                _ => apart.push(place),
            }
        }
        Some(apart)
    }
}

impl Term {
    /// The part of the folded words of a text that matches.
    fn needle(&self) -> &[u8] {
        let all = self.words.folded.as_str();
        // A last word that may go on has no line break after it.
        let needle = if self.is_prefix { all.trim_end() } else { all };
        needle.as_bytes()
    }

    fn is_in(&self, words: &Words) -> bool {
        memmem::find(words.folded.as_bytes(), self.needle()).is_some()
    }

    /// Where a text has the term, in bytes. Of a word that goes on, the part that matches.
    fn places(&self, text: &str, words: &Words) -> Vec<Range<usize>> {
        let mut places = Vec::new();
        let needle = memmem::Finder::new(self.needle());
        let last = self.words.all.len() - 1;
        let own = self.words.compared(last);
        let characters = own.chars().count();
        let mut from = 0;
        while let Some(found) = words
            .folded
            .as_bytes()
            .get(from..)
            .and_then(|rest| needle.find(rest))
        {
            // The line break before the first word is a part of the match.
            let first = words.at(from + found + 1);
            let last = first + last;
            let is_whole = words.compared(last) == own;
            if let (Some(first), Some(last)) = (words.all.get(first), words.all.get(last)) {
                let end = match is_whole {
                    true => last.place.end,
                    false => last.end_of_prefix(text, characters),
                };
                places.push(first.place.start..end);
            }
            // The line break after the last word begins the next match.
            from = words.end(last);
        }
        places
    }

    fn conditions(&self) -> Vec<String> {
        let words = &self.words;
        let last = words.all.len() - 1;
        let mut conditions = Vec::new();
        for (at, word) in words.all.iter().enumerate() {
            let indexed = cut(words.compared(at));
            let before = at.checked_sub(1).and_then(|before| words.all.get(before));
            match (word.script, pair(words, at)) {
                (None, _) if self.is_prefix && at == last => {
                    conditions.push(format!("'{indexed}':*"))
                }
                (None, _) => conditions.push(format!("'{indexed}'")),
                (Some(_), Some(pair)) => conditions.push(format!("'{pair}'")),
                // The pair with the one before has it already.
                (Some(_), None) if before.is_some_and(|one| one.script == word.script) => {}
                (Some(_), None) => conditions.push(format!("'{indexed}':*")),
            }
        }
        conditions
    }
}

/// What the index has of words: words, and of scripts without spaces each two neighbours, and the last one alone.
pub fn indexed(words: &Words) -> impl Iterator<Item = String> {
    (0..words.all.len())
        .map(|at| pair(words, at).unwrap_or_else(|| cut(words.compared(at)).to_owned()))
}

/// Two neighbours of one script without spaces.
fn pair(words: &Words, at: usize) -> Option<String> {
    let script = words.all.get(at)?.script;
    let next = words.all.get(at + 1)?;
    (script.is_some() && next.script == script)
        .then(|| format!("{}{}", cut(words.compared(at)), cut(words.compared(at + 1))))
}

fn cut(word: &str) -> &str {
    match word.char_indices().nth(INDEXED) {
        Some((end, _)) => word.get(..end).unwrap_or(word),
        None => word,
    }
}

#[cfg(test)]
mod tests {
    use super::{Terms, indexed};
    use crate::engine::search::text::words;

    fn found<'a>(query: &str, text: &'a str) -> Option<Vec<&'a str>> {
        let places = Terms::parse(query).unwrap().find(text)?;
        Some(places.into_iter().map(|place| &text[place]).collect())
    }

    #[test]
    fn all_words_must_be_there_and_the_last_may_go_on() {
        let text = "The ferry to the harbour leaves at noon";
        for (query, expected) in [
            ("ferry", Some(vec!["ferry"])),
            ("harb ferry", None),
            ("harb* ferry", Some(vec!["ferry", "harb"])),
            ("ferry harb", Some(vec!["ferry", "harb"])),
            ("\"the harbour\"", Some(vec!["the harbour"])),
            ("\"the harb\"", None),
            ("ferry -noon", None),
            ("ferry -no", Some(vec!["ferry"])),
            ("ferry -\"at noon\"", None),
            ("ferry - noon", Some(vec!["ferry", "noon"])),
            ("f", None),
            ("\"to the har", Some(vec!["The", "to", "the", "har"])),
            ("the", Some(vec!["The", "the"])),
        ] {
            assert_eq!(found(query, text), expected, "{query}");
        }
        assert_eq!(found("don't", "I don't"), Some(vec!["don't"]));
        assert_eq!(found("\"don t\"", "don’t!"), Some(vec!["don’t"]));
    }

    #[test]
    fn scripts_without_spaces_are_found_anywhere() {
        let text = "我家在上海东边。iPhone15手机";
        for (query, expected) in [
            ("上海", Some(vec!["上海"])),
            ("海", Some(vec!["海"])),
            ("上东", None),
            ("iphone15手", Some(vec!["iPhone15手"])),
            ("iph", Some(vec!["iPh"])),
            ("手机 上海", Some(vec!["上海", "手机"])),
            ("上海 -东边", None),
        ] {
            assert_eq!(found(query, text), expected, "{query}");
        }
        assert_eq!(found("上海", "上海上海"), Some(vec!["上海", "上海"]));
        // A word that begins within a character.
        assert_eq!(found("21", "½①"), Some(vec!["½①"]));
        assert_eq!(found("ss", "Straße"), None);
        assert_eq!(found("strasse", "Straße"), Some(vec!["Straße"]));
    }

    /// The index is a filter: what matches has every condition.
    #[test]
    fn a_text_that_matches_has_all_conditions() {
        let long = format!("x{}", "y".repeat(40));
        for (query, text) in [
            ("上海", "我家在上海东边。"),
            ("上。海", "上，海"),
            ("边", "我家在上海东边。"),
            ("ｶﾞ", "ガード"),
            ("don't", "I don't"),
            ("harb*", "harbour"),
            ("국", "한국"),
            (long.as_str(), long.as_str()),
            ("手한", "手한국"),
            ("ที่", "ที่นี่"),
        ] {
            let terms = Terms::parse(query).unwrap();
            assert!(terms.find(text).is_some(), "{query}");
            let tokens: Vec<_> = indexed(&words(text)).collect();
            for condition in terms.conditions() {
                let is_there = match condition.strip_suffix(":*") {
                    Some(start) => tokens
                        .iter()
                        .any(|one| one.starts_with(start.trim_matches('\''))),
                    None => tokens.iter().any(|one| format!("'{one}'") == condition),
                };
                assert!(is_there, "{query}: {condition} in {tokens:?}");
            }
        }
    }

    #[test]
    fn only_queries_without_a_word_or_beyond_the_limits_are_refused() {
        for query in [
            "",
            "  ",
            "&|!",
            "-word",
            "\"\"",
            "😀",
            &"a".repeat(257),
            "a b c d e f g h i j k",
        ] {
            assert!(Terms::parse(query).is_err(), "{query}");
        }
        for query in [
            "'",
            "a' \\",
            "a & b | c",
            "!a:*",
            "%_a",
            "a\0b",
            &"\"a".repeat(128),
        ] {
            let parsed = Terms::parse(query);
            assert_eq!(parsed.is_ok(), query != "'", "{query}");
        }
    }
}
