//! The reference for bytes: nginx, which serves files and writes what it gets.

use crate::deployment::{TARGET, supervised};
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tideline::config::environment;
use tokio::net::TcpStream;
use tokio::process::Child;
use tokio::time::{Instant, sleep};

/// An nginx for each core, as it is used: they accept `PUT` and serve what was put. They end when this is dropped.
pub struct Nginx {
    _children: Vec<Child>,
    pub addresses: Vec<SocketAddr>,
    /// Its files.
    pub root: PathBuf,
}

impl Nginx {
    /// None if it is not installed. Debian installs it in a directory that is only in the path of root.
    pub async fn start() -> Option<Self> {
        let path = environment("PATH").unwrap_or_default();
        let mut dirs = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
        let program = dirs.find_map(|dir| Some(dir.join("nginx")).filter(|file| file.exists()))?;
        let dir = Path::new(TARGET).join("bench/nginx");
        let _none = fs::remove_dir_all(&dir);
        let root = dir.join("files");
        fs::create_dir_all(&root).unwrap();
        let (mut addresses, mut children) = (Vec::new(), Vec::new());
        for n in 0..std::thread::available_parallelism().unwrap().get() {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            drop(listener);
            let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
            let temporary = temporary.map(|name| format!("{name}_temp_path {name}{n};"));
            let config = format!(
                "daemon off; master_process off; pid {n}.pid; error_log error.log;
                 events {{ worker_connections 1024; }}
                 http {{ access_log off; sendfile on; tcp_nodelay on; {} client_max_body_size 0; keepalive_requests 1000000;
                    server {{ listen {address}; root files; dav_methods PUT; create_full_put_path on; }} }}",
                temporary.concat(),
            );
            let file = format!("{n}.conf");
            fs::write(dir.join(&file), config).unwrap();
            let mut command = supervised(program.to_str().unwrap());
            command.args(["-p", dir.to_str().unwrap(), "-c", &file]);
            command.args(["-e", "error.log"]);
            children.push(command.spawn().unwrap());
            let begun = Instant::now();
            while TcpStream::connect(address).await.is_err() {
                let log = dir.join("error.log");
                assert!(begun.elapsed().as_secs() < 10, "see {}", log.display());
                sleep(Duration::from_millis(20)).await;
            }
            addresses.push(address);
        }
        Some(Self {
            _children: children,
            addresses,
            root,
        })
    }
}
