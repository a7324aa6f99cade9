//! AU-02: what is secret is nowhere but where it has to be, however much the server has to say.

use std::path::Path;

use binauthz_conformance::desk::{CLUSTER, IMAGES};
use binauthz_conformance::server::poll_until;
use binauthz_conformance::{Desk, review};
use serde_json::{Value, json};

use crate::signatures::prepare;

/// A word that stands for a secret of this kind.
fn marker(kind: &str) -> String {
    format!("Zx9-{kind}-9xZ")
}

/// A Pod with secrets wherever people put them, that asks to be let through.
fn pod() -> Value {
    let mut pod = review::pod("p", &format!("{IMAGES}/hotfix@sha256:{}", "a".repeat(64)));
    pod["metadata"]["annotations"] = json!({
        "alpha.image-policy.k8s.io/break-glass": "INC-1234",
        "kubectl.kubernetes.io/last-applied-configuration": marker("annotation"),
    });
    pod["metadata"]["labels"] = json!({ "password": marker("label") });
    let container = &mut pod["spec"]["containers"][0];
    container["env"] = json!([{ "name": "PASSWORD", "value": marker("env") }]);
    container["args"] = json!([format!("--token={}", marker("args"))]);
    container["command"] = json!(["sh", "-c", marker("command")]);
    container["lifecycle"] = json!({ "postStart": { "exec": { "command": [marker("exec")] } } });
    pod
}

/// Everything that takes secrets, well formed and not. Gives all that was answered.
fn tell_secrets(desk: &Desk) -> Vec<String> {
    let mut answers = Vec::new();
    let mut review = review::create(&pod());
    review["request"]["userInfo"]["extra"] = json!({ "token": [marker("extra")] });
    review["request"]["oldObject"] = json!({ "data": { "password": marker("old-object") } });
    let text = review.to_string();
    let path = format!("/admit/{CLUSTER}?timeout=10s");
    let admitted = desk.webhook(&path, &text);
    assert_eq!(admitted.json["response"]["allowed"], true, "{admitted:#?}");
    answers.push(admitted.text);
    // Cut off, doubled, and of a kind that nobody knows.
    let unknown = text.replace("\"Pod\"", "\"Gadget\"");
    for bad in [&text[..text.len() - 9], &format!("{text}{text}"), &unknown] {
        answers.push(desk.webhook(&path, bad).text);
    }
    // A credential that is none.
    let wrong = desk.api_as(Some(&marker("bearer")), "GET", "/v1/projects/demo/policy", None);
    answers.push(wrong.refused(401, "UNAUTHENTICATED", &[]).to_string());
    for kind in ["webhook_tokenauth", "slack", "pagerduty", "sms"] {
        let labels = json!({ "url": "http://127.0.0.1:1/hook", "secret": marker("channel"), "auth_token": marker("channel"),
            "service_key": marker("channel"), "channel_name": "#c", "password": marker("channel") });
        let channel = json!({ "type": kind, "labels": labels });
        let made = desk.api("POST", "/v3/projects/demo/notificationChannels", Some(&channel));
        answers.push(made.text);
        let good = json!({ "type": kind, "labels": { "url": "http://127.0.0.1:1/hook", "secret": marker("channel") } });
        answers.push(
            desk.api("POST", "/v3/projects/demo/notificationChannels", Some(&good))
                .text,
        );
    }
    answers
}

#[test]
fn no_secret_is_logged_recorded_counted_or_told() {
    let Some(desk) = Desk::talkative(&["grep"], &[]) else {
        return;
    };
    prepare(&desk);
    let answers = tell_secrets(&desk).join("\n");
    // One of our own making, which its maker is told once.
    let made = desk.api(
        "POST",
        "/binauthz/v1/tokens?tokenId=ci",
        Some(&json!({ "role": "viewer" })),
    );
    let made = made.ok()["token"].as_str().expect("a token").to_owned();
    desk.api_as(Some(&made), "GET", "/v1/projects/demo/policy", None)
        .ok();
    let secrets = ["Zx9-", made.as_str(), desk.server.token.as_str()];
    // The calls have come into the log, too.
    let recorded = poll_until(std::time::Duration::from_secs(30), || {
        let found = desk.sh("grep -c CreateNotificationChannel \"$DATA/journal/segment-0000000001.jsonl\"");
        found.text().parse::<usize>().ok().filter(|count| *count > 0)
    });
    assert!(recorded.is_some(), "the calls are recorded");
    let logged = desk.server.logged();
    assert!(logged.contains("TRACE"), "the log has everything");
    let mut shell = desk.shell.clone();
    shell.set("HEALTH", desk.server.health.as_str());
    let metrics = shell.run("curl -sSf \"$HEALTH/metrics\"").ok().stdout;
    let audit = desk.api("GET", "/binauthz/v1/audit?pageSize=1000", None).text;
    let decisions = desk.api("GET", "/binauthz/v1/projects/demo/decisions", None).text;
    assert!(decisions.contains("BREAK_GLASS"), "{decisions}");
    for (what, text) in [
        ("an answer", &answers),
        ("the server's log", &logged),
        ("the metrics", &metrics),
        ("the audit log", &audit),
        ("the verdicts", &decisions),
    ] {
        assert_free(what, text.as_bytes(), &secrets);
    }
    each_file(&desk.server.data, &mut |path, bytes| {
        let keeps_it = path.file_name().is_some_and(|name| name == "admin.token");
        let [markers, made, administrator] = secrets;
        let others = [markers, made];
        let secrets = [markers, made, administrator];
        let secrets = if keeps_it { &others[..] } else { &secrets[..] };
        assert_free(&path.display().to_string(), bytes, secrets);
    });
    assert!(!logged.contains("PRIVATE KEY"));
}

fn assert_free(what: &str, bytes: &[u8], secrets: &[&str]) {
    for secret in secrets {
        let at = bytes
            .windows(secret.len())
            .position(|window| window == secret.as_bytes());
        let around = at.map(|at| {
            let from = at.saturating_sub(200);
            String::from_utf8_lossy(bytes.get(from..(at + 100).min(bytes.len())).unwrap_or_default())
        });
        assert!(around.is_none(), "a secret in {what}: {around:?}");
    }
}

fn each_file(folder: &Path, look: &mut dyn FnMut(&Path, &[u8])) {
    for file in std::fs::read_dir(folder).expect("a folder") {
        let path = file.expect("a file").path();
        match path.is_dir() {
            true => each_file(&path, look),
            false => look(&path, &std::fs::read(&path).expect("a readable file")),
        }
    }
}
