//! A standby of the private PostgreSQL, for tests of a failover.

use super::programs::run;
use super::server::ServerProcess;
use super::{Result, Services, remove};

/// A PostgreSQL that replicates the one of [`Services`], in the same directory. Drop it before them.
#[derive(Debug)]
pub struct Standby(ServerProcess);

impl Services {
    /// Copies PostgreSQL and starts the copy as a standby that answers reads.
    pub fn start_standby(&self) -> Result<Standby> {
        let server = ServerProcess::new("standby", "INT", "postmaster.pid", &self.dir)?;
        remove(&server.home)?;
        let mut copy = self
            .programs
            .command(self.programs.postgres.join("pg_basebackup"), "KILL");
        copy.args(["--host=127.0.0.1", "--username=tideline"])
            .args(["--checkpoint=fast", "--no-sync", "--write-recovery-conf"])
            .arg(format!("--port={}", self.postgres.port))
            .arg("--pgdata")
            .arg(&server.home)
            // Not an argument, because all users can read the arguments.
            .env("PGPASSWORD", &self.password);
        run("pg_basebackup", copy, "")?;
        self.launch_postgres(&server)?;
        Ok(Standby(server))
    }
}

impl Standby {
    /// Its port.
    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// Suspends it, and with it each commit that waits for its confirmation.
    pub fn pause(&self) {
        self.0.pause();
    }

    /// Resumes it after a pause.
    pub fn resume(&self) {
        self.0.resume();
    }
}

impl Drop for Standby {
    fn drop(&mut self) {
        self.0.stop();
    }
}
