//! Invariants that every database must satisfy after every test.

use crate::support::{App, Person, eventually};
use diesel::{QueryableByName, RunQueryDsl, sql_query};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;
use tideline::domain::sync::unread::{self, Found};
use tideline::model::ids::UserId;

/// Each query finds the rows that break an invariant.
const BROKEN: &[(&str, &str)] = &[
    (
        "a conversation's seqs are 1, 2, 3 … up to its head",
        "SELECT c.id::text AS what FROM conversations c
         LEFT JOIN (SELECT conversation_id, count(*) AS n, min(seq) AS low, max(seq) AS high FROM messages GROUP BY 1) m
             ON m.conversation_id = c.id
         WHERE (COALESCE(n, 0), COALESCE(high, 0)) <> (c.last_seq, c.last_seq) OR (n > 0 AND low <> 1)",
    ),
    (
        "an inbox's seqs have no hole and end at its head",
        "SELECT t.user_id::text AS what FROM timelines t
         LEFT JOIN (SELECT receiver_id, count(*) AS n, min(seq) AS low, max(seq) AS high FROM inbox GROUP BY 1) i
             ON i.receiver_id = t.user_id
         WHERE n > 0 AND (high <> t.last_seq OR n <> high - low + 1)",
    ),
    (
        "every message is referenced once in every member's inbox, unless that was trimmed or the conversation is large",
        "SELECT m.conversation_id::text || ':' || m.seq AS what FROM messages m
         JOIN conversations c ON c.id = m.conversation_id AND m.seq <= COALESCE(c.switch_seq, m.seq)
         JOIN members r ON r.conversation_id = m.conversation_id AND m.seq > r.joined_seq
         LEFT JOIN inbox i ON i.receiver_id = r.user_id AND i.kind = 'message'
             AND i.conversation_id = m.conversation_id AND i.ref_seq = m.seq
         GROUP BY m.conversation_id, m.seq, r.user_id
         HAVING count(i.seq) > 1 OR count(i.seq) = 0 AND r.user_id IN (
             SELECT user_id FROM timelines LEFT JOIN inbox ON receiver_id = user_id
             GROUP BY user_id, last_seq HAVING COALESCE(min(seq), last_seq + 1) = 1)",
    ),
    (
        "every message entry points at a message",
        "SELECT i.receiver_id::text || ':' || i.seq AS what FROM inbox i
         LEFT JOIN messages m ON m.conversation_id = i.conversation_id AND m.seq = i.ref_seq
         WHERE i.kind IN ('message', 'mention') AND m.seq IS NULL",
    ),
    (
        "no inbox has a message from above the switch of a large conversation, and its members know that it is large",
        "SELECT i.receiver_id::text || ':' || i.seq AS what FROM inbox i JOIN conversations c ON c.id = i.conversation_id
         WHERE i.kind = 'message' AND i.ref_seq > c.switch_seq
         UNION ALL
         SELECT m.user_id::text || ':' || c.id FROM members m JOIN conversations c ON c.id = m.conversation_id
         WHERE m.large <> (c.switch_seq IS NOT NULL)",
    ),
    (
        "an inbox has a conversation's messages, marks and changes in their order, and times never go back",
        "SELECT receiver_id::text || ':' || seq AS what FROM (
             SELECT receiver_id, seq, at, kind, line, conversation_id, ref_seq,
                 lag(at) OVER (PARTITION BY receiver_id ORDER BY seq) AS at_before,
                 lag(ref_seq) OVER (PARTITION BY receiver_id, conversation_id, line ORDER BY seq) AS ref_before,
                 lag(kind) OVER (PARTITION BY receiver_id, conversation_id, line ORDER BY seq) AS kind_before
             FROM (SELECT *, CASE kind WHEN 'unread' THEN 'read' ELSE kind END AS line FROM inbox) AS i) AS e
         WHERE at < at_before OR line IN ('message', 'read', 'members', 'cleared')
             AND (ref_seq < ref_before OR ref_seq = ref_before AND kind = kind_before AND kind <> 'unread')
             OR kind = 'mention' AND ref_seq <= ref_before AND NOT EXISTS (
                 SELECT FROM message_states s WHERE s.conversation_id = e.conversation_id AND s.seq = e.ref_seq)",
    ),
    (
        "a member's last entry for a small conversation carries its count",
        "SELECT receiver_id::text || ':' || seq AS what FROM (
             SELECT DISTINCT ON (receiver_id, conversation_id) receiver_id, conversation_id, seq, unread
             FROM inbox ORDER BY receiver_id, conversation_id, seq DESC) AS e
         JOIN members m ON m.user_id = e.receiver_id AND m.conversation_id = e.conversation_id
         JOIN conversations c ON c.id = e.conversation_id AND c.switch_seq IS NULL
         WHERE e.unread <> c.last_seq - m.read_seq",
    ),
    (
        "changes have distinct numbers up to the head of their conversation, and every state has its message",
        "SELECT c.id::text AS what FROM conversations c LEFT JOIN message_states s ON s.conversation_id = c.id
         GROUP BY c.id HAVING COALESCE(max(s.change_seq), 0) <> c.change_seq OR count(DISTINCT s.change_seq) <> count(s.seq)
         UNION ALL
         SELECT s.conversation_id::text || ':' || s.seq FROM message_states s
         LEFT JOIN messages m ON m.conversation_id = s.conversation_id AND m.seq = s.seq WHERE m.seq IS NULL",
    ),
    (
        "a message that is gone has no content and no version, and every other message has a content",
        "SELECT m.conversation_id::text || ':' || m.seq AS what FROM messages m
         LEFT JOIN message_states s ON s.conversation_id = m.conversation_id AND s.seq = m.seq
         WHERE (m.content IS NULL) < (s.recalled_at IS NOT NULL)
             OR m.content IS NULL AND s.recalled_at IS NULL AND COALESCE((m.extra ->> 'expires_at')::timestamptz > clock_timestamp(), true)
             OR m.content IS NULL AND (s.content IS NOT NULL OR EXISTS (
                 SELECT FROM message_versions v WHERE v.conversation_id = m.conversation_id AND v.seq = m.seq))",
    ),
    (
        "the sweeper knows each message that expires, and all messages up to the floor are gone and count as read",
        "SELECT m.conversation_id::text || ':' || m.seq AS what FROM messages m
         FULL JOIN expiring e ON e.conversation_id = m.conversation_id AND e.seq = m.seq
         WHERE m.seq IS NULL OR e.seq IS NULL AND m.content IS NOT NULL AND m.extra ->> 'expires_at' IS NOT NULL
         UNION ALL
         SELECT m.conversation_id::text || ':' || m.seq FROM messages m
         JOIN conversations c ON c.id = m.conversation_id AND m.seq <= c.floor_seq WHERE m.content IS NOT NULL
         UNION ALL
         SELECT m.conversation_id::text || ':' || m.user_id FROM members m
         JOIN conversations c ON c.id = m.conversation_id AND c.switch_seq IS NULL AND m.read_seq < c.floor_seq",
    ),
    (
        "the counts of reactions are those of the reactions, but for what a recall leaves to be deleted",
        "SELECT COALESCE(s.id, r.id) AS what FROM (
             SELECT s.conversation_id::text || ':' || s.seq AS id, c.emoji, c.count
             FROM message_states s CROSS JOIN LATERAL json_to_recordset(s.reactions) AS c(emoji text, count bigint)) AS s
         FULL JOIN (
             SELECT conversation_id::text || ':' || seq AS id, emoji, count(*) FROM reactions
             WHERE (conversation_id, seq) NOT IN (SELECT conversation_id, seq FROM erasures) GROUP BY 1, 2) AS r
             ON r.id = s.id AND r.emoji = s.emoji
         WHERE s.count IS DISTINCT FROM r.count",
    ),
    (
        "pinned messages are listed once, and are at most 100 in a conversation",
        "SELECT COALESCE(s.id, p.id) AS what FROM (
             SELECT conversation_id::text || ':' || seq AS id FROM message_states WHERE pinned_at IS NOT NULL) AS s
         FULL JOIN (SELECT conversation_id::text || ':' || seq AS id FROM pins) AS p ON p.id = s.id
         WHERE s.id IS NULL OR p.id IS NULL
         UNION ALL
         SELECT conversation_id::text FROM pins GROUP BY conversation_id HAVING count(*) > 100",
    ),
    (
        "replies are listed once, below the first message of their chain",
        "SELECT COALESCE(m.id, r.id) AS what FROM (
             SELECT conversation_id::text || ':' || seq AS id, (extra ->> 'root_seq')::bigint AS root
             FROM messages WHERE extra ->> 'root_seq' IS NOT NULL) AS m
         FULL JOIN (
             SELECT r.conversation_id::text || ':' || r.seq AS id, r.root_seq AS root FROM replies r
             JOIN messages m ON m.conversation_id = r.conversation_id AND m.seq = r.seq AND m.content IS NOT NULL) AS r
             ON r.id = m.id
         WHERE m.root IS DISTINCT FROM r.root",
    ),
    (
        "in a small conversation nobody's unread messages begin with a recalled one",
        "SELECT m.conversation_id::text || ':' || m.user_id AS what FROM members m
         JOIN conversations c ON c.id = m.conversation_id AND c.switch_seq IS NULL
         JOIN message_states s ON s.conversation_id = m.conversation_id AND s.seq = m.read_seq + 1
         WHERE s.recalled_at IS NOT NULL",
    ),
    (
        "no device is beyond the head of its inbox, or has messages of after its last entry",
        "SELECT d.id::text AS what FROM devices d LEFT JOIN timelines t ON t.user_id = d.user_id
         WHERE d.inbox_seq > COALESCE(t.last_seq, 0) OR d.delivered_at > t.last_at + interval '1 microsecond'",
    ),
    (
        "member counts are true, and nobody has read beyond the head",
        "SELECT c.id::text AS what FROM conversations c LEFT JOIN members m ON m.conversation_id = c.id
         GROUP BY c.id HAVING count(m.user_id) <> c.member_count OR max(m.read_seq) > c.last_seq
             OR min(m.read_seq - GREATEST(m.joined_seq, m.cleared_seq)) < 0",
    ),
    (
        "a group that has members has one owner, who is not muted, and a direct conversation two equals",
        "SELECT c.id::text AS what FROM conversations c JOIN members m ON m.conversation_id = c.id
         GROUP BY c.id HAVING CASE c.kind <> 'direct' WHEN true
             THEN count(*) FILTER (WHERE role = 'owner' AND muted_until IS NULL) <> 1 OR count(*) FILTER (WHERE role = 'owner') <> 1
             ELSE count(*) <> 2 OR count(*) FILTER (WHERE role = 'member') <> 2 END",
    ),
    (
        "every change of members is there once, and who was a member before and after it has its entry",
        "SELECT i.receiver_id::text || ':' || i.seq AS what FROM inbox i
         LEFT JOIN member_changes m ON m.conversation_id = i.conversation_id AND m.seq = i.ref_seq
         WHERE i.kind = 'members' AND m.seq IS NULL
         UNION ALL
         SELECT c.id::text FROM conversations c LEFT JOIN member_changes m ON m.conversation_id = c.id
         GROUP BY c.id HAVING count(m.seq) <> c.last_change OR COALESCE(max(m.seq), 0) <> c.last_change",
    ),
    (
        "members learn of the conversation first, and who is out learns that last, with nothing unread",
        "SELECT receiver_id::text || ':' || e.conversation_id AS what FROM (
             SELECT receiver_id, conversation_id, (array_agg(kind ORDER BY seq))[1] AS first,
                 (array_agg(kind ORDER BY seq DESC))[1] AS last, (array_agg(unread ORDER BY seq DESC))[1] AS unread
             FROM inbox WHERE conversation_id <> '00000000-0000-0000-0000-000000000000'
                 AND kind NOT IN ('contact', 'contact_request') GROUP BY 1, 2) AS e
         LEFT JOIN members m ON m.user_id = receiver_id AND m.conversation_id = e.conversation_id
         WHERE (first <> 'conversation' AND receiver_id NOT IN (SELECT receiver_id FROM inbox GROUP BY 1 HAVING min(seq) > 1))
             OR (last = 'left') <> (m.user_id IS NULL) OR (last = 'left' AND unread <> 0)",
    ),
    (
        "a conversation is blocked when one of its two blocks the other",
        "SELECT conversation_id::text AS what FROM direct_pairs p JOIN conversations c ON c.id = p.conversation_id
         WHERE c.blocked <> EXISTS (SELECT FROM blocks WHERE (blocker_id, blocked_id)
             IN ((low_user_id, high_user_id), (high_user_id, low_user_id)))",
    ),
    (
        "nobody who is banned is a member, and only who is out has a mute that waits",
        "SELECT b.user_id::text AS what FROM bans b JOIN members m USING (conversation_id, user_id)
         UNION ALL
         SELECT k.user_id::text FROM mutes k JOIN members m USING (conversation_id, user_id)",
    ),
    (
        "only a member has settings of a conversation, and at most 50 conversations are pinned",
        "SELECT s.user_id::text || ':' || s.conversation_id AS what FROM conversation_settings s
         LEFT JOIN members m USING (conversation_id, user_id) WHERE m.user_id IS NULL
         UNION ALL
         SELECT user_id::text FROM conversation_settings WHERE pinned_at IS NOT NULL GROUP BY user_id HAVING count(*) > 50",
    ),
    (
        "every failure of a scheduled message has its entry",
        "SELECT COALESCE(i.receiver_id, f.user_id)::text AS what FROM (SELECT * FROM inbox WHERE kind = 'scheduled_failed') AS i
         FULL JOIN scheduled_failures f ON f.user_id = i.receiver_id AND f.number = i.ref_seq
         WHERE f.number IS NULL AND i.receiver_id NOT IN (SELECT id FROM users WHERE state = 'deleted') OR i.seq IS NULL AND f.user_id NOT IN (SELECT receiver_id FROM inbox GROUP BY 1 HAVING min(seq) > 1)",
    ),
    (
        "only a member has a draft, and the newest message of each member is known",
        "SELECT d.user_id::text || ':' || d.conversation_id AS what FROM drafts d
         LEFT JOIN members m USING (conversation_id, user_id) WHERE m.user_id IS NULL
         UNION ALL
         SELECT m.user_id::text || ':' || m.conversation_id FROM members m
         LEFT JOIN messages x ON x.conversation_id = m.conversation_id AND x.sender_id = m.user_id AND x.seq > m.joined_seq
         GROUP BY m.user_id, m.conversation_id, m.sent_seq HAVING COALESCE(max(x.seq), 0) <> m.sent_seq",
    ),
    (
        "only a member or a former one hides messages, those that there are, above the cleared ones, and their number is known",
        "SELECT h.user_id::text || ':' || h.conversation_id || ':' || h.seq AS what FROM hidden_messages h
         LEFT JOIN members m USING (conversation_id, user_id) JOIN conversations c ON c.id = h.conversation_id
         WHERE h.seq > c.last_seq OR h.seq > m.joined_seq AND h.seq <= m.cleared_seq
             OR (m.user_id IS NULL OR h.seq <= m.joined_seq) AND NOT EXISTS (
                 SELECT FROM former_members f
                 WHERE f.conversation_id = h.conversation_id AND f.user_id = h.user_id AND f.joined_seq < h.seq)
         UNION ALL
         SELECT user_id::text || ':' || conversation_id FROM conversation_settings s
         FULL JOIN (
             SELECT user_id, conversation_id, count(*) AS n FROM hidden_messages h JOIN members m USING (user_id, conversation_id)
             WHERE h.seq > m.joined_seq GROUP BY 1, 2
         ) AS h USING (user_id, conversation_id)
         WHERE COALESCE(h.n, 0) IS DISTINCT FROM s.hides
         UNION ALL
         SELECT t.user_id::text FROM timelines t WHERE NOT t.hides AND (
             EXISTS (SELECT FROM hidden_messages h WHERE h.user_id = t.user_id)
             OR EXISTS (SELECT FROM members m WHERE m.user_id = t.user_id AND m.cleared_seq > 0))",
    ),
    (
        "nobody is mentioned by somebody whom they had blocked",
        "SELECT i.receiver_id::text || ':' || i.seq AS what FROM inbox i
         JOIN messages m ON m.conversation_id = i.conversation_id AND m.seq = i.ref_seq
         JOIN blocks b ON b.blocker_id = i.receiver_id AND b.blocked_id = m.sender_id AND b.created_at < m.created_at
         WHERE i.kind = 'mention'",
    ),
    (
        "a name is that of its user or reserved, and only the names of erased accounts have no user",
        "SELECT u.id::text AS what FROM users u LEFT JOIN usernames n ON n.username = u.username AND n.reserved_until IS NULL
         WHERE CASE u.state WHEN 'deleted' THEN n.username IS NOT NULL ELSE n.user_id IS DISTINCT FROM u.id END
         UNION ALL
         SELECT n.username FROM usernames n LEFT JOIN users u ON u.id = n.user_id
         WHERE CASE WHEN n.user_id IS NULL THEN n.reserved_until IS NULL
             ELSE u.state = 'deleted' OR n.reserved_until IS NULL AND n.username <> u.username END",
    ),
    (
        "accounts in use have no end, deactivated ones have somebody who has ended them, and erased ones have nothing",
        "SELECT id::text AS what FROM users WHERE CASE state
             WHEN 'active' THEN deactivated_by IS NOT NULL OR erase_at IS NOT NULL
             WHEN 'deactivated' THEN deactivated_by NOT IN ('self', 'operator') OR deactivated_by IS NULL
             ELSE (username, display_name, password_hash) <> ('deleted-' || right(id::text, 12), 'Deleted account', '!') END",
    ),
    (
        "what users have reserved is the sum of their media",
        "SELECT u.owner_id::text AS what FROM media_usage u LEFT JOIN (
             SELECT owner_id, sum(reserved) AS bytes, count(*) FILTER (WHERE state IN ('uploading', 'processing')) AS uploads
             FROM media GROUP BY 1
         ) AS m USING (owner_id)
         WHERE (u.bytes, u.uploads) <> (COALESCE(m.bytes, 0), COALESCE(m.uploads, 0))",
    ),
    (
        "messages refer to media that are ready, and what is sent later too",
        "SELECT r.conversation_id::text || ':' || r.seq AS what FROM message_media r
         LEFT JOIN media m ON m.owner_id = r.owner_id AND m.id = r.media_id WHERE m.state IS DISTINCT FROM 'ready'
         UNION ALL
         SELECT s.client_msg_id::text FROM scheduled s LEFT JOIN media m ON m.id::text = s.content ->> 'media_id'
         WHERE s.content ->> 'media_id' IS NOT NULL AND m.state IS DISTINCT FROM 'ready'",
    ),
    (
        "pictures of users and groups are media that are ready, and a user shows the path of the own one",
        "SELECT u.id::text AS what FROM users u LEFT JOIN media m ON m.owner_id = u.id AND m.id = u.avatar_media_id
         WHERE CASE WHEN u.avatar_media_id IS NULL THEN u.avatar_url LIKE '/%' ELSE m.state IS DISTINCT FROM 'ready'
             OR u.avatar_url IS DISTINCT FROM '/v1/users/' || u.id || '/avatar?v=' || u.avatar_media_id END
         UNION ALL
         SELECT c.id::text FROM conversations c LEFT JOIN media m ON m.owner_id = c.avatar_owner_id AND m.id = c.avatar_media_id
         WHERE c.avatar_media_id IS NOT NULL AND m.state IS DISTINCT FROM 'ready'",
    ),
    (
        "a message with media has its reference, and a message that is gone has none",
        "SELECT n.conversation_id::text || ':' || n.seq AS what FROM messages n
         LEFT JOIN message_states s ON s.conversation_id = n.conversation_id AND s.seq = n.seq
         LEFT JOIN message_media r ON r.conversation_id = n.conversation_id AND r.seq = n.seq AND r.role = 'content'
         WHERE n.kind IN ('image', 'video', 'file') AND CASE WHEN n.content IS NULL OR s.recalled_at IS NOT NULL
             THEN r.media_id IS NOT NULL ELSE (n.content ->> 'media_id') IS DISTINCT FROM r.media_id::text END",
    ),
    (
        "nobody was let in by somebody of whom a block had kept them",
        "SELECT m.user_id::text AS what FROM members m
         JOIN LATERAL (
             SELECT actor_id FROM member_changes c WHERE c.conversation_id = m.conversation_id AND m.user_id = ANY(c.added)
             ORDER BY seq DESC LIMIT 1
         ) AS c ON true
         JOIN blocks b ON (b.blocker_id, b.blocked_id) IN ((m.user_id, c.actor_id), (c.actor_id, m.user_id))
             AND b.created_at < m.joined_at",
    ),
];

#[derive(QueryableByName)]
struct Broken {
    #[diesel(sql_type = diesel::sql_types::Text)]
    what: String,
}

#[derive(QueryableByName)]
struct Recount {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    user_id: uuid::Uuid,
    #[diesel(sql_type = diesel::sql_types::Text)]
    counts: String,
}

pub async fn check(app: &App) {
    let mut conn = app.database();
    for (promise, query) in BROKEN {
        let broken: Vec<Broken> = sql_query(*query).load(&mut conn).unwrap();
        let broken: Vec<_> = broken.into_iter().map(|row| row.what).collect();
        assert!(broken.is_empty(), "{promise}: broken by {broken:?}");
    }
    store_has_what_the_rows_say(app, &mut conn);
    // The recount is implemented again on purpose: it must not share a mistake with the server. (A thousand users are enough.)
    let recounts: Vec<Recount> = sql_query(
        "SELECT u.id AS user_id, COALESCE(json_object_agg(m.conversation_id, m.n)
                    FILTER (WHERE m.n > 0), '{}')::text AS counts
         FROM users u
         LEFT JOIN (SELECT user_id, conversation_id,
                        (SELECT count(*) FROM messages x JOIN conversations c ON c.id = x.conversation_id
                         WHERE x.conversation_id = m.conversation_id AND x.seq > GREATEST(m.read_seq, c.floor_seq)) AS n
                    FROM members m) AS m ON m.user_id = u.id
         GROUP BY u.id ORDER BY u.id LIMIT 1000",
    )
    .load(&mut conn)
    .unwrap();
    for recount in recounts {
        let expected: Value = serde_json::from_str(&recount.counts).unwrap();
        let (node, user) = (&app.nodes[0].handles, UserId(recount.user_id));
        // Counts that Redis marks as exact must be exact. (Redis may be away after the test.)
        let found = unread::audit(&node.delivery, &[user]).await;
        assert!(
            !found.is_ok_and(|found| found == [Found::Drifted]),
            "{user:?} has drifted"
        );
        let got = eventually(
            "unread counts can be read",
            Duration::from_secs(10),
            async || unread::all(&node.delivery, &node.admission, user).await,
            Result::is_ok,
        )
        .await
        .unwrap();
        let counts: serde_json::Map<String, Value> = got
            .conversations
            .iter()
            .map(|one| (one.conversation_id.to_string(), json!(one.unread)))
            .collect();
        assert_eq!(
            Value::Object(counts),
            expected,
            "unread of {}",
            recount.user_id
        );
        let sum: i64 = got.conversations.iter().map(|one| one.unread).sum();
        assert_eq!(got.total, sum, "total of {}", recount.user_id);
    }
}

impl Person {
    /// Asserts that this person's answer to `GET /v1/unread` adds up, and returns its total.
    pub async fn total(&self) -> i64 {
        let unread = self.unread().await;
        let sum: i64 = unread["conversations"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["unread"].as_i64().unwrap())
            .sum();
        assert_eq!(unread["total"], sum, "{unread}");
        sum
    }
}

#[derive(QueryableByName)]
struct StoreRow {
    #[diesel(sql_type = diesel::sql_types::Text)]
    key: String,
    #[diesel(sql_type = diesel::sql_types::Bool)]
    is_kept: bool,
}

/// The keys of the objects in a directory. A file that is being written has a suffix, which is left out.
fn objects(root: &Path) -> BTreeSet<String> {
    fn walk(dir: &Path, root: &Path, found: &mut BTreeSet<String>) {
        // A directory goes with its last object.
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, root, found);
            } else {
                let key = path.strip_prefix(root).unwrap().to_str().unwrap();
                found.insert(key.split('#').next().unwrap().to_owned());
            }
        }
    }
    let mut found = BTreeSet::new();
    walk(root, root, &mut found);
    found
}

/// Every object of the media store has a row, and every object that media are read from is there. This holds at every moment, so the store
/// is listed before the rows are read and after it.
pub fn store_has_what_the_rows_say(app: &App, conn: &mut diesel::PgConnection) {
    let settings = app.config.media.as_ref();
    if !settings.is_some_and(|media| media.url.starts_with("file://")) {
        return;
    }
    let root = app.media_dir();
    let before = objects(&root);
    let rows: Vec<StoreRow> = sql_query(
        "SELECT concat_ws('/', left(encode(sha256(uuid_send(id)), 'hex'), 2), id, object_id, f.form) AS key, true AS is_kept
         FROM media, LATERAL (
             SELECT 'original' AS form UNION ALL SELECT v ->> 'name' FROM json_array_elements(variants) AS v
         ) AS f WHERE state = 'ready'
         UNION ALL
         SELECT store_key, false FROM blob_deletions",
    )
    .load(conn)
    .unwrap();
    let after = objects(&root);
    let (kept, deletions): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.is_kept);
    let [kept, deletions] = [kept, deletions].map(|rows| {
        let keys = rows.into_iter().map(|row| row.key);
        keys.collect::<BTreeSet<String>>()
    });
    let is_there = |key: &&String| before.contains(*key) || after.contains(*key);
    let lost: Vec<_> = kept.iter().filter(|key| !is_there(key)).collect();
    assert!(lost.is_empty(), "media without their objects: {lost:?}");
    let known = |key: &&String| {
        kept.contains(*key) || deletions.contains(*key) || key.starts_with("store/")
    };
    let strays: Vec<_> = before.iter().filter(|key| !known(key)).collect();
    assert!(strays.is_empty(), "objects without a row: {strays:?}");
    let both: Vec<_> = kept.intersection(&deletions).collect();
    assert!(
        both.is_empty(),
        "objects to delete that are in use: {both:?}"
    );
}
