//! Keeps what a cluster may start while no server answers: the list of what runs there and is allowed now, and the terms on
//! which it counts, which are moved on for as long as the webhook is seen to answer.
//!
//! In any doubt the terms say that the webhook is asked at every moment, as if there were no list. Only where nobody answers
//! they are left as they are, and pass.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use binauthz_core::time::UnixTime;
use binauthz_kubernetes::last_known_good::{
    self, Force, LastKnownGood, Start, Terms, fair_shares, policy_differences, prove_in_force, read_terms,
    write_list, write_terms,
};
use binauthz_kubernetes::{Api, ApiError, Condition, Configuration, Guard, Installed};
use binauthz_wire::{json::timestamp_out, manifest};
use serde_json::{Value, json};

use super::finding::Finding;
use super::post::Look;
use crate::admission;
use crate::app::App;

/// One page of Pods is some megabytes; 300 of them are 150,000 Pods, of which a cluster has no more.
const PODS_PER_PAGE: usize = 500;
const PAGES_MAX: usize = 300;
/// Different images of different accounts that are judged, 200 bytes each. The list has room for some 13,000.
const STARTS_MAX: usize = 20_000;

/// Namespaces that are named where something of theirs has no room.
const NAMED_MAX: usize = 3;
/// An API server says which moment an object is of, and a server which moments are asked about. A moment is given away two
/// minutes after it is past; half of that is for the clocks.
const CLOCKS_DIFFER_MAX_SECONDS: i64 = 60;

/// A turn asks about each image, mostly from memory. One that takes longer than half of what a look may is in doubt.
const TURN_MAX: Duration = Duration::from_secs(15);

/// What a turn came to.
enum Turn {
    /// The terms are as they should be. What has no room in the list, or is not trusted yet, is told all the same.
    Kept(Option<Finding>),
    /// Somebody else wrote at the same time, another server perhaps: the next look will see.
    Overtaken,
    /// It cannot be kept, so the webhook is to be asked at every moment.
    Doubt(Doubt, String),
}

/// For how long there is doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doubt {
    /// As long as what raises it.
    Passing,
    /// Until many looks find the policy in force: API servers learn of a policy one by one.
    Anew,
    /// The same, because one was seen that must not judge. Of several the next look may reach another.
    Unfit,
}

/// Does what is to be done after a look at the configurations and the Pod, and adds to the look what went wrong.
pub(super) async fn keep(app: &App, api: &Api, installed: &Installed, look: &mut Look) {
    let Some(guard) = look.guard.clone() else { return };
    let Some(namespace) = guard.last_known_good.clone() else {
        return;
    };
    if let Some(Some(Finding::NoAnswer(_))) = look.canary {
        return;
    }
    let policy = LastKnownGood {
        namespace: &namespace,
        exempt: &guard.exempt,
    };
    let kept = Kept {
        app,
        api,
        guard: &guard,
        policy,
        now: (app.clock)(),
    };
    let found = match read_terms(api).await {
        Ok(Some(found)) => found,
        Ok(None) => {
            let why =
                "the ClusterRole `binauthz-last-known-good` is missing, so that it decides at every moment";
            look.configurations.push(Finding::NotKept(why.to_owned()));
            return;
        }
        Err(error) => {
            look.configurations.push(Finding::NotKept(error.to_string()));
            return;
        }
    };
    look.configurations.extend(was_decided(&found.1, kept.now));
    let turn = match obstacle(installed, &guard, look) {
        Some(why) => Turn::Doubt(Doubt::Passing, why),
        None => match tokio::time::timeout(TURN_MAX, kept.turn(found)).await {
            Ok(Ok(turn)) => turn,
            Ok(Err(ApiError::Refused { http: 409, .. })) => Turn::Overtaken,
            Ok(Err(error)) => Turn::Doubt(Doubt::Passing, error.to_string()),
            Err(_) => {
                let why = format!("it was not done within {} s", TURN_MAX.as_secs());
                Turn::Doubt(Doubt::Passing, why)
            }
        },
    };
    match turn {
        Turn::Kept(finding) => look.configurations.extend(finding),
        Turn::Overtaken => {}
        Turn::Doubt(doubt, why) => {
            let now = kept.now;
            let changed = |terms: &Terms| match doubt {
                Doubt::Passing => terms.clone(),
                Doubt::Anew => terms.begun_anew(),
                Doubt::Unfit => terms.seen_not_in_force(now),
            };
            let why = match last_known_good::ask_always(api, changed).await {
                Ok(()) => why,
                Err(error) => format!("{why}; {error}"),
            };
            look.configurations.push(Finding::NotKept(why));
        }
    }
}

/// Why nothing is to be kept, as far as the look says.
fn obstacle(installed: &Installed, guard: &Guard, look: &Look) -> Option<String> {
    let is_as_shipped =
        |which: &Configuration| installed.condition(Some(guard), *which) == Condition::AsShipped;
    if let Some(which) = Configuration::ALL.iter().find(|which| !is_as_shipped(which)) {
        return Some(format!("the {} is not as it is shipped", which.kind()));
    }
    match &look.canary {
        Some(None | Some(Finding::AdmittedByPolicy)) => None,
        Some(Some(finding)) => Some(finding.message()),
        None => Some("whether the webhook answers was not tried".to_owned()),
    }
}

/// That the webhook was not asked for a while.
fn was_decided(terms: &Terms, now: UnixTime) -> Option<Finding> {
    let since = terms.not_asked_since(now)?;
    Some(Finding::WasDecided(format!(
        "from {} to {}",
        timestamp_out(since),
        timestamp_out(now)
    )))
}

/// Everything a turn needs.
struct Kept<'a> {
    app: &'a App,
    api: &'a Api,
    guard: &'a Guard,
    policy: LastKnownGood<'a>,
    now: UnixTime,
}

impl Kept<'_> {
    /// Writes the list, has it count, sees that the policy goes by it, and only then moves the moments on.
    async fn turn(&self, (found, terms): (Value, Terms)) -> Result<Turn, ApiError> {
        if let Some(why) = self.clocks().await? {
            return Ok(Turn::Doubt(Doubt::Unfit, why));
        }
        let differences = policy_differences(self.api, &self.policy).await?;
        if let Some(difference) = differences.first() {
            return Ok(Turn::Doubt(Doubt::Anew, difference.clone()));
        }
        let (approved, mut left_out) = match self.approved().await {
            Ok(approved) => approved,
            Err(why) => return Ok(Turn::Doubt(Doubt::Passing, why)),
        };
        let (entries, without_room) = last_known_good::list(&approved);
        for (namespace, images) in without_room {
            *left_out.entry(namespace).or_default() += images;
        }
        let next = self.now.as_micros().to_string();
        let revision = write_list(self.api, self.policy.namespace, entries, next).await?;
        let keeping = &self.app.settings.guard.last_known_good;
        let terms = terms.with_list(&revision, self.now, keeping.for_hours);
        let found = write_terms(self.api, found, &terms).await?;
        let tried_in = &self.app.settings.guard.namespace;
        match prove_in_force(self.api, tried_in, |force| *force == Force::InForce).await? {
            Force::InForce => {}
            Force::OtherList(said) => {
                let why = format!(
                    "the API server does not judge by the list that was just written: {said}; where somebody removed a \
                     policy whose parameters are ConfigMaps, it goes on with old ones until it is started anew"
                );
                return Ok(Turn::Doubt(Doubt::Passing, why));
            }
            Force::NotInForce => {
                let why = "the API server does not judge by the policy `binauthz-last-known-good`";
                return Ok(Turn::Doubt(Doubt::Unfit, why.to_owned()));
            }
        }
        let terms = terms.seen_in_force();
        // All of that took its time.
        let now = (self.app.clock)();
        let next = match terms.looks_left() {
            0 => terms.asked_for(now, keeping.after_seconds),
            _ => terms.asked_always(),
        };
        write_terms(self.api, found, &next).await?;
        Ok(Turn::Kept(not_trusted(&terms).or_else(|| no_room(&left_out))))
    }

    /// Whether the clock of the API server and the server's own are too far apart.
    async fn clocks(&self) -> Result<Option<String>, ApiError> {
        let before = (self.app.clock)();
        let there = self.api.time().await?;
        Ok(clocks_differ(there, (before, (self.app.clock)())))
    }

    /// What runs in the cluster and would be allowed now, for itself and without a way around; and how much of which
    /// namespace was not asked about.
    async fn approved(&self) -> Result<(BTreeSet<Start>, BTreeMap<String, usize>), String> {
        let (running, left_out) = self.running().await?.most(STARTS_MAX);
        let mut approved = BTreeSet::new();
        for start in running.into_values().flatten() {
            if self.is_allowed(&start).await? {
                approved.insert(start);
            }
        }
        Ok((approved, left_out))
    }

    /// Every image of every Pod, with its namespace and its account.
    async fn running(&self) -> Result<Running, String> {
        let (mut running, mut next) = (Running::default(), String::new());
        for _ in 0..PAGES_MAX {
            let path = format!("/api/v1/pods?limit={PODS_PER_PAGE}&continue={next}");
            let page = self.api.read(&path).await.map_err(|error| error.to_string())?;
            let page = page.unwrap_or_default();
            let pods = page.get("items").and_then(Value::as_array);
            let starts = pods.into_iter().flatten().flat_map(starts);
            running.extend(starts.filter(|start| !self.guard.exempt.contains(&start.namespace)));
            match page.pointer("/metadata/continue").and_then(Value::as_str) {
                // It is base64 for URLs.
                Some(token) if !token.is_empty() => token.clone_into(&mut next),
                _ => return Ok(running),
            }
        }
        Err(format!(
            "more than {} Pods run in the cluster",
            PODS_PER_PAGE * PAGES_MAX
        ))
    }

    /// Asks the judge about a Pod of this image alone, with nothing on it that opens anything. A judge that cannot tell takes
    /// nothing off the list: what it would say with its store is not known.
    async fn is_allowed(&self, start: &Start) -> Result<bool, String> {
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "p", "namespace": start.namespace},
            "spec": {"serviceAccountName": start.account, "containers": [{"name": "c", "image": start.image}]},
        });
        let read = manifest::read(pod.to_string().as_bytes());
        let Some(pod) = read.ok().and_then(|mut pods| pods.pop()) else {
            return Ok(false);
        };
        let namespace = Some(start.namespace.as_str());
        let decision = admission::judged(self.app, &self.guard.cluster, &pod, namespace).await;
        let Ok(Some(decision)) = decision else {
            return Ok(false);
        };
        match decision.inconclusive() {
            Some(reason) => Err(format!(
                "whether `{}` may start cannot be told: {}",
                start.image,
                reason.code()
            )),
            // What a dry run of the policy lets in conforms to nothing.
            None => Ok(decision.admitted() && decision.conforms()),
        }
    }
}

/// What runs, by namespace: one in which very much runs takes nothing from the others.
#[derive(Debug, Default)]
struct Running {
    starts: BTreeMap<String, BTreeSet<Start>>,
    left_out: BTreeMap<String, usize>,
}

impl Running {
    /// Holds twice as many as are wanted in the end, so that it is cut seldom.
    fn extend(&mut self, starts: impl Iterator<Item = Start>) {
        for start in starts {
            self.starts
                .entry(start.namespace.clone())
                .or_default()
                .insert(start);
        }
        if self.starts.values().map(BTreeSet::len).sum::<usize>() > 2 * STARTS_MAX {
            self.cut(STARTS_MAX);
        }
    }

    /// At most so many, and of which namespaces the others were.
    fn most(mut self, most: usize) -> (BTreeMap<String, BTreeSet<Start>>, BTreeMap<String, usize>) {
        self.cut(most);
        (self.starts, self.left_out)
    }

    fn cut(&mut self, most: usize) {
        let needs = self
            .starts
            .iter()
            .map(|(name, starts)| (name.clone(), starts.len()));
        for (name, share) in fair_shares(&needs.collect(), most) {
            let Some(starts) = self.starts.get_mut(&name) else {
                continue;
            };
            let over = starts.len().saturating_sub(share);
            if over > 0 {
                *self.left_out.entry(name).or_default() += over;
            }
            while starts.len() > share {
                starts.pop_last();
            }
        }
    }
}

/// That there is no room for everything, and whose it is.
fn no_room(left_out: &BTreeMap<String, usize>) -> Option<Finding> {
    let mut most: Vec<(&String, &usize)> = left_out.iter().collect();
    most.sort_by_key(|(_, images)| std::cmp::Reverse(**images));
    let images: usize = left_out.values().sum();
    let named = most
        .iter()
        .take(NAMED_MAX)
        .map(|(name, images)| format!("{images} of namespace {name}"));
    let named: Vec<String> = named.collect();
    let others = match most.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        others => format!(" and those of {others} other namespaces"),
    };
    let sentence = format!(
        "{images} images have no room in the list: {}{others}",
        named.join(", ")
    );
    (images > 0).then_some(Finding::NotKept(sentence))
}

/// That one API server of several was not fit to judge, and the looks since then are too few. Those after an installation
/// are nobody's fault.
fn not_trusted(terms: &Terms) -> Option<Finding> {
    let at = terms.not_in_force_at()?;
    Some(Finding::NotKept(format!(
        "at {} an API server was not fit to judge by the policy; the webhook is asked about everything until {} more looks \
         find none that is not",
        timestamp_out(at),
        terms.looks_left()
    )))
}

/// Why the clocks are too far apart. The time there was whole seconds, at some moment between the two here.
fn clocks_differ(there: Option<UnixTime>, (before, after): (UnixTime, UnixTime)) -> Option<String> {
    let Some(there) = there.map(UnixTime::as_seconds) else {
        return Some("the API server does not say what time it is".to_owned());
    };
    let ahead = there.saturating_sub(after.as_seconds());
    let behind = before.as_seconds().saturating_sub(there);
    let (seconds, which) = match ahead.max(behind) {
        difference if difference <= CLOCKS_DIFFER_MAX_SECONDS => return None,
        difference if difference == ahead => (difference, "ahead of"),
        difference => (difference, "behind"),
    };
    Some(format!(
        "the clock of the API server is {seconds} s {which} this server's; {CLOCKS_DIFFER_MAX_SECONDS} s are allowed"
    ))
}

fn starts(pod: &Value) -> Vec<Start> {
    let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let Some(namespace) = text("/metadata/namespace") else {
        return Vec::new();
    };
    let account = text("/spec/serviceAccountName").unwrap_or_else(|| "default".to_owned());
    let images = [
        ("/spec/containers", "/image"),
        ("/spec/initContainers", "/image"),
        ("/spec/volumes", "/image/reference"),
    ];
    let of = |(list, image): (&str, &'static str)| {
        let items = pod.pointer(list).and_then(Value::as_array).into_iter().flatten();
        items.filter_map(move |item| item.pointer(image)?.as_str())
    };
    let images = images.into_iter().flat_map(of);
    images
        .map(|image| Start {
            namespace: namespace.clone(),
            account: account.clone(),
            image: image.to_owned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_without_a_server_is_told_of() {
        let at = UnixTime::from_seconds;
        assert_eq!(was_decided(&Terms::none(), at(5_000)), None);
        let terms = Terms::none().asked_for(at(1_000), 60);
        assert_eq!(was_decided(&terms, at(1_064)), None);
        let found = was_decided(&terms, at(5_000)).unwrap().message();
        assert!(
            found.contains("from 1970-01-01T00:17:45Z to 1970-01-01T01:23:20Z"),
            "{found}"
        );
    }

    #[test]
    fn clocks_may_differ_by_a_minute_and_no_more() {
        let at = |seconds: i64, millis: i64| UnixTime::from_micros(seconds * 1_000_000 + millis * 1_000);
        let differ = |there| clocks_differ(Some(at(there, 0)), (at(1_000, 900), at(1_003, 100)));
        for there in [940, 1_000, 1_001, 1_003, 1_063] {
            assert_eq!(differ(there), None, "{there}");
        }
        let told = |there, words: &str| {
            let why = differ(there).expect("they differ");
            assert!(why.contains(words), "{why}");
        };
        told(939, "61 s behind");
        told(1_064, "61 s ahead of");
        told(i64::MAX / 1_000_000, "ahead of");
        told(i64::MIN / 1_000_000, "behind");
        assert!(clocks_differ(None, (at(1, 0), at(1, 0))).is_some());
    }

    #[test]
    fn one_that_was_not_fit_is_told_of_until_enough_were() {
        let failed = Terms::none().seen_not_in_force(UnixTime::from_seconds(60));
        let told = not_trusted(&failed.seen_in_force()).unwrap().message();
        assert!(told.contains("at 1970-01-01T00:01:00Z"), "{told}");
        let left = failed.looks_left() - 1;
        assert!(told.contains(&format!("until {left} more looks")), "{told}");
        assert_eq!(not_trusted(&Terms::none().seen_in_force()), None);
    }

    #[test]
    fn what_has_no_room_is_of_those_who_have_most() {
        let starts = |name: &'static str, count: usize| {
            (0..count).map(move |n| Start {
                namespace: name.to_owned(),
                account: "default".to_owned(),
                image: format!("x/a:{n}"),
            })
        };
        let mut running = Running::default();
        running.extend(starts("few", 3));
        for _ in 0..2 {
            running.extend(starts("many", 3 * STARTS_MAX));
        }
        running.extend(starts("z-few", 3));
        assert_eq!(running.starts["few"].len() + running.starts["z-few"].len(), 6);
        let (running, left_out) = running.most(100);
        assert_eq!(
            running.values().map(BTreeSet::len).collect::<Vec<_>>(),
            [3, 94, 3]
        );
        assert_eq!(left_out.keys().collect::<Vec<_>>(), ["many"]);

        let told = no_room(&BTreeMap::from([
            ("a".to_owned(), 1),
            ("b".to_owned(), 70),
            ("c".to_owned(), 5),
            ("d".to_owned(), 2),
            ("e".to_owned(), 1),
        ]));
        let told = told.unwrap().message();
        let words = "79 images have no room in the list: 70 of namespace b, 5 of namespace c, 2 of namespace d and those of 2 \
                     other namespaces";
        assert!(told.contains(words), "{told}");
        assert_eq!(no_room(&BTreeMap::new()), None);
    }

    #[test]
    fn every_image_of_a_pod_is_one_to_judge() {
        let pod = json!({
            "metadata": {"namespace": "prod", "annotations": {"alpha.image-policy.k8s.io/break-glass": "x"}},
            "spec": {
                "serviceAccountName": "builder",
                "containers": [{"image": "a"}, {"image": "b"}],
                "initContainers": [{"image": "c"}],
                "volumes": [{"name": "v", "emptyDir": {}}, {"name": "w", "image": {"reference": "d"}}],
            },
        });
        let found = starts(&pod);
        let images: Vec<&str> = found.iter().map(|start| start.image.as_str()).collect();
        assert_eq!(images, ["a", "b", "c", "d"]);
        assert!(
            found
                .iter()
                .all(|start| start.namespace == "prod" && start.account == "builder")
        );
        assert_eq!(starts(&json!({"spec": {"containers": [{"image": "a"}]}})), []);
    }
}
