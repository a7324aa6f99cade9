//! Prometheus: its tools judge the numbers and the shipped rules, and a real one sees an alert fire.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use binauthz_conformance::desk::IMAGES;
use binauthz_conformance::server::poll_until;
use binauthz_conformance::{Desk, review};
use serde_json::{Value, json};

use crate::signatures::prepared;

const RULES: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../deploy/prometheus/binauthz.rules.yaml"
);

fn define_blocked(desk: &Desk) {
    let metric = json!({
        "name": "blocked", "filter": "protoPayload.response.status.message:\"denied by attestor\"",
    });
    desk.api("POST", "/v2/projects/demo/metrics", Some(&metric)).ok();
}

#[test]
fn the_numbers_are_well_formed() {
    let Some(desk) = prepared(&["promtool"]) else {
        return;
    };
    define_blocked(&desk);
    let image = format!("{IMAGES}/hotfix:latest");
    desk.admit(&review::pod("p", &image)).denied(&[]);
    let metrics = format!("{}/metrics", desk.server.health);
    desk.ok(&format!("curl -sS '{metrics}' | promtool check metrics"));
    let counted = "binauthz_log_metric_total{project=\"demo\",metric=\"blocked\"} 1";
    let seen = poll_until(Duration::from_secs(30), || {
        let text = desk.ok(&format!("curl -sS '{metrics}'")).stdout;
        text.contains(counted).then_some(())
    });
    assert!(seen.is_some(), "no {counted}");
    // What is not well-formed is found.
    desk.sh("echo 'binauthz_x{' | promtool check metrics")
        .refused(&[]);
}

#[test]
fn the_rules_pass_their_tests() {
    let Some(desk) = Desk::with(&["promtool"]) else {
        return;
    };
    desk.ok(&format!("promtool check rules '{RULES}'"));
    let tests = RULES.replace(".rules.yaml", ".rules.test.yaml");
    desk.ok(&format!("promtool test rules '{tests}'"));
}

#[test]
fn every_metric_of_the_rules_is_there() {
    let Some(desk) = prepared(&["promtool"]) else {
        return;
    };
    define_blocked(&desk);
    let rules = std::fs::read_to_string(RULES).expect("the rules can be read");
    let text = desk
        .ok(&format!("curl -sS '{}/metrics'", desk.server.health))
        .stdout;
    let word = |character: char| !(character.is_ascii_alphanumeric() || character == '_');
    let mut named: Vec<&str> = rules
        .split(word)
        .filter(|name| name.starts_with("binauthz_") && name.len() > "binauthz_".len())
        .collect();
    named.sort_unstable();
    named.dedup();
    assert!(named.len() >= 10, "{named:?}");
    for name in named {
        assert!(
            text.contains(&format!("\n{name}")) || text.contains(&format!(" {name} ")),
            "{name}"
        );
    }
}

/// Ends with the test.
struct Prometheus(Child);

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(desk: &Desk, address: &str) -> Prometheus {
    let target = desk.server.health.trim_start_matches("http://");
    desk.write(
        "prometheus.yaml",
        &format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: ['{RULES}']\n\
             scrape_configs:\n  - job_name: binauthz\n    static_configs: [{{targets: ['{target}']}}]\n"
        ),
    );
    let child = Command::new("prometheus")
        .args(["--config.file=prometheus.yaml", "--storage.tsdb.path=tsdb"])
        .arg(format!("--web.listen-address={address}"))
        .current_dir(desk.folder())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("`prometheus` starts");
    Prometheus(child)
}

fn ask(desk: &Desk, address: &str, path: &str) -> Value {
    let ran = desk.sh(&format!("curl -sS 'http://{address}{path}'"));
    serde_json::from_str(&ran.stdout).unwrap_or_default()
}

/// The alerts that fire.
fn firing(desk: &Desk, address: &str) -> Vec<String> {
    let answer = ask(desk, address, "/api/v1/alerts");
    let alerts = answer["data"]["alerts"].as_array().cloned().unwrap_or_default();
    alerts
        .iter()
        .filter(|alert| alert["state"] == "firing")
        .filter_map(|alert| alert["labels"]["alertname"].as_str().map(str::to_owned))
        .collect()
}

#[test]
fn a_real_prometheus_sees_the_alerts_fire() {
    let Some(desk) = prepared(&["prometheus", "promtool"]) else {
        return;
    };
    let address = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("there is a free port")
        .to_string();
    let _prometheus = start(&desk, &address);
    // Two samples, so that there is something to grow from.
    let scraped = poll_until(Duration::from_secs(60), || {
        let query = "/api/v1/query?query=count_over_time(binauthz_verdicts_total%5B1m%5D)";
        let answer = ask(&desk, &address, query);
        let count = answer["data"]["result"][0]["value"][1]
            .as_str()?
            .parse::<u32>()
            .ok()?;
        (count >= 2).then_some(())
    });
    assert!(scraped.is_some(), "nothing was scraped");
    assert_eq!(firing(&desk, &address), Vec::<String>::new());
    let image = format!("{IMAGES}/hotfix:latest");
    desk.admit(&review::pod("p", &image)).denied(&[]);
    let why = json!({"alpha.image-policy.k8s.io/break-glass": "Emergency fix for incident INC-1234"});
    desk.admit(&review::deployment("emergency-fix", &image, &why))
        .admitted();
    let expected = ["BinauthzBlockedDeployments", "BinauthzBreakGlassUsed"];
    let fired = poll_until(Duration::from_secs(60), || {
        let mut firing = firing(&desk, &address);
        firing.sort();
        (firing == expected).then_some(())
    });
    assert!(fired.is_some(), "only {:?}", firing(&desk, &address));
}
