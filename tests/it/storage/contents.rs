//! The view `messages_now` is the one reader of contents: what a recall has erased, an edit replaced, or time ended, cannot be read elsewhere.

use crate::storage::plans::source::statements;
use std::collections::BTreeSet;

/// The statements that name the archive itself, by some of their words, and why.
const DIRECT: [(&str, &str); 10] = [
    (
        "INSERT INTO search_blocks",
        "reads the times of the first and the last message of a block",
    ),
    (
        "AS k(conversation_id, seq) CROSS JOIN LATERAL ( SELECT conversation_id, seq, created_at FROM messages",
        "reads the times of messages",
    ),
    (
        "created_at <= r.until",
        "reads the times of messages in the order of their seqs",
    ),
    ("INSERT INTO messages", "stores messages"),
    ("length = NULL, extra = NULL", "erases contents"),
    (
        "length = NULL, extra = json_build_object",
        "erases the contents of expired messages",
    ),
    (
        "seq > $2 AND content IS NOT NULL",
        "finds the first message that is not gone",
    ),
    (
        "AS sent_content",
        "compares a repeated send with what was sent",
    ),
    (
        "SELECT 1 AS version, content, created_at",
        "lists the first version beside the others",
    ),
    (
        "SELECT left_at FROM former_members",
        "finds the version that a former member has seen",
    ),
];

#[test]
fn contents_are_read_through_one_view() {
    let is_archive = |statement: &String| {
        let uses = ["FROM", "JOIN", "INTO", "UPDATE"];
        uses.iter()
            .any(|word| statement.contains(&format!("{word} messages ")))
    };
    let direct: BTreeSet<_> = statements().into_iter().filter(is_archive).collect();
    assert_eq!(direct.len(), DIRECT.len(), "{direct:#?}");
    for (words, why) in DIRECT {
        let found = direct.iter().filter(|one| one.contains(words)).count();
        assert_eq!(found, 1, "{why}: {direct:#?}");
    }
}
