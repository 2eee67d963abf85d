//! The language of the code and the documents: words that the field does not use, or that make a sentence hard to read, stay out.
//! `docs/glossary.md` has the terms to use instead.

#![expect(clippy::unwrap_used, reason = "a test reports by a panic")]

use std::fs;
use std::path::{Path, PathBuf};

/// Where the words are looked for.
const PLACES: &[&str] = &[
    "src",
    "tests",
    "benches",
    "docs",
    "deploy",
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "sdk/javascript/src",
    "sdk/javascript/README.md",
    "sdk/javascript/test",
    "web",
    "openapi/openapi.json",
    "Makefile",
    "Dockerfile",
    ".ci",
    "migrations",
    "Cargo.toml",
    "build.rs",
];

/// Kinds of files that are text; files without an extension are, too.
const TEXT: &[&str] = &[
    "rs", "sql", "lua", "md", "js", "ts", "json", "yml", "yaml", "py", "toml",
];

/// Words and phrases, in lower case.
const BANNED: &[&str] = &[
    "amiss",
    "asks nothing of",
    "at leisure",
    "at once",
    "clump",
    "clumped",
    "clumping",
    "clumps",
    "crowd",
    "crowds",
    "does not stand",
    "falls asleep",
    "farewell",
    "for ever",
    "good-bye",
    "heard",
    "hears",
    "in vain",
    "is let in",
    "knock",
    "knocked",
    "knocking",
    "knocks",
    "life of the database",
    "lives of the database",
    "log-in",
    "log-ins",
    "log-out",
    "log-outs",
    "mended",
    "nobody hears",
    "sign in",
    "sign out",
    "sign-in",
    "sign-out",
    "signed out",
    "signing in",
    "signing out",
    "signs out",
    "sit out",
    "sits out",
    "the door",
    "tight circle",
    "told",
    "turned away",
    "vouch",
    "vouches",
    "what stands",
    "whoever",
    "whomever",
    "without a word",
];

fn files(path: &Path, found: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if !path.ends_with("node_modules") {
                files(&path, found);
            }
        }
    } else if path
        .extension()
        .is_none_or(|e| TEXT.iter().any(|kind| e == *kind))
    {
        found.push(path.to_owned());
    }
}

/// Whether the text has the word, and not as a part of a longer one.
fn has(text: &str, word: &str) -> bool {
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    text.match_indices(word).any(|(at, _)| {
        !is_part(text[..at].chars().next_back()) && !is_part(text[at + word.len()..].chars().next())
    })
}

#[test]
fn banned_words_do_not_come_back() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = Vec::new();
    for place in PLACES {
        files(&root.join(place), &mut all);
    }
    assert!(all.len() > 200, "only {} files found", all.len());
    let mut wrong = Vec::new();
    for path in all
        .iter()
        .filter(|path| !path.ends_with("tests/language.rs"))
    {
        for (number, line) in fs::read_to_string(path).unwrap().lines().enumerate() {
            let line = line.to_lowercase();
            for word in BANNED.iter().filter(|word| has(&line, word)) {
                let file = path.strip_prefix(root).unwrap().display();
                wrong.push(format!("{file}:{}: {word}", number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
