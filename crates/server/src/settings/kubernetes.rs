//! The clusters whose API servers the server itself asks: who may open the emergency door, and where a refusal is told.

use std::fmt;
use std::path::PathBuf;

use binauthz_core::name::ClusterName;
use serde::Deserialize;

/// Clusters in the list: as many as a server can be the webhook of with one connection each.
const MAX_CLUSTERS: usize = 64;

/// One item of the list `kubernetes` of the configuration file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Block {
    cluster: String,
    kubeconfig: Option<PathBuf>,
    context: Option<String>,
    #[serde(default)]
    events: bool,
    #[serde(default)]
    review_break_glass: bool,
}

/// A cluster whose API server is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubernetesAccess {
    /// The cluster, by the name it is registered under.
    pub cluster: ClusterName,
    /// How its API server is reached.
    pub place: Place,
    /// Whether a refusal becomes an Event there.
    pub events: bool,
    /// Whether it says who may break the glass.
    pub review_break_glass: bool,
}

/// How an API server is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// As the service account of the Pod that this is.
    Inside,
    /// By a context of a kubeconfig.
    Context {
        /// The file.
        kubeconfig: PathBuf,
        /// The context.
        context: String,
    },
}

impl KubernetesAccess {
    /// Checks the list; the sentence says what is wrong with which item.
    pub(super) fn list(blocks: Vec<Block>) -> Result<Vec<KubernetesAccess>, String> {
        if blocks.len() > MAX_CLUSTERS {
            return Err(format!("`kubernetes` has more than {MAX_CLUSTERS} clusters"));
        }
        let mut list: Vec<KubernetesAccess> = Vec::new();
        for (at, block) in blocks.into_iter().enumerate() {
            let wrong = |why: &str| format!("`kubernetes[{at}]`: {why}");
            let cluster: ClusterName = block
                .cluster
                .parse()
                .map_err(|why| wrong(&format!("`{}`: {why}", block.cluster.escape_debug())))?;
            let place = match (block.kubeconfig, block.context) {
                (None, None) => Place::Inside,
                (Some(kubeconfig), Some(context)) => Place::Context { kubeconfig, context },
                _ => {
                    return Err(wrong(
                        "expected both `kubeconfig` and `context`, or, inside of the cluster, neither",
                    ));
                }
            };
            if list.iter().any(|known| known.cluster == cluster) {
                return Err(wrong(&format!("`{cluster}` is listed twice")));
            }
            if !(block.events || block.review_break_glass) {
                return Err(wrong(
                    "expected `events: true` or `reviewBreakGlass: true`: else nothing is asked",
                ));
            }
            list.push(KubernetesAccess {
                cluster,
                place,
                events: block.events,
                review_break_glass: block.review_break_glass,
            });
        }
        Ok(list)
    }
}

/// As an item of the list, in one line.
impl fmt::Display for KubernetesAccess {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{{cluster: {}, ", self.cluster)?;
        if let Place::Context { kubeconfig, context } = &self.place {
            let [kubeconfig, context] = [kubeconfig.display().to_string(), context.clone()]
                .map(|text| serde_json::Value::from(text).to_string());
            write!(formatter, "kubeconfig: {kubeconfig}, context: {context}, ")?;
        }
        write!(
            formatter,
            "events: {}, reviewBreakGlass: {}}}",
            self.events, self.review_break_glass
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<KubernetesAccess>, String> {
        KubernetesAccess::list(serde_saphyr::from_str(text).map_err(|why| why.to_string())?)
    }

    #[test]
    fn a_list_is_shown_as_it_can_be_read() {
        let text = "- {cluster: projects/p/locations/l/clusters/a, events: true}\n\
                    - {cluster: projects/p/locations/l/clusters/b, kubeconfig: '/a \"b', context: 'c: d', reviewBreakGlass: true}\n";
        let list = read(text).unwrap();
        assert_eq!(list[0].place, Place::Inside);
        assert!(list[0].events && !list[0].review_break_glass && list[1].review_break_glass);
        let shown: String = list.iter().map(|item| format!("- {item}\n")).collect();
        assert_eq!(read(&shown).unwrap(), list);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_its_item() {
        let good = "cluster: projects/p/locations/l/clusters/a, events: true";
        for (text, words) in [
            (
                format!("- {{{good}}}\n- {{{good}}}"),
                "`kubernetes[1]`: `projects/p/locations/l/clusters/a` is listed twice",
            ),
            (
                format!("- {{{good}, kubeconfig: f}}"),
                "`kubernetes[0]`: expected both",
            ),
            (
                format!("- {{{good}, context: c}}"),
                "`kubernetes[0]`: expected both",
            ),
            (
                "- {cluster: my-cluster, events: true}".to_owned(),
                "`kubernetes[0]`: `my-cluster`",
            ),
            (
                "- {cluster: projects/p/locations/l/clusters/a}".to_owned(),
                "`kubernetes[0]`: expected `events: true`",
            ),
            (format!("- {{{good}, event: true}}"), "event"),
            ("- {events: true}".to_owned(), "cluster"),
            (
                (0..65)
                    .map(|at| format!("- {{cluster: projects/p/locations/l/clusters/c{at}, events: true}}\n"))
                    .collect(),
                "more than 64 clusters",
            ),
        ] {
            let error = read(&text).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
