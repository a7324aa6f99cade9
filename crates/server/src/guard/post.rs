//! What is known of one cluster's guard from look to look, and what is to be told of it. Pure: looks and the time are
//! arguments.

use std::collections::BTreeMap;

use binauthz_core::time::UnixTime;
use binauthz_kubernetes::Guard;

use super::finding::Finding;
use super::trust::Trust;

/// What goes on is told again after ten minutes: the shipped alert ends half an hour after the last entry.
const AGAIN_AFTER_SECONDS: i64 = 600;

/// What a look found.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// Of the configurations, and of the way there.
    pub(super) configurations: Vec<Finding>,
    /// Of the Pod, if it was tried: nothing if it was denied.
    pub(super) canary: Option<Option<Finding>>,
    /// What the configurations are meant to be.
    pub(super) guard: Option<Guard>,
    /// Whether no answer is taken for a yes, if that was seen.
    pub(super) fails_open: Option<bool>,
    /// Whom the API server trusts.
    pub(super) trust: Trust,
}

/// What is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) finding: Finding,
    pub(super) state: State,
}

/// Which part of a story it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Found,
    GoesOn,
    Over,
}

/// One cluster.
#[derive(Debug, Default)]
pub(super) struct Post {
    guard: Option<Guard>,
    canary: Option<Finding>,
    was_tried: bool,
    was_installed: bool,
    fails_open: bool,
    trusted_us: bool,
    /// Found by the last look, and told or not.
    suspected: Vec<Finding>,
    told: BTreeMap<(&'static str, &'static str), (Finding, UnixTime)>,
}

impl Post {
    /// Takes a look; what is to be told, in the order of its names.
    pub(super) fn take(&mut self, look: Look, now: UnixTime) -> Vec<Report> {
        self.fails_open = look.fails_open.unwrap_or(self.fails_open);
        let mut found = look.configurations;
        found.extend(self.changes(look.guard, &look.trust));
        if let Some(canary) = look.canary {
            self.canary = canary;
            self.was_tried = true;
        }
        found.extend(self.canary.clone());
        let suspected = std::mem::replace(&mut self.suspected, found.clone());
        found.retain(|finding| {
            let again = suspected.iter().any(|earlier| earlier.code() == finding.code());
            again || !finding.may_pass()
        });
        self.tell(found, now)
    }

    /// What the configurations are meant to be is read from them; so who changes that must be told of, once.
    fn changes(&mut self, guard: Option<Guard>, trust: &Trust) -> Option<Finding> {
        let guard = guard?;
        self.was_installed = true;
        let before = self.guard.replace(guard.clone())?;
        let mut changes = Vec::new();
        if before.endpoint != guard.endpoint {
            changes.push(format!("asks {}, asked {}", guard.endpoint, before.endpoint));
        }
        if before.exempt != guard.exempt {
            let names = |guard: &Guard| guard.exempt.join(", ");
            changes.push(format!(
                "leaves out namespaces [{}], left out [{}]",
                names(&guard),
                names(&before)
            ));
        }
        if before.inject_ca_from != guard.inject_ca_from {
            let name = |guard: &Guard| {
                guard
                    .inject_ca_from
                    .clone()
                    .unwrap_or_else(|| "nobody".to_owned())
            };
            changes.push(format!(
                "takes its authorities from {}, took them from {}",
                name(&guard),
                name(&before)
            ));
        }
        if before.last_known_good != guard.last_known_good {
            let list = |guard: &Guard| match &guard.last_known_good {
                Some(namespace) => format!("the list of namespace `{namespace}`"),
                None => "no list".to_owned(),
            };
            changes.push(format!(
                "goes by {} while no server answers, went by {}",
                list(&guard),
                list(&before)
            ));
        }
        if self.trusted_us && *trust == Trust::Others {
            changes.push("trusts no certificate authority of this server any more".to_owned());
        }
        match trust {
            Trust::Others => self.trusted_us = false,
            Trust::Ours(_) => self.trusted_us = true,
            Trust::Unknown => {}
        }
        (!changes.is_empty()).then_some(Finding::Changed(changes))
    }

    fn tell(&mut self, found: Vec<Finding>, now: UnixTime) -> Vec<Report> {
        let mut reports = Vec::new();
        let keys: Vec<_> = found
            .iter()
            .map(|finding| (finding.code(), finding.about()))
            .collect();
        let over = self.told.keys().filter(|key| !keys.contains(key)).copied();
        for key in over.collect::<Vec<_>>() {
            if let Some((finding, _)) = self.told.remove(&key) {
                let state = State::Over;
                reports.push(Report { finding, state });
            }
        }
        for (key, finding) in keys.into_iter().zip(found) {
            let state = match self.told.get(&key) {
                None => State::Found,
                Some((told, _)) if told.differences() != finding.differences() => State::Found,
                Some((_, at)) if now.as_seconds() - at.as_seconds() >= AGAIN_AFTER_SECONDS => State::GoesOn,
                Some(_) => continue,
            };
            self.told.insert(key, (finding.clone(), now));
            reports.push(Report { finding, state });
        }
        reports
    }

    /// Whether the next look should try the Pod, though it is not its turn.
    pub(super) fn is_in_doubt(&self) -> bool {
        !self.was_tried || self.canary.is_some() || !self.suspected.is_empty()
    }

    /// Whether the API server was seen to let in what is denied here, in a cluster that was guarded once. One that is
    /// not guarded yet is waiting for `cluster install`, which has to reach this server first; one that takes no answer
    /// for a yes may just have got none.
    pub(super) fn is_passed_by(&self) -> bool {
        self.was_installed && !self.fails_open && self.canary == Some(Finding::Admitted)
    }

    /// Whether the last Pod that was tried was denied; nothing before that.
    pub(super) fn is_denied(&self) -> Option<bool> {
        self.was_tried.then_some(self.canary.is_none())
    }

    /// The names of what was told and is not over.
    pub(super) fn codes(&self) -> Vec<&'static str> {
        self.told.keys().map(|(code, _)| *code).collect()
    }
}

#[cfg(test)]
mod tests {
    use binauthz_kubernetes::{Configuration, Endpoint};

    use super::*;

    fn guard(exempt: &[&str]) -> Guard {
        Guard {
            cluster: "projects/p/locations/l/clusters/c".parse().unwrap(),
            endpoint: Endpoint::url("https://b.example").unwrap(),
            ca_bundle: "Q0E=".to_owned(),
            inject_ca_from: None,
            exempt: exempt.iter().map(|&name| name.to_owned()).collect(),
            custom: Vec::new(),
            registered_by_install: true,
            last_known_good: None,
        }
    }

    fn look(canary: Option<Finding>) -> Look {
        Look {
            canary: Some(canary),
            guard: Some(guard(&[])),
            ..Look::default()
        }
    }

    fn at(seconds: i64) -> UnixTime {
        UnixTime::from_seconds(seconds)
    }

    fn told(reports: &[Report]) -> Vec<(&'static str, State)> {
        reports
            .iter()
            .map(|report| (report.finding.code(), report.state))
            .collect()
    }

    #[test]
    fn a_denied_pod_is_nothing_to_tell() {
        let mut post = Post::default();
        assert_eq!(post.is_denied(), None);
        assert!(post.is_in_doubt());
        assert_eq!(post.take(look(None), at(0)), []);
        assert!(!post.is_in_doubt() && !post.is_passed_by());
        assert_eq!(post.is_denied(), Some(true));
    }

    #[test]
    fn what_is_found_is_told_again_and_its_end_too() {
        let mut post = Post::default();
        let found = |post: &mut Post, now| told(&post.take(look(Some(Finding::Admitted)), at(now)));
        assert_eq!(found(&mut post, 0), [("CANARY_ADMITTED", State::Found)]);
        assert!(post.is_passed_by() && post.is_in_doubt());
        assert_eq!(found(&mut post, 599), []);
        assert_eq!(found(&mut post, 600), [("CANARY_ADMITTED", State::GoesOn)]);
        // A look without the Pod changes nothing about it.
        let without = Look {
            guard: Some(guard(&[])),
            ..Look::default()
        };
        assert_eq!(post.take(without, at(601)), []);
        assert!(post.is_passed_by());
        assert_eq!(
            told(&post.take(look(None), at(602))),
            [("CANARY_ADMITTED", State::Over)]
        );
        assert!(!post.is_passed_by());
    }

    #[test]
    fn what_may_pass_is_told_when_it_stays() {
        let mut post = Post::default();
        let silent = || look(Some(Finding::NoAnswer("refused".to_owned())));
        assert_eq!(post.take(silent(), at(0)), []);
        assert!(post.is_in_doubt());
        assert_eq!(
            told(&post.take(silent(), at(1))),
            [("WEBHOOK_NOT_REACHED", State::Found)]
        );
        // Nothing runs meanwhile, so nothing holds the server back, without which that never ends.
        assert!(!post.is_passed_by());
        assert_eq!(
            told(&post.take(look(None), at(2))),
            [("WEBHOOK_NOT_REACHED", State::Over)]
        );
        assert_eq!(post.take(silent(), at(3)), []);
    }

    #[test]
    fn a_cluster_that_is_not_guarded_yet_holds_nothing_back() {
        let mut post = Post::default();
        let bare = || Look {
            configurations: vec![Finding::Missing(Configuration::Validating)],
            canary: Some(Some(Finding::Admitted)),
            ..Look::default()
        };
        assert_eq!(
            told(&post.take(bare(), at(0))),
            [
                ("CONFIGURATION_MISSING", State::Found),
                ("CANARY_ADMITTED", State::Found)
            ]
        );
        assert!(!post.is_passed_by());
        post.take(look(None), at(1));
        post.take(bare(), at(2));
        assert!(post.is_passed_by());
    }

    #[test]
    fn where_no_answer_is_a_yes_nothing_is_held_back() {
        let mut post = Post::default();
        let open = Look {
            fails_open: Some(true),
            ..look(Some(Finding::Admitted))
        };
        assert_eq!(told(&post.take(open, at(0))), [("CANARY_ADMITTED", State::Found)]);
        assert!(!post.is_passed_by());
        // Not to be seen is not to be mended.
        post.take(look(Some(Finding::Admitted)), at(1));
        assert!(!post.is_passed_by());
        let closed = Look {
            fails_open: Some(false),
            ..look(Some(Finding::Admitted))
        };
        post.take(closed, at(2));
        assert!(post.is_passed_by());
    }

    #[test]
    fn another_difference_is_told_anew_and_each_object_by_itself() {
        let mut post = Post::default();
        let weakened = |which, text: &str| Finding::Weakened(which, vec![text.to_owned()]);
        let mut take = |findings: Vec<Finding>, now| {
            let look = Look {
                configurations: findings,
                ..look(None)
            };
            told(&post.take(look, at(now)))
        };
        let (one, other) = (Configuration::Validating, Configuration::Mutating);
        let found = ("CONFIGURATION_WEAKENED", State::Found);
        assert_eq!(take(vec![weakened(one, "a")], 0), [found]);
        assert_eq!(take(vec![weakened(one, "a")], 1), []);
        assert_eq!(
            take(vec![weakened(one, "b"), weakened(other, "b")], 2),
            [found, found]
        );
        assert_eq!(
            take(vec![weakened(one, "b")], 3),
            [("CONFIGURATION_WEAKENED", State::Over)]
        );
    }

    #[test]
    fn who_moves_the_guard_is_told_of() {
        let mut post = Post::default();
        post.take(look(None), at(0));
        let moved = Look {
            guard: Some(guard(&["prod"])),
            ..look(None)
        };
        let reports = post.take(moved, at(1));
        assert_eq!(told(&reports), [("CONFIGURATION_CHANGED", State::Found)]);
        assert_eq!(
            reports[0].finding.differences(),
            ["leaves out namespaces [prod], left out []"]
        );
        let trusting = |post: &mut Post, trust: Trust, now| {
            let look = Look {
                trust,
                guard: Some(guard(&["prod"])),
                ..look(None)
            };
            told(&post.take(look, at(now)))
        };
        let mut post = Post::default();
        assert_eq!(trusting(&mut post, Trust::Others, 0), []);
        assert_eq!(trusting(&mut post, Trust::Ours(None), 1), []);
        assert_eq!(trusting(&mut post, Trust::Unknown, 2), []);
        assert_eq!(
            trusting(&mut post, Trust::Others, 3),
            [("CONFIGURATION_CHANGED", State::Found)]
        );
    }
}
