//! Keeps what a cluster may start while no server answers: the list of what runs there and is allowed now, and the terms on
//! which it counts, which are moved on for as long as the webhook is seen to answer.
//!
//! In any doubt the terms say that the webhook is asked at every moment, as if there were no list. Only where nobody answers
//! they are left as they are, and pass.

use std::collections::BTreeSet;
use std::time::Duration;

use binauthz_core::time::UnixTime;
use binauthz_kubernetes::last_known_good::{
    self, Force, LastKnownGood, Start, Terms, policy_differences, prove_in_force, read_terms, write_list,
    write_terms,
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
/// Different images of different accounts that are judged. The list has room for some 13,000.
const STARTS_MAX: usize = 20_000;

/// A turn asks about each image, mostly from memory. One that takes longer than half of what a look may is in doubt.
const TURN_MAX: Duration = Duration::from_secs(15);

/// What a turn came to.
enum Turn {
    /// The terms were moved on. What has no room in the list is told all the same.
    Kept(Option<Finding>),
    /// Somebody else wrote at the same time, another server perhaps: the next look will see.
    Overtaken,
    /// It cannot be kept, so the webhook is to be asked at every moment.
    Doubt(String),
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
        Some(why) => Turn::Doubt(why),
        None => match tokio::time::timeout(TURN_MAX, kept.turn(found)).await {
            Ok(Ok(turn)) => turn,
            Ok(Err(ApiError::Refused { http: 409, .. })) => Turn::Overtaken,
            Ok(Err(error)) => Turn::Doubt(error.to_string()),
            Err(_) => Turn::Doubt(format!("it was not done within {} s", TURN_MAX.as_secs())),
        },
    };
    match turn {
        Turn::Kept(left_out) => look.configurations.extend(left_out),
        Turn::Overtaken => {}
        Turn::Doubt(why) => {
            let why = match last_known_good::ask_always(api).await {
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
        let differences = policy_differences(self.api, &self.policy).await?;
        if let Some(difference) = differences.first() {
            return Ok(Turn::Doubt(difference.clone()));
        }
        let approved = match self.approved().await {
            Ok(approved) => approved,
            Err(why) => return Ok(Turn::Doubt(why)),
        };
        let (entries, left_out) = last_known_good::list(&approved);
        let next = self.now.as_micros().to_string();
        let revision = write_list(self.api, self.policy.namespace, entries, next).await?;
        let keeping = &self.app.settings.guard.last_known_good;
        let terms = terms.with_list(&revision, self.now, keeping.for_hours);
        let found = write_terms(self.api, found, &terms).await?;
        let tried_in = &self.app.settings.guard.namespace;
        match prove_in_force(self.api, tried_in, |force| *force == Force::InForce).await? {
            Force::InForce => {}
            Force::OtherList(said) => {
                return Ok(Turn::Doubt(format!(
                    "the API server does not judge by the list that was just written: {said}; where somebody removed a \
                     policy whose parameters are ConfigMaps, it goes on with old ones until it is started anew"
                )));
            }
            Force::NotInForce => {
                let why = "the API server does not judge by the policy `binauthz-last-known-good`";
                return Ok(Turn::Doubt(why.to_owned()));
            }
        }
        // All of that took its time.
        let now = (self.app.clock)();
        write_terms(self.api, found, &terms.asked_for(now, keeping.after_seconds)).await?;
        Ok(Turn::Kept((left_out > 0).then(|| {
            Finding::NotKept(format!(
                "{left_out} of {} images have no room in the list",
                approved.len()
            ))
        })))
    }

    /// What runs in the cluster and would be allowed now, for itself and without a way around.
    async fn approved(&self) -> Result<BTreeSet<Start>, String> {
        let mut running = self.running().await?;
        let mut refused = Vec::new();
        for start in &running {
            if !self.is_allowed(start).await? {
                refused.push(start.clone());
            }
        }
        for start in &refused {
            running.remove(start);
        }
        Ok(running)
    }

    /// Every image of every Pod, with its namespace and its account.
    async fn running(&self) -> Result<BTreeSet<Start>, String> {
        let (mut running, mut next) = (BTreeSet::new(), String::new());
        for _ in 0..PAGES_MAX {
            let path = format!("/api/v1/pods?limit={PODS_PER_PAGE}&continue={next}");
            let page = self.api.read(&path).await.map_err(|error| error.to_string())?;
            let page = page.unwrap_or_default();
            let pods = page.get("items").and_then(Value::as_array);
            let starts = pods.into_iter().flatten().flat_map(starts);
            running.extend(starts.filter(|start| !self.guard.exempt.contains(&start.namespace)));
            if running.len() > STARTS_MAX {
                return Err(format!("more than {STARTS_MAX} images run in the cluster"));
            }
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
        let verdict = admission::preview(self.app, &self.guard.cluster, &pod, namespace, false).await;
        let Ok(verdict) = verdict else { return Ok(false) };
        // What a dry run of the policy lets in conforms to nothing.
        if verdict["verdict"] == "ALLOW" && verdict["conforms"] == true {
            return Ok(true);
        }
        match unknown(&verdict) {
            Some(code) => Err(format!(
                "whether `{}` may start cannot be told: {code}",
                start.image
            )),
            None => Ok(false),
        }
    }
}

/// What is said of an image by a judge that cannot tell.
const UNKNOWN: [&str; 5] = [
    "POLICY_UNAVAILABLE",
    "EVIDENCE_UNAVAILABLE",
    "OVERLOADED",
    "DEADLINE",
    "INTERNAL",
];

/// The reason of a verdict that is none about the image.
fn unknown(verdict: &Value) -> Option<&str> {
    let images = verdict["images"].as_array().into_iter().flatten();
    let reasons = images.flat_map(|image| image["reasons"].as_array().into_iter().flatten());
    let codes = reasons.map(|reason| &reason["code"]).chain([&verdict["reason"]]);
    codes
        .filter_map(Value::as_str)
        .find(|code| UNKNOWN.contains(code))
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
    fn a_judge_that_cannot_tell_is_told_from_one_that_refuses() {
        let verdict = |top: &str, codes: &[&str]| {
            let reasons: Vec<Value> = codes.iter().map(|code| json!({"code": code})).collect();
            json!({"verdict": "DENY", "reason": top, "images": [{"reasons": []}, {"reasons": reasons}]})
        };
        assert_eq!(unknown(&verdict("NO_ATTESTATIONS", &["NO_ATTESTATIONS"])), None);
        for code in UNKNOWN {
            assert_eq!(
                unknown(&verdict("NO_ATTESTATIONS", &["NO_ATTESTATIONS", code])),
                Some(code)
            );
            assert_eq!(unknown(&verdict(code, &[])), Some(code));
        }
        let all = [
            binauthz_core::decision::Reason::Deadline,
            binauthz_core::decision::Reason::Overloaded,
            binauthz_core::decision::Reason::Internal,
        ];
        assert!(all.iter().all(|reason| UNKNOWN.contains(&reason.code())));
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
