//! What is watched, as it is stored.

use std::collections::BTreeSet;

use binauthz_store::{Kind, ListQuery, MAX_ROWS, Resource, Store, Unavailable};
use binauthz_wire::json::{self, Limits, Value};
use binauthz_wire::logging::Query;
use binauthz_wire::logging::metric::{LogMetric, TYPE_PREFIX, read_metric};
use binauthz_wire::monitoring::policy::{Condition, ConditionKind, read_policy};

use super::engine::Watched;
use super::kept::content;
use super::shipped;
use crate::logs::{Needle, project_of};

/// Resources of a kind that are looked at. With the three of every project, 20 000 policies of some 4 KB are 80 MB.
const MOST: usize = 20_000;

/// Policies, and the metrics that they speak of.
#[derive(Debug, Default)]
pub(super) struct Watching {
    pub(super) policies: Vec<Watched>,
    pub(super) metrics: Vec<(String, LogMetric)>,
}

impl Watching {
    /// Reads it. What cannot be read is not watched, and said so.
    pub(super) async fn load(store: &Store) -> Result<Watching, Unavailable> {
        let mut stored = BTreeSet::new();
        let mut policies = Vec::new();
        for row in all(store, Kind::AlertPolicy).await? {
            policies.extend(watched(&row));
            stored.insert(row.name);
        }
        let mut projects = BTreeSet::new();
        for kind in [Kind::Project, Kind::Cluster] {
            let rows = all(store, kind).await?;
            projects.extend(
                rows.iter()
                    .filter_map(|row| project_of(&row.name))
                    .map(str::to_owned),
            );
        }
        for project in projects {
            let shipped = shipped::of(&project).filter(|(name, _)| !stored.contains(name));
            policies.extend(shipped.map(|(name, policy)| Watched {
                name,
                project: project.clone(),
                policy,
            }));
        }
        policies.retain(|watched| watched.policy.enabled);
        let mut metrics = Vec::new();
        for row in all(store, Kind::LogMetric).await? {
            metrics.extend(metric(&row).filter(|(project, metric)| {
                let kind = format!("{TYPE_PREFIX}{}", metric.name);
                let mut those = policies.iter().filter(|watched| watched.project == *project);
                those.any(|watched| {
                    watched
                        .policy
                        .conditions
                        .iter()
                        .any(|condition| speaks_of(condition, &kind))
                })
            }));
        }
        Ok(Watching { policies, metrics })
    }

    /// Which entries matter for it.
    pub(super) fn needle(&self) -> Needle {
        let policies = self.policies.iter().flat_map(|watched| {
            let project = watched.project.as_str();
            watched.policy.conditions.iter().filter_map(move |condition| {
                let query: &Query = match &condition.kind {
                    ConditionKind::MatchedLog(matched) => &matched.filter,
                    ConditionKind::Threshold(_) | ConditionKind::Absent(_) => return None,
                };
                Some((project, query))
            })
        });
        let metrics = self.metrics.iter().filter(|(_, metric)| !metric.disabled);
        Needle::new(policies.chain(metrics.map(|(project, metric)| (project.as_str(), &metric.filter))))
    }
}

fn speaks_of(condition: &Condition, metric_type: &str) -> bool {
    let filter = match &condition.kind {
        ConditionKind::Threshold(threshold) => &threshold.filter,
        ConditionKind::Absent(absence) => &absence.filter,
        ConditionKind::MatchedLog(_) => return false,
    };
    filter.metric_type() == Some(metric_type)
}

fn watched(row: &Resource) -> Option<Watched> {
    let read = || {
        let content = content(&row.document)?;
        // A shipped policy that was deleted.
        if content == Value::Null {
            return Ok(None);
        }
        read_policy(content).map(Some).map_err(|why| why.to_string())
    };
    let policy = read().unwrap_or_else(|why: String| {
        tracing::error!(
            policy = row.name,
            why,
            "an alert policy cannot be read and is not watched"
        );
        None
    })?;
    Some(Watched {
        project: project_of(&row.name)?.to_owned(),
        name: row.name.clone(),
        policy,
    })
}

fn metric(row: &Resource) -> Option<(String, LogMetric)> {
    let read = || {
        let value = json::parse(row.document.as_bytes(), Limits::API).map_err(|why| why.to_string())?;
        read_metric(value).map_err(|why| why.to_string())
    };
    let metric = read()
        .inspect_err(|why: &String| {
            tracing::error!(
                metric = row.name,
                why,
                "a log-based metric cannot be read and is not counted"
            );
        })
        .ok()?;
    Some((project_of(&row.name)?.to_owned(), metric))
}

async fn all(store: &Store, kind: Kind) -> Result<Vec<Resource>, Unavailable> {
    let mut query = ListQuery {
        kind,
        parent: String::new(),
        after: None,
        limit: MAX_ROWS,
    };
    let mut found = Vec::new();
    loop {
        let rows = store.list(&query).await?;
        let is_last = rows.len() < MAX_ROWS as usize;
        query.after = rows.last().map(|row| row.name.clone());
        found.extend(rows);
        if is_last {
            return Ok(found);
        }
        if found.len() >= MOST {
            tracing::error!(
                kind = kind.as_str(),
                most = MOST,
                "there are more than alerts look at"
            );
            found.truncate(MOST);
            return Ok(found);
        }
    }
}
