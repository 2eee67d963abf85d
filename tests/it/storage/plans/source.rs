//! The SQL statements in the source.

use crate::storage::plans::executed::one_line;
use proc_macro2::{TokenStream, TokenTree};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// All statements in the source, found by the calls of `sql`.
pub fn statements() -> BTreeSet<String> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/storage/pg");
    let mut found = BTreeSet::new();
    walk(&dir, &mut found);
    assert!(found.len() > 50, "only {} statements", found.len());
    found
}

fn walk(dir: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let tokens = fs::read_to_string(&path).unwrap().parse().unwrap();
            calls(tokens, dir, found);
        }
    }
}

fn calls(tokens: TokenStream, dir: &Path, found: &mut BTreeSet<String>) {
    let mut before = String::new();
    for token in tokens {
        if let TokenTree::Group(group) = &token {
            if before == "sql" {
                found.insert(one_line(&words(group.stream(), dir)));
            }
            calls(group.stream(), dir, found);
        }
        before = token.to_string();
    }
}

/// The text of an argument of `sql`: literals, and included files.
fn words(argument: TokenStream, dir: &Path) -> String {
    let (mut text, mut includes) = (String::new(), false);
    for token in argument {
        match token {
            TokenTree::Group(group) if includes => {
                let file = group.stream().to_string();
                text += &fs::read_to_string(dir.join(file.trim_matches('"'))).unwrap();
            }
            TokenTree::Group(group) => text += &words(group.stream(), dir),
            TokenTree::Literal(literal) => text += literal.to_string().trim_matches('"'),
            TokenTree::Ident(name) => includes = name == "include_str",
            TokenTree::Punct(_) => {}
        }
    }
    text
}
