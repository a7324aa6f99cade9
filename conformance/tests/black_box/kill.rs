//! `kill -9`, again and again, in the midst of everything that is recorded. What was answered is there afterwards, once.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use binauthz_conformance::desk::{CLUSTER, IMAGES};
use binauthz_conformance::flood::{Flood, Target};
use binauthz_conformance::journal::Journal;
use binauthz_conformance::receiver::{Notice, Receiver};
use binauthz_conformance::server::poll_until;
use binauthz_conformance::{Desk, review};
use serde_json::{Value, json};

use crate::log_metrics::{DENIED, counted, define, logged};
use crate::signatures::{policy, prepared};

const ROUNDS: usize = 50;
const PATIENCE: Duration = Duration::from_secs(60);
/// Admissions at once, and of one round at most: more than are answered before the kill.
const ADMISSIONS: (usize, usize) = (16, 640);
/// The same of attestations and metrics.
const WRITES: (usize, usize) = (4, 160);
/// Metrics among them: a project has at most 100, and each costs every later record a look.
const METRICS: usize = 3;
/// Policies of one round, one after the other.
const POLICIES: usize = 80;
const DRY: &str = "projects/dry/locations/l/clusters/c";

/// Everything that was ever told or found.
struct Ledger {
    journal: Journal,
    receiver: Receiver,
    /// How often an admission is recorded, and as what, by its uid.
    admissions: BTreeMap<String, Vec<Value>>,
    /// How often an audit row was copied into the log, by its number.
    copies: BTreeMap<i64, usize>,
    /// What each audit row is about, by its number.
    rows: BTreeMap<i64, String>,
    denials: usize,
    kills: usize,
    /// The kills that the notice of a project may have met.
    kills_met: BTreeMap<String, usize>,
    acknowledged: (usize, usize),
}

/// What one round sends.
struct Load {
    project: String,
    admissions: Flood,
    writes: Flood,
    policies: Flood,
}

#[test]
fn what_was_answered_is_there_once_after_every_kill() {
    let Some(mut desk) = prepared(&["jq"]) else { return };
    let begun = Instant::now();
    let mut ledger = Ledger::new(&desk);
    prepare(&desk);
    for round in 0..ROUNDS {
        let load = Load::new(&desk, &ledger.receiver, round);
        let sending = load.send(&desk);
        poll_until(PATIENCE, || load.admissions.has_begun().then_some(())).expect("something is answered");
        pass(random_millis(350));
        desk = ledger.kill(desk, &load.project);
        sending.join().expect("the load ends");
        if round % 3 == 2 {
            // In the midst of making good for the first kill.
            pass(random_millis(150));
            desk = ledger.kill(desk, &load.project);
        }
        ledger.check_admissions(&load);
        ledger.check_writes(&desk, &load);
        ledger.check_rows(&desk);
        ledger.check_notices(&desk, &load.project);
        ledger.check_counts(&desk);
        verify(&desk);
        load.remove();
    }
    ledger.check_all(&desk);
    let line = format!(
        "{ROUNDS} rounds, {} kills in {:.0} s: {} admissions answered of {} recorded, {} writes answered of {} rows, \
         {} denials counted, {} notices of {} incidents; nothing lost, nothing twice but {} notices",
        ledger.kills,
        begun.elapsed().as_secs_f64(),
        ledger.acknowledged.0,
        ledger.admissions.len(),
        ledger.acknowledged.1,
        ledger.rows.len(),
        ledger.denials,
        ledger.receiver.notices().len(),
        ledger.kills_met.len(),
        ledger.receiver.notices().len() - ledger.kills_met.len(),
    );
    // Not `println!`: the harness would swallow the line of a test that passes.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Nothing but time passes.
fn pass(time: Duration) {
    let _: Option<()> = poll_until(time, || None);
}

fn random_millis(most: u64) -> Duration {
    Duration::from_millis(RandomState::new().hash_one(0) % most)
}

/// What all rounds need: a policy that lets something through, one in dry run, and a metric of what is denied.
fn prepare(desk: &Desk) {
    let mut strict = policy("ENFORCED_BLOCK_AND_AUDIT_LOG");
    strict["admissionWhitelistPatterns"] = json!([{"namePattern": "registry.k8s.io/*"}]);
    desk.api("PUT", "/v1/projects/demo/policy", Some(&strict)).ok();
    let dry = json!({"defaultAdmissionRule": {"evaluationMode": "ALWAYS_DENY", "enforcementMode": "DRYRUN_AUDIT_LOG_ONLY"}});
    desk.api("PUT", "/v1/projects/dry/policy", Some(&dry)).ok();
    cluster(desk, "dry");
    define(desk, "denied", DENIED, &json!({}));
}

fn cluster(desk: &Desk, project: &str) {
    let mode = json!({ "evaluationMode": "PROJECT_SINGLETON_POLICY_ENFORCE" });
    let cluster = json!({ "cluster": { "name": "c", "binaryAuthorization": mode } });
    let path = format!("/v1/projects/{project}/locations/l/clusters");
    desk.api("POST", &path, Some(&cluster)).ok();
}

/// A project of its own whose break-glass is told to the receiver: in one project those of five minutes are told once.
fn watched(desk: &Desk, receiver: &Receiver, project: &str) {
    cluster(desk, project);
    let channel = json!({ "type": "webhook_tokenauth", "labels": { "url": receiver.url } });
    let path = format!("/v3/projects/{project}");
    let channel = desk.api("POST", &format!("{path}/notificationChannels"), Some(&channel));
    let told = json!({ "notificationChannels": [channel.ok()["name"]] });
    let path = format!("{path}/alertPolicies/binauthz-break-glass?updateMask=notificationChannels");
    desk.api("PATCH", &path, Some(&told)).ok();
}

/// The log as it lies there, against the checkpoint that was kept the last time.
fn verify(desk: &Desk) {
    let kept = "$(test -f kept && echo --checkpoint=kept)";
    desk.ok(&format!(
        "test -f key || cp \"$DATA/journal/log.vkey\" key\n\
         binauthz audit verify \"$DATA/journal\" --key=key {kept}\n\
         cp \"$DATA/journal/checkpoint\" kept"
    ))
    .says(&["is whole"]);
}

impl Load {
    fn new(desk: &Desk, receiver: &Receiver, round: usize) -> Self {
        let project = format!("r{round}");
        watched(desk, receiver, &project);
        let folder = |name: &str| desk.folder().join(format!("round-{round}/{name}"));
        let mut load = Self {
            admissions: Flood::new(&folder("admissions"), ADMISSIONS.0),
            writes: Flood::new(&folder("writes"), WRITES.0),
            policies: Flood::new(&folder("policies"), 1),
            project,
        };
        let authority = desk.server.webhook_ca();
        for number in 0..ADMISSIONS.1 {
            load.admission(desk, &authority, number);
        }
        let target = |method: &'static str, path: String| Target {
            method,
            url: format!("{}{path}", desk.server.api),
            token: Some(&desk.server.token),
            authority: &authority,
        };
        for number in 0..WRITES.1 {
            let (path, body) = write(&load.project, round * WRITES.1 + number);
            load.writes
                .add(&format!("w{number}"), &target("POST", path), &body);
        }
        for number in 1..=POLICIES {
            let path = format!("/v1/projects/{}/policy", load.project);
            let body = json!({"description": number.to_string(), "defaultAdmissionRule": {
                "evaluationMode": "ALWAYS_ALLOW", "enforcementMode": "ENFORCED_BLOCK_AND_AUDIT_LOG"}});
            load.policies
                .add(&number.to_string(), &target("PUT", path), &body);
        }
        load
    }

    /// Allowed, denied, let through in dry run, and now and then through the emergency door.
    fn admission(&mut self, desk: &Desk, authority: &PathBuf, number: usize) {
        let project = &self.project;
        let watched = format!("projects/{project}/locations/l/clusters/c");
        let unsigned = format!("{IMAGES}/hotfix@sha256:{}", "a".repeat(64));
        let exempt = "registry.k8s.io/pause:3.9";
        let (word, cluster, image) = match number % 16 {
            15 => ("break", watched.as_str(), unsigned.as_str()),
            kind => [
                ("allow", CLUSTER, exempt),
                ("deny", CLUSTER, &unsigned),
                ("dry", DRY, &unsigned),
                ("asked", CLUSTER, exempt),
            ][kind % 4],
        };
        let mut pod = review::pod("p", image);
        if word == "break" {
            pod["metadata"]["annotations"] = json!({ "alpha.image-policy.k8s.io/break-glass": "INC-1234" });
        }
        let uid = format!("{project}-{number}-{word}");
        let mut review = review::create(&pod);
        review["request"]["uid"] = json!(uid);
        // What a person asks with `--dry-run=server`.
        review["request"]["dryRun"] = json!(word == "asked");
        let target = Target {
            method: "POST",
            url: format!("{}/admit/{cluster}?timeout=10s", desk.server.webhook),
            token: None,
            authority,
        };
        self.admissions.add(&uid, &target, &review);
    }

    fn send(&self, desk: &Desk) -> std::thread::JoinHandle<()> {
        let [admissions, writes, policies] =
            [&self.admissions, &self.writes, &self.policies].map(Flood::command);
        let script = format!("({admissions}) & ({writes}) & ({policies}) & wait");
        let shell = desk.shell.clone();
        std::thread::spawn(move || drop(shell.run(&script)))
    }

    fn remove(self) {
        self.admissions.remove();
        self.writes.remove();
        self.policies.remove();
    }
}

/// An attestation, or now and then a metric, in this project. No two are the same in any project.
fn write(project: &str, number: usize) -> (String, Value) {
    if number % WRITES.1 < METRICS {
        let metric = json!({ "name": format!("m{number}"), "filter": "severity=CRITICAL" });
        return (format!("/v2/projects/{project}/metrics"), metric);
    }
    let digest = format!("sha256:{number:064x}");
    let payload = json!({"critical": {
        "identity": {"docker-reference": format!("{IMAGES}/myservice")},
        "image": {"docker-manifest-digest": digest},
        "type": "Google cloud binauthz container signature",
    }});
    let occurrence = json!({
        "kind": "ATTESTATION", "noteName": "projects/demo/notes/image-signing-note",
        "resourceUri": format!("{IMAGES}/myservice@{digest}"),
        "attestation": {
            "serializedPayload": base64(payload.to_string().as_bytes()),
            "signatures": [{"publicKeyId": "urn:test:key", "signature": base64(b"signature")}],
        }
    });
    (format!("/v1/projects/{project}/occurrences"), occurrence)
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group = (0..3).fold(0, |group, at| {
            group << 8 | usize::from(chunk.get(at).copied().unwrap_or(0))
        });
        for at in 0..4 {
            let letter = LETTERS[group >> (18 - 6 * at) & 63];
            text.push(if at <= chunk.len() { letter.into() } else { '=' });
        }
    }
    text
}

impl Ledger {
    fn new(desk: &Desk) -> Self {
        Self {
            journal: Journal::new(&desk.server.data.join("journal")),
            receiver: Receiver::start(),
            admissions: BTreeMap::new(),
            copies: BTreeMap::new(),
            rows: BTreeMap::new(),
            denials: 0,
            kills: 0,
            kills_met: BTreeMap::new(),
            acknowledged: (0, 0),
        }
    }

    fn kill(&mut self, desk: Desk, project: &str) -> Desk {
        self.kills += 1;
        *self.kills_met.entry(project.to_owned()).or_default() += 1;
        desk.restarted_after_kill()
    }

    /// Reads what the log has since the last time.
    fn read(&mut self) {
        for record in self.journal.news() {
            if record["log"] == "call" {
                let number = record["auditSequence"].as_i64().expect("a number");
                *self.copies.entry(number).or_default() += 1;
                continue;
            }
            self.denials += usize::from(record["verdict"] == "DENY");
            let uid = record["uid"].as_str().expect("a uid").to_owned();
            self.admissions.entry(uid).or_default().push(record);
        }
    }

    /// Each answered admission is in the log once and as it was answered; nothing is in it twice.
    fn check_admissions(&mut self, load: &Load) {
        self.read();
        let answers = load.admissions.answers();
        for (uid, answer) in &answers {
            let word = uid.rsplit('-').next().unwrap_or_default();
            let response = &answer["response"];
            assert_eq!(
                (&response["uid"], &response["allowed"]),
                (&json!(uid), &json!(word != "deny")),
                "{answer:#}"
            );
            let records = self.admissions.get(uid).map_or(&[][..], Vec::as_slice);
            let [record] = records else {
                panic!("`{uid}` was answered and is recorded {} times", records.len());
            };
            let expected = match word {
                "deny" => ("DENY", "ENFORCED", false),
                "dry" => ("ALLOW", "DRY_RUN", false),
                "break" => ("ALLOW", "BREAK_GLASS", false),
                "asked" => ("ALLOW", "ENFORCED", true),
                _ => ("ALLOW", "ENFORCED", false),
            };
            let (verdict, effect, dry_run) = expected;
            assert_eq!(
                (&record["verdict"], &record["effect"], &record["dryRun"]),
                (&json!(verdict), &json!(effect), &json!(dry_run)),
                "{record:#}"
            );
        }
        let twice = self.admissions.values().find(|records| records.len() > 1);
        assert!(twice.is_none(), "recorded more than once: {twice:#?}");
        self.acknowledged.0 += answers.len();
    }

    /// Each answered write can be read.
    fn check_writes(&mut self, desk: &Desk, load: &Load) {
        let project = &load.project;
        let stored: BTreeSet<String> = [
            ("/v1", "occurrences", "occurrences"),
            ("/v2", "metrics", "metrics"),
        ]
        .into_iter()
        .flat_map(|(version, path, member)| {
            let path = format!("{version}/projects/{project}/{path}?pageSize=1000");
            let listed = desk.api("GET", &path, None).ok();
            listed[member].as_array().cloned().unwrap_or_default()
        })
        .filter_map(|item| item["name"].as_str().map(str::to_owned))
        .collect();
        let answers = load.writes.answers();
        for answer in answers.values() {
            let name = answer["name"].as_str();
            let name = name.unwrap_or_else(|| panic!("a write is refused: {answer:#}"));
            assert!(stored.contains(name), "`{name}` was answered and is not there");
        }
        let policies = load.policies.answers();
        let number = |policy: &Value| policy["description"].as_str()?.parse::<usize>().ok();
        let last = policies.values().filter_map(number).max().unwrap_or(0);
        let path = format!("/v1/projects/{project}/policy");
        let policy = desk.api("GET", &path, None).ok();
        let now = number(&policy).unwrap_or(0);
        // One more may have been under way.
        assert!(now == last || now == last + 1, "policy {now}, answered {last}");
        assert_eq!(policies.len(), last, "policies are written one after the other");
        self.acknowledged.1 += answers.len() + policies.len();
        self.check_audit(desk, load, &answers, last);
    }

    /// Each answered write has its audit row, once.
    fn check_audit(&mut self, desk: &Desk, load: &Load, answers: &BTreeMap<String, Value>, policies: usize) {
        let before = self.rows.keys().next_back().copied().unwrap_or(0);
        let mut token = String::new();
        loop {
            let path = format!("/binauthz/v1/audit?pageSize=1000&pageToken={token}");
            let page = desk.api("GET", &path, None).ok();
            let mut oldest = i64::MAX;
            for row in page["entries"].as_array().into_iter().flatten() {
                let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
                let number = text("sequence").parse().expect("a number");
                assert_eq!(row["status"], "OK", "{row:#}");
                self.rows.insert(number, text("resource"));
                oldest = number;
            }
            // Newest first.
            match page["nextPageToken"].as_str() {
                Some(next) if oldest > before => next.clone_into(&mut token),
                _ => break,
            }
        }
        let mut told: BTreeMap<&str, usize> = BTreeMap::new();
        for resource in self.rows.range(before + 1..).map(|(_, resource)| resource) {
            *told.entry(resource).or_default() += 1;
        }
        for answer in answers.values() {
            let name = answer["name"].as_str().unwrap_or_default();
            let resource = match name.strip_prefix('m') {
                Some(_) if !name.contains('/') => format!("projects/{}/metrics/{name}", load.project),
                _ => name.to_owned(),
            };
            assert_eq!(
                told.get(resource.as_str()),
                Some(&1),
                "audit rows of `{resource}`"
            );
        }
        let resource = format!("projects/{}/policy", load.project);
        let rows = told.get(resource.as_str()).copied().unwrap_or(0);
        assert!(
            rows == policies || rows == policies + 1,
            "{rows} audit rows, {policies} policies answered"
        );
    }

    /// Once the log has caught up, it has each audit row once.
    fn check_rows(&mut self, desk: &Desk) {
        let caught_up = poll_until(PATIENCE, || {
            self.read();
            self.rows
                .keys()
                .all(|number| self.copies.contains_key(number))
                .then_some(())
        });
        assert!(
            caught_up.is_some(),
            "audit rows that the log lacks: {}",
            desk.server.api
        );
        for (number, copies) in &self.copies {
            assert_eq!(*copies, 1, "copies of audit row {number}");
            assert!(
                self.rows.contains_key(number),
                "the log has a row {number} that is none"
            );
        }
    }

    /// Who went through the emergency door is told, and with each kill at most once more.
    fn check_notices(&mut self, desk: &Desk, project: &str) {
        let prefix = format!("{project}-");
        let opened = self
            .admissions
            .range(prefix.clone()..)
            .take_while(|(uid, _)| uid.starts_with(&prefix))
            .any(|(uid, _)| uid.ends_with("-break"));
        if !opened {
            self.kills_met.remove(project);
            return;
        }
        let told = self.receiver.of_project(project, 1, PATIENCE);
        assert!(told.is_some(), "the break-glass of {project} is not told");
        // Only what is not settled may come again: the next kill shall find nothing.
        let settled = poll_until(PATIENCE, || {
            let mut shell = desk.shell.clone();
            shell.set("HEALTH", desk.server.health.as_str());
            let metrics = shell.run("curl -sSf \"$HEALTH/metrics\"").ok();
            metrics
                .stdout
                .contains("\nbinauthz_alert_deliveries_waiting 0\n")
                .then_some(())
        });
        assert!(settled.is_some(), "a notice stays under way");
    }

    /// What is denied is counted, each once.
    fn check_counts(&self, desk: &Desk) {
        let mut found = 0;
        let equal = poll_until(PATIENCE, || {
            found = counted(desk, "denied");
            (found >= self.denials).then_some(())
        });
        assert!(
            equal.is_some() && found == self.denials,
            "{found} counted of {} denials",
            self.denials
        );
    }

    /// At the end, when nothing is under way any more.
    fn check_all(&self, desk: &Desk) {
        assert_eq!(
            logged(desk, DENIED),
            self.denials,
            "entries, and denials in the journal"
        );
        assert_eq!(counted(desk, "denied"), self.denials);
        let (sent, rows) = (self.copies.len(), self.rows.len());
        assert_eq!(sent, rows, "copies, and audit rows");
        let notices = self.receiver.notices();
        for (project, kills) in &self.kills_met {
            let its = |notice: &&Notice| notice.body["incident"]["scoping_project_id"] == project.as_str();
            let told: Vec<&Notice> = notices.iter().filter(its).collect();
            let ids: BTreeSet<&str> = told.iter().map(|notice| notice.delivery.as_str()).collect();
            assert_eq!(ids.len(), 1, "{project}: {told:#?}");
            assert!(
                told.len() <= 1 + kills,
                "{project}: {kills} kills, {} notices",
                told.len()
            );
        }
    }
}
