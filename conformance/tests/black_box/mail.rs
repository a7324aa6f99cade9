//! Notices by e-mail, to a real mail server that wants TLS and a password.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use binauthz_conformance::server::poll_until;
use binauthz_conformance::shell::Shell;
use binauthz_conformance::{Desk, tools};
use serde_json::Value;
use tempfile::TempDir;

const PROGRAMS: &[&str] = &["python-clients", "openssl"];

/// A mail server with a certificate that its own file vouches for. Dropping it kills it.
struct Postbox {
    child: Child,
    port: String,
    folder: TempDir,
}

impl Postbox {
    fn start(mode: &str) -> Option<Postbox> {
        if !tools::needs(PROGRAMS) {
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder can be made");
        Shell::new(folder.path())
            .run(
                "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=post \
                   -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE \
                   -keyout key.pem -out certificate.pem",
            )
            .ok();
        let file = |name: &str| folder.path().join(name);
        let log = std::fs::File::create(file("log")).expect("a log can be made");
        let child = Command::new(tools::python()?)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/python/mail_server.py"))
            .env("MODE", mode)
            .env("PASSWORD", "hush")
            .env("CERTIFICATE", file("certificate.pem"))
            .env("KEY", file("key.pem"))
            .env("READY", file("ready"))
            .env("MAIL", file("mail"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("Python starts");
        let mut postbox = Postbox {
            child,
            port: String::new(),
            folder,
        };
        let ready = postbox.folder.path().join("ready");
        postbox.port = poll_until(Duration::from_secs(30), || std::fs::read_to_string(&ready).ok())
            .unwrap_or_else(|| panic!("the mail server is not ready: {}", postbox.read("log")));
        Some(postbox)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    /// The settings of a server that sends its mail here.
    fn settings(&self, security: &str, password: &str, more: &str) -> String {
        let path = |name: &str| self.folder.path().join(name);
        std::fs::write(path("password"), password).expect("a file can be written");
        let text = format!(
            "smtp:\n  host: 127.0.0.1\n  port: {}\n  security: {security}\n  from: binauthz@example.com\n  \
             username: binauthz\n  passwordFile: {}\n{more}",
            self.port,
            path("password").display(),
        );
        std::fs::write(path("binauthz.yaml"), text).expect("a file can be written");
        path("binauthz.yaml").display().to_string()
    }

    /// The line of the settings that says whose certificates are trusted.
    fn authority(&self) -> String {
        format!(
            "  authorities: {}\n",
            self.folder.path().join("certificate.pem").display()
        )
    }
}

impl Drop for Postbox {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A desk with a channel by mail; the command that tries it out.
fn with_channel(settings: &str) -> (Desk, String) {
    let desk = Desk::with_options(PROGRAMS, &["--config", settings]).expect("they are here");
    let made = desk.ok(
        "binauthz --data-dir \"$DATA\" --project demo channels create --type=email \
         --label=email_address=oncall@example.com --format='value(name)'",
    );
    let verify = format!(
        "binauthz --data-dir \"$DATA\" --project demo channels verify {}",
        made.text()
    );
    (desk, verify)
}

#[test]
fn mail_goes_by_tls_with_a_password() {
    for security in ["tls", "starttls"] {
        let Some(post) = Postbox::start(security) else {
            return;
        };
        let (desk, verify) = with_channel(&post.settings(security, "hush\n", &post.authority()));
        desk.ok(&verify);
        let mail: Value = serde_json::from_str(&post.read("mail")).expect("one message was kept");
        assert_eq!(mail["from"], "binauthz@example.com", "{mail:#}");
        assert_eq!(mail["to"], serde_json::json!(["oncall@example.com"]), "{mail:#}");
        assert_eq!(mail["defects"], serde_json::json!([]), "{mail:#}");
        assert_eq!(mail["headers"]["To"], "oncall@example.com", "{mail:#}");
        let subject = mail["headers"]["Subject"].as_str().unwrap_or_default();
        assert!(
            subject.starts_with("[closed] Test: this is a test of `projects/demo/"),
            "{mail:#}"
        );
        let text = mail["text"].as_str().unwrap_or_default();
        assert!(
            text.contains("asked for by `admin`") && text.contains("Project:   demo"),
            "{mail:#}"
        );
        let under = mail["under"].as_str().unwrap_or_default();
        assert!(under == "tls" || under.starts_with("TLSv1."), "{mail:#}");
    }
}

#[test]
fn a_wrong_password_and_a_stranger_get_no_mail() {
    let Some(post) = Postbox::start("starttls") else {
        return;
    };
    let (desk, verify) = with_channel(&post.settings("starttls", "guess", &post.authority()));
    desk.sh(&verify)
        .refused(&["535", "the login"])
        .never_says("guess");
    drop(desk);
    let (desk, verify) = with_channel(&post.settings("starttls", "hush", ""));
    desk.sh(&verify).refused(&["no TLS with the mail server"]);
    drop(desk);
    // TLS from the first byte is not what is spoken there.
    let (desk, verify) = with_channel(&post.settings("tls", "hush", &post.authority()));
    desk.sh(&verify).refused(&["mail server"]);
    assert_eq!(post.read("mail"), "");
}

#[test]
fn settings_that_cannot_be_used_end_the_start() {
    if !tools::needs(&["bash"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder can be made");
    let mut shell = Shell::new(folder.path());
    shell.set("BINAUTHZ", tools::binauthz().display().to_string());
    for (block, expected) in [
        ("{host: m, from: a@b, security: none}", "smtp.security"),
        (
            "{host: m, from: a@b, username: u, passwordFile: missing}",
            "missing",
        ),
        ("{host: m}", "from"),
    ] {
        std::fs::write(folder.path().join("binauthz.yaml"), format!("smtp: {block}\n")).expect("written");
        shell
            .run("timeout 60 \"$BINAUTHZ\" serve --config binauthz.yaml --data-dir data --api-listen 127.0.0.1:0 \
                  --webhook-listen 127.0.0.1:0 --health-listen 127.0.0.1:0")
            .exits(2)
            .says(&[expected]);
    }
}
