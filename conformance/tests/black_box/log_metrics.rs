//! Log-based metrics against what the log itself says, while the server's power is cut again and again.

use std::time::Duration;

use binauthz_conformance::desk::{CLUSTER, IMAGES};
use binauthz_conformance::server::poll_until;
use binauthz_conformance::{Desk, review};
use serde_json::{Value, json};

use crate::signatures::prepared;

pub(crate) const DENIED: &str = "protoPayload.response.reason=VIOLATES_POLICY";
const WRITTEN: &str = "logName:load";
const ROUNDS: usize = 4;

pub(crate) fn define(desk: &Desk, name: &str, filter: &str, more: &Value) {
    let mut metric = json!({ "name": name, "filter": filter });
    for (key, value) in more.as_object().expect("an object") {
        metric[key] = value.clone();
    }
    desk.api("POST", "/v2/projects/demo/metrics", Some(&metric)).ok();
}

/// How many entries the log has.
pub(crate) fn logged(desk: &Desk, filter: &str) -> usize {
    let (mut count, mut token) = (0, Value::Null);
    loop {
        let request = json!({
            "resourceNames": ["projects/demo"], "filter": filter, "pageSize": 1000, "pageToken": token,
        });
        let page = desk.api("POST", "/v2/entries:list", Some(&request)).ok();
        count += page["entries"].as_array().map_or(0, Vec::len);
        match page.get("nextPageToken") {
            Some(next) => token = next.clone(),
            None => return count,
        }
    }
}

/// How many entries a metric counted.
pub(crate) fn counted(desk: &Desk, name: &str) -> usize {
    let path = format!(
        "/v3/projects/demo/timeSeries?filter=metric.type%3D%22logging.googleapis.com%2Fuser%2F{name}%22\
         &interval.startTime=2026-01-01T00:00:00Z&interval.endTime=2099-01-01T00:00:00Z"
    );
    let answer = desk.api("GET", &path, None).ok();
    let series = answer["timeSeries"].as_array().into_iter().flatten();
    let points = series.flat_map(|one| one["points"].as_array().into_iter().flatten());
    points
        .map(|point| {
            let value = &point["value"];
            let count = value
                .get("int64Value")
                .unwrap_or(&value["distributionValue"]["count"]);
            count
                .as_str()
                .and_then(|count| count.parse::<usize>().ok())
                .expect("a count")
        })
        .sum()
}

/// A shell that denies and writes until it is told that nobody is there any more.
fn load(desk: &Desk) -> std::thread::JoinHandle<()> {
    let pod = review::create(&review::pod("p", &format!("{IMAGES}/hotfix:latest")));
    desk.write("review.json", &pod.to_string());
    let entry = json!({ "jsonPayload": { "size": 3 } });
    let entries = json!({
        "logName": "projects/demo/logs/load", "resource": { "type": "global" }, "entries": vec![entry; 20],
    });
    desk.write("entries.json", &entries.to_string());
    let mut shell = desk.shell.clone();
    shell.set(
        "ADMIT",
        format!("{}/admit/{CLUSTER}?timeout=10s", desk.server.webhook),
    );
    shell.set("WRITE", format!("{}/v2/entries:write", desk.server.api));
    shell.set("BEARER", desk.server.token.as_str());
    shell.set("CA", desk.server.webhook_ca().display().to_string());
    let script = "post() { curl -sS -o /dev/null --max-time 20 --cacert \"$CA\" -H 'Content-Type: application/json' \"$@\"; }\n\
        deny() { while post --data-binary @review.json \"$ADMIT\"; do :; done; }\n\
        write() { while post -H \"Authorization: Bearer $BEARER\" --data-binary @entries.json \"$WRITE\"; do :; done; }\n\
        deny & deny & write & wait";
    std::thread::spawn(move || drop(shell.run(script)))
}

#[test]
fn each_entry_is_counted_once_whatever_ends_the_server() {
    let Some(mut desk) = prepared(&[]) else { return };
    define(&desk, "denied", DENIED, &json!({}));
    let sizes = json!({ "valueExtractor": "EXTRACT(jsonPayload.size)", "labelExtractors": { "log": "EXTRACT(logName)" } });
    define(&desk, "written", WRITTEN, &sizes);
    let mut before = 0;
    for round in 1..=ROUNDS {
        let load = load(&desk);
        // In the midst of it, with something counted and more on its way.
        let goes_on = poll_until(Duration::from_secs(60), || {
            (counted(&desk, "denied") > before + 5 * round && counted(&desk, "written") > 0).then_some(())
        });
        assert!(goes_on.is_some(), "nothing is counted in round {round}");
        desk = desk.restarted_after_kill();
        load.join().expect("the load ends");
        let (denied, written) = (logged(&desk, DENIED), logged(&desk, WRITTEN));
        let all = poll_until(Duration::from_secs(60), || {
            let found = (counted(&desk, "denied"), counted(&desk, "written"));
            (found.0 >= denied && found.1 >= written).then_some(found)
        });
        assert_eq!(all, Some((denied, written)), "in round {round}");
        assert!(denied > before);
        before = denied;
    }
}
