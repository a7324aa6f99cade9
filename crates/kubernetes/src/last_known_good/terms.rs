//! On which terms the policy judges, as rules of a ClusterRole: at which moments the webhook is asked, which list counts,
//! and for how long. Pure: the time is an argument.

use std::collections::BTreeSet;

use binauthz_core::time::UnixTime;
use serde_json::{Value, json};

/// No API has this group, so the rules permit nothing.
pub(super) const GROUP: &str = "binauthz";
pub(super) const MOMENTS: &str = "moments";
pub(super) const ASK: &str = "ask";
/// The resource and the verb of the list that counts.
pub(super) const LISTS: (&str, &str) = ("lists", "use");
/// Those of the hours in which it does.
pub(super) const HOURS: (&str, &str) = ("hours", "use");
/// How long a moment is.
pub(super) const MOMENT_SECONDS: i64 = 5;
/// An hour, the longest that may be set: 720 names.
const AHEAD_MOMENTS_MAX: i64 = 720;
/// A moment is added while it is this many ahead: no request is under way in it, so both who judge know it or neither does.
const SETTLED_MOMENTS: i64 = 2;
/// And it is taken away when it is two minutes past: no request is under way in it any more.
const PAST_MOMENTS: i64 = 24;
pub(super) const HOUR_SECONDS: i64 = 3_600;
/// Names of a rule that are read; what is longer was not written by this program.
const NAMES_MAX: usize = 2_000;

/// When the webhook is asked about new Pods and Jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Asked {
    Always,
    At(BTreeSet<i64>),
}

/// What the ClusterRole says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    asked: Asked,
    revision: Option<String>,
    hours: BTreeSet<i64>,
}

/// Which moment a time is in.
fn moment(time: UnixTime) -> i64 {
    time.as_seconds().div_euclid(MOMENT_SECONDS)
}

impl Terms {
    /// What `install` begins with: the webhook is asked about everything, and no list counts.
    #[must_use]
    pub fn none() -> Terms {
        Terms {
            asked: Asked::Always,
            revision: None,
            hours: BTreeSet::new(),
        }
    }

    /// What a ClusterRole says, as the authorizer takes it. A rule without names is for all of them.
    #[must_use]
    pub fn of(role: &Value) -> Terms {
        let rules: Vec<&Value> = role
            .get("rules")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .collect();
        let names = |resource: &str| -> Vec<Option<Vec<&str>>> {
            let of = rules.iter().filter(|rule| names_one(rule, "resources", resource));
            of.map(|rule| texts(rule, "resourceNames")).collect()
        };
        let numbers = |names: Vec<Option<Vec<&str>>>| -> BTreeSet<i64> {
            let names = names.into_iter().flatten().flatten().take(NAMES_MAX);
            names.filter_map(|name| name.parse().ok()).collect()
        };
        let moments = names(MOMENTS);
        let asked = match moments.iter().any(Option::is_none) {
            true => Asked::Always,
            false => Asked::At(numbers(moments)),
        };
        let revision = names(LISTS.0).into_iter().flatten().flatten().next();
        Terms {
            asked,
            revision: revision.map(str::to_owned),
            hours: numbers(names(HOURS.0)),
        }
    }

    /// The rules of the ClusterRole.
    #[must_use]
    pub fn rules(&self) -> Value {
        let rule = |resource: &str, verb: &str, names: Option<Vec<String>>| {
            let mut rule = json!({"apiGroups": [GROUP], "resources": [resource], "verbs": [verb]});
            if let Some(names) = names {
                rule["resourceNames"] = json!(names);
            }
            rule
        };
        let texts = |numbers: &BTreeSet<i64>| -> Vec<String> { numbers.iter().map(i64::to_string).collect() };
        let mut rules = Vec::new();
        match &self.asked {
            Asked::Always => rules.push(rule(MOMENTS, ASK, None)),
            // A rule without names would be for all of them.
            Asked::At(moments) if moments.is_empty() => {}
            Asked::At(moments) => rules.push(rule(MOMENTS, ASK, Some(texts(moments)))),
        }
        if let Some(revision) = &self.revision {
            rules.push(rule(LISTS.0, LISTS.1, Some(vec![revision.clone()])));
        }
        if !self.hours.is_empty() {
            rules.push(rule(HOURS.0, HOURS.1, Some(texts(&self.hours))));
        }
        rules.into()
    }

    /// The same, and this list counts from now on, for so many hours.
    #[must_use]
    pub fn with_list(&self, revision: &str, now: UnixTime, for_hours: u32) -> Terms {
        let hour = now.as_seconds().div_euclid(HOUR_SECONDS);
        Terms {
            revision: Some(revision.to_owned()),
            hours: (hour..=hour.saturating_add(i64::from(for_hours))).collect(),
            ..self.clone()
        }
    }

    /// The same, and the webhook is asked until so many seconds from now. A moment that is, or is about to be, stays what
    /// it is: a request of it may be under way, and the two who judge ask one after the other.
    #[must_use]
    pub fn asked_for(&self, now: UnixTime, seconds: u32) -> Terms {
        let now = moment(now);
        let last = now.saturating_add(i64::from(seconds).div_euclid(MOMENT_SECONDS));
        let first = now.saturating_sub(PAST_MOMENTS);
        let kept: BTreeSet<i64> = match &self.asked {
            Asked::Always => (first..=last).collect(),
            // A server whose clock is a little behind takes nothing back.
            Asked::At(moments) => moments
                .range(first..=now.saturating_add(AHEAD_MOMENTS_MAX))
                .copied()
                .collect(),
        };
        let added = now.saturating_add(SETTLED_MOMENTS)..=last;
        Terms {
            asked: Asked::At(kept.into_iter().chain(added).collect()),
            ..self.clone()
        }
    }

    /// The same, and the webhook is asked at every moment: the policy never judges.
    #[must_use]
    pub fn asked_always(&self) -> Terms {
        Terms {
            asked: Asked::Always,
            ..self.clone()
        }
    }

    /// Since when the webhook is not asked any more, where it is not and nobody has seen to it since.
    #[must_use]
    pub fn not_asked_since(&self, now: UnixTime) -> Option<UnixTime> {
        match &self.asked {
            Asked::Always => None,
            Asked::At(moments) => {
                let next = moments.last()?.saturating_add(1);
                (next <= moment(now)).then(|| UnixTime::from_seconds(next.saturating_mul(MOMENT_SECONDS)))
            }
        }
    }
}

fn names_one(rule: &Value, list: &str, name: &str) -> bool {
    texts(rule, list).is_some_and(|texts| texts.iter().any(|text| *text == name || *text == "*"))
}

/// The texts of a list; none where there is none, or an empty one.
fn texts<'a>(rule: &'a Value, list: &str) -> Option<Vec<&'a str>> {
    let items = rule.get(list)?.as_array()?;
    (!items.is_empty()).then(|| items.iter().filter_map(Value::as_str).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> UnixTime {
        UnixTime::from_seconds(seconds)
    }

    /// Whether the webhook is asked about an object that is created then.
    fn is_asked_at(terms: &Terms, time: UnixTime) -> bool {
        match &terms.asked {
            Asked::Always => true,
            Asked::At(moments) => moments.contains(&moment(time)),
        }
    }

    fn role(terms: &Terms) -> Value {
        json!({"rules": terms.rules()})
    }

    fn asked(moments: &[i64]) -> Terms {
        Terms {
            asked: Asked::At(moments.iter().copied().collect()),
            ..Terms::none()
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let begun = Terms::none().with_list("7", at(7_200), 2);
        for terms in [
            Terms::none(),
            begun.clone(),
            begun.asked_for(at(1_000), 60),
            begun.asked_for(at(1_000), 60).asked_always(),
            asked(&[]),
        ] {
            assert_eq!(Terms::of(&role(&terms)), terms);
        }
        assert_eq!(begun.hours, BTreeSet::from([2, 3, 4]));
        assert_eq!(
            Terms::of(&json!({})),
            asked(&[]),
            "without rules nothing is permitted"
        );
    }

    #[test]
    fn a_rule_of_somebody_else_is_read_as_the_authorizer_takes_it() {
        let of = |rule: Value| Terms::of(&json!({"rules": [rule]}));
        for rule in [
            json!({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}),
            json!({"apiGroups": ["binauthz"], "resources": ["moments"], "verbs": ["ask"], "resourceNames": []}),
        ] {
            assert!(is_asked_at(&of(rule.clone()), at(0)), "{rule}");
        }
        let named = json!({"apiGroups": ["binauthz"], "resources": ["moments"], "verbs": ["ask"],
            "resourceNames": ["1", "x", "-", ""]});
        assert_eq!(of(named), asked(&[1]));
    }

    #[test]
    fn a_server_moves_the_moments_on_and_without_it_they_pass() {
        let terms = Terms::none().asked_for(at(1_000), 60);
        assert!(is_asked_at(&terms, at(1_000)) && is_asked_at(&terms, at(1_064)));
        assert!(!is_asked_at(&terms, at(1_065)));
        let later = terms.asked_for(at(1_030), 60);
        for second in 1_000..1_095 {
            assert!(is_asked_at(&later, at(second)), "{second}");
        }
        assert_eq!(later.not_asked_since(at(1_094)), None);
        assert_eq!(later.not_asked_since(at(2_000)), Some(at(1_095)));
        assert_eq!(Terms::none().not_asked_since(at(2_000)), None);
    }

    #[test]
    fn after_an_outage_what_is_under_way_is_judged_as_it_began() {
        let gone = Terms::none().asked_for(at(1_000), 60);
        let back = gone.asked_for(at(2_000), 60);
        assert!(!is_asked_at(&back, at(2_000)) && !is_asked_at(&back, at(2_009)));
        assert!(is_asked_at(&back, at(2_010)) && is_asked_at(&back, at(2_064)));
        // The old names are gone.
        assert!(!is_asked_at(&back, at(1_000)));
    }

    /// Whatever was, and whenever a server looks: no moment that is or is next changes sides, unless to ask at all of them.
    #[test]
    fn no_moment_changes_sides_while_it_is() {
        for seconds in [15, 60, 3_600] {
            let mut terms = Terms::none();
            let mut now = 1_000;
            for step in [0, 1, 4, 5, 9, 30, 61, 200, 3_700, 1, 30] {
                now += step;
                let next = terms.asked_for(at(now), seconds);
                for second in now - 60..now + 5 {
                    assert_eq!(
                        is_asked_at(&terms, at(second)),
                        is_asked_at(&next, at(second)),
                        "{second} of {now}"
                    );
                }
                assert!(is_asked_at(&next, at(now + i64::from(seconds))));
                let names = match &next.asked {
                    Asked::At(moments) => moments.len(),
                    Asked::Always => 0,
                };
                assert!((1..=NAMES_MAX).contains(&names));
                terms = next;
            }
        }
    }
}
