//! The plans that PostgreSQL has executed, and their violations.

use crate::support::services;
use diesel::{PgConnection, QueryableByName, RunQueryDsl, sql_query};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;

/// The rows that a plan may look up for each row that it returns, changes or was given, in several tables …
const A_ROW: f64 = 8.0;

/// … and additionally: one in each partition of the inbox, or the input of an aggregate. Every table has four times as many
/// rows.
const BESIDES: f64 = 30.0;

/// Statements that read more than they return, by some of their words, and what bounds them.
const READ_MORE: [(&str, &str); 9] = [
    (
        "SELECT conversation_id, block, newest_at FROM search_blocks",
        "the blocks with the searched lexemes, also of others: `candidates_are_found_by_their_lexemes` looks at the plan",
    ),
    (
        "SELECT conversation_id FROM search_blocks WHERE marked",
        "the marked blocks, which nobody has written yet",
    ),
    (
        "SELECT w.user_id, t.head, u.conversation_id, u.unread, u.large FROM",
        "the user's conversations: a count is the difference of two numbers, and no counter is indexed",
    ),
    (
        "ORDER BY c.updated_at DESC, c.id DESC LIMIT",
        "the user's conversations: an index on their activity would be written by every message",
    ),
    (
        "ORDER BY role = 'admin' DESC, joined_at, user_id LIMIT 1",
        "the members, once in the life of an owner",
    ),
    (
        "revoked_at IS NULL",
        "the user's devices, with those that were logged out",
    ),
    (
        "SELECT conversation_id, seq, at FROM mentions",
        "the user's mentions, by a plan that was made while the table was empty: the next ANALYZE replaces it",
    ),
    (
        "SELECT count(*) AS n FROM pins",
        "the pinned messages of a conversation, at most 100",
    ),
    (
        "SELECT conversation_id, seq, change_seq FROM message_states",
        "the changes of a conversation, by a plan that was made while few had changed: the next ANALYZE replaces it",
    ),
];

/// Statements that an index answers alone.
const INDEX_ONLY: [&str; 4] = [
    "SELECT seq FROM inbox WHERE receiver_id = $1 ORDER BY seq LIMIT 1",
    "SELECT blocked_id AS user_id FROM blocks WHERE blocker_id = $1",
    "SELECT user_id FROM bans WHERE conversation_id = $1",
    "SELECT w.u AS user_id, w.c AS conversation_id, h.last_seq FROM unnest",
];

/// The first column of every index. Without a condition on it the whole index is read, and no row count shows that.
pub type Indexes = BTreeMap<String, String>;

pub fn indexes(conn: &mut PgConnection) -> Indexes {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = diesel::sql_types::Text)]
        index: String,
        #[diesel(sql_type = diesel::sql_types::Text)]
        first: String,
    }
    let rows: Vec<Row> = sql_query(
        "SELECT c.relname::text AS index, a.attname::text AS first FROM pg_class c
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = 1 WHERE c.relkind = 'i'",
    )
    .load(conn)
    .unwrap();
    rows.into_iter().map(|row| (row.index, row.first)).collect()
}

/// A plan that was executed.
pub struct Plan {
    pub statement: String,
    root: Value,
}

pub fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The plans in PostgreSQL's log after this position, and the end of the log.
pub fn plans(from: usize) -> (Vec<Plan>, usize) {
    let log = fs::read(services().data_dir().join("postgres.log")).unwrap();
    let text = String::from_utf8_lossy(&log[from..]);
    let mut lines = text.lines().peekable();
    let mut plans = Vec::new();
    while let Some(line) = lines.next() {
        if line.contains(" LOG:  duration: ") && line.ends_with(" plan:") {
            let mut json = String::new();
            while let Some(more) = lines.next_if(|line| line.starts_with('\t')) {
                json += more;
            }
            let mut plan: Value = serde_json::from_str(&json).unwrap();
            plans.push(Plan {
                statement: one_line(plan["Query Text"].as_str().unwrap()),
                root: plan["Plan"].take(),
            });
        }
    }
    (plans, log.len())
}

/// A node of a plan and all nodes below it.
fn nodes(node: &Value) -> Vec<&Value> {
    let below = node["Plans"].as_array().into_iter().flatten();
    let below = below.flat_map(nodes);
    std::iter::once(node).chain(below).collect()
}

fn number(node: &Value, name: &str) -> f64 {
    node[name].as_f64().unwrap_or_default()
}

fn loops(node: &Value) -> f64 {
    number(node, "Actual Loops")
}

/// PostgreSQL reports the average rows per loop.
fn rows(node: &Value, name: &str) -> f64 {
    loops(node) * number(node, name)
}

/// The table or index that a node reads. (`instance` has one row.)
fn reads(node: &Value) -> Option<&str> {
    let table = node["Relation Name"].as_str();
    let name = table.or(node["Index Name"].as_str())?;
    let others = ["pg_", "__diesel", "instance"];
    let is_ours = !others.iter().any(|other| name.starts_with(other));
    Some(name).filter(|_| is_ours && node["Node Type"] != "ModifyTable")
}

/// Whether a condition is on the first column of the index, or on the row's physical place.
fn is_by_key(node: &Value, indexes: &Indexes) -> bool {
    let begins = || {
        let first = indexes.get(node["Index Name"].as_str()?)?;
        let condition = node["Index Cond"].as_str()?;
        // PostgreSQL shows a column with another collation as `(column)::text`.
        let names = [format!("({first} "), format!("({first})::text ")];
        // PostgreSQL names the column of an index over an expression so.
        Some(first == "expr" || names.iter().any(|name| condition.contains(name)))
    };
    begins().unwrap_or_else(|| node["TID Cond"].is_string())
}

/// The violations of a plan.
pub fn faults(plan: &Plan, indexes: &Indexes) -> Vec<String> {
    let all = nodes(&plan.root);
    let (mut faults, mut read, mut asked) = (Vec::new(), 0.0, 0.0);
    for node in &all {
        let kind = node["Node Type"].as_str().unwrap();
        read += rows(node, "Rows Removed by Join Filter");
        if kind == "Function Scan" {
            asked += number(node, "Actual Rows");
        }
        if let Some(name) = reads(node) {
            // The lookups of a bitmap are in the nodes below it.
            if !is_by_key(node, indexes) && kind != "Bitmap Heap Scan" {
                faults.push(format!("{kind} of all of {name}"));
            }
            let found = rows(node, "Actual Rows")
                + rows(node, "Rows Removed by Filter")
                + rows(node, "Rows Removed by Index Recheck");
            // A lookup without a result counts as well.
            read += found.max(loops(node));
        }
        faults.extend(of_partitions(node));
    }
    let result = all.iter().find(|node| node["Node Type"] != "ModifyTable");
    asked += result.map_or(0.0, |node| rows(node, "Actual Rows"));
    let may_more = |(words, _): &(&str, _)| plan.statement.contains(words);
    if read > BESIDES + A_ROW * asked && !READ_MORE.iter().any(may_more) {
        faults.push(format!("{read} rows read for {asked}"));
    }
    let is_alone = |node: &&Value| node["Node Type"] == "Index Only Scan";
    let alone = INDEX_ONLY.iter().any(|one| plan.statement.starts_with(one));
    if alone && !all.iter().any(is_alone) {
        faults.push("more than an index".to_owned());
    }
    faults
}

/// The violations of reading the partitions of a table.
fn of_partitions(node: &Value) -> Option<String> {
    let all = nodes(node).into_iter();
    // The look-ups of a bitmap are in the nodes below it.
    let is_leaf = |leaf: &&Value| reads(leaf).is_some() && leaf["Node Type"] != "Bitmap Heap Scan";
    let leaves: Vec<_> = all.filter(is_leaf).collect();
    let of = |table: &str| {
        leaves
            .iter()
            .all(|leaf| reads(leaf).is_some_and(|name| name.starts_with(table)))
    };
    if leaves.is_empty() || !node["Node Type"].as_str()?.ends_with("Append") {
        return None;
    }
    let asked: f64 = leaves.iter().map(|leaf| loops(leaf)).sum();
    let read: f64 = leaves.iter().map(|leaf| rows(leaf, "Actual Rows")).sum();
    // A conversation is in one partition, and a generic plan also prunes the others at execution.
    if of("messages_") && asked > loops(node) {
        return Some(format!(
            "{asked} partitions of the archive for {} look-ups",
            loops(node)
        ));
    }
    // PostgreSQL does not know that later entries are in later weeks, so it reads one entry of each to find the next.
    if of("inbox_") && read > rows(node, "Actual Rows") + asked {
        return Some(format!(
            "{read} entries of the inbox for {}",
            rows(node, "Actual Rows")
        ));
    }
    None
}
