//! Several servers on one database: what one is told the other knows, and neither needs the other.

use std::io::Write as _;
use std::time::{Duration, Instant};

use binauthz_conformance::desk::CLUSTER;
use binauthz_conformance::flood::{Flood, Target};
use binauthz_conformance::journal::Journal;
use binauthz_conformance::receiver::Receiver;
use binauthz_conformance::server::poll_until;
use binauthz_conformance::{Database, Desk, review};
use serde_json::{Value, json};

use crate::signatures::{image, payload, policy, prepare, put_keys, store};

/// Within which a change on one server counts on the others.
const PROMISED: Duration = Duration::from_secs(1);
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
const POLICY: &str = "/v1/projects/demo/policy";

/// A database and two servers on it.
pub(crate) fn pair(options: &[&str]) -> Option<(Database, Desk, Desk)> {
    let database = Database::start()?;
    let url = database.url();
    let options: Vec<&str> = ["--store", &url].iter().chain(options).copied().collect();
    let one = Desk::with_options(&["openssl", "jq"], &options)?;
    let two = one.beside(&options);
    Some((database, one, two))
}

/// How long it takes until the server of `desk` gives this answer.
fn until(desk: &Desk, pod: &Value, allowed: bool) -> Duration {
    let begun = Instant::now();
    let turned = poll_until(PATIENCE, || {
        let verdict = desk.admit(pod);
        (verdict.response["allowed"] == allowed).then_some(())
    });
    assert!(turned.is_some(), "it never became {allowed}");
    begun.elapsed()
}

/// Makes a key, `key.pem`, and says how an attestor has it.
fn key(desk: &Desk) -> Value {
    let make =
        "openssl ecparam -name prime256v1 -genkey -noout -out key.pem && openssl pkey -in key.pem -pubout";
    let pem = desk.ok(make).stdout;
    json!([{"id": "urn:test:key", "pkixPublicKey": {"publicKeyPem": pem, "signatureAlgorithm": "ECDSA_P256_SHA256"}}])
}

fn health(desk: &Desk, path: &str) -> (u16, String) {
    let ran = desk.ok(&format!(
        "curl -s -w '\n%{{http_code}}' '{}{path}'",
        desk.server.health
    ));
    let (text, status) = ran.stdout.rsplit_once('\n').expect("curl prints the status");
    (status.parse().expect("a status is a number"), text.to_owned())
}

pub(crate) fn metric(desk: &Desk, name: &str) -> Option<String> {
    let (_, text) = health(desk, "/metrics");
    let line = text.lines().find(|line| line.starts_with(&format!("{name} ")))?;
    Some(line.split(' ').next_back()?.to_owned())
}

#[test]
fn a_change_on_one_server_counts_on_the_other_within_a_second() {
    let Some((_database, one, two)) = pair(&[]) else {
        return;
    };
    prepare(&one);
    let key = key(&one);
    put_keys(&one, &key);
    payload(&one, &image("a"));
    one.ok("openssl dgst -sha256 -sign key.pem -out signature payload.json");
    let pod = review::pod("p", &image("a"));
    let mut waits = Vec::new();
    let mut seen = |allowed| {
        let wait = until(&two, &pod, allowed);
        waits.push(wait);
        // It is known from now on.
        two.admit(&pod);
    };
    seen(false);
    for _ in 0..3 {
        let name = store(&one, &image("a"), "urn:test:key");
        seen(true);
        put_keys(&one, &json!([]));
        seen(false);
        put_keys(&one, &key);
        seen(true);
        one.api("DELETE", &format!("/v1/{name}"), None).ok();
        seen(false);
        one.api("PUT", POLICY, Some(&policy("DRYRUN_AUDIT_LOG_ONLY")))
            .ok();
        seen(true);
        one.api("PUT", POLICY, Some(&policy("ENFORCED_BLOCK_AND_AUDIT_LOG")))
            .ok();
        seen(false);
    }
    waits.sort();
    let (median, worst) = (waits[waits.len() / 2], waits[waits.len() - 1]);
    // Not `println!`: the harness would swallow the line of a test that passes.
    let _ = writeln!(
        std::io::stdout(),
        "{} changes seen by the other server: median {median:?}, worst {worst:?}",
        waits.len()
    );
    assert!(worst <= PROMISED, "{waits:?}");
}

#[test]
fn what_one_server_answered_is_there_when_it_was_killed() {
    let Some((database, one, two)) = pair(&[]) else {
        return;
    };
    prepare(&one);
    let mut flood = Flood::new(&one.folder().join("flood"), 8);
    let ca = one.server.webhook_ca();
    for number in 0..400 {
        let id = format!("note-{number:03}");
        let target = Target {
            method: "POST",
            url: format!("{}/v1/projects/demo/notes?noteId={id}", one.server.api),
            token: Some(&one.server.token),
            authority: &ca,
        };
        let note = json!({"attestation": {"hint": {"humanReadableName": id}}});
        flood.add(&id, &target, &note);
    }
    let command = flood.command();
    let shell = one.shell.clone();
    let sending = std::thread::spawn(move || shell.run(&command));
    poll_until(PATIENCE, || flood.has_begun().then_some(())).expect("something is answered");
    let mut one = one;
    one.server.end();
    sending.join().expect("the load ends");
    let answered = flood.answers();
    let answered: Vec<&String> = answered
        .iter()
        .filter(|(_, answer)| answer["name"].is_string())
        .map(|(id, _)| id)
        .collect();
    assert!(
        !answered.is_empty() && answered.len() < 400,
        "{} of 400",
        answered.len()
    );
    for id in &answered {
        two.api("GET", &format!("/v1/projects/demo/notes/{id}"), None)
            .ok();
    }
    let rows = database.ask("binauthz", "SELECT count(*) FROM binauthz.audit");
    let rows: usize = rows.parse().expect("a count is a number");
    assert!(rows >= answered.len(), "{rows} rows of {} calls", answered.len());
    // The other one goes on at once, and the first one when it is back.
    two.api("PUT", POLICY, Some(&policy("DRYRUN_AUDIT_LOG_ONLY")))
        .ok();
    let url = database.url();
    let one = one.restarted_with(&["--store", &url]);
    one.admit(&review::pod("p", &image("a"))).admitted();
}

#[test]
fn without_the_database_decisions_go_on_from_memory_until_the_limit() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = folder.path().join("binauthz.yaml");
    std::fs::write(&file, "storeMaxStalenessSeconds: 20\n").expect("a file can be written");
    let Some((mut database, one, two)) = pair(&["--config", &file.display().to_string()]) else {
        return;
    };
    prepare(&one);
    put_keys(&one, &key(&one));
    let mut open = policy("ENFORCED_BLOCK_AND_AUDIT_LOG");
    open["admissionWhitelistPatterns"] = json!([{"namePattern": "registry.k8s.io/*"}]);
    one.api("PUT", POLICY, Some(&open)).ok();
    let good = review::pod("p", "registry.k8s.io/pause:3.9");
    let bad = review::pod("p", &image("a"));
    for desk in [&one, &two] {
        until(desk, &good, true);
        desk.admit(&bad).denied(&["No attestations found"]);
        assert_eq!(health(desk, "/readyz"), (200, "ok\n".to_owned()));
        assert_eq!(
            metric(desk, "binauthz_store_staleness_seconds").as_deref(),
            Some("0")
        );
    }
    database.crash();
    for desk in [&one, &two] {
        desk.admit(&good).admitted();
        desk.admit(&bad).denied(&["No attestations found"]);
        // What is not in memory cannot be proven.
        desk.admit(&review::pod("p", &image("b"))).denied(&["could not"]);
        let begun = Instant::now();
        desk.api("PUT", POLICY, Some(&open))
            .refused(503, "UNAVAILABLE", &["try again"]);
        assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    }
    for desk in [&one, &two] {
        let aging = poll_until(PATIENCE, || {
            let (status, text) = health(desk, "/readyz");
            (status == 200 && text.contains("from memory")).then_some(())
        });
        assert!(aging.is_some(), "{:?}", health(desk, "/readyz"));
    }
    for desk in [&one, &two] {
        until(desk, &good, false);
        desk.admit(&good).denied(&["has not answered for 20 s"]);
        let (status, text) = health(desk, "/readyz");
        assert!(
            status == 503 && text.contains("everything is denied"),
            "{status} {text}"
        );
        let staleness = metric(desk, "binauthz_store_staleness_seconds").expect("it is a metric");
        assert!(staleness.parse::<u64>().expect("a number") >= 20, "{staleness}");
    }
    database.run();
    for desk in [&one, &two] {
        until(desk, &good, true);
        assert_eq!(health(desk, "/readyz").0, 200);
    }
    two.api("PUT", POLICY, Some(&policy("DRYRUN_AUDIT_LOG_ONLY")))
        .ok();
    assert!(until(&one, &bad, true) <= PROMISED);
}

#[test]
fn one_server_sends_what_each_of_them_found() {
    let Some((_database, one, two)) = pair(&[]) else {
        return;
    };
    let receiver = Receiver::start();
    let watched = |project: &str| {
        let mode = json!({ "evaluationMode": "PROJECT_SINGLETON_POLICY_ENFORCE" });
        let cluster = json!({ "cluster": { "name": "c", "binaryAuthorization": mode } });
        one.api(
            "POST",
            &format!("/v1/projects/{project}/locations/l/clusters"),
            Some(&cluster),
        )
        .ok();
        let channel = json!({ "type": "webhook_tokenauth", "labels": { "url": receiver.url } });
        let path = format!("/v3/projects/{project}");
        let channel = one.api("POST", &format!("{path}/notificationChannels"), Some(&channel));
        let told = json!({ "notificationChannels": [channel.ok()["name"]] });
        let path = format!("{path}/alertPolicies/binauthz-break-glass?updateMask=notificationChannels");
        one.api("PATCH", &path, Some(&told)).ok();
    };
    let broken = |desk: &Desk, project: &str| {
        let mut pod = review::pod("p", &image("a"));
        pod["metadata"]["labels"] = json!({"image-policy.k8s.io/break-glass": "true"});
        let cluster = CLUSTER
            .replace("demo", project)
            .replace("us-central1-a", "l")
            .replace("my-cluster", "c");
        desk.review("admit", &cluster, &review::create(&pod)).admitted();
    };
    for project in ["first", "second", "third"] {
        watched(project);
    }
    let leads = |desk: &Desk| metric(desk, "binauthz_store_leads").as_deref() == Some("1");
    poll_until(PATIENCE, || (leads(&one) || leads(&two)).then_some(())).expect("one of them leads");
    assert!(leads(&one) != leads(&two), "one of the two");
    // The watchers hear of the policies within a second.
    let _: Option<()> = poll_until(PROMISED, || None);
    broken(&one, "first");
    broken(&two, "second");
    for project in ["first", "second"] {
        let got = receiver.of_project(project, 1, PATIENCE).expect("it is told");
        assert_eq!(got.len(), 1);
    }
    // The one that leads dies: the other takes over and sends what it finds.
    let (leader, other) = if leads(&one) { (one, two) } else { (two, one) };
    leader.server.kill();
    poll_until(PATIENCE, || leads(&other).then_some(())).expect("the other takes over");
    broken(&other, "third");
    receiver.of_project("third", 1, PATIENCE).expect("it is told");
    let _: Option<()> = poll_until(Duration::from_secs(3), || None);
    let told: Vec<String> = receiver
        .notices()
        .iter()
        .map(|notice| notice.body["incident"]["scoping_project_id"].to_string())
        .collect();
    assert_eq!(told.len(), 3, "each once: {told:?}");
}

#[test]
fn a_server_with_another_master_key_is_turned_away() {
    let Some(database) = Database::start() else { return };
    let url = database.url();
    let Some(one) = Desk::with_options(&[], &["--store", &url]) else {
        return;
    };
    let listen = "--api-listen 127.0.0.1:0 --webhook-listen 127.0.0.1:0 --health-listen 127.0.0.1:0";
    one.sh(&format!(
        "binauthz serve --dev --data-dir other --store '{url}' {listen}"
    ))
    .refused(&["master.key"]);
    // Nor does one of them take another key by itself.
    one.api("POST", "/binauthz/v1/masterKey:rewrap", Some(&json!({})))
        .refused(400, "FAILED_PRECONDITION", &["master.key"]);
    one.sh(&format!(
        "binauthz serve --dev --data-dir other --store 'postgres://u:geheim@127.0.0.1:1/x?sslmode=require' {listen}"
    ))
    .refused(&["sslmode=require", "verify-full"]);
    let shown = one.ok(&format!(
        "binauthz serve --dev --data-dir other --check --store 'postgres://u:geheim@127.0.0.1:1/x?sslmode=disable' {listen}"
    ));
    assert!(
        shown.stdout.contains("store: postgres://u@127.0.0.1:1/x\n"),
        "{}",
        shown.stdout
    );
    assert!(!shown.stdout.contains("geheim"));
}

#[test]
fn what_a_file_had_the_database_has_and_the_log_goes_on() {
    let Some(database) = Database::start() else { return };
    let Some(desk) = Desk::with(&["openssl"]) else {
        return;
    };
    prepare(&desk);
    let bad = review::pod("p", &image("a"));
    desk.admit(&bad).denied(&["No attestations found"]);
    let url = database.url();
    let migrate = format!("binauthz store migrate-data --data-dir \"$DATA\" --store '{url}'");
    desk.sh(&migrate)
        .refused(&["another server uses this data directory"]);
    // While it runs the file can be copied, and by that alone.
    desk.ok("binauthz store backup copy.db --data-dir \"$DATA\"");
    desk.sh("binauthz store backup copy.db --data-dir \"$DATA\"")
        .refused(&["copy.db", "exists"]);
    let mut desk = desk;
    desk.server.end();
    let told = desk.ok(&migrate).stdout;
    for table in ["resource", "occurrence", "audit", "sealed_key", "metric_point"] {
        let line = told.lines().find(|line| line.starts_with(table));
        let line = line.unwrap_or_else(|| panic!("nothing of `{table}`: {told}"));
        assert!(line.ends_with("equal"), "{line}");
    }
    desk.sh(&migrate).refused(&["expected an empty one"]);
    let desk = desk.restarted_with(&["--store", &url]);
    desk.admit(&bad).denied(&["No attestations found"]);
    desk.api("PUT", POLICY, Some(&policy("DRYRUN_AUDIT_LOG_ONLY")))
        .ok();
    desk.admit(&bad).admitted();
    // Every call is in the log once, those of before the move and those of after it.
    let rows = database.ask(
        "binauthz",
        "SELECT string_agg(sequence::text, ',' ORDER BY sequence) FROM binauthz.audit",
    );
    let mut journal = Journal::new(&desk.server.data.join("journal"));
    let mut copied: Vec<i64> = Vec::new();
    poll_until(PATIENCE, || {
        copied.extend(
            journal
                .news()
                .iter()
                .filter_map(|line| line["auditSequence"].as_i64()),
        );
        (copied.len() >= rows.split(',').count()).then_some(())
    })
    .expect("every call comes into the log");
    let copied: Vec<String> = copied.iter().map(i64::to_string).collect();
    assert_eq!(copied.join(","), rows);
    // Whoever comes with another key is turned away from here on, too.
    let other = "binauthz serve --dev --data-dir other --api-listen 127.0.0.1:0 --webhook-listen 127.0.0.1:0 \
                 --health-listen 127.0.0.1:0";
    desk.sh(&format!("{other} --store '{url}'"))
        .refused(&["master.key"]);
}

#[test]
fn a_public_key_belongs_to_one_attestor_whichever_servers_are_asked() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = folder.path().join("binauthz.yaml");
    std::fs::write(&file, "uniqueAttestorKeys: true\n").expect("a file can be written");
    let Some((_database, one, two)) = pair(&["--config", &file.display().to_string()]) else {
        return;
    };
    prepare(&one);
    let (mut made, mut refused) = (0, 0);
    for round in 0..20 {
        let attestor = json!({"userOwnedGrafeasNote": {
            "noteReference": "projects/demo/notes/image-signing-note", "publicKeys": key(&one)
        }});
        let create = |desk: &Desk, name: &str| {
            let path = format!("/v1/projects/demo/attestors?attestorId={name}-{round}");
            desk.api("POST", &path, Some(&attestor))
        };
        let answers = std::thread::scope(|scope| {
            let other = scope.spawn(|| create(&two, "two"));
            [create(&one, "one"), other.join().expect("it is asked")]
        });
        let good = answers.iter().filter(|answer| answer.status == 200).count();
        assert!(good <= 1, "both have it: {answers:#?}");
        for answer in answers.iter().filter(|answer| answer.status != 200) {
            let status = answer.json["error"]["status"].as_str().unwrap_or_default();
            assert!(["ABORTED", "ALREADY_EXISTS"].contains(&status), "{answer:#?}");
            refused += 1;
        }
        made += good;
    }
    assert!(made > 0 && made + refused == 40, "{made} made, {refused} refused");
}

/// Ten calls by turns; the names of what they made.
fn ten_notes(desks: [&Desk; 2]) -> Vec<String> {
    let make = |(number, desk): (usize, &&Desk)| {
        let path = format!("/v1/projects/demo/notes?noteId=last-{number}");
        let note = json!({"attestation": {"hint": {"humanReadableName": "last"}}});
        let made = desk.api("POST", &path, Some(&note)).ok();
        made["name"].as_str().expect("a note has a name").to_owned()
    };
    desks.iter().cycle().take(10).enumerate().map(make).collect()
}

/// The numbers of the audit rows that records were made of.
fn copied(records: &[Value]) -> Vec<i64> {
    let mut copied: Vec<i64> = records
        .iter()
        .filter_map(|record| record["auditSequence"].as_i64())
        .collect();
    copied.sort_unstable();
    copied
}

/// What comes into the logs until they have so many copies of rows instead of those, and for a moment longer.
fn until_copied(journals: &mut [Journal], (have, rows): (usize, usize)) -> Vec<Value> {
    let mut records = Vec::new();
    let came = poll_until(PATIENCE, || {
        records.extend(journals.iter_mut().flat_map(Journal::news));
        (have + copied(&records).len() >= rows).then_some(())
    });
    assert!(came.is_some(), "every call comes into a log");
    let _: Option<()> = poll_until(Duration::from_secs(3), || None);
    records.extend(journals.iter_mut().flat_map(Journal::news));
    records
}

/// Verdicts never need the database: their log is on the server's own disk. What the database has of calls comes into it once, also
/// when the database goes away between a call and its copy, and the server after it.
#[test]
fn without_the_database_verdicts_go_to_disk_and_calls_follow_once_when_it_is_back() {
    let Some((mut database, one, two)) = pair(&[]) else {
        return;
    };
    prepare(&one);
    let mut journals = [&one, &two].map(|desk| Journal::new(&desk.server.data.join("journal")));
    let pod = review::pod("p", &image("a"));
    let ask = |desk: &Desk, uid: &str| {
        let mut review = review::create(&pod);
        review["request"]["uid"] = json!(uid);
        drop(desk.review("admit", CLUSTER, &review).denied(&[]));
    };
    // Whatever is kept in memory is there.
    for desk in [&one, &two] {
        ask(desk, "before");
    }
    let made = ten_notes([&one, &two]);
    database.crash();
    let mut asked = Vec::new();
    for number in 0..20 {
        let uid = format!("away-{number}");
        ask(if number % 2 == 0 { &one } else { &two }, &uid);
        asked.push(uid);
    }
    let note = json!({"attestation": {"hint": {"humanReadableName": "refused"}}});
    one.api("POST", "/v1/projects/demo/notes?noteId=refused", Some(&note))
        .refused(503, "UNAVAILABLE", &[]);
    let mut records: Vec<Value> = journals.iter_mut().flat_map(Journal::news).collect();
    let of = |records: &[Value], uid: &str| records.iter().filter(|record| record["uid"] == uid).count();
    for uid in &asked {
        assert_eq!(
            of(&records, uid),
            1,
            "`{uid}` is on disk before the database is back"
        );
    }
    let mut one = one;
    one.server.end();
    database.run();
    let url = database.url();
    let one = one.restarted_with(&["--store", &url]);
    let rows = database.ask("binauthz", "SELECT sequence FROM binauthz.audit ORDER BY 1");
    let rows: Vec<i64> = rows.lines().filter_map(|line| line.parse().ok()).collect();
    records.extend(until_copied(&mut journals, (copied(&records).len(), rows.len())));
    assert!(
        copied(&records).starts_with(&rows),
        "each once: {:?}, {rows:?}",
        copied(&records)
    );
    assert!(
        copied(&records).windows(2).all(|pair| pair[0] < pair[1]),
        "none twice"
    );
    for name in &made {
        let about = |record: &&Value| record["log"] == "call" && record["resource"] == name.as_str();
        assert_eq!(
            records.iter().filter(about).count(),
            1,
            "the call that made `{name}`"
        );
        two.api("GET", &format!("/v1/{name}"), None).ok();
    }
    for uid in &asked {
        assert_eq!(of(&records, uid), 1, "`{uid}` is recorded once");
    }
    one.api("GET", "/v1/projects/demo/notes/refused", None)
        .refused(404, "NOT_FOUND", &[]);
}
