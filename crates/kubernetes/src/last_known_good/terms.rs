//! On which terms the policy judges, as rules of a ClusterRole: at which moments the webhook is asked, which list counts,
//! and for how long. Beside them it is noted how often in a row the policy was seen to judge. Pure: the time is an argument.

use std::collections::BTreeSet;

use binauthz_core::time::UnixTime;
use binauthz_wire::json::{timestamp_from, timestamp_out};
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
/// A look reaches one API server of several. With a connection of its own for each look, one of three that does not judge
/// by the policy stays hidden from twenty in a row three times in ten thousand; twenty are ten minutes, unless looks are set
/// to be more frequent.
const LOOKS_MIN: u32 = 20;
/// How many looks in a row found the policy in force, whichever server looked.
const IN_FORCE: &str = "binauthz/in-force";
/// When one last did not, until there were enough that did.
const NOT_IN_FORCE: &str = "binauthz/not-in-force-at";

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
    in_force: u32,
    not_in_force: Option<UnixTime>,
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
            in_force: 0,
            not_in_force: None,
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
        let noted = |key: &str| role.get("metadata")?.get("annotations")?.get(key)?.as_str();
        Terms {
            asked,
            revision: revision.map(str::to_owned),
            hours: numbers(names(HOURS.0)),
            in_force: noted(IN_FORCE).and_then(|text| text.parse().ok()).unwrap_or(0),
            not_in_force: noted(NOT_IN_FORCE).and_then(timestamp_from),
        }
    }

    /// What is noted beside the rules, and whether it is.
    pub(super) fn notes(&self) -> [(&'static str, Option<String>); 2] {
        [
            (IN_FORCE, Some(self.in_force.to_string())),
            (NOT_IN_FORCE, self.not_in_force.map(timestamp_out)),
        ]
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

    /// The same, and a look found the policy in force.
    #[must_use]
    pub fn seen_in_force(&self) -> Terms {
        let in_force = self.in_force.saturating_add(1).min(LOOKS_MIN);
        Terms {
            in_force,
            not_in_force: self.not_in_force.filter(|_| in_force < LOOKS_MIN),
            ..self.clone()
        }
    }

    /// The webhook is asked at every moment, until enough looks found the policy in force: each API server takes notice by
    /// itself that it is there.
    #[must_use]
    pub fn begun_anew(&self) -> Terms {
        Terms {
            in_force: 0,
            ..self.asked_always()
        }
    }

    /// The same, because a look found that an API server does not judge by the policy as it should.
    #[must_use]
    pub fn seen_not_in_force(&self, now: UnixTime) -> Terms {
        Terms {
            not_in_force: Some(now),
            ..self.begun_anew()
        }
    }

    /// How many looks more must find the policy in force before anything is left to it.
    #[must_use]
    pub fn looks_left(&self) -> u32 {
        LOOKS_MIN.saturating_sub(self.in_force)
    }

    /// When a look last found that it was not, if there were not enough since that did.
    #[must_use]
    pub fn not_in_force_at(&self) -> Option<UnixTime> {
        self.not_in_force
    }

    /// The same moments as earlier terms, to which these return. What is now, or about to be, is still asked about: a
    /// request of it may be under way.
    #[must_use]
    pub fn returned_to(&self, earlier: &Terms, now: UnixTime) -> Terms {
        let now = moment(now);
        let asked = match &earlier.asked {
            Asked::Always => Asked::Always,
            Asked::At(moments) => {
                let settling = now.saturating_sub(PAST_MOMENTS)..now.saturating_add(SETTLED_MOMENTS);
                Asked::At(moments.iter().copied().chain(settling).collect())
            }
        };
        Terms {
            asked,
            in_force: earlier.in_force,
            not_in_force: earlier.not_in_force,
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
        let notes = terms.notes().into_iter();
        let notes: serde_json::Map<String, Value> = notes
            .filter_map(|(key, value)| Some((key.to_owned(), value?.into())))
            .collect();
        json!({"metadata": {"annotations": notes}, "rules": terms.rules()})
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
            begun.seen_in_force(),
            begun.seen_not_in_force(at(9)).seen_in_force(),
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
    fn one_that_is_not_in_force_is_not_forgotten_by_the_next_that_is() {
        let mut terms = Terms::none();
        let good =
            |terms: &Terms, looks: u32| (0..looks).fold(terms.clone(), |terms, _| terms.seen_in_force());
        assert_eq!((terms.looks_left(), terms.not_in_force_at()), (LOOKS_MIN, None));
        terms = good(&terms, LOOKS_MIN - 1);
        assert_eq!(terms.looks_left(), 1);
        terms = good(&terms, 1).asked_for(at(1_000), 60);
        assert_eq!(terms.looks_left(), 0);
        assert_eq!(good(&terms, 1).looks_left(), 0);
        // A doubt of another kind does not take away what was seen.
        assert_eq!(terms.asked_always().looks_left(), 0);

        let failed = terms.seen_not_in_force(at(1_001));
        assert!(is_asked_at(&failed, at(500_000)));
        assert_eq!(
            (failed.looks_left(), failed.not_in_force_at()),
            (LOOKS_MIN, Some(at(1_001)))
        );
        let nearly = good(&failed, LOOKS_MIN - 1);
        assert_eq!(
            (nearly.looks_left(), nearly.not_in_force_at()),
            (1, Some(at(1_001)))
        );
        assert_eq!(nearly.seen_not_in_force(at(1_002)).looks_left(), LOOKS_MIN);
        let over = good(&failed, LOOKS_MIN);
        assert_eq!((over.looks_left(), over.not_in_force_at()), (0, None));
        assert_eq!(good(&over.begun_anew(), 1).looks_left(), LOOKS_MIN - 1);
    }

    #[test]
    fn what_somebody_else_noted_is_no_look() {
        for text in ["", "-1", "x", "99999999999", "2.5"] {
            let role = json!({"metadata": {"annotations": {IN_FORCE: text, NOT_IN_FORCE: text}}});
            assert_eq!(
                (Terms::of(&role).looks_left(), Terms::of(&role).not_in_force_at()),
                (LOOKS_MIN, None)
            );
        }
        let role = json!({"metadata": {"annotations": {IN_FORCE: 20}}});
        assert_eq!(Terms::of(&role).looks_left(), LOOKS_MIN);
    }

    #[test]
    fn terms_that_come_back_leave_what_is_under_way_to_the_webhook() {
        let earlier = good_terms().asked_for(at(1_000), 60);
        let between = earlier.begun_anew();
        let back = between.returned_to(&earlier, at(1_200));
        assert_eq!(back.looks_left(), 0);
        for second in 1_140..1_210 {
            assert!(is_asked_at(&back, at(second)), "{second}");
        }
        assert!(!is_asked_at(&back, at(1_210)));
        // Those that asked always do so again.
        let always = Terms::none();
        assert!(is_asked_at(&between.returned_to(&always, at(1_200)), at(9_000)));
    }

    fn good_terms() -> Terms {
        (0..LOOKS_MIN).fold(Terms::none(), |terms, _| terms.seen_in_force())
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
