//! The connections: how they are made, and when they are thrown away.

use diesel::connection::{
    AnsiTransactionManager, Connection, SimpleConnection, TransactionManager,
};
use diesel::pg::PgConnection;
use diesel::result::Error as DieselError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, mpsc};
use std::time::{Duration, Instant};

/// What every connection is told at once.
///
/// A node frozen between lock and commit must not stop the others, so both waits for locks and idle transactions end
/// within a second. A transaction of a node that is well is idle for microseconds; and since the idle one ends no later
/// than a wait that began after it, whoever waits for a frozen node gets the lock at the first try. Every statement is a
/// key look-up or a short range, for which generic plans are as good as custom ones and need no planning. A plan is kept,
/// and a table may have been empty when it was made: so the planner may not scan tables or join by keeping, hashing or
/// sorting them, whatever it believes of their size.
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

/// What libpq is told, unless the URL says otherwise: without these a host that vanished holds a thread for minutes.
///
/// `tcp_user_timeout` is for what was sent and not acknowledged. Who waits for an answer has sent nothing, and notices by the
/// keepalives: with `tcp_user_timeout`, at the first interval after the first of them.
const TIMEOUTS: [(&str, &str); 5] = [
    ("connect_timeout", "3"),
    ("tcp_user_timeout", "5000"),
    ("keepalives_idle", "5"),
    ("keepalives_interval", "2"),
    ("keepalives_count", "3"),
];

/// How often a server that takes no writes is left for the one that does, if there is one by now.
const READ_ONLY_RETRY: Duration = Duration::from_secs(1);

/// Held while a connection is made.
static CONNECTING: RwLock<()> = RwLock::new(());

/// Waits for the connections that are being made, and has no more made: a process that ends meanwhile can crash, since it
/// takes the cryptography down that libpq is setting up on another thread. A server that hangs is not waited for longer than
/// this: then libpq only waits as well.
pub fn stop_connecting(within: Duration) {
    let (stopped, stop) = mpsc::channel();
    std::thread::spawn(move || {
        let _none = CONNECTING.write().unwrap_or_else(PoisonError::into_inner);
        let _late = stopped.send(());
        // To the end of the process.
        loop {
            std::thread::park();
        }
    });
    let _late = stop.recv_timeout(within);
}

/// A connection of a generation.
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

/// Makes connections. When one is lost, the idle ones were probably lost with it (a restart, a failover): all of that
/// generation are thrown away unused, so that one loss is one failed request and not one for each connection.
#[derive(Clone)]
pub(super) struct Manager {
    url: String,
    generation: Arc<AtomicU64>,
    /// When a server that takes no writes was last left.
    left: Arc<Mutex<Option<Instant>>>,
}

impl Manager {
    pub(super) fn new(url: &str) -> Self {
        Self {
            url: with_timeouts(url),
            generation: Arc::default(),
            left: Arc::default(),
        }
    }

    /// Notes that this connection was lost.
    pub(super) fn lost(&self, conn: &Conn) {
        // Only the first loss of a generation begins a new one.
        let next = conn.generation + 1;
        self.generation.fetch_max(next, Ordering::AcqRel);
    }

    /// Notes that the server of this connection takes no writes: another one may have taken its place. While none has, new
    /// connections are no better, so they are not made for each refusal.
    pub(super) fn read_only(&self, conn: &Conn) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        if left.is_none_or(|at| at.elapsed() >= READ_ONLY_RETRY) {
            *left = Some(Instant::now());
            self.lost(conn);
        }
    }
}

/// A libpq URL or keyword string with our time-outs added where it does not name them.
fn with_timeouts(url: &str) -> String {
    let is_url = url.starts_with("postgres://") || url.starts_with("postgresql://");
    let mut all = url.to_owned();
    for (name, value) in TIMEOUTS {
        let names = |part: &str| part.split('=').next().is_some_and(|it| it.trim() == name);
        let is_named = match (is_url, url.split_once('?')) {
            (true, None) => false,
            (true, Some((_, parameters))) => parameters.split('&').any(names),
            // Spaces may stand before and after the sign.
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

    /// Asks no server, which would cost a round trip each time.
    fn is_valid(&self, conn: &mut Conn) -> Result<(), ConnectError> {
        if conn.generation == self.generation.load(Ordering::Acquire) {
            Ok(())
        } else {
            Err(ConnectError::Stale)
        }
    }

    /// A panic inside a transaction can leave a connection poisoned, so those are thrown away too.
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
    fn timeouts_are_added_where_the_operator_named_none() {
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
            // A name elsewhere is none.
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
