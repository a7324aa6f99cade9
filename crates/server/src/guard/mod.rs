//! Looks after the clusters that the server is told to guard: whether each API server asks, and asks about everything.
//!
//! A server sees what it is asked and never what it is not. So for every cluster a task looks at the webhook
//! configurations and tries a Pod that must be denied, again and again. What is found becomes log entries, which the
//! shipped alert policy matches, numbers, and, where something runs past the server, its readiness.

mod finding;
mod keep;
mod look;
mod post;
mod report;
mod trust;
mod watch;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use binauthz_core::name::ClusterName;
use binauthz_core::time::UnixTime;

pub(crate) use look::connect;
pub(crate) use report::LOG;
pub(crate) use watch::guard;

use self::finding::Finding;
use self::trust::Trust;
use crate::metrics::Text;

/// What the health port tells of all clusters.
#[derive(Debug, Default)]
pub(crate) struct Guarded(Mutex<BTreeMap<ClusterName, Standing>>);

/// What it tells of one.
#[derive(Debug, Clone, Default)]
struct Standing {
    /// Something runs past the server there.
    passed_by: bool,
    /// Somebody installs the guard, for which the API server must reach this server.
    being_installed: bool,
    /// What became of the last Pod, if one was tried.
    denied: Option<bool>,
    findings: Vec<&'static str>,
    looked: Option<UnixTime>,
    /// Whom it trusts, and how many looks in a row it was that.
    trust: (Trust, u32),
}

impl Guarded {
    fn set(&self, cluster: &ClusterName, change: impl FnOnce(&mut Standing)) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(all.entry(cluster.clone()).or_default());
    }

    /// Whether the server is not ready, because every cluster that it guards runs past it. As long as one needs it, it
    /// stays in service: for that cluster it would be an outage.
    pub(crate) fn holds_back(&self) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_in_vain = |standing: &Standing| standing.passed_by && !standing.being_installed;
        !all.is_empty() && all.values().all(is_in_vain)
    }

    /// The authority that every cluster was seen to trust twice in a row, so that its API servers have taken notice: it
    /// may take over. Nothing while one cluster does not say.
    fn trusted_everywhere(&self) -> Option<String> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut trusted = None;
        for standing in all.values() {
            match &standing.trust {
                (Trust::Others, _) => {}
                (Trust::Ours(Some(next)), 2..) if trusted.as_ref().is_none_or(|other| other == next) => {
                    trusted = Some(next.clone());
                }
                _ => return None,
            }
        }
        trusted
    }

    /// Writes the numbers. At most 64 clusters, so 900 rows.
    pub(crate) fn write(&self, text: &mut Text) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let failed = "binauthz_guard_canary_failed";
        text.family(
            failed,
            "gauge",
            "1 when the last known-bad Pod was not denied, by cluster",
        );
        for (cluster, standing) in &all {
            // Else no sample: 0 would say that it was denied.
            if let Some(denied) = standing.denied {
                text.named_row(failed, &[("cluster", &cluster.to_string())], u8::from(!denied));
            }
        }
        let findings = "binauthz_guard_findings";
        text.family(
            findings,
            "gauge",
            "1 when that is found wrong with a cluster's guard",
        );
        for (cluster, standing) in &all {
            for code in Finding::CODES {
                let found = u8::from(standing.findings.contains(&code));
                text.named_row(
                    findings,
                    &[("cluster", &cluster.to_string()), ("finding", code)],
                    found,
                );
            }
        }
        let looked = "binauthz_guard_looked_timestamp_seconds";
        text.family(
            looked,
            "gauge",
            "When a cluster's guard was last looked at; 0 before that",
        );
        for (cluster, standing) in &all {
            let time = standing.looked.map_or(0, UnixTime::as_seconds);
            text.named_row(looked, &[("cluster", &cluster.to_string())], time);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(id: &str) -> ClusterName {
        format!("projects/p/locations/l/clusters/{id}").parse().unwrap()
    }

    #[test]
    fn a_server_is_held_back_when_nobody_needs_it() {
        let guarded = Guarded::default();
        assert!(!guarded.holds_back());
        guarded.set(&name("a"), |standing| standing.passed_by = true);
        assert!(guarded.holds_back());
        guarded.set(&name("a"), |standing| standing.being_installed = true);
        assert!(!guarded.holds_back());
        guarded.set(&name("a"), |standing| standing.being_installed = false);
        guarded.set(&name("b"), |_| {});
        assert!(!guarded.holds_back(), "another cluster needs it");
        guarded.set(&name("b"), |standing| standing.passed_by = true);
        assert!(guarded.holds_back());
    }

    #[test]
    fn an_authority_takes_over_when_every_cluster_trusts_it() {
        let guarded = Guarded::default();
        let set = |id: &str, trust: Trust, looks| {
            guarded.set(&name(id), |standing| standing.trust = (trust, looks))
        };
        let next = |pem: &str| Trust::Ours(Some(pem.to_owned()));
        assert_eq!(guarded.trusted_everywhere(), None);
        set("a", Trust::Others, 9);
        assert_eq!(guarded.trusted_everywhere(), None);
        set("b", next("n"), 1);
        assert_eq!(guarded.trusted_everywhere(), None, "seen once");
        set("b", next("n"), 2);
        assert_eq!(guarded.trusted_everywhere().as_deref(), Some("n"));
        for (trust, looks) in [
            (Trust::Unknown, 9),
            (Trust::Ours(None), 9),
            (next("m"), 9),
            (next("n"), 1),
        ] {
            set("c", trust, looks);
            assert_eq!(guarded.trusted_everywhere(), None);
        }
        set("c", next("n"), 3);
        assert_eq!(guarded.trusted_everywhere().as_deref(), Some("n"));
    }

    #[test]
    fn numbers_are_there_for_what_is_known() {
        let guarded = Guarded::default();
        let written = |guarded: &Guarded| {
            let mut text = Text::default();
            guarded.write(&mut text);
            text.finish()
        };
        assert!(!written(&guarded).contains("} "), "no rows");
        guarded.set(&name("a"), |standing| {
            standing.findings = vec!["CONFIGURATION_WEAKENED"]
        });
        let text = written(&guarded);
        let cluster = "cluster=\"projects/p/locations/l/clusters/a\"";
        assert!(!text.contains("canary_failed{"), "{text}");
        for row in [
            format!("findings{{{cluster},finding=\"CONFIGURATION_WEAKENED\"}} 1\n"),
            format!("findings{{{cluster},finding=\"CANARY_ADMITTED\"}} 0\n"),
            format!("looked_timestamp_seconds{{{cluster}}} 0\n"),
        ] {
            assert!(text.contains(&row), "{row}{text}");
        }
        guarded.set(&name("a"), |standing| standing.denied = Some(false));
        assert!(written(&guarded).contains(&format!("canary_failed{{{cluster}}} 1\n")));
    }
}
