//! The floor plan, kept by a test: imports point down, each outside crate has its floor, files stay readable.
//!
//! This file is long because all rules read the same sources, with the same parser of paths.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test says by a panic what is wrong"
)]

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The floors, lowest first. Those of one line do not know each other.
const FLOORS: &[&[&str]] = &[
    &["model"],
    &["storage"],
    &["engine"],
    &["domain"],
    &["http", "tasks"],
    &["node"],
    &["dev"],
    &["cli"],
    &["main"],
];

/// What every floor but the model may import, and what these import themselves.
const EVERYWHERE: &[(&str, &[&str])] =
    &[("clock", &[]), ("config", &["model"]), ("telemetry", &[])];

/// The areas, lowest first: one may import those before it. An endpoint imports no endpoint of another area.
const AREAS: &[&str] = &[
    "identity",
    "people",
    "messaging",
    "sync",
    "media",
    "search",
    "desk",
    "operations",
];

/// What an area of `domain` may import from the storage of another area than its own and those before it.
const STORAGE_ABOVE: &[(&str, &str)] = &[
    // Every change of a conversation writes its entries in the same transaction.
    ("messaging", "sync"),
    // A block is also written onto the direct conversation of the two.
    ("people", "messaging"),
    // Changes of profiles and relations have entries in the same transaction.
    ("people", "sync"),
    // The clock and the epoch belong to the instance, and every area reads them.
    ("identity", "operations"),
    // The end of an account ends its seats in the same transaction.
    ("identity", "desk"),
];

/// Tables by the area whose SQL may name them.
const TABLES: &[(&str, &[&str])] = &[
    ("identity", &["devices", "usernames"]),
    (
        "people",
        &["blocks", "contact_requests", "contacts", "last_seen"],
    ),
    (
        "messaging",
        &[
            "bans",
            "client_conversations",
            "conversation_settings",
            "direct_pairs",
            "erasures",
            "expiring",
            "former_members",
            "hidden_messages",
            "mentions",
            "mentions_all",
            "message_mentions",
            "message_states",
            "message_versions",
            "mutes",
            "pins",
            "reactions",
            "replies",
            "scheduled",
            "scheduled_failures",
        ],
    ),
    ("sync", &["inbox"]),
    (
        "media",
        &[
            "blob_deletions",
            "media",
            "media_candidates",
            "media_parts",
            "media_store",
            "media_usage",
            "message_media",
        ],
    ),
    ("search", &["search_blocks"]),
    ("desk", &["client_desks", "desks", "seats"]),
    ("operations", &["instance"]),
];

/// Tables that statements of several areas name, with these areas: the writer's statements write all that a batch changes, and
/// a page or a count is one snapshot of several tables.
const SHARED_TABLES: &[(&str, &[&str])] = &[
    ("conversations", &["messaging", "search", "sync"]),
    ("drafts", &["messaging", "sync"]),
    ("member_changes", &["messaging", "sync"]),
    ("members", &["media", "messaging", "search", "sync"]),
    ("messages", &["messaging", "search", "sync"]),
    ("messages_now", &["messaging", "search", "sync"]),
    ("timelines", &["messaging", "operations", "sync"]),
    ("users", &["identity", "messaging", "operations", "people"]),
    ("users_now", &["desk", "identity", "messaging", "people"]),
];

/// Outside crates that only some files may know.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("actix_web", &["http/", "node/"]),
    ("utoipa", &["http/", "model/"]),
    ("diesel", &["storage/"]),
    ("diesel_migrations", &["storage/"]),
    ("r2d2", &["storage/"]),
    ("redis", &["storage/redis/"]),
    ("jsonwebtoken", &["engine/auth/tokens.rs"]),
    ("argon2", &["engine/auth/passwords.rs"]),
    ("clap", &["cli/"]),
    ("object_store", &["storage/objects/"]),
    ("fast_image_resize", &["engine/media/variants.rs"]),
    ("image", &["engine/media/"]),
    ("infer", &["engine/media/sniff.rs"]),
    ("icu_properties", &["engine/search/folding.rs"]),
    ("unicode_segmentation", &["engine/search/text.rs"]),
    ("thumbhash", &["engine/media/variants.rs"]),
    ("prometheus", &["telemetry/metrics.rs"]),
    ("env_logger", &["cli/logging.rs"]),
];

/// The most files of a folder.
const FILES: usize = 17;

/// The longest file that needs no excuse; a longer one says "This file is long because …" in its header.
const LINES: usize = 500;

/// A Rust file below `src/`.
struct Source {
    /// Its path from there.
    path: String,
    text: String,
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let found = entries.flat_map(|path| {
        if path.is_dir() {
            files(&path)
        } else {
            vec![path]
        }
    });
    found.collect()
}

fn sources() -> Vec<Source> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let is_rust = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "rs");
    let sources: Vec<_> = files(&src)
        .into_iter()
        .filter(is_rust)
        .map(|path| Source {
            text: fs::read_to_string(&path).unwrap(),
            path: path
                .strip_prefix(&src)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned(),
        })
        .collect();
    assert!(sources.len() > 50, "only {} files found", sources.len());
    sources
}

impl Source {
    fn floor(&self) -> &str {
        let first = self.path.split('/').next().unwrap();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// Every path in it (`use` groups spelt out), in attributes and macros too.
    fn full_paths(&self) -> BTreeSet<Vec<String>> {
        let mut paths = BTreeSet::new();
        collect(self.text.parse().unwrap(), &[], &mut paths);
        paths
    }

    /// The same as their first two segments.
    fn paths(&self) -> BTreeSet<(String, String)> {
        let paths = self.full_paths().into_iter();
        paths
            .map(|path| (path[0].clone(), path[1].clone()))
            .collect()
    }

    /// The module that it is.
    fn module(&self) -> Vec<&str> {
        let path = self.path.strip_suffix(".rs").unwrap();
        let path = path.strip_suffix("/mod").unwrap_or(path);
        path.split('/').collect()
    }

    /// Its area, below a floor that has areas.
    fn area(&self) -> Option<&str> {
        let area = self.path.split('/').nth(1)?;
        AREAS.contains(&area).then_some(area)
    }
}

fn collect(tokens: TokenStream, prefix: &[String], paths: &mut BTreeSet<Vec<String>>) {
    let tokens: Vec<_> = tokens.into_iter().collect();
    let is_colon =
        |at: usize| matches!(tokens.get(at), Some(TokenTree::Punct(p)) if p.as_char() == ':');
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        at += 1;
        match token {
            // `x as y` in a group of imports.
            TokenTree::Ident(name) if !prefix.is_empty() && *name == "as" => at += 1,
            TokenTree::Ident(name) => {
                let mut path = prefix.to_vec();
                path.push(name.to_string());
                while is_colon(at) && is_colon(at + 1) {
                    match tokens.get(at + 2) {
                        Some(TokenTree::Ident(next)) => path.push(next.to_string()),
                        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                            collect(group.stream(), &path, paths);
                        }
                        _ => {}
                    }
                    at += 3;
                }
                if path.len() > 1 {
                    paths.insert(path);
                }
            }
            TokenTree::Group(group) => collect(group.stream(), &[], paths),
            _ => {}
        }
    }
}

#[test]
fn the_collector_sees_every_way_of_naming_a_path() {
    let source = Source {
        path: String::new(),
        text: r#"
            use crate::model::time;
            use crate::model::ids::UserId;
            use crate::{clock, storage::{pg, redis}};
            /// Not [`crate::server`], which is only spoken of.
            #[garde(range(max = crate::config::MAX))]
            fn f() -> Vec<u8> { vec![crate::http::x(); diesel::y] }
        "#
        .to_owned(),
    };
    let found: Vec<_> = source
        .paths()
        .into_iter()
        .map(|(a, b)| format!("{a}::{b}"))
        .collect();
    let expected =
        ["clock", "config", "http", "model", "storage"].map(|name| format!("crate::{name}"));
    assert_eq!(found[..5], expected);
    assert_eq!(found[5..], ["diesel::y"]);
}

#[test]
fn imports_point_down() {
    let height = |floor: &str| FLOORS.iter().position(|names| names.contains(&floor));
    let mut wrong = Vec::new();
    for source in sources() {
        let from = source.floor();
        if from == "lib" {
            continue;
        }
        for (root, to) in source.paths() {
            // Nobody leaves a floor by the stairs of `super`.
            let is_inside = source.path.contains('/') && !source.path.ends_with("/mod.rs");
            if root == "super" && (to == "super" || !is_inside) {
                wrong.push(format!("src/{} climbs to super::{to}", source.path));
            }
            // main is a crate of its own, which knows the library by its name.
            if root != "crate" && !(from == "main" && root == "tideline") {
                continue;
            }
            let fits = to == from
                || match EVERYWHERE.iter().find(|(name, _)| *name == from) {
                    Some((_, allowed)) => allowed.contains(&to.as_str()),
                    None if EVERYWHERE.iter().any(|(name, _)| *name == to) => {
                        height(from) >= height("storage")
                    }
                    None => height(&to).is_some() && height(from) > height(&to),
                };
            if !fits {
                wrong.push(format!("src/{} knows {root}::{to}", source.path));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
}

/// The files that a file imports from, without its unit tests.
fn imports<'a>(source: &Source, files: &BTreeMap<Vec<&'a str>, &'a str>) -> BTreeSet<&'a str> {
    let (code, _) = source
        .text
        .split_once("\n#[cfg(test)]\nmod tests")
        .unwrap_or((&source.text, ""));
    let code = Source {
        path: source.path.clone(),
        text: code.to_owned(),
    };
    let own = code.module();
    let mut found = BTreeSet::new();
    for path in code.full_paths() {
        let mut path: Vec<_> = path.iter().map(String::as_str).collect();
        let mut from = Vec::new();
        match path[0] {
            "crate" => drop(path.remove(0)),
            "super" => {
                from.clone_from(&own);
                while path.first() == Some(&"super") {
                    path.remove(0);
                    from.pop();
                }
            }
            _ => continue,
        }
        from.append(&mut path);
        let known = (1..=from.len()).rev().find_map(|n| files.get(&from[..n]));
        found.extend(known.filter(|file| **file != source.path));
    }
    found
}

#[test]
fn no_file_imports_in_a_circle() {
    let sources = sources();
    let files: BTreeMap<_, _> = sources
        .iter()
        .map(|source| (source.module(), source.path.as_str()))
        .collect();
    let mut edges: BTreeMap<_, _> = sources
        .iter()
        .map(|source| (source.path.as_str(), imports(source, &files)))
        .collect();
    // Files that import nothing that is left, or that nothing left imports, are taken away, until only circles are left.
    loop {
        let left: BTreeSet<_> = edges.keys().copied().collect();
        let imported: BTreeSet<_> = edges.values().flatten().copied().collect();
        let before = edges.len();
        edges.retain(|file, to| {
            imported.contains(file) && to.iter().any(|file| left.contains(file))
        });
        if edges.len() == before {
            break;
        }
    }
    assert_eq!(edges, BTreeMap::new());
}

#[test]
fn areas_know_only_those_below_them() {
    let rank = |area: &str| AREAS.iter().position(|name| *name == area);
    let mut wrong = Vec::new();
    for source in sources() {
        let floor = source.floor();
        for path in source.full_paths() {
            let [root, to, part, ..] = path.as_slice() else {
                continue;
            };
            if root != "crate" {
                continue;
            }
            let climbs = match (floor, to.as_str(), source.area()) {
                ("domain", "domain", Some(area)) => rank(part) > rank(area),
                ("http", "http", area) if rank(part).is_some() => {
                    area != Some(part) && source.path != "http/routes.rs"
                }
                ("http" | "tasks", "storage", _) => true,
                ("domain", "storage", Some(area)) => {
                    let stored = path.get(3).map_or("", String::as_str);
                    rank(stored) > rank(area) && !STORAGE_ABOVE.contains(&(area, stored))
                }
                _ => false,
            };
            if climbs {
                wrong.push(format!("src/{} knows {}", source.path, path.join("::")));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
}

/// Types that clients see are in `model/wire`, so that one sees what a rename breaks; ids and times are values of both sides.
#[test]
fn wire_types_of_the_model_have_a_folder_of_their_own() {
    let both = ["model/ids.rs", "model/time.rs"];
    for Source { path, text } in sources() {
        let has_schema = text.contains("ToSchema");
        let may = !path.starts_with("model/") || path.starts_with("model/wire/");
        assert!(
            may || !has_schema || both.contains(&path.as_str()),
            "src/{path}"
        );
    }
}

#[test]
fn a_table_is_named_by_the_sql_of_its_area() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/storage/pg");
    let own = TABLES.iter().flat_map(|(area, tables)| {
        let areas = std::slice::from_ref(area);
        tables.iter().map(move |table| (*table, areas))
    });
    let owners: BTreeMap<&str, &[&str]> = own.chain(SHARED_TABLES.iter().copied()).collect();
    let mut wrong = Vec::new();
    let mut named = BTreeSet::new();
    for path in files(&root) {
        let text = fs::read_to_string(&path).unwrap();
        let file = path.strip_prefix(&root).unwrap().to_str().unwrap();
        let area = file.split('/').next().unwrap();
        let words: Vec<_> = text.split_whitespace().collect();
        for pair in words.windows(2) {
            let name = |c: char| !c.is_ascii_alphanumeric() && c != '_';
            let Some((table, areas)) = owners.get_key_value(pair[1].trim_matches(name)) else {
                continue;
            };
            if !["FROM", "JOIN", "INTO", "UPDATE", "ONLY"].contains(&pair[0].trim_matches(name)) {
                continue;
            }
            named.insert((*table, area.to_owned()));
            if !areas.contains(&area) {
                wrong.push(format!("src/storage/pg/{file} names {table}"));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
    let listed = owners
        .iter()
        .flat_map(|(table, areas)| areas.iter().map(|area| (*table, (*area).to_owned())));
    let unused: Vec<_> = listed.filter(|one| !named.contains(one)).collect();
    assert_eq!(unused, [], "a permission that is not used");
}

#[test]
fn no_two_public_types_have_one_name() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in sources() {
        for line in source.text.lines() {
            let mut words = line.split_whitespace();
            let is_public = words.next().is_some_and(|word| word.starts_with("pub"));
            let mut words = words.skip_while(|word| word.starts_with("in") || word.ends_with(')'));
            let is_type = matches!(words.next(), Some("struct" | "enum" | "trait" | "type"));
            if is_public
                && is_type
                && let Some(name) = words.next()
            {
                let name = name.split(|c: char| !c.is_alphanumeric()).next().unwrap();
                // That of a macro is not known here.
                if name.is_empty() {
                    continue;
                }
                places
                    .entry(name.to_owned())
                    .or_default()
                    .push(source.path.clone());
            }
        }
    }
    places.retain(|_, files| files.len() > 1);
    assert_eq!(places, BTreeMap::new());
}

#[test]
fn folders_have_few_files() {
    let mut folders: BTreeMap<String, usize> = BTreeMap::new();
    for source in sources() {
        let folder = source
            .path
            .rsplit_once('/')
            .map_or("", |(folder, _)| folder);
        *folders.entry(folder.to_owned()).or_default() += 1;
    }
    folders.retain(|_, files| *files > FILES);
    assert_eq!(folders, BTreeMap::new());
}

#[test]
fn outside_crates_keep_to_their_floors() {
    let mut wrong = Vec::new();
    let mut used = BTreeSet::new();
    for source in sources() {
        for (root, _) in source.paths() {
            let Some((name, places)) = ONLY_IN.iter().find(|(name, _)| *name == root) else {
                continue;
            };
            used.insert(*name);
            if !places.iter().any(|place| source.path.starts_with(place)) {
                wrong.push(format!("src/{} knows {name}", source.path));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
    let listed: BTreeSet<_> = ONLY_IN.iter().map(|(name, _)| *name).collect();
    assert_eq!(used, listed, "a rule for a crate that is not used");
}

/// Dependencies that no code names: they switch features of other crates on.
const FOR_FEATURES: &[&str] = &["reqwest-tls", "rustls"];

#[test]
fn every_dependency_is_used() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let mut unused = Vec::new();
    let mut seen = 0;
    for (section, places) in [
        ("dependencies", &["src"][..]),
        ("build-dependencies", &["build.rs"]),
        ("dev-dependencies", &["tests", "benches"]),
    ] {
        let code = places.iter().flat_map(|place| match root.join(place) {
            file if file.is_file() => vec![file],
            dir => files(&dir),
        });
        let is_rust = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "rs");
        let code: Vec<_> = code.filter(is_rust).collect();
        let code: String = code
            .iter()
            .map(|path| fs::read_to_string(path).unwrap())
            .collect();
        let (_, list) = manifest.split_once(&format!("\n[{section}]\n")).unwrap();
        let list = list.split("\n[").next().unwrap();
        for line in list.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, _)) = line.split_once([' ', '.', '=']) else {
                continue;
            };
            seen += 1;
            let path = format!("{}::", name.replace('-', "_"));
            if !code.contains(&path) && !FOR_FEATURES.contains(&name) {
                unused.push(format!("{section}: {name}"));
            }
        }
    }
    assert!(seen > 40, "only {seen} dependencies found");
    assert_eq!(unused, [""; 0]);
}

#[test]
fn files_have_a_header_a_noun_for_a_name_and_a_readable_length() {
    for Source { path, text } in sources() {
        assert!(text.starts_with("//! "), "src/{path} has no header");
        let header: String = text
            .lines()
            .take_while(|line| line.starts_with("//!"))
            .collect();
        let count = text.lines().count();
        let excused = header.contains("This file is long because ");
        assert!(count <= LINES || excused, "src/{path} has {count} lines");
        for word in ["util", "helper", "common", "misc"] {
            assert!(!path.contains(word), "src/{path}: which noun is this?");
        }
    }
}

#[test]
fn every_migration_goes_both_ways() {
    let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut versions = BTreeSet::new();
    for entry in fs::read_dir(migrations).unwrap() {
        let dir = entry.unwrap().path();
        let name = dir.file_name().unwrap().to_str().unwrap().to_owned();
        let (version, noun) = name.split_once('_').unwrap();
        assert!(
            versions.insert(version.to_owned()) && !noun.is_empty(),
            "{name}"
        );
        for way in ["up.sql", "down.sql"] {
            let sql = fs::read_to_string(dir.join(way)).unwrap_or_default();
            assert!(!sql.trim().is_empty(), "{name} has no {way}");
        }
    }
    assert!(versions.len() >= 5);
}

#[test]
fn every_defence_names_a_test_that_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let claims = fs::read_to_string(root.join("docs/SECURITY.md")).unwrap();
    let (_, claims) = claims.split_once("\n## What is defended\n").unwrap();
    let (claims, _) = claims.split_once("\n## What is not defended\n").unwrap();
    let rows = claims
        .lines()
        .filter(|line| line.starts_with("| ") && !line.ends_with("| tried by |"));
    let mut named = 0;
    for row in rows {
        let tests = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        for test in tests.split(", ") {
            let path = test
                .strip_prefix('`')
                .and_then(|test| test.strip_suffix('`'));
            let (file, name) = path
                .and_then(|path| path.rsplit_once("::"))
                .unwrap_or_else(|| panic!("no test: {row}"));
            let file = root
                .join(if file.starts_with("timing::") {
                    "tests"
                } else {
                    "tests/it"
                })
                .join(file.replace("::", "/"))
                .with_extension("rs");
            let text = fs::read_to_string(&file).unwrap_or_default();
            let head = text.split(&format!("fn {name}(")).next().unwrap();
            let head = head.trim_end().trim_end_matches("async").trim_end();
            let attribute = head.lines().last().unwrap_or_default().trim();
            assert!(
                head.len() < text.len()
                    && attribute.starts_with("#[")
                    && attribute.contains("test"),
                "docs/SECURITY.md: there is no test {test}"
            );
            named += 1;
        }
    }
    assert!(named >= 30, "only {named} found");
}
