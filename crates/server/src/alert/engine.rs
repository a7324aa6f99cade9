//! From entries and the time to notices.

use binauthz_core::time::UnixTime;
use binauthz_wire::logging::Entry;
use binauthz_wire::logging::metric::{LogMetric, TYPE_PREFIX};
use binauthz_wire::monitoring::policy::{AlertPolicy, Combiner, Condition, ConditionKind, LogMatch, Prompt};

use super::clock::{Clock, micros};
use super::condition::{Finding, Memory, evaluate, horizon};
use super::incident::{Incident, Notice, State};
use super::series::{Counted, Key};

/// After so long an incident is closed when nothing else is said: seven days.
const AUTO_CLOSE: i64 = 7 * 86_400 * 1_000_000;
const SECOND: i64 = 1_000_000;

/// A policy that is watched.
#[derive(Debug, Clone, PartialEq)]
pub struct Watched {
    /// Its name.
    pub name: String,
    /// Its project's id.
    pub project: String,
    /// What it says.
    pub policy: AlertPolicy,
}

/// Watches policies. Holds nothing that cannot be built again, but for the incidents that are open.
pub struct Engine {
    clock: Clock,
    metrics: Vec<(LogMetric, Counted)>,
    policies: Vec<Watch>,
    new_id: Box<dyn FnMut() -> String + Send>,
    /// When conditions were last evaluated.
    evaluated: Option<i64>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (policies, metrics) = (self.policies.len(), self.metrics.len());
        write!(formatter, "Engine({policies} policies, {metrics} metrics)")
    }
}

#[derive(Debug)]
struct Watch {
    watched: Watched,
    conditions: Vec<Standing>,
}

/// How one condition stands.
#[derive(Debug, Default)]
struct Standing {
    memory: Memory,
    finding: Finding,
    open: Option<Open>,
    /// It was closed by the time it took: it must end before it begins again.
    must_end: bool,
}

#[derive(Debug)]
struct Open {
    incident: Incident,
    /// When it began, or when the last entry joined it.
    fresh: i64,
    notified: Option<i64>,
}

impl Engine {
    /// An engine that watches nothing yet; `new_id` names incidents.
    pub fn new(new_id: impl FnMut() -> String + Send + 'static) -> Engine {
        Engine {
            clock: Clock::default(),
            metrics: Vec::new(),
            policies: Vec::new(),
            new_id: Box::new(new_id),
            evaluated: None,
        }
    }

    /// Watches these policies from now on. What is known of a condition that did not change is kept; the incidents of
    /// those that are gone or disabled end.
    pub fn watch(&mut self, policies: Vec<Watched>, now: UnixTime) -> Vec<Notice> {
        let mut before = std::mem::take(&mut self.policies);
        for watched in policies.into_iter().filter(|watched| watched.policy.enabled) {
            let mut conditions = Vec::with_capacity(watched.policy.conditions.len());
            for condition in &watched.policy.conditions {
                conditions.push(standing_of(&mut before, &watched.name, condition));
            }
            self.policies.push(Watch { watched, conditions });
        }
        let mut notices = Vec::new();
        for watch in &mut before {
            for index in 0..watch.conditions.len() {
                notices.extend(watch.close(index, now));
            }
        }
        notices
    }

    /// Takes incidents up that were open when an earlier engine ended.
    pub fn take_up(&mut self, incidents: Vec<Incident>, now: UnixTime) {
        let time = self.clock.tick(now);
        for incident in incidents.into_iter().filter(|incident| incident.ended.is_none()) {
            let mut places = self.policies.iter_mut().flat_map(|watch| {
                let conditions = &watch.watched.policy.conditions;
                watch.conditions.iter_mut().zip(conditions)
            });
            let is_its = |(_, condition): &(&mut Standing, &Condition)| {
                condition.name.as_deref() == Some(incident.condition.as_str())
            };
            if let Some((standing, _)) = places.find(is_its) {
                standing.open = Some(Open {
                    incident,
                    fresh: time,
                    notified: Some(time),
                });
            }
        }
    }

    /// The incidents that are open.
    pub fn open(&self) -> impl Iterator<Item = &Incident> {
        let conditions = self.policies.iter().flat_map(|watch| &watch.conditions);
        conditions.filter_map(|standing| Some(&standing.open.as_ref()?.incident))
    }

    /// Counts these metrics from now on, each of a project; what was counted of one that did not change is kept.
    pub fn count(&mut self, metrics: Vec<(String, LogMetric)>) {
        let mut before = std::mem::take(&mut self.metrics);
        for (project, metric) in metrics.into_iter().filter(|(_, metric)| !metric.disabled) {
            let is_it =
                |(known, counted): &(LogMetric, Counted)| *known == metric && counted.project == project;
            let counted = match before.iter().position(is_it) {
                Some(index) => before.swap_remove(index).1,
                None => Counted::new(&project, &format!("{TYPE_PREFIX}{}", metric.name)),
            };
            self.metrics.push((metric, counted));
        }
    }

    /// Takes one entry; what is to be told for it.
    pub fn observe(&mut self, entry: &Entry<'_>, now: UnixTime) -> Vec<Notice> {
        let time = self.clock.entry(entry.time(), now);
        let mut notices = Vec::new();
        // Whoever looks back over a gap sees how it was at its end, and not only how it is with this entry.
        if self.evaluated.is_some_and(|last| time - last > SECOND) {
            notices.extend(self.evaluate(time - SECOND, now));
        }
        let Some(project) = project_of(entry) else {
            return notices;
        };
        let mut is_counted = false;
        for (metric, counted) in &mut self.metrics {
            if counted.project == project && metric.filter.test(entry) {
                is_counted |= counted.count(key_of(metric, entry), time);
            }
        }
        if is_counted && self.evaluated.is_none_or(|last| time - last >= SECOND) {
            notices.extend(self.evaluate(time, now));
        }
        for watch in self
            .policies
            .iter_mut()
            .filter(|watch| watch.watched.project == project)
        {
            notices.extend(watch.matched(entry, (time, now), &mut self.new_id));
        }
        notices
    }

    /// Takes the time; to be called every second.
    pub fn tick(&mut self, now: UnixTime) -> Vec<Notice> {
        let time = self.clock.tick(now);
        let notices = self.evaluate(time, now);
        let conditions = self
            .policies
            .iter()
            .flat_map(|watch| &watch.watched.policy.conditions);
        let longest = conditions.map(horizon).max().unwrap_or_default();
        for (_, counted) in &mut self.metrics {
            counted.forget(time, longest.saturating_add(SECOND));
        }
        notices
    }

    fn evaluate(&mut self, time: i64, now: UnixTime) -> Vec<Notice> {
        self.evaluated = Some(time);
        let mut notices = Vec::new();
        for watch in &mut self.policies {
            watch.look(&self.metrics, time);
            notices.extend(watch.turn((time, now), &mut self.new_id));
        }
        notices
    }
}

/// What is known of a condition from before, if it is the same one.
fn standing_of(before: &mut [Watch], policy: &str, condition: &Condition) -> Standing {
    let Some(watch) = before.iter_mut().find(|watch| watch.watched.name == policy) else {
        return Standing::default();
    };
    let is_same = |known: &Condition| known.name == condition.name && known.kind == condition.kind;
    match watch.watched.policy.conditions.iter().position(is_same) {
        Some(index) => watch
            .conditions
            .get_mut(index)
            .map(std::mem::take)
            .unwrap_or_default(),
        None => Standing::default(),
    }
}

/// The project whose log an entry is in.
fn project_of<'a>(entry: &'a Entry<'_>) -> Option<&'a str> {
    let (project, _) = entry.log_name()?.strip_prefix("projects/")?.split_once('/')?;
    Some(project)
}

fn key_of(metric: &LogMetric, entry: &Entry<'_>) -> Key {
    let labels = metric.labels.iter();
    Key {
        metric_labels: labels
            .map(|label| (label.key.clone(), label.extractor.of(entry)))
            .collect(),
        ..about(entry)
    }
}

/// What an entry is about.
fn about(entry: &Entry<'_>) -> Key {
    let json = entry.to_json();
    let resource = &json["resource"];
    let labels = resource["labels"].as_object().into_iter().flatten();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    Key {
        metric_labels: Vec::new(),
        resource_type: text(&resource["type"]),
        resource_labels: labels.map(|(key, value)| (key.clone(), text(value))).collect(),
    }
}

impl Watch {
    /// Evaluates every condition on a metric.
    fn look(&mut self, metrics: &[(LogMetric, Counted)], time: i64) {
        let nothing = Counted::new(&self.watched.project, "");
        for (condition, standing) in self.watched.policy.conditions.iter().zip(&mut self.conditions) {
            let filter = match &condition.kind {
                ConditionKind::Threshold(threshold) => &threshold.filter,
                ConditionKind::Absent(absence) => &absence.filter,
                ConditionKind::MatchedLog(_) => continue,
            };
            let project = &self.watched.project;
            let is_its = |(_, counted): &&(LogMetric, Counted)| {
                counted.project == *project && filter.metric_type() == Some(counted.metric_type.as_str())
            };
            let counted = metrics
                .iter()
                .find(is_its)
                .map_or(&nothing, |(_, counted)| counted);
            standing.finding = evaluate(condition, counted, &mut standing.memory, time);
        }
    }

    /// Begins and ends incidents by how the conditions stand.
    fn turn(&mut self, at: (i64, UnixTime), new_id: &mut dyn FnMut() -> String) -> Vec<Notice> {
        let holds: Vec<bool> = match self.watched.policy.combiner {
            Combiner::Or => self
                .conditions
                .iter()
                .map(|standing| standing.finding.holds)
                .collect(),
            // Several conditions make one incident, which is the first one's.
            Combiner::And => self.only_first(self.conditions.iter().all(|standing| standing.finding.holds)),
            Combiner::AndWithMatchingResource => self.only_first(self.hold_for_one_resource()),
        };
        let mut notices = Vec::new();
        for (index, holds) in holds.into_iter().enumerate() {
            if self.is_on_logs(index) {
                notices.extend(self.expire(index, at));
                continue;
            }
            let Some(standing) = self.conditions.get_mut(index) else {
                continue;
            };
            standing.must_end &= holds;
            match (holds, standing.open.is_some()) {
                (true, false) if !standing.must_end => {
                    let about = standing.finding.met.first().cloned().unwrap_or_default();
                    notices.extend(self.begin(index, about, at, new_id));
                }
                (true, true) => notices.extend(self.expire(index, at)),
                (false, true) => notices.extend(self.close(index, at.1)),
                _ => {}
            }
        }
        notices
    }

    fn only_first(&self, holds: bool) -> Vec<bool> {
        (0..self.conditions.len())
            .map(|index| index == 0 && holds)
            .collect()
    }

    fn hold_for_one_resource(&self) -> bool {
        let resource = |key: &Key| (key.resource_type.clone(), key.resource_labels.clone());
        let all = self.conditions.iter().all(|standing| standing.finding.holds);
        let first = self
            .conditions
            .first()
            .map(|standing| standing.finding.met.as_slice());
        all && first.unwrap_or_default().iter().map(resource).any(|wanted| {
            let mut others = self.conditions.iter();
            others.all(|standing| standing.finding.met.iter().any(|key| resource(key) == wanted))
        })
    }

    fn condition(&self, index: usize) -> Option<&Condition> {
        self.watched.policy.conditions.get(index)
    }

    fn is_on_logs(&self, index: usize) -> bool {
        let condition = self.condition(index);
        condition.is_some_and(|condition| matches!(condition.kind, ConditionKind::MatchedLog(_)))
    }

    /// An entry begins an incident of a condition on logs, or joins the one that is open.
    fn matched(
        &mut self,
        entry: &Entry<'_>,
        at: (i64, UnixTime),
        new_id: &mut dyn FnMut() -> String,
    ) -> Vec<Notice> {
        let mut notices = Vec::new();
        for index in 0..self.conditions.len() {
            let Some(ConditionKind::MatchedLog(matched)) =
                self.condition(index).map(|condition| &condition.kind)
            else {
                continue;
            };
            if !matched.filter.test(entry) {
                continue;
            }
            let about = extracted(matched, entry);
            notices.extend(self.expire(index, at));
            let limit = self
                .watched
                .policy
                .strategy
                .as_ref()
                .and_then(|strategy| strategy.rate_limit);
            match self
                .conditions
                .get_mut(index)
                .and_then(|standing| standing.open.as_mut())
            {
                None => notices.extend(self.begin(index, about, at, new_id)),
                Some(open) => {
                    open.fresh = at.0;
                    let due = open
                        .notified
                        .is_none_or(|last| at.0 - last >= limit.map_or(0, micros));
                    if due {
                        open.notified = Some(at.0);
                        let incident = open.incident.clone();
                        notices.extend(self.notice(incident));
                    }
                }
            }
        }
        notices
    }

    fn begin(
        &mut self,
        index: usize,
        about: Key,
        (time, now): (i64, UnixTime),
        new_id: &mut dyn FnMut() -> String,
    ) -> Option<Notice> {
        let condition = self.condition(index)?;
        let metric_type = match &condition.kind {
            ConditionKind::Threshold(threshold) => threshold.filter.metric_type(),
            ConditionKind::Absent(absence) => absence.filter.metric_type(),
            ConditionKind::MatchedLog(_) => None,
        };
        let value = self
            .conditions
            .get(index)
            .map_or(0.0, |standing| standing.finding.value);
        let name = shown(&condition.display_name, condition.name.as_deref());
        let summary = match &condition.kind {
            ConditionKind::Threshold(threshold) => {
                format!(
                    "`{name}` holds: the value is {value}, the threshold {}",
                    threshold.value
                )
            }
            ConditionKind::Absent(_) => format!("`{name}` holds: there is no data"),
            ConditionKind::MatchedLog(_) => format!("`{name}` holds: a log entry matches"),
        };
        let incident = Incident {
            id: new_id(),
            policy: self.watched.name.clone(),
            condition: condition.name.clone().unwrap_or_default(),
            started: now,
            ended: None,
            metric_type: metric_type.unwrap_or_default().to_owned(),
            about,
            summary,
        };
        self.conditions.get_mut(index)?.open = Some(Open {
            incident: incident.clone(),
            fresh: time,
            notified: Some(time),
        });
        self.notice(incident)
    }

    /// Ends an incident that nothing happened to for too long.
    fn expire(&mut self, index: usize, (time, now): (i64, UnixTime)) -> Option<Notice> {
        let strategy = self.watched.policy.strategy.as_ref();
        let most = strategy
            .and_then(|strategy| strategy.auto_close)
            .map_or(AUTO_CLOSE, micros);
        let standing = self.conditions.get_mut(index)?;
        if time - standing.open.as_ref()?.fresh < most {
            return None;
        }
        standing.must_end = true;
        self.close(index, now)
    }

    fn close(&mut self, index: usize, now: UnixTime) -> Option<Notice> {
        let mut incident = self.conditions.get_mut(index)?.open.take()?.incident;
        incident.ended = Some(now.max(incident.started));
        self.notice(incident)
    }

    /// What is told about an incident, if its policy wants it told.
    fn notice(&self, incident: Incident) -> Option<Notice> {
        let policy = &self.watched.policy;
        let prompt = match incident.state() {
            State::Open => Prompt::Opened,
            State::Closed => Prompt::Closed,
        };
        let prompts = policy
            .strategy
            .as_ref()
            .map_or(&[][..], |strategy| &strategy.prompts);
        if !prompts.is_empty() && !prompts.contains(&prompt) {
            return None;
        }
        let is_its = |condition: &&Condition| condition.name.as_deref() == Some(incident.condition.as_str());
        let condition = policy.conditions.iter().find(is_its);
        Some(Notice {
            project: self.watched.project.clone(),
            policy_name: shown(&policy.display_name, Some(&self.watched.name)),
            condition_name: condition.map_or_else(String::new, |condition| {
                shown(&condition.display_name, condition.name.as_deref())
            }),
            documentation: policy
                .documentation
                .as_ref()
                .map_or_else(String::new, |text| text.content.clone()),
            user_labels: policy.user_labels.clone(),
            channels: policy.notification_channels.clone(),
            incident,
        })
    }
}

/// What an entry is about, with what the condition takes out of it.
fn extracted(matched: &LogMatch, entry: &Entry<'_>) -> Key {
    let extractors = matched.label_extractors.iter();
    Key {
        metric_labels: extractors
            .map(|(key, extractor)| (key.clone(), extractor.of(entry)))
            .collect(),
        ..about(entry)
    }
}

/// A name for people, or else the name.
fn shown(display_name: &str, name: Option<&str>) -> String {
    let name = Some(display_name).filter(|name| !name.is_empty()).or(name);
    name.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
