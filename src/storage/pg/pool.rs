//! The connections: how they are made, and when they are thrown away.

use diesel::connection::{
    AnsiTransactionManager, Connection, SimpleConnection, TransactionManager,
};
use diesel::pg::PgConnection;
use diesel::result::Error as DieselError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

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
const TIMEOUTS: [(&str, &str); 3] = [
    ("connect_timeout", "3"),
    ("tcp_user_timeout", "5000"),
    ("keepalives_idle", "10"),
];

/// Held while a connection is made.
static CONNECTING: RwLock<()> = RwLock::new(());

/// Waits for the connections that are being made, and makes none while this is held: a process that ends meanwhile can crash,
/// since it takes the cryptography down that libpq is setting up on another thread.
pub fn stop_connecting() -> RwLockWriteGuard<'static, ()> {
    CONNECTING.write().unwrap_or_else(PoisonError::into_inner)
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
}

impl Manager {
    pub(super) fn new(url: &str) -> Self {
        Self {
            url: with_timeouts(url),
            generation: Arc::default(),
        }
    }

    /// Notes that this connection was lost.
    pub(super) fn lost(&self, conn: &Conn) {
        // Only the first loss of a generation begins a new one.
        let next = conn.generation + 1;
        self.generation.fetch_max(next, Ordering::AcqRel);
    }
}

/// A libpq URL or keyword string with our time-outs added where it does not name them.
fn with_timeouts(url: &str) -> String {
    let mut url = url.to_owned();
    let is_url = url.starts_with("postgres://") || url.starts_with("postgresql://");
    for (name, value) in TIMEOUTS {
        if !url.contains(name) {
            let separator = match (is_url, url.contains('?')) {
                (true, true) => "&",
                (true, false) => "?",
                (false, _) => " ",
            };
            url.push_str(&format!("{separator}{name}={value}"));
        }
    }
    url
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
        let ours = "connect_timeout=3&tcp_user_timeout=5000&keepalives_idle=10";
        assert_eq!(
            with_timeouts("postgres://h/d"),
            format!("postgres://h/d?{ours}")
        );
        assert_eq!(
            with_timeouts("postgresql://h/d?connect_timeout=1"),
            "postgresql://h/d?connect_timeout=1&tcp_user_timeout=5000&keepalives_idle=10"
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
