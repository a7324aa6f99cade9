//! A PostgreSQL of our own: its data in a folder that goes with it, reached by a socket in that folder.

use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use binauthz_store::{Address, Store};

/// The number in the socket's name, unless told otherwise.
const PORT: u16 = 5432;
/// How long the database may take to start.
const START: Duration = Duration::from_secs(60);

/// A running PostgreSQL; dropping it stops it.
pub(crate) struct Cluster {
    folder: tempfile::TempDir,
    programs: PathBuf,
    process: Option<Child>,
    databases: AtomicU32,
}

/// Where Debian keeps the programs of the newest release, or where the search path has them.
fn programs() -> Option<PathBuf> {
    let releases = std::fs::read_dir("/usr/lib/postgresql")
        .ok()
        .into_iter()
        .flatten();
    let mut folders: Vec<PathBuf> = releases
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|folder| folder.join("initdb").exists())
        .collect();
    folders.sort();
    folders.pop().or_else(|| {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).find(|folder| folder.join("initdb").exists())
    })
}

/// `id OPTION`, of ourselves or of a user.
fn id(arguments: &[&str]) -> Option<u32> {
    let output = Command::new("id").args(arguments).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

/// PostgreSQL does not run as root: then it runs as the user of its package.
fn other_user() -> Option<(u32, u32)> {
    (id(&["-u"])? == 0).then(|| id(&["-u", "postgres"]).zip(id(&["-g", "postgres"])))?
}

impl Cluster {
    /// Starts one with these settings; nothing where there is no PostgreSQL, which it says.
    pub(crate) async fn start(settings: &[&str]) -> Option<Cluster> {
        let Some(programs) = programs() else {
            let required = std::env::var("BINAUTHZ_REQUIRE_ALL").is_ok_and(|value| value == "1");
            let excused = std::env::var("BINAUTHZ_WITHOUT").unwrap_or_default();
            let excused = excused.split(',').any(|name| name == "PostgreSQL");
            assert!(
                !required || excused,
                "this test needs PostgreSQL and BINAUTHZ_REQUIRE_ALL=1 is set"
            );
            // Not `println!`: the harness would swallow the line of a test that passes.
            let _ = writeln!(std::io::stdout(), "SKIPPED (needs PostgreSQL)");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        if let Some((user, group)) = other_user() {
            std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
            chown(folder.path(), Some(user), Some(group)).unwrap();
        }
        let mut cluster = Cluster {
            folder,
            programs,
            process: None,
            databases: AtomicU32::new(0),
        };
        let data = cluster.folder.path().join("data");
        let output = cluster
            .command("initdb")
            .args([
                "--username=binauthz",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--no-sync",
                "-D",
            ])
            .arg(&data)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let mut file = String::new();
        for line in [
            "listen_addresses = ''",
            "max_connections = 60",
            "shared_buffers = 32MB",
        ]
        .iter()
        .chain(settings)
        {
            writeln!(file, "{line}").unwrap();
        }
        writeln!(
            file,
            "unix_socket_directories = '{}'",
            cluster.folder.path().display()
        )
        .unwrap();
        std::fs::write(data.join("postgresql.auto.conf"), file).unwrap();
        cluster.run().await;
        Some(cluster)
    }

    /// One of the programs, as the user that may run the server. It ends with us.
    fn command(&self, name: &str) -> Command {
        let program = self.programs.join(name);
        let mut command = match other_user() {
            None => Command::new(program),
            Some((user, group)) => {
                let mut command = Command::new("setpriv");
                command
                    .arg(format!("--reuid={user}"))
                    .arg(format!("--regid={group}"))
                    .args(["--clear-groups", "--pdeathsig=INT"])
                    .arg(program);
                command
            }
        };
        command
            .current_dir("/")
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    }

    /// Starts the server, and waits until it answers.
    pub(crate) async fn run(&mut self) {
        self.run_on(PORT).await;
    }

    /// As [`Self::run`], where the settings name another port.
    pub(crate) async fn run_on(&mut self, port: u16) {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .unwrap();
        let process = self
            .command("postgres")
            .arg("-D")
            .arg(self.folder.path().join("data"))
            .stderr(log)
            .spawn()
            .unwrap();
        self.process = Some(process);
        let start = Instant::now();
        while self.psql_on(port, "postgres", "SELECT 1").is_err() {
            assert!(start.elapsed() < START, "{}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What the server said.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Stops the server as a crash would.
    pub(crate) fn crash(&mut self) {
        let Some(mut process) = self.process.take() else {
            return;
        };
        let signal = Command::new("kill")
            .args(["-QUIT", &process.id().to_string()])
            .status();
        if !signal.is_ok_and(|status| status.success()) {
            let _ = process.kill();
        }
        let _ = process.wait();
    }

    /// The folder of the socket.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs statements as the owner; what they print.
    pub(crate) fn psql(&self, database: &str, sql: &str) -> Result<String, String> {
        self.psql_on(PORT, database, sql)
    }

    /// As [`Self::psql`], where the settings name another port.
    pub(crate) fn psql_on(&self, port: u16, database: &str, sql: &str) -> Result<String, String> {
        let output = Command::new(self.programs.join("psql"))
            .args([
                "-X",
                "-q",
                "-t",
                "-A",
                "-v",
                "ON_ERROR_STOP=1",
                "-U",
                "binauthz",
                "-h",
            ])
            .arg(self.folder.path())
            .args(["-p", &port.to_string(), "-d", database, "-c", sql])
            .output()
            .unwrap();
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// Dumps one database and restores it into another one, as an operator would.
    pub(crate) fn restore(&self, from: &str, to: &str) {
        let file = self.folder.path().join("dump.sql");
        let connection = |program: &str, database: &str| {
            let mut command = Command::new(self.programs.join(program));
            command
                .args(["-U", "binauthz", "-h"])
                .arg(self.folder.path())
                .args(["-d", database, "-f"]);
            command.arg(&file);
            command
        };
        let mut dump = connection("pg_dump", from);
        let mut load = connection("psql", to);
        dump.arg("--schema=binauthz");
        load.args(["-X", "-q", "-v", "ON_ERROR_STOP=1"])
            .stdout(Stdio::null());
        for command in [&mut dump, &mut load] {
            let output = command.output().unwrap();
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }

    /// Makes an empty database; its name.
    pub(crate) fn database(&self) -> String {
        let name = format!("test{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.psql("postgres", &format!("CREATE DATABASE {name}")).unwrap();
        name
    }

    /// Where a database is.
    pub(crate) fn address(&self, database: &str) -> Address {
        let folder = self.folder.path().display().to_string().replace('/', "%2F");
        Address::new(&format!("postgres://binauthz@{folder}/{database}")).unwrap()
    }

    /// A server's store on a database.
    pub(crate) async fn store(&self, database: &str, server: &str) -> Store {
        Store::connect(&self.address(database), server).await.unwrap()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.crash();
    }
}
