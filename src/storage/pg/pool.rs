//! The connections: how they are made, and when they are thrown away.

use diesel::connection::{Connection, SimpleConnection, TransactionManager};
use diesel::pg::PgConnection;
use diesel::result::Error as DieselError;

/// What every connection is told at once.
///
/// A node frozen between lock and commit must not stop the others, so both waits for locks and idle transactions end
/// within about a second. Every statement is a key look-up or a short range, for which generic plans are as good as
/// custom ones and need no planning. A plan is kept, and a table may have been empty when it was made: so the planner may
/// not scan whole tables or join by hashing or sorting them, whatever it believes of their size.
const SESSION: &str = "\
    SET lock_timeout = '1s';
    SET idle_in_transaction_session_timeout = '1500ms';
    SET plan_cache_mode = force_generic_plan;
    SET jit = off;
    SET enable_seqscan = off;
    SET enable_hashjoin = off;
    SET enable_mergejoin = off;
    SET timezone = 'UTC';
    SET client_min_messages = warning;";

/// A connection, and whether it was found dead.
pub(super) struct Conn {
    pub(super) pg: PgConnection,
    pub(super) dead: bool,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error(transparent)]
    Connect(#[from] diesel::ConnectionError),
    #[error(transparent)]
    Set(#[from] DieselError),
}

pub(super) struct Manager {
    pub(super) url: String,
}

impl r2d2::ManageConnection for Manager {
    type Connection = Conn;
    type Error = ConnectError;

    fn connect(&self) -> Result<Conn, ConnectError> {
        let mut pg = PgConnection::establish(&self.url)?;
        pg.batch_execute(SESSION)?;
        Ok(Conn { pg, dead: false })
    }

    /// Never asked (`test_on_check_out` is off): it would cost a round trip each time, and the door retries anyway.
    fn is_valid(&self, _: &mut Conn) -> Result<(), ConnectError> {
        Ok(())
    }

    /// A panic inside a transaction can leave a connection poisoned, so those are thrown away too.
    fn has_broken(&self, conn: &mut Conn) -> bool {
        conn.dead
            || std::thread::panicking()
            || diesel::connection::AnsiTransactionManager::is_broken_transaction_manager(
                &mut conn.pg,
            )
    }
}
