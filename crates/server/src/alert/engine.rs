//! From entries and the time to notices.

use binauthz_core::time::UnixTime;
use binauthz_wire::logging::metric::{LogMetric, TYPE_PREFIX};
use binauthz_wire::logging::{Entry, Extractor};
use binauthz_wire::monitoring::policy::{AlertPolicy, Combiner, Condition, ConditionKind, LogMatch, Prompt};

use super::clock::{Clock, micros};
use super::condition::{Finding, Memory, evaluate, horizon, look_back};
use super::incident::{Incident, Notice, State};
use super::series::{Counted, Key};
use crate::logs::{self, labels};

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

    /// Takes incidents up that were open when an earlier engine had come to the time `at` in the log; those that belong to
    /// no condition that is watched are given back.
    pub fn take_up(&mut self, incidents: Vec<Incident>, (at, now): (UnixTime, UnixTime)) -> Vec<Incident> {
        let time = self.clock.entry(at, now);
        let mut strange = Vec::new();
        for incident in incidents.into_iter().filter(|incident| incident.ended.is_none()) {
            let mut places = self.policies.iter_mut().flat_map(|watch| {
                let conditions = &watch.watched.policy.conditions;
                watch.conditions.iter_mut().zip(conditions)
            });
            let is_its = |(standing, condition): &(&mut Standing, &Condition)| {
                standing.open.is_none() && condition.name.as_deref() == Some(incident.condition.as_str())
            };
            let Some((standing, _)) = places.find(is_its) else {
                strange.push(incident);
                continue;
            };
            // A series without points is forgotten with the engine; its incident says that it was there.
            standing.memory.assume(&incident.about);
            let its_metric = |(_, counted): &&mut (LogMetric, Counted)| {
                counted.metric_type == incident.metric_type
                    && incident
                        .policy
                        .starts_with(&format!("projects/{}/", counted.project))
            };
            if let Some((_, counted)) = self.metrics.iter_mut().find(its_metric) {
                counted.know(incident.about.clone());
            }
            standing.open = Some(Open {
                fresh: incident.renewed.as_micros().min(time),
                notified: Some(incident.notified.as_micros().min(time)),
                incident,
            });
        }
        strange
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

    /// What goes on, as it would be told.
    pub fn standing(&self) -> Vec<Notice> {
        let open = |watch: &Watch| -> Vec<Notice> {
            let open = watch
                .conditions
                .iter()
                .filter_map(|standing| standing.open.as_ref());
            open.map(|open| watch.notice(open.incident.clone())).collect()
        };
        self.policies.iter().flat_map(open).collect()
    }

    /// How far back entries must be recalled by an engine that goes on where an earlier one ended, in microseconds.
    pub fn look_back(&self) -> i64 {
        let conditions = self
            .policies
            .iter()
            .flat_map(|watch| &watch.watched.policy.conditions);
        conditions.map(look_back).max().unwrap_or_default()
    }

    /// Takes one entry that came at `arrival` and is read `now`; what is to be told for it.
    pub fn observe(&mut self, entry: &Entry<'_>, (arrival, now): (UnixTime, UnixTime)) -> Vec<Notice> {
        let time = self.clock.entry(entry.time().min(arrival), now);
        let mut notices = Vec::new();
        // Whoever looks back over a gap sees how it was at its end, and not only how it is with this entry.
        if self.evaluated.is_some_and(|last| time - last > SECOND) {
            notices.extend(self.evaluate(time - SECOND, arrival));
        }
        let Some(project) = project_of(entry) else {
            return notices;
        };
        let is_counted = self.count_in(project, entry, time);
        if is_counted && self.evaluated.is_none_or(|last| time - last >= SECOND) {
            notices.extend(self.evaluate(time, arrival));
        }
        for watch in self
            .policies
            .iter_mut()
            .filter(|watch| watch.watched.project == project)
        {
            notices.extend(watch.matched(entry, (time, arrival), &mut self.new_id));
        }
        notices
    }

    /// Takes an entry that an earlier engine has seen: it is counted, and nothing begins, ends or is told.
    pub fn recall(&mut self, entry: &Entry<'_>, (arrival, now): (UnixTime, UnixTime)) {
        let time = self.clock.entry(entry.time().min(arrival), now);
        if self.evaluated.is_some_and(|last| time - last > SECOND) {
            self.look(time - SECOND);
        }
        let is_counted = project_of(entry).is_some_and(|project| self.count_in(project, entry, time));
        if is_counted && self.evaluated.is_none_or(|last| time - last >= SECOND) {
            self.look(time);
        }
    }

    fn count_in(&mut self, project: &str, entry: &Entry<'_>, time: i64) -> bool {
        let mut is_counted = false;
        for (metric, counted) in &mut self.metrics {
            if counted.project == project && metric.filter.test(entry) {
                is_counted |= counted.count(key_of(metric, entry), time);
            }
        }
        is_counted
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
        self.look(time);
        let mut notices = Vec::new();
        for watch in &mut self.policies {
            notices.extend(watch.turn((time, now), &mut self.new_id));
        }
        notices
    }

    fn look(&mut self, time: i64) {
        self.evaluated = Some(time);
        for watch in &mut self.policies {
            watch.look(&self.metrics, time);
        }
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
    entry.log_name().and_then(logs::project_of)
}

fn key_of(metric: &LogMetric, entry: &Entry<'_>) -> Key {
    let labels = metric.labels.iter();
    key(labels.map(|label| (&label.key, &label.extractor)), entry)
}

/// What is taken out of an entry, and what it is about.
fn key<'l>(labels: impl Iterator<Item = (&'l String, &'l Extractor)>, entry: &Entry<'_>) -> Key {
    let (resource_type, resource_labels) = labels::resource(entry);
    Key {
        metric_labels: labels::extracted(labels, entry),
        resource_type,
        resource_labels,
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
            let name = self.condition(index).map_or_else(String::new, |condition| {
                shown(&condition.display_name, condition.name.as_deref())
            });
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
                    open.incident.renewed = open.incident.renewed.max(at.1);
                    let due = open
                        .notified
                        .is_none_or(|last| at.0 - last >= limit.map_or(0, micros));
                    if due {
                        open.notified = Some(at.0);
                        open.incident.notified = at.1;
                        // Who is told again is told of this one.
                        open.incident.summary = matching(&name, &about);
                        open.incident.about = about;
                        let incident = open.incident.clone();
                        notices.push(self.notice(incident));
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
            ConditionKind::MatchedLog(_) => matching(&name, &about),
        };
        let incident = Incident {
            id: new_id(),
            policy: self.watched.name.clone(),
            condition: condition.name.clone().unwrap_or_default(),
            started: now,
            renewed: now,
            notified: now,
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
        Some(self.notice(incident))
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
        Some(self.notice(incident))
    }

    /// What is told about an incident; to nobody, if its policy does not want it told.
    fn notice(&self, incident: Incident) -> Notice {
        let policy = &self.watched.policy;
        let prompt = match incident.state() {
            State::Open => Prompt::Opened,
            State::Closed => Prompt::Closed,
        };
        let prompts = policy
            .strategy
            .as_ref()
            .map_or(&[][..], |strategy| &strategy.prompts);
        let is_wanted = prompts.is_empty() || prompts.contains(&prompt);
        let is_its = |condition: &&Condition| condition.name.as_deref() == Some(incident.condition.as_str());
        let condition = policy.conditions.iter().find(is_its);
        Notice {
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
            channels: if is_wanted {
                policy.notification_channels.clone()
            } else {
                Vec::new()
            },
            is_wanted,
            incident,
        }
    }
}

/// What an entry is about, with what the condition takes out of it.
fn extracted(matched: &LogMatch, entry: &Entry<'_>) -> Key {
    let extractors = matched.label_extractors.iter();
    key(extractors.map(|(key, extractor)| (key, extractor)), entry)
}

/// The sentence about an entry that matches, with what was taken out of it.
fn matching(name: &str, about: &Key) -> String {
    let said = about.metric_labels.iter().filter(|(_, value)| !value.is_empty());
    let said: Vec<String> = said.map(|(key, value)| format!("{key} `{value}`")).collect();
    if said.is_empty() {
        format!("`{name}` holds: a log entry matches")
    } else {
        format!("`{name}` holds: a log entry matches: {}", said.join(", "))
    }
}

/// A name for people, or else the name.
fn shown(display_name: &str, name: Option<&str>) -> String {
    let name = Some(display_name).filter(|name| !name.is_empty()).or(name);
    name.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
