//! What is found, as log entries.

use std::borrow::Cow;

use binauthz_core::name::ClusterName;
use binauthz_core::time::UnixTime;
use binauthz_wire::logging::{Entry, Node, Payload, Severity};

use super::post::{Report, State};
use crate::app::App;
use crate::logs::record;

/// The log of what is found wrong with the guard of clusters. Nobody else writes it.
pub(crate) const LOG: &str = "binaryauthorization.googleapis.com%2Fguard";

/// Tells it: in the server's own log, and as an entry of the cluster's project.
pub(super) async fn tell(app: &App, cluster: &ClusterName, report: &Report) {
    let finding = &report.finding;
    let (code, message, differences) = (finding.code(), finding.message(), finding.differences());
    match report.state {
        State::Over => tracing::info!(%cluster, finding = code, "over: {message}"),
        State::Found | State::GoesOn => {
            tracing::error!(%cluster, finding = code, ?differences, "{message}");
        }
    }
    let now = (app.clock)();
    let kept = app
        .entries
        .append(record(&entry(cluster, report, now), now))
        .await;
    if let Err(error) = kept {
        tracing::error!(%error, %cluster, finding = code, "what was found could not be written to the log");
    }
}

fn entry(cluster: &ClusterName, report: &Report, now: UnixTime) -> Entry<'static> {
    let finding = &report.finding;
    let (state, severity) = match report.state {
        State::Found => ("FOUND", finding.severity()),
        State::GoesOn => ("GOES_ON", finding.severity()),
        State::Over => ("OVER", Severity::Notice),
    };
    let text = |text: &str| Node::Text(Cow::Owned(text.to_owned()));
    let mut members = vec![
        ("cluster", text(&cluster.to_string())),
        ("finding", text(finding.code())),
        ("state", text(state)),
        ("message", text(&finding.message())),
    ];
    let differences = finding.differences();
    if !differences.is_empty() {
        members.push((
            "differences",
            Node::List(differences.iter().map(|one| text(one)).collect()),
        ));
    }
    let labels = [
        ("project_id", text(cluster.project().as_str())),
        ("location", text(cluster.location().as_str())),
        ("cluster_name", text(cluster.cluster().as_str())),
    ];
    // Its place in the log is its id, as for other entries without one.
    Entry::new(
        format!("projects/{}/logs/{LOG}", cluster.project()),
        String::new(),
        now,
    )
    .severity(severity)
    .resource("k8s_cluster", Node::labels(labels))
    .payload(Payload::Json(Node::labels(members)))
}

#[cfg(test)]
mod tests {
    use binauthz_kubernetes::Configuration;
    use binauthz_wire::logging::Query;

    use super::super::finding::Finding;
    use super::*;

    #[test]
    fn an_entry_says_what_was_found_where_and_how_bad_it_is() {
        let cluster = "projects/p/locations/l/clusters/c".parse().unwrap();
        let finding = Finding::Weakened(
            Configuration::Validating,
            vec!["webhooks[0].failurePolicy is `\"Ignore\"`".to_owned()],
        );
        let made = |state| {
            let finding = finding.clone();
            entry(&cluster, &Report { finding, state }, UnixTime::from_seconds(1))
        };
        let alarming = Query::parse(
            "resource.type=\"k8s_cluster\" resource.labels.cluster_name=c severity>=ERROR \
             logName:\"binaryauthorization.googleapis.com%2Fguard\" jsonPayload.finding=CONFIGURATION_WEAKENED \
             jsonPayload.differences:failurePolicy",
        )
        .unwrap();
        for (state, alarms) in [(State::Found, true), (State::GoesOn, true), (State::Over, false)] {
            assert_eq!(alarming.test(&made(state)), alarms, "{state:?}");
        }
        assert_eq!(
            made(State::Found).log_name(),
            Some(&*format!("projects/p/logs/{LOG}"))
        );
        assert_eq!(made(State::Found).insert_id(), None);
    }
}
