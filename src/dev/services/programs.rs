//! The programs of the servers, the user that runs them, and the directories that this user can write.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{LOCK, Result, ServicesError, at};

/// The parent of the data if `postgres` cannot reach the wanted directory.
const ELSEWHERE: &str = "/var/lib/tideline-dev";

/// The programs that were found, and the user that runs them.
#[derive(Debug)]
pub(super) struct Programs {
    /// The directory of `initdb` and `postgres`.
    pub(super) postgres: PathBuf,
    pub(super) redis: &'static str,
    /// The user `postgres` if this process is root.
    user: Option<User>,
}

#[derive(Debug)]
struct User {
    uid: u32,
    gid: u32,
}

impl Programs {
    pub(super) fn find() -> Result<Self> {
        let configured = said(Command::new("pg_config").arg("--bindir")).map(PathBuf::from);
        let versions = fs::read_dir("/usr/lib/postgresql")
            .into_iter()
            .flatten()
            .flatten();
        let mut versions: Vec<_> = versions
            .filter_map(|entry| {
                let version = entry.file_name().to_str()?.parse::<u32>().ok()?;
                Some((version, entry.path()))
            })
            .collect();
        versions.sort();
        // Debian's pg_config comes with the headers of the client, so the directory that it names may contain no server.
        let postgres = configured
            .into_iter()
            .chain(versions.into_iter().rev().map(|(_, path)| path.join("bin")))
            .find(|bin| bin.join("initdb").exists() && bin.join("postgres").exists())
            .ok_or(ServicesError::NoPostgres)?;
        let redis = ["redis-server", "valkey-server"]
            .into_iter()
            .find(|program| said(Command::new(program).arg("--version")).is_some())
            .ok_or(ServicesError::NoRedis)?;
        if cfg!(target_os = "linux") && said(Command::new("setpriv").arg("--version")).is_none() {
            return Err(ServicesError::NoSetpriv);
        }
        let id = |args: &[&str]| said(Command::new("id").args(args))?.parse::<u32>().ok();
        let user = match id(&["-u"]) {
            Some(0) => Some(
                id(&["-u", "postgres"])
                    .zip(id(&["-g", "postgres"]))
                    .map(|(uid, gid)| User { uid, gid })
                    .ok_or(ServicesError::NoUser)?,
            ),
            _ => None,
        };
        Ok(Self {
            postgres,
            redis,
            user,
        })
    }

    /// A command that does not run as root, does not get the Ctrl-C of the terminal, and gets `signal` from the kernel when the
    /// thread that spawned it ends.
    pub(super) fn command(&self, program: impl AsRef<OsStr>, signal: &str) -> Command {
        let mut command = if cfg!(target_os = "linux") {
            let mut command = Command::new("setpriv");
            if let Some(User { uid, gid }) = self.user {
                command.args([
                    format!("--reuid={uid}"),
                    format!("--regid={gid}"),
                    "--init-groups".to_owned(),
                ]);
            }
            command.args(["--pdeathsig", signal, "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        // `postgres` may not be able to enter the working directory of this process.
        command.current_dir("/").process_group(0);
        command
    }

    /// Reads the password, or creates one.
    pub(super) fn password(&self, path: &Path) -> Result<String> {
        match fs::read_to_string(path) {
            Ok(password) if !password.is_empty() => Ok(password),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(path)(error)),
            _ => {
                let password = format!("{:032x}", rand::random::<u128>());
                self.write(path, &password)?;
                Ok(password)
            }
        }
    }

    /// Writes a file that only the servers' user may read.
    pub(super) fn write(&self, path: &Path, text: &str) -> Result<()> {
        let mut file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(path)
            .map_err(at(path))?;
        file.write_all(text.as_bytes()).map_err(at(path))?;
        self.give(path, 0o600)
    }

    /// Changes the owner of a file or directory to the servers' user, and its mode.
    pub(super) fn give(&self, path: &Path, mode: u32) -> Result<()> {
        fs::set_permissions(path, Permissions::from_mode(mode)).map_err(at(path))?;
        match self.user {
            Some(User { uid, gid }) => chown(path, Some(uid), Some(gid)).map_err(at(path)),
            None => Ok(()),
        }
    }

    /// Claims the wanted directory, or the same path below [`ELSEWHERE`] if the servers' user cannot write to it.
    pub(super) fn place(&self, wanted: &Path) -> Result<PathBuf> {
        let here = self.claim(wanted)?;
        if self.reaches(&here) {
            return Ok(here);
        }
        // Removes the directory if it is empty, otherwise keeps it.
        fs::remove_dir(&here).unwrap_or_default();
        let there =
            self.claim(&Path::new(ELSEWHERE).join(here.strip_prefix("/").unwrap_or(&here)))?;
        if self.reaches(&there) {
            Ok(there)
        } else {
            Err(ServicesError::Unreachable(there))
        }
    }

    fn reaches(&self, dir: &Path) -> bool {
        let mut test = self.command("test", "KILL");
        test.arg("-w")
            .arg(dir)
            .arg("-a")
            .arg("-x")
            .arg(dir)
            .status()
            .is_ok_and(|status| status.success())
    }

    /// Creates the directory and changes its owner. A directory with files of others is refused, because its owner changes and the
    /// directory of a test is removed in the end.
    fn claim(&self, dir: &Path) -> Result<PathBuf> {
        fs::create_dir_all(dir).map_err(at(dir))?;
        let dir = dir.canonicalize().map_err(at(dir))?;
        if !dir.join(LOCK).exists() && fs::read_dir(&dir).map_err(at(&dir))?.next().is_some() {
            return Err(ServicesError::NotOurs(dir));
        }
        self.give(&dir, 0o700)?;
        Ok(dir)
    }
}

/// Runs a program until it ends. An exit status other than 0 is an error.
pub(super) fn run(program: &'static str, mut command: Command, input: &str) -> Result<()> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(at(program))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).map_err(at(program))?;
    }
    let output = child.wait_with_output().map_err(at(program))?;
    if output.status.success() {
        return Ok(());
    }
    Err(ServicesError::Failed {
        program,
        said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

/// The output of a program, or [`None`] if it fails.
fn said(command: &mut Command) -> Option<String> {
    let output = command
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
