//! How connections are made, and when they are discarded.

use diesel::connection::{
    AnsiTransactionManager, Connection, SimpleConnection, TransactionManager,
};
use diesel::pg::PgConnection;
use diesel::result::Error as DieselError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, mpsc};
use std::time::{Duration, Instant};

/// Settings of every connection.
///
/// A node that is frozen between lock and commit must not stop the others, so lock waits and idle transactions end within
/// 1 s. A healthy transaction is idle for microseconds. An idle transaction ends no later than a lock wait that began after
/// it, so a node that waits for a frozen one gets the lock at the first try. Every statement is a key look-up or a short
/// range: generic plans are as good as custom ones and save the planning. A cached plan may have been made when a table was
/// empty, so the planner may not use sequential scans, hash joins, merge joins or materialization.
const SESSION: &str = "\
    SET lock_timeout = '1s';
    SET idle_in_transaction_session_timeout = '1s';
    SET plan_cache_mode = force_generic_plan;
    SET jit = off;
    SET enable_seqscan = off;
    SET enable_hashjoin = off;
    SET enable_mergejoin = off;
    SET enable_material = off;
    SET timezone = 'UTC';
    SET client_min_messages = warning;";

/// Parameters of libpq that are added to the URL unless it names them. Without them a vanished host blocks a thread for
/// minutes.
///
/// `tcp_user_timeout` covers data that was sent and not acknowledged. A connection that waits for an answer has no such data
/// and relies on the keepalives; with `tcp_user_timeout` it fails one interval after the first unanswered one.
const TIMEOUTS: [(&str, &str); 5] = [
    ("connect_timeout", "3"),
    ("tcp_user_timeout", "5000"),
    ("keepalives_idle", "5"),
    ("keepalives_interval", "2"),
    ("keepalives_count", "3"),
];

/// How often connections to a read-only server are replaced, in case another server accepts writes by now.
const READ_ONLY_RETRY: Duration = Duration::from_secs(1);

/// Held while a connection is made.
static CONNECTING: RwLock<()> = RwLock::new(());

/// Waits for the connections that are being made, and prevents new ones. A process that exits while libpq sets up a
/// connection on another thread can crash, since OpenSSL's exit handler runs meanwhile (libpq 15; docs/UPSTREAM.md). Returns
/// after `within` at the latest: libpq then only waits for a hanging server, which is safe.
pub fn stop_connecting(within: Duration) {
    let (stopped, stop) = mpsc::channel();
    std::thread::spawn(move || {
        let _none = CONNECTING.write().unwrap_or_else(PoisonError::into_inner);
        let _late = stopped.send(());
        // Holds the lock until the process ends.
        loop {
            std::thread::park();
        }
    });
    let _late = stop.recv_timeout(within);
}

/// A connection and its generation.
pub(super) struct Conn {
    pub(super) pg: PgConnection,
    generation: u64,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error(transparent)]
    Connect(#[from] diesel::ConnectionError),
    #[error(transparent)]
    Set(#[from] DieselError),
    #[error("older than the last loss of a connection")]
    Stale,
}

/// Makes connections. When one is lost, the idle ones were probably lost too (a restart, a failover). All connections of its
/// generation are discarded, so that one loss fails one request and not one request per connection.
#[derive(Clone)]
pub(super) struct Manager {
    url: String,
    generation: Arc<AtomicU64>,
    /// When connections to a read-only server were last replaced.
    replaced_at: Arc<Mutex<Option<Instant>>>,
}

impl Manager {
    pub(super) fn new(url: &str) -> Self {
        Self {
            url: with_timeouts(url),
            generation: Arc::default(),
            replaced_at: Arc::default(),
        }
    }

    /// Records that this connection was lost.
    pub(super) fn lost(&self, conn: &Conn) {
        // Only the first loss of a generation begins a new one.
        let next = conn.generation + 1;
        self.generation.fetch_max(next, Ordering::AcqRel);
    }

    /// Records that the server of this connection is read-only: after a failover another one accepts writes. Until then new
    /// connections do not help, so they are made at most once per [`READ_ONLY_RETRY`].
    pub(super) fn read_only(&self, conn: &Conn) {
        let mut replaced_at = self
            .replaced_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if replaced_at.is_none_or(|at| at.elapsed() >= READ_ONLY_RETRY) {
            *replaced_at = Some(Instant::now());
            self.lost(conn);
        }
    }
}

/// A libpq URL or keyword string with [`TIMEOUTS`] added, except those that it names.
fn with_timeouts(url: &str) -> String {
    let is_url = url.starts_with("postgres://") || url.starts_with("postgresql://");
    let mut all = url.to_owned();
    for (name, value) in TIMEOUTS {
        let names = |part: &str| part.split('=').next().is_some_and(|it| it.trim() == name);
        let is_named = match (is_url, url.split_once('?')) {
            (true, None) => false,
            (true, Some((_, parameters))) => parameters.split('&').any(names),
            // Spaces around the `=` are allowed.
            (false, _) => url.split_whitespace().any(names),
        };
        if !is_named {
            let separator = match (is_url, all.contains('?')) {
                (true, true) if all.ends_with(['?', '&']) => "",
                (true, true) => "&",
                (true, false) => "?",
                (false, _) => " ",
            };
            all.push_str(&format!("{separator}{name}={value}"));
        }
    }
    all
}

impl r2d2::ManageConnection for Manager {
    type Connection = Conn;
    type Error = ConnectError;

    fn connect(&self) -> Result<Conn, ConnectError> {
        let _connecting = CONNECTING.read().unwrap_or_else(PoisonError::into_inner);
        let generation = self.generation.load(Ordering::Acquire);
        let mut pg = PgConnection::establish(&self.url)?;
        pg.batch_execute(SESSION)?;
        Ok(Conn { pg, generation })
    }

    /// Does not query the server: that would cost a round trip each time.
    fn is_valid(&self, conn: &mut Conn) -> Result<(), ConnectError> {
        if conn.generation == self.generation.load(Ordering::Acquire) {
            Ok(())
        } else {
            Err(ConnectError::Stale)
        }
    }

    /// A panic inside a transaction can leave a connection in an unknown state, so it is discarded too.
    fn has_broken(&self, conn: &mut Conn) -> bool {
        self.is_valid(conn).is_err()
            || std::thread::panicking()
            || AnsiTransactionManager::is_broken_transaction_manager(&mut conn.pg)
    }
}

#[cfg(test)]
mod tests {
    use super::with_timeouts;

    #[test]
    fn timeouts_are_added_unless_the_url_names_them() {
        let rest =
            "tcp_user_timeout=5000&keepalives_idle=5&keepalives_interval=2&keepalives_count=3";
        let ours = format!("connect_timeout=3&{rest}");
        assert_eq!(
            with_timeouts("postgres://h/d"),
            format!("postgres://h/d?{ours}")
        );
        assert_eq!(
            with_timeouts("postgresql://h/d?connect_timeout=1"),
            format!("postgresql://h/d?connect_timeout=1&{rest}")
        );
        for open in [
            "postgres://h/d?",
            "postgres://h/d?sslmode=disable&",
            // A name outside the query string does not count.
            "postgres://connect_timeout:tcp_user_timeout@keepalives_idle/keepalives_count?",
        ] {
            assert_eq!(with_timeouts(open), format!("{open}{ours}"));
        }
        assert_eq!(
            with_timeouts("host=a connect_timeout = 7"),
            format!("host=a connect_timeout = 7 {}", rest.replace('&', " "))
        );
        assert_eq!(
            with_timeouts("postgres://h/d?sslmode=verify-full&sslrootcert=/ca.pem"),
            format!("postgres://h/d?sslmode=verify-full&sslrootcert=/ca.pem&{ours}")
        );
        assert_eq!(
            with_timeouts("host=a,b dbname=d"),
            format!("host=a,b dbname=d {}", ours.replace('&', " "))
        );
    }
}
