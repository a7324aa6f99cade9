//! A PostgreSQL for servers that share a store: started for one test, reached by a socket in a folder of its own.

use std::fmt::Write as _;
use std::fs::File;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::server::poll_until;
use crate::tools;

/// Far more than a start takes on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A running database. Dropping it stops it.
pub struct Database {
    folder: TempDir,
    programs: PathBuf,
    process: Option<Child>,
}

/// PostgreSQL does not run as root: then it runs as the user of its package.
fn other_user() -> Option<(u32, u32)> {
    let id = |arguments: &[&str]| -> Option<u32> {
        let output = Command::new("id").args(arguments).output().ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse().ok()
    };
    if id(&["-u"])? != 0 {
        return None;
    }
    Some((id(&["-u", "postgres"])?, id(&["-g", "postgres"])?))
}

impl Database {
    /// Starts one; none, with a line that says so, where there is no PostgreSQL.
    pub fn start() -> Option<Self> {
        if !tools::needs(&["PostgreSQL"]) {
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        if let Some((user, group)) = other_user() {
            chown(folder.path(), Some(user), Some(group)).expect("root gives folders away");
        }
        let mut database = Self {
            folder,
            programs: tools::postgresql().expect("it was looked for just now"),
            process: None,
        };
        let data = database.folder.path().join("data");
        let made = database
            .command("initdb")
            .args([
                "--username=binauthz",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "-D",
            ])
            .arg(&data)
            .output()
            .expect("`initdb` starts");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut settings = String::new();
        for line in [
            "listen_addresses = ''",
            "max_connections = 60",
            "shared_buffers = 32MB",
        ] {
            let _ = writeln!(settings, "{line}");
        }
        let socket = database.folder.path().display().to_string();
        let _ = writeln!(settings, "unix_socket_directories = '{socket}'");
        std::fs::write(data.join("postgresql.auto.conf"), settings).expect("a file can be written");
        database.run();
        database.ask("postgres", "CREATE DATABASE binauthz");
        Some(database)
    }

    /// One of its programs, as the user that may run it. It ends with us.
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
        command.current_dir("/").stdin(Stdio::null());
        command
    }

    /// Starts the server on its data, and waits until it answers.
    pub fn run(&mut self) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .expect("the log can be opened");
        let start = || {
            self.command("postgres")
                .arg("-D")
                .arg(self.folder.path().join("data"))
                .stdout(Stdio::null())
                .stderr(log.try_clone().expect("the log can be shared"))
                .spawn()
                .expect("`postgres` starts")
        };
        let mut process = start();
        let answers = poll_until(START_LIMIT, || {
            // While a process of one that was killed is still there the next one refuses to start.
            if let Ok(Some(_)) = process.try_wait() {
                process = start();
            }
            self.try_ask("postgres", "SELECT 1").ok()
        });
        self.process = Some(process);
        if answers.is_none() {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            panic!("PostgreSQL does not answer:\n{log}");
        }
    }

    /// Kills its first process without a warning. The others end by themselves.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Kills the process of one of its connections without a warning, whereupon it gives up all of them and recovers; whether
    /// there was one.
    pub fn kill_one_connection(&self) -> bool {
        let sql = "SELECT pid FROM pg_stat_activity WHERE datname = 'binauthz' AND pid <> pg_backend_pid() \
                   ORDER BY random() LIMIT 1";
        let killed = match self.try_ask("postgres", sql) {
            Ok(pid) if !pid.is_empty() => Command::new("kill")
                .args(["-KILL", &pid])
                .status()
                .is_ok_and(|status| status.success()),
            _ => false,
        };
        if killed {
            // It takes a moment until it notices: whoever asked before would believe that all is well.
            let gone = || self.try_ask("postgres", "SELECT 1").err();
            poll_until(Duration::from_secs(1), gone);
        }
        killed
    }

    /// Waits until it answers.
    pub fn wait(&self) {
        let answers = || self.try_ask("binauthz", "SELECT 1").ok();
        assert!(
            poll_until(START_LIMIT, answers).is_some(),
            "PostgreSQL does not recover"
        );
    }

    /// Stops it as a crash would.
    pub fn crash(&mut self) {
        let Some(mut process) = self.process.take() else {
            return;
        };
        let _ = Command::new("kill")
            .args(["-QUIT", &process.id().to_string()])
            .status();
        let _ = process.wait();
    }

    /// What `--store` names.
    pub fn url(&self) -> String {
        let folder = self.folder.path().display().to_string().replace('/', "%2F");
        format!("postgres://binauthz@{folder}/binauthz")
    }

    /// Where its socket is.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What a statement prints.
    #[track_caller]
    pub fn ask(&self, database: &str, sql: &str) -> String {
        self.try_ask(database, sql).expect("the statement is one")
    }

    fn try_ask(&self, database: &str, sql: &str) -> Result<String, String> {
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
            .args(["-d", database, "-c", sql])
            .output()
            .expect("`psql` starts");
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.crash();
    }
}
