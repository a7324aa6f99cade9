//! The load: who changes something, who asks for verdicts, and what each of them knows of the other's doings.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::facts::{Attested, Expected, Gaps, Register, Version};
use super::keys::keeper;
use super::random;
use crate::process::Server;
use crate::replicas::Replica;
use crate::{Outcome, inputs};

/// What begins the name of what must not happen.
pub(super) const FAULT: &str = "WRONG: ";
/// Longer than a server takes to give up on its database: what a caller gave up on nobody would know the end of.
const PATIENCE: Duration = Duration::from_secs(40);
const ADMITTERS: usize = 4;
const ATTESTERS: usize = 2;
const KEEPERS: usize = 2;
const POLICY: &str = "/v1/projects/bench/policy";
pub(super) const RING: &str = "/v1/projects/bench/locations/global/keyRings";
/// Whether it is admitted the policy of the time says: those with an odd number list it.
const CHANGING: &str = "registry.example/changing:v1";
/// Images that nobody attests begin here.
const NEVER: u32 = 3_000_000_000;
/// What a denial says that rests on nothing but that something is away.
const FOR_WANT: [&str; 5] = [
    "could not be read",
    "has not answered",
    "ran out",
    "could not be recorded",
    "too many requests",
];

/// Where a server listens.
#[derive(Debug, Clone)]
pub(super) struct Place {
    api: String,
    webhook: String,
}

impl Place {
    fn of(server: &Server) -> Outcome<Self> {
        Ok(Self {
            api: server.url("api")?,
            webhook: format!("{}{}", server.url("webhook")?, inputs::WEBHOOK_PATH),
        })
    }
}

/// What is known for certain.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) gaps: Gaps,
    pub(super) policy: Register,
    pub(super) images: Vec<Attested>,
    pub(super) versions: Vec<Version>,
    /// What was answered to each admission.
    pub(super) verdicts: BTreeMap<String, bool>,
    /// How many calls about each resource were answered with success.
    pub(super) calls: BTreeMap<String, usize>,
    counts: BTreeMap<String, u64>,
}

/// What came of a call.
pub(super) enum Came {
    Good(Value),
    Refused(String),
    /// No answer, or one that says that nobody knows.
    Lost,
}

pub(super) struct Storm {
    client: reqwest::Client,
    token: String,
    signer: inputs::Signer,
    /// A review of the first image, and its uid.
    review: (String, String),
    places: Mutex<Vec<Option<Place>>>,
    known: Mutex<Known>,
    numbers: AtomicU64,
    ended: AtomicBool,
}

impl Storm {
    pub(super) fn over(replicas: &[Replica], signer: inputs::Signer) -> Outcome<Self> {
        let servers = replicas
            .iter()
            .map(Replica::running)
            .collect::<Outcome<Vec<_>>>()?;
        let places = servers
            .iter()
            .map(|server| Place::of(server).map(Some))
            .collect::<Outcome<Vec<_>>>()?;
        let first = servers.first().ok_or("no server runs")?;
        let review = String::from_utf8(inputs::review(&[0])?.to_vec())?;
        let uid: Value = serde_json::from_str(&review)?;
        let uid = uid["request"]["uid"]
            .as_str()
            .ok_or("a review has a uid")?
            .to_owned();
        Ok(Self {
            client: first.client(false)?,
            token: first.token()?,
            signer,
            review: (review, uid),
            places: Mutex::new(places),
            known: Mutex::default(),
            numbers: AtomicU64::new(1),
            ended: AtomicBool::new(false),
        })
    }

    /// A ring for the keys, and the first policy.
    pub(super) async fn prepare(&self) -> Outcome<()> {
        let place = self.place().ok_or("no server runs")?;
        let ring = format!("{RING}?keyRingId=storm");
        match self.call(&place, ("POST", &ring), &json!({})).await {
            Came::Good(_) => Ok(()),
            Came::Refused(why) => Err(why.into()),
            Came::Lost => Err("no answer".into()),
        }
    }

    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn counts(&self) -> BTreeMap<String, u64> {
        self.known().counts.clone()
    }

    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    pub(super) fn goes_on(&self) -> bool {
        !self.ended.load(Ordering::Relaxed)
    }

    fn set_place(&self, number: usize, place: Option<Place>) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = places.get_mut(number) {
            *slot = place;
        }
    }

    pub(super) fn lost_server(&self, number: usize) {
        self.set_place(number, None);
    }

    pub(super) fn has_server(&self, number: usize, server: &Server) -> Outcome<()> {
        self.set_place(number, Some(Place::of(server)?));
        Ok(())
    }

    pub(super) fn lost_database(&self) {
        self.known().gaps.begin(Instant::now());
    }

    pub(super) fn has_database(&self) {
        self.known().gaps.end(Instant::now());
    }

    /// Any server that runs.
    pub(super) fn place(&self) -> Option<Place> {
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let running: Vec<&Place> = places.iter().flatten().collect();
        running.get(random(running.len())).map(|place| (*place).clone())
    }

    pub(super) fn count(&self, what: &str) {
        *self.known().counts.entry(what.to_owned()).or_default() += 1;
    }

    /// Something that must not happen; what exactly is said at once.
    pub(super) fn fault(&self, kind: &str, what: &str) {
        self.count(&format!("{FAULT}{kind}"));
        eprintln!("{FAULT}{kind}: {what}");
    }

    pub(super) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) async fn call(&self, place: &Place, (method, path): (&str, &str), body: &Value) -> Came {
        let Ok(parsed) = method.parse() else {
            return Came::Lost;
        };
        let request = self
            .client
            .request(parsed, format!("{}{path}", place.api))
            .bearer_auth(&self.token)
            .timeout(PATIENCE);
        let request = match method {
            "GET" | "DELETE" => request,
            _ => request.json(body),
        };
        let Ok(answer) = request.send().await else {
            return Came::Lost;
        };
        let status = answer.status();
        match answer.json().await {
            Ok(value) if status.is_success() => Came::Good(value),
            Ok(value) if status.is_client_error() => Came::Refused(Value::to_string(&value)),
            _ => Came::Lost,
        }
    }

    /// A call that changes something; what was answered with success is to be found in the log of changes.
    pub(super) async fn change(&self, place: &Place, what: (&str, &str), body: &Value) -> Came {
        let came = self.call(place, what, body).await;
        self.count(match came {
            Came::Good(_) => "changes made",
            Came::Refused(_) => "changes refused",
            Came::Lost => "changes without an answer",
        });
        came
    }

    /// A call about this resource was answered.
    pub(super) fn made(&self, resource: &str) {
        *self.known().calls.entry(resource.to_owned()).or_default() += 1;
    }

    /// Asks for a verdict, and holds it against what is expected by then.
    async fn admit(&self, place: &Place, image: &str, expected: impl Fn(&Known) -> Expected) {
        let uid = format!("storm-{}", self.number());
        let (review, own) = &self.review;
        let body = review.replace(&inputs::image(0), image).replace(own, &uid);
        let request = self
            .client
            .post(&place.webhook)
            .header("content-type", "application/json")
            .timeout(PATIENCE)
            .body(body);
        let answer = match request.send().await {
            Ok(answer) => answer.json::<Value>().await.ok(),
            Err(_) => None,
        };
        let response = answer.as_ref().map(|answer| &answer["response"]);
        let (Some(allowed), Some(response)) = (response.and_then(|it| it["allowed"].as_bool()), response)
        else {
            return self.count("admissions without an answer");
        };
        let message = response["status"]["message"].as_str().unwrap_or_default();
        if response["uid"] != uid.as_str() {
            self.fault("the answer to another question", &response.to_string());
        }
        let expected = {
            let mut known = self.known();
            known.verdicts.insert(uid.clone(), allowed);
            expected(&known)
        };
        let for_want = FOR_WANT.iter().any(|words| message.contains(words));
        let what = match (allowed, expected) {
            (true, Expected::Denied) => return self.fault("admitted", &format!("{uid} {image}")),
            (false, Expected::Admitted) if !for_want => {
                return self.fault("denied", &format!("{uid} {image}: {message}"));
            }
            (false, _) if for_want => "denied for want of evidence",
            (false, _) => "denied",
            (true, _) => "admitted",
        };
        self.count(what);
    }

    /// What is known to every server now.
    fn settled(&self) -> Option<Instant> {
        self.known().gaps.settled(Instant::now())
    }
}

/// Everybody goes to work.
pub(super) fn start(storm: &Arc<Storm>) -> JoinSet<()> {
    let mut load = JoinSet::new();
    for _ in 0..ADMITTERS {
        load.spawn(admitter(Arc::clone(storm)));
    }
    for number in 0..ATTESTERS {
        load.spawn(attester(Arc::clone(storm), number));
    }
    for _ in 0..KEEPERS {
        load.spawn(keeper(Arc::clone(storm)));
    }
    load.spawn(legislator(Arc::clone(storm)));
    load.spawn(reader(Arc::clone(storm)));
    load
}

/// Nothing runs: a moment later something will.
pub(super) async fn rest() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

/// Asks about images that are attested, that never were, and that the policy lists now and then.
async fn admitter(storm: Arc<Storm>) {
    while storm.goes_on() {
        let Some(place) = storm.place() else {
            rest().await;
            continue;
        };
        let known = storm.settled();
        match random(3) {
            0 => {
                let image = inputs::image(NEVER + u32::try_from(random(1_000)).unwrap_or_default());
                storm.admit(&place, &image, |_| Expected::Denied).await;
            }
            1 => {
                let expected = |facts: &Known| {
                    let (least, greatest) = facts.policy.bounds(known, Instant::now());
                    match (least == greatest, greatest % 2) {
                        (true, 1) => Expected::Admitted,
                        (true, _) => Expected::Denied,
                        (false, _) => Expected::Either,
                    }
                };
                storm.admit(&place, CHANGING, expected).await;
            }
            _ => {
                let which = {
                    let facts = storm.known();
                    // The newest are the ones whose state changes.
                    let newest = facts.images.len().saturating_sub(1);
                    let which = newest.saturating_sub(random(200));
                    facts.images.get(which).map(|image| (which, image.number))
                };
                let Some((which, number)) = which else {
                    rest().await;
                    continue;
                };
                let expected = |facts: &Known| {
                    let image = facts.images.get(which);
                    image.map_or(Expected::Either, |image| image.expected(known, Instant::now()))
                };
                storm.admit(&place, &inputs::image(number), expected).await;
            }
        }
    }
}

/// Attests images, and takes some of it back. What the server answered counts for its next verdict.
async fn attester(storm: Arc<Storm>, own: usize) {
    while storm.goes_on() {
        let Some(place) = storm.place() else {
            rest().await;
            continue;
        };
        let number = u32::try_from(storm.number()).unwrap_or_default();
        let Ok(occurrence) = storm.signer.occurrence(number) else {
            return storm.fault("no signature", "");
        };
        let path = ("POST", "/v1/projects/bench/occurrences");
        match storm.change(&place, path, &occurrence).await {
            Came::Good(made) => {
                let name = made["name"].as_str().unwrap_or_default().to_owned();
                storm.made(&name);
                let made = Instant::now();
                storm.known().images.push(Attested {
                    number,
                    name,
                    made,
                    removal: None,
                });
                let image = inputs::image(number);
                let which = storm.known().images.iter().rposition(|it| it.number == number);
                // Its own server knows at once.
                storm
                    .admit(&place, &image, |facts| {
                        let image = which.and_then(|which| facts.images.get(which));
                        image.map_or(Expected::Either, |it| it.expected(Some(made), Instant::now()))
                    })
                    .await;
            }
            Came::Refused(why) => storm.fault("an attestation refused", &why),
            Came::Lost => {}
        }
        if random(4) == 0 {
            take_back(&storm, own).await;
        }
    }
}

/// Removes one of the newer attestations; each is of one attester, so no two of them remove the same.
async fn take_back(storm: &Storm, own: usize) {
    let chosen = {
        let mut facts = storm.known();
        let from = facts.images.len().saturating_sub(100);
        let place = facts
            .images
            .iter()
            .skip(from)
            .position(|image| image.removal.is_none() && image.number as usize % ATTESTERS == own);
        let which = place.map(|place| place + from);
        which.and_then(|which| {
            let image = facts.images.get_mut(which)?;
            image.removal = Some((Instant::now(), None));
            Some((which, image.number, image.name.clone()))
        })
    };
    let (Some((which, number, name)), Some(place)) = (chosen, storm.place()) else {
        return;
    };
    let path = format!("/v1/{name}");
    match storm.change(&place, ("DELETE", &path), &Value::Null).await {
        Came::Good(_) => {
            storm.made(&name);
            if let Some(image) = storm.known().images.get_mut(which)
                && let Some(removal) = &mut image.removal
            {
                removal.1 = Some(Instant::now());
            }
            storm
                .admit(&place, &inputs::image(number), |_| Expected::Denied)
                .await;
        }
        Came::Refused(why) => storm.fault("an attestation that was acknowledged is not there", &why),
        Came::Lost => {}
    }
}

impl Storm {
    /// The number of the policy as a server shows it, which must be one that it may have.
    pub(super) async fn look_at_policy(&self) -> Option<u64> {
        let place = self.place()?;
        let asked = Instant::now();
        let shown = match self.call(&place, ("GET", POLICY), &Value::Null).await {
            Came::Good(shown) => shown,
            Came::Refused(why) => {
                self.fault("no policy", &why);
                return None;
            }
            Came::Lost => return None,
        };
        let number = shown["description"]
            .as_str()
            .unwrap_or_default()
            .parse()
            .unwrap_or(0);
        let (least, greatest) = self.known().policy.bounds(Some(asked), Instant::now());
        if (least..=greatest).contains(&number) {
            self.count("policies seen");
        } else {
            self.fault(
                "a policy went back",
                &format!("{number}, expected {least} to {greatest}"),
            );
        }
        Some(number)
    }
}

/// Changes the policy: every other one lists an image.
async fn legislator(storm: Arc<Storm>) {
    let mut number = 0;
    while storm.goes_on() {
        let pause = if random(3) == 0 { 300 } else { 4_500 };
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let Some(place) = storm.place() else { continue };
        number += 1;
        let patterns = match number % 2 {
            1 => json!([{ "namePattern": "registry.example/*" }]),
            _ => json!([]),
        };
        let policy = json!({
            "description": number.to_string(),
            "admissionWhitelistPatterns": patterns,
            "defaultAdmissionRule": {
                "evaluationMode": "REQUIRE_ATTESTATION", "enforcementMode": "ENFORCED_BLOCK_AND_AUDIT_LOG",
                "requireAttestationsBy": [inputs::ATTESTOR],
            },
        });
        storm.known().policy.sent(number, Instant::now());
        match storm.change(&place, ("PUT", POLICY), &policy).await {
            Came::Good(_) => storm.known().policy.answered(number, Instant::now()),
            Came::Refused(why) => storm.fault("a policy refused", &why),
            Came::Lost => {}
        }
    }
}

/// Looks at keys and at the policy all along.
async fn reader(storm: Arc<Storm>) {
    while storm.goes_on() {
        let count = storm.known().versions.len();
        if count > 0 {
            storm.look(random(count)).await;
        }
        storm.look_at_policy().await;
        rest().await;
    }
}
