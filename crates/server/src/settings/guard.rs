//! The clusters that the server looks after itself.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use binauthz_core::name::ClusterName;
use binauthz_kubernetes::{CANARY_NAMESPACE, is_label};
use serde::Deserialize;

/// Clusters of one server. Each is a task that looks at four objects a minute and keeps none of them.
const CLUSTERS_MAX: usize = 64;
/// Seconds from one known-bad Pod to the next.
const EVERY: u32 = 60;
const EVERY_MAX: u32 = 3_600;
/// Seconds without a server until what was last known to be good may start.
const AFTER: u32 = 120;
/// The moments of an hour are 720 names in a role.
const AFTER_MAX: u32 = 3_600;
/// Hours for which it may.
const FOR: u32 = 24;
const FOR_MAX: u32 = 7 * 24;

/// The block `guard` of the configuration file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct Block {
    clusters: Vec<String>,
    every_seconds: Option<u32>,
    namespace: Option<String>,
    kubeconfig: Option<PathBuf>,
    service_account: Option<PathBuf>,
    events: bool,
    review_break_glass: bool,
    last_known_good: KeepingBlock,
}

/// The block `guard.lastKnownGood`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct KeepingBlock {
    after_seconds: Option<u32>,
    for_hours: Option<u32>,
}

/// When a cluster may start what was last known to be good, where it was installed so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keeping {
    /// How long no server answers before.
    pub after_seconds: u32,
    /// How long it may.
    pub for_hours: u32,
}

impl Keeping {
    fn new(block: &KeepingBlock, every: u32) -> Result<Keeping, String> {
        // A look every half of it: one may be missed, and what is added is some seconds ahead.
        let least = every.saturating_add(15).min(AFTER_MAX);
        let after_seconds = block.after_seconds.unwrap_or_else(|| AFTER.max(least));
        if !(least..=AFTER_MAX).contains(&after_seconds) {
            return Err(format!(
                "`guard.lastKnownGood.afterSeconds` is {after_seconds}, expected {least} (`guard.everySeconds` and 15) to \
                 {AFTER_MAX}"
            ));
        }
        let for_hours = block.for_hours.unwrap_or(FOR);
        if !(1..=FOR_MAX).contains(&for_hours) {
            return Err(format!(
                "`guard.lastKnownGood.forHours` is {for_hours}, expected 1 to {FOR_MAX}"
            ));
        }
        Ok(Keeping {
            after_seconds,
            for_hours,
        })
    }
}

/// A cluster that is looked after, and how it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardedCluster {
    /// Under which name it asks.
    pub cluster: ClusterName,
    /// The context of the kubeconfig; without one it is the cluster that the server runs in.
    pub context: Option<String>,
}

/// What is looked after, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guarding {
    /// None: nothing is.
    pub clusters: Vec<GuardedCluster>,
    /// From one known-bad Pod to the next.
    pub every: Duration,
    /// Where that Pod is tried.
    pub namespace: String,
    /// The kubeconfig of the contexts, if it is not kubectl's usual one.
    pub kubeconfig: Option<PathBuf>,
    /// The folder of the service account, if it is not the usual one.
    pub service_account: Option<PathBuf>,
    /// When what was last known to be good may start, in the clusters that were installed so.
    pub last_known_good: Keeping,
    /// Whether a refusal becomes an Event in the cluster.
    pub events: bool,
    /// Whether the cluster says who may break the glass.
    pub review_break_glass: bool,
}

impl Guarding {
    /// Checks a block and the values of `--guard`; the sentence says what is wrong with which member.
    pub(super) fn new(block: Block, flags: Vec<String>) -> Result<Guarding, String> {
        let every = block.every_seconds.unwrap_or(EVERY);
        if !(1..=EVERY_MAX).contains(&every) {
            return Err(format!(
                "`guard.everySeconds` is {every}, expected 1 to {EVERY_MAX}"
            ));
        }
        let namespace = block.namespace.unwrap_or_else(|| CANARY_NAMESPACE.to_owned());
        if !is_label(&namespace) {
            return Err(format!(
                "`guard.namespace` is `{}`, expected the name of a namespace",
                namespace.escape_debug()
            ));
        }
        let last_known_good = Keeping::new(&block.last_known_good, every)?;
        let mut clusters: Vec<GuardedCluster> = Vec::new();
        for text in block.clusters.into_iter().chain(flags) {
            let guarded = guarded(&text)?;
            if clusters.iter().any(|other| other.cluster == guarded.cluster) {
                return Err(format!("`{}` is to be guarded twice", guarded.cluster));
            }
            clusters.push(guarded);
        }
        if clusters.is_empty() && (block.events || block.review_break_glass) {
            return Err(
                "`guard.events` and `guard.reviewBreakGlass` mean nothing without `guard.clusters`"
                    .to_owned(),
            );
        }
        if clusters.len() > CLUSTERS_MAX {
            return Err(format!("more than {CLUSTERS_MAX} clusters are to be guarded"));
        }
        Ok(Guarding {
            clusters,
            every: Duration::from_secs(u64::from(every)),
            namespace,
            kubeconfig: block.kubeconfig,
            service_account: block.service_account,
            last_known_good,
            events: block.events,
            review_break_glass: block.review_break_glass,
        })
    }
}

/// `CLUSTER` or `CLUSTER=CONTEXT`.
fn guarded(text: &str) -> Result<GuardedCluster, String> {
    let (cluster, context) = match text.split_once('=') {
        Some((cluster, context)) => (cluster, Some(context)),
        None => (text, None),
    };
    let expected = || {
        format!(
            "`{}` is to be guarded, expected projects/P/locations/L/clusters/C, or the same with =CONTEXT",
            text.escape_debug()
        )
    };
    if context.is_some_and(str::is_empty) {
        return Err(expected());
    }
    Ok(GuardedCluster {
        cluster: cluster.parse().map_err(|_| expected())?,
        context: context.map(str::to_owned),
    })
}

/// As it is given.
impl fmt::Display for GuardedCluster {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.context {
            Some(context) => write!(formatter, "{}={context}", self.cluster),
            None => write!(formatter, "{}", self.cluster),
        }
    }
}

/// As it is written in the file.
impl fmt::Display for Guarding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // JSON is YAML, whatever is in a path or in the name of a context.
        let block = serde_json::json!({
            "clusters": self.clusters.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "everySeconds": self.every.as_secs(),
            "namespace": self.namespace,
            "kubeconfig": self.kubeconfig,
            "serviceAccount": self.service_account,
            "lastKnownGood": {
                "afterSeconds": self.last_known_good.after_seconds,
                "forHours": self.last_known_good.for_hours,
            },
            "events": self.events,
            "reviewBreakGlass": self.review_break_glass,
        });
        write!(formatter, "{block}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: &str = "projects/p/locations/l/clusters/c";

    fn block(text: &str) -> Block {
        serde_saphyr::from_str(text).unwrap()
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        let file = block(&format!(
            "clusters: ['{CLUSTER}']\neverySeconds: 5\nnamespace: canary\nkubeconfig: /k\nevents: true\n\
             lastKnownGood: {{forHours: 60}}\n"
        ));
        let guarding = Guarding::new(file, vec!["projects/p/locations/l/clusters/d=a=b".to_owned()]).unwrap();
        assert_eq!(guarding.clusters[0].context, None);
        assert_eq!(guarding.clusters[1].context.as_deref(), Some("a=b"));
        let again = Guarding::new(block(&guarding.to_string()), Vec::new()).unwrap();
        assert_eq!(again, guarding);
        let keeping = again.last_known_good;
        assert_eq!((keeping.after_seconds, keeping.for_hours), (120, 60));
        let nothing = Guarding::new(Block::default(), Vec::new()).unwrap();
        assert!(nothing.clusters.is_empty() && nothing.every == Duration::from_secs(60));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, flags, expected) in [
            ("everySeconds: 0", vec![], "`guard.everySeconds` is 0"),
            ("everySeconds: 3601", vec![], "3601"),
            ("namespace: 'a/b'", vec![], "`guard.namespace`"),
            ("lastKnownGood: {afterSeconds: 74}", vec![], "expected 75 ("),
            ("lastKnownGood: {afterSeconds: 3601}", vec![], "3601"),
            (
                "lastKnownGood: {forHours: 0}",
                vec![],
                "`guard.lastKnownGood.forHours` is 0",
            ),
            ("lastKnownGood: {forHours: 169}", vec![], "1 to 168"),
            (
                "everySeconds: 3600\nlastKnownGood: {afterSeconds: 3599}",
                vec![],
                "expected 3600",
            ),
            ("clusters: [my-cluster]", vec![], "`my-cluster`"),
            ("events: true", vec![], "without `guard.clusters`"),
            ("reviewBreakGlass: true", vec![], "without `guard.clusters`"),
            ("{}", vec![format!("{CLUSTER}=")], "=CONTEXT"),
            ("{}", vec![CLUSTER.to_owned(), format!("{CLUSTER}=x")], "twice"),
        ] {
            let error = Guarding::new(block(text), flags).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
        assert!(serde_saphyr::from_str::<Block>("every: 5").is_err());
        let many = (0..=CLUSTERS_MAX).map(|n| format!("{CLUSTER}-{n}")).collect();
        assert!(Guarding::new(Block::default(), many).is_err());
    }
}
