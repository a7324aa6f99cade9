//! Who went through the emergency door: the uses of some time, the same ones together, for people to look at.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use binauthz_core::time::UnixTime;
use binauthz_wire::json::timestamp_out;
use binauthz_wire::logging::Query;
use serde_json::{Value, json};

use super::call::{Call, Reply};
use super::decisions::{conforms_now, since};
use super::error::ApiError;
use super::logging::blocking;
use crate::app::App;
use crate::logs::Verdicts;

/// A week.
const SINCE_MICROS: i64 = 7 * 86_400 * 1_000_000;
/// Rows of a report: 1 000 of up to 16 KiB each.
const MOST_ROWS: usize = 1_000;
/// Rows that are judged anew. One has some images of which most are known: 0.1 ms; at worst its evidence takes seconds,
/// so whoever asks for more rows is told `unknown` of the rest.
const MOST_JUDGED: usize = 200;
/// Different justifications of a row that are shown.
const MOST_JUSTIFICATIONS: usize = 10;

/// What makes two uses the same: who, where, what.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    principal: String,
    cluster: String,
    namespace: String,
    kind: String,
    name: String,
    images: Vec<String>,
}

/// The uses that are the same.
#[derive(Debug, Default)]
struct Uses {
    count: u64,
    /// The time of the newest, which came first, and of the oldest.
    last: String,
    first: String,
    justifications: Vec<String>,
    /// Whether something spoke against one of them.
    is_overridden: bool,
    reasons: Vec<String>,
    service_account: String,
}

/// A report in the making.
#[derive(Debug, Default)]
struct Report {
    rows: BTreeMap<Key, Uses>,
    count: u64,
    is_cut: bool,
}

/// The uses since a time, the last week's by default.
pub(super) async fn report(app: &App, call: Call) -> Result<Reply, ApiError> {
    let project = call.project()?.to_string();
    let week = UnixTime::from_micros(call.now.as_micros().saturating_sub(SINCE_MICROS));
    let since = since(&call)?.unwrap_or(week);
    let (mut report, is_whole) = blocking(app, move |journals| {
        let mut report = Report::default();
        let query = Query::parse(r#"protoPayload.metadata.effect="BREAK_GLASS""#)
            .map_err(|why| std::io::Error::other(why.to_string()))?;
        let verdicts = Verdicts {
            project: &project,
            query: &query,
            since: Some(since),
            // What was only tried let nobody in.
            wants: &|record| record["dryRun"] != true,
        };
        let rest = verdicts.before(&journals.verdicts, None, &mut |record| {
            report.add(&record);
            ControlFlow::Continue(())
        })?;
        Ok((report, rest.is_none()))
    })
    .await?;
    let mut rows: Vec<(Key, Uses)> = std::mem::take(&mut report.rows).into_iter().collect();
    rows.sort_by(|(_, one), (_, other)| other.last.cmp(&one.last));
    let mut uses = Vec::with_capacity(rows.len());
    for (index, (key, row)) in rows.iter().enumerate() {
        let now = match index < MOST_JUDGED {
            true => violates_now(app, key, row).await,
            false => "unknown",
        };
        uses.push(written(key, row, now));
    }
    Ok(Reply::json(json!({
        "since": timestamp_out(since),
        "until": timestamp_out(call.now),
        "count": report.count,
        "isComplete": is_whole && !report.is_cut,
        "uses": uses,
    })))
}

impl Report {
    fn add(&mut self, record: &Value) {
        self.count += 1;
        let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
        let images = || record["images"].as_array().into_iter().flatten();
        let key = Key {
            principal: text("user"),
            cluster: text("cluster"),
            namespace: text("namespace"),
            kind: text("kind"),
            name: text("name"),
            images: images()
                .filter_map(|image| image["image"].as_str().map(str::to_owned))
                .collect(),
        };
        if self.rows.len() >= MOST_ROWS && !self.rows.contains_key(&key) {
            self.is_cut = true;
            return;
        }
        let row = self.rows.entry(key).or_default();
        row.count += 1;
        let time = text("time");
        if row.last.is_empty() {
            row.last.clone_from(&time);
            row.service_account = text("serviceAccount");
        }
        row.first = time;
        let justification = text("justification");
        if row.justifications.len() < MOST_JUSTIFICATIONS {
            add_once(&mut row.justifications, justification);
        }
        if record["conforms"] != true {
            row.is_overridden = true;
            let codes = images()
                .filter(|image| image["verdict"] == "DENY")
                .flat_map(|image| image["reasons"].as_array().into_iter().flatten())
                .filter_map(|reason| reason["code"].as_str());
            for code in codes {
                add_once(&mut row.reasons, code.to_owned());
            }
            if row.reasons.is_empty() {
                row.reasons.push(text("reason"));
            }
        }
    }
}

fn add_once(texts: &mut Vec<String>, text: String) {
    if !text.is_empty() && !texts.contains(&text) {
        texts.push(text);
    }
}

/// Whether the policy of today has something against the same images: `yes`, `no`, or `unknown`.
async fn violates_now(app: &App, key: &Key, row: &Uses) -> &'static str {
    let containers: Vec<Value> = key
        .images
        .iter()
        .enumerate()
        .map(|(index, image)| json!({"name": format!("c{index}"), "image": image}))
        .collect();
    let Ok(cluster) = key.cluster.parse() else {
        return "unknown";
    };
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "again", "namespace": key.namespace},
        "spec": {"containers": containers},
    });
    if !row.service_account.is_empty() {
        pod["spec"]["serviceAccountName"] = row.service_account.as_str().into();
    }
    match conforms_now(app, &cluster, &pod).await {
        Some(true) => "no",
        Some(false) => "yes",
        None => "unknown",
    }
}

fn written(key: &Key, row: &Uses, still_violating: &str) -> Value {
    json!({
        "principal": key.principal,
        "cluster": key.cluster,
        "namespace": key.namespace,
        "kind": key.kind,
        "name": key.name,
        "images": key.images,
        "justifications": row.justifications,
        "count": row.count,
        "firstTime": row.first,
        "lastTime": row.last,
        "overriddenVerdict": if row.is_overridden { "DENY" } else { "ALLOW" },
        "reasons": row.reasons,
        "stillViolating": still_violating,
        // Nobody tells this server what a cluster runs.
        "stillRunning": "unknown",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str, time: &str, justification: &str, conforms: bool) -> Value {
        json!({
            "time": time, "user": "alice", "cluster": "projects/p/locations/l/clusters/c", "namespace": "n", "kind": "Pod",
            "name": name, "justification": justification, "conforms": conforms, "reason": "NOT_PINNED",
            "images": [{"image": "i", "verdict": "DENY", "reasons": [{"code": "NOT_PINNED"}, {"code": "NOT_PINNED"}]}],
        })
    }

    #[test]
    fn the_same_uses_are_one_row() {
        let mut report = Report::default();
        report.add(&record("web", "2026-01-03T00:00:00Z", "b", true));
        report.add(&record("web", "2026-01-02T00:00:00Z", "a", false));
        report.add(&record("web", "2026-01-01T00:00:00Z", "b", false));
        report.add(&record("other", "2026-01-01T00:00:00Z", "", true));
        assert_eq!((report.count, report.rows.len(), report.is_cut), (4, 2, false));
        let (key, row) = report.rows.iter().find(|(key, _)| key.name == "web").unwrap();
        let shown = written(key, row, "yes");
        assert_eq!(shown["count"], 3);
        assert_eq!(
            (&shown["firstTime"], &shown["lastTime"]),
            (&json!("2026-01-01T00:00:00Z"), &json!("2026-01-03T00:00:00Z"))
        );
        assert_eq!(shown["justifications"], json!(["b", "a"]));
        assert_eq!(shown["overriddenVerdict"], "DENY");
        assert_eq!(shown["reasons"], json!(["NOT_PINNED"]));
        assert_eq!(shown["stillRunning"], "unknown");
        let (key, row) = report.rows.iter().find(|(key, _)| key.name == "other").unwrap();
        assert_eq!(written(key, row, "no")["overriddenVerdict"], "ALLOW");
    }

    #[test]
    fn a_report_is_bounded_and_says_so() {
        let mut report = Report::default();
        for number in 0..MOST_ROWS + 5 {
            let justification = format!("{number}");
            report.add(&record(&format!("web-{number}"), "t", "x", false));
            report.add(&record("web-0", "t", &justification, false));
        }
        assert!(report.is_cut);
        assert_eq!(report.rows.len(), MOST_ROWS);
        assert_eq!(report.count, 2 * (MOST_ROWS as u64 + 5));
        let row = report.rows.values().find(|row| row.count > 1).unwrap();
        assert_eq!(row.justifications.len(), MOST_JUSTIFICATIONS);
    }
}
