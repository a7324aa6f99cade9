//! How `serve` ends: asked to, and not asked at all.

mod serving;

use std::io::Read as _;
use std::net::TcpStream;
use std::process::Command;

use serving::{Server, serve, start, start_by};

#[test]
fn it_ends_well_when_it_is_asked_to() {
    for signal in ["-TERM", "-INT"] {
        let folder = tempfile::tempdir().expect("a folder");
        let server = start(folder.path());
        // An idle connection does not hold it up.
        let idle = TcpStream::connect(&server.api).expect("the API's port");
        server.signal(signal);
        let output = server.wait();
        assert_eq!(output.status.code(), Some(0), "{signal}");
        assert!(
            String::from_utf8_lossy(&output.stderr).contains("shutting down"),
            "{signal}"
        );
        drop(idle);
    }
}

/// KM-03: what a process that dies leaves behind is read by whoever finds it.
#[test]
fn a_server_leaves_no_core_file() {
    let folder = tempfile::tempdir().expect("a folder");
    // A shell that allows core files as large as they come.
    let mut command = Command::new("sh");
    command.args([
        "-c",
        "ulimit -c unlimited 2>/dev/null; exec \"$0\" \"$@\"",
        env!("CARGO_BIN_EXE_binauthz"),
    ]);
    command.args(serve(folder.path()).get_args());
    command.current_dir(folder.path());
    let (server, _) = start_by(folder.path(), &mut command);
    let limits =
        std::fs::read_to_string(format!("/proc/{}/limits", server.process.id())).expect("its limits");
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .expect("a limit");
    let words: Vec<&str> = core.split_whitespace().collect();
    assert_eq!(words.get(4..6), Some(["0", "0"].as_slice()), "{core}");
    server.signal("-ABRT");
    let output = server.wait();
    // 128 says that the system wrote a core file.
    use std::os::unix::process::ExitStatusExt as _;
    assert_eq!(
        (output.status.signal(), output.status.core_dumped()),
        (Some(6), false)
    );
}

#[test]
fn what_was_answered_is_there_after_it_was_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = |number: usize| format!("/v1/projects/demo/locations/l/clusters/c{number}");
    const CLUSTERS: &str = "/v1/projects/demo/locations/l/clusters";
    for round in 0..3 {
        let server = start(folder.path());
        for number in 0..round {
            let answer = server.call("GET", &cluster(number), "");
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
        let answer = server.call(
            "POST",
            CLUSTERS,
            &format!("{{\"cluster\":{{\"name\":\"c{round}\"}}}}"),
        );
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        server.signal("-KILL");
        assert_eq!(server.wait().status.code(), None);
    }
}

/// Wherever in the change of the master key the process dies: the next one opens every key and finishes the change.
#[test]
fn a_master_key_is_changed_through_kill_9() {
    const RING: &str = "/v1/projects/demo/locations/global/keyRings";
    const KEYS: usize = 30;
    let folder = tempfile::tempdir().expect("a folder");
    let good = |answer: String| assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let server = start(folder.path());
    good(server.call("POST", &format!("{RING}?keyRingId=r"), "{}"));
    let key = r#"{"purpose":"ASYMMETRIC_SIGN","versionTemplate":{"algorithm":"EC_SIGN_P256_SHA256"}}"#;
    for number in 0..KEYS {
        good(server.call("POST", &format!("{RING}/r/cryptoKeys?cryptoKeyId=k{number}"), key));
    }
    let digest = r#"{"digest":{"sha256":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}}"#;
    let sign_all = |server: &Server| {
        for number in 0..KEYS {
            let path = format!("{RING}/r/cryptoKeys/k{number}/cryptoKeyVersions/1:asymmetricSign");
            good(server.call("POST", &path, digest));
        }
    };
    let mut server = server;
    let mut unfinished = 0;
    for round in 0..8_u64 {
        let asked = server.ask("POST", "/binauthz/v1/masterKey:rewrap", "{}");
        // From before anything to after everything, whatever this machine takes for it.
        let _ = asked.set_read_timeout(Some(std::time::Duration::from_millis(1 + round * round * 4)));
        let _ = (&asked).read(&mut [0; 1]);
        server.signal("-KILL");
        server.wait();
        unfinished += usize::from(folder.path().join("master.previous").exists());
        server = start(folder.path());
        sign_all(&server);
    }
    assert!(unfinished > 0, "no change was cut off");
    good(server.call("POST", "/binauthz/v1/masterKey:rewrap", "{}"));
    assert!(!folder.path().join("master.previous").exists());
    sign_all(&server);
    server.signal("-TERM");
    assert_eq!(server.wait().status.code(), Some(0));
}

#[test]
fn check_prints_what_is_in_effect_and_starts_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("binauthz.yaml");
    std::fs::write(&config, "requirePolicy: true\n").expect("a file");
    let data = folder.path().join("data");
    let check = || {
        serve(&data)
            .arg("--check")
            .arg("--config")
            .arg(&config)
            .output()
            .expect("the program starts")
    };
    let output = check();
    assert!(output.status.success());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        text.contains("requirePolicy: true\n") && text.contains("apiListen: 127.0.0.1:0\n"),
        "{text}"
    );
    assert!(!data.exists());

    std::fs::write(&config, "requirePolici: true\n").expect("a file");
    let output = check();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("requirePolici"));
}

#[test]
fn a_server_that_enforces_nothing_says_so_at_every_start() {
    const WARNING: &str = "nothing is enforced";
    let folder = tempfile::tempdir().expect("a folder");
    let logged = |flags: &[&str], project_policy: Option<&str>| {
        let (server, log) = start_by(folder.path(), serve(folder.path()).args(flags));
        if let Some(mode) = project_policy {
            let body = format!(
                r#"{{"defaultAdmissionRule":{{"evaluationMode":"{mode}","enforcementMode":"ENFORCED_BLOCK_AND_AUDIT_LOG"}}}}"#
            );
            let answer = server.call("PUT", "/v1/projects/demo/policy", &body);
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
        server.signal("-TERM");
        server.wait();
        log
    };
    assert!(!logged(&["--require-policy"], None).contains(WARNING));
    assert!(logged(&[], Some("ALWAYS_ALLOW")).contains(WARNING));
    assert!(
        logged(&["--require-policy"], None).contains(WARNING),
        "the only project allows everything"
    );
    assert!(logged(&[], Some("ALWAYS_DENY")).contains(WARNING));
    assert!(!logged(&[], None).contains(WARNING));
}

#[test]
fn a_webhook_that_answers_everybody_is_warned_about() {
    const WARNING: &str = "the webhook answers everybody";
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("binauthz.yaml");
    // Its own authority stands for anybody's.
    let authorities = folder.path().join("webhook-ca.pem");
    let text = format!("webhookClientAuthorities: {}\n", authorities.display());
    std::fs::write(&config, text).expect("a file");
    let config = config.to_str().expect("a path");
    for (flags, expected) in [
        (["--dev"].as_slice(), false),
        (&[], true),
        (&["--config", config], false),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_binauthz"));
        command
            .args(["serve", "--data-dir"])
            .arg(folder.path())
            .args(flags);
        for port in ["--api-listen", "--webhook-listen", "--health-listen"] {
            command.args([port, "127.0.0.1:0"]);
        }
        let (server, log) = start_by(folder.path(), &mut command);
        server.signal("-TERM");
        server.wait();
        assert_eq!(log.contains(WARNING), expected, "{flags:?} {log}");
    }
}
