//! A cluster that is guarded by two servers on one database, for minutes: Pods are created at a steady rate while the
//! servers are stopped and started in turn, their certificates are renewed, and the policy changes. Each verdict is compared with the one that is right.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use binauthz_conformance::Database;
use binauthz_kubernetes::{Api, ApiError, Endpoint, Guard};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use crate::creates::{Cluster, PODS, pod_of};
use crate::replicas::{self, Replica};
use crate::{Outcome, inputs, line};

/// From one create to the next: 50 a second.
const PACE: Duration = Duration::from_millis(20);
/// From one change of the policy to the next.
const POLICY: Duration = Duration::from_secs(6);
/// A change counts on every server within a second.
const SPREADS: Duration = Duration::from_millis(1_200);
/// From one stop of a server to that of the other.
const RESTART: Duration = Duration::from_secs(15);
/// No create takes longer, also while a server stops.
const PATIENCE: Duration = Duration::from_secs(20);
/// What differs in a Pod's answer, as it is counted.
type Counts = BTreeMap<String, u64>;

/// Each server has a new serving certificate before two thirds of this are over.
const CERTIFICATE_SECONDS: u32 = 45;

/// In place of a Service: each connection goes to the next server that takes it.
#[derive(Default)]
struct Balancer {
    backends: Mutex<Vec<Option<SocketAddr>>>,
}

impl Balancer {
    fn set(&self, number: usize, backend: Option<SocketAddr>) {
        let mut backends = self.backends.lock().unwrap_or_else(PoisonError::into_inner);
        if backends.len() <= number {
            backends.resize(number + 1, None);
        }
        if let Some(place) = backends.get_mut(number) {
            *place = backend;
        }
    }

    fn known(&self, first: usize) -> Vec<SocketAddr> {
        let backends = self.backends.lock().unwrap_or_else(PoisonError::into_inner);
        let count = backends.len().max(1);
        let (before, after) = backends.split_at(first % count);
        after.iter().chain(before).flatten().copied().collect()
    }

    async fn serve(self: Arc<Self>, listener: TcpListener) {
        for number in 0_usize.. {
            let Ok((mut client, _)) = listener.accept().await else {
                return;
            };
            let balancer = Arc::clone(&self);
            tokio::spawn(async move {
                for backend in balancer.known(number) {
                    if let Ok(mut server) = TcpStream::connect(backend).await {
                        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                        return;
                    }
                }
            });
        }
    }
}

/// What is created, and what must come of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    Attested,
    Unattested,
    /// As the policy says at the time.
    Listed,
    Unlisted,
}

impl Case {
    fn image(self) -> String {
        match self {
            Case::Attested => inputs::image(0),
            Case::Unattested => inputs::image(99),
            Case::Listed | Case::Unlisted => "registry.example/changing:v1".to_owned(),
        }
    }

    /// What was wrong with the answer, if anything was.
    fn fault(self, answer: &Result<Value, ApiError>) -> Option<String> {
        let is_to_be_admitted = matches!(self, Case::Attested | Case::Listed);
        match answer {
            Ok(_) if is_to_be_admitted => None,
            Ok(_) => Some("wrong: admitted what is not attested".to_owned()),
            Err(ApiError::Refused { message, .. }) if message.contains(" denied the request: ") => {
                let wrong = || format!("wrong: denied, {message}");
                (is_to_be_admitted || message.contains("INTERNAL")).then(wrong)
            }
            Err(error) => Some(format!("failed: {error}")),
        }
    }
}

struct Soak {
    api: Arc<Api>,
    counts: Mutex<Counts>,
    /// Whether the changing image is listed, and since when.
    listed: Mutex<(bool, Instant)>,
    ended: AtomicBool,
}

impl Soak {
    fn count(&self, what: String) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        // A fault names Pods: of many alike a few say enough.
        if counts.len() < 50 || counts.contains_key(&what) {
            *counts.entry(what).or_default() += 1;
        } else {
            *counts.entry("more faults".to_owned()).or_default() += 1;
        }
    }

    /// What may be asked now, so that the answer is certain.
    fn case(&self, number: u64) -> Case {
        let (listed, since) = *self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        let is_certain = (SPREADS..POLICY - Duration::from_secs(2)).contains(&since.elapsed());
        match number % 3 {
            0 => Case::Attested,
            1 if is_certain && listed => Case::Listed,
            1 if is_certain => Case::Unlisted,
            _ => Case::Unattested,
        }
    }

    async fn create(self: Arc<Self>, case: Case) {
        let pod = pod_of(&[case.image()]);
        let answer = tokio::time::timeout(PATIENCE, self.api.create(PODS, &pod)).await;
        match answer {
            Err(_) => self.count("failed: no answer in time".to_owned()),
            Ok(answer) => match case.fault(&answer) {
                Some(fault) => self.count(fault),
                None if answer.is_ok() => self.count("admitted".to_owned()),
                None => self.count("denied".to_owned()),
            },
        }
    }

    /// Creates at a steady rate until the end.
    async fn load(self: Arc<Self>) {
        let mut clock = tokio::time::interval(PACE);
        let mut creates = tokio::task::JoinSet::new();
        let mut number = 0;
        while !self.ended.load(Ordering::Relaxed) {
            clock.tick().await;
            creates.spawn(Arc::clone(&self).create(self.case(number)));
            number += 1;
            while creates.try_join_next().is_some() {}
            if number % 3_000 == 0 {
                let _ = self.api.delete(&format!("{PODS}?gracePeriodSeconds=0")).await;
            }
        }
        creates.join_all().await;
    }
}

/// Runs the policy's changes and the restarts for so long.
async fn disturb(
    soak: &Soak,
    (replicas, balancer): (&mut [Replica; 2], &Balancer),
    (store, length): (&str, Duration),
) -> Outcome<u32> {
    let began = Instant::now();
    let (mut policy, mut restart, mut restarts) = (began, began + RESTART, 0);
    while began.elapsed() < length {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if policy.elapsed() >= POLICY {
            policy = Instant::now();
            let listed = {
                let mut place = soak.listed.lock().unwrap_or_else(PoisonError::into_inner);
                *place = (!place.0, Instant::now());
                place.0
            };
            let server = replicas.iter().find_map(|replica| replica.server.as_ref());
            let patterns: &[&str] = if listed { &["registry.example/*"] } else { &[] };
            inputs::put_policy(server.ok_or("no server runs")?, patterns).await?;
            let mut place = soak.listed.lock().unwrap_or_else(PoisonError::into_inner);
            place.1 = Instant::now();
        }
        if Instant::now() >= restart {
            restart += RESTART;
            let number = usize::from(restarts % 2 == 1);
            restarts += 1;
            let Some(replica) = replicas.get_mut(number) else {
                continue;
            };
            // As a Service does it: no new connections first, then the end.
            balancer.set(number, None);
            replica.stop().await?;
            let address = replica.start(store).await?;
            balancer.set(number, Some(address));
        }
    }
    Ok(restarts)
}

pub(crate) async fn measure(seconds: u64) -> Outcome<bool> {
    let database = Database::start().ok_or("this needs PostgreSQL")?;
    let store = database.url();
    let config = format!("certificateLifetimeSeconds: {CERTIFICATE_SECONDS}\n");
    let (mut replicas, balancer) = (
        [Replica::new(&config)?, Replica::new(&config)?],
        Arc::new(Balancer::default()),
    );
    let [first, second] = &mut replicas;
    balancer.set(0, Some(first.start(&store).await?));
    replicas::share(first.folder.path(), second.folder.path())?;
    balancer.set(1, Some(second.start(&store).await?));
    let signer = inputs::Signer::new()?;
    let server = first.running()?;
    inputs::prepare(server, &signer).await?;
    inputs::attest(server, &signer, 0..1).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let guard = Guard {
        cluster: "projects/bench/locations/us-central1-a/clusters/bench".parse()?,
        endpoint: Endpoint::url(&format!("https://{}", listener.local_addr()?))?,
        ca_bundle: STANDARD.encode(std::fs::read(first.folder.path().join("webhook-ca.pem"))?),
        inject_ca_from: None,
        exempt: Vec::new(),
        custom: Vec::new(),
        registered_by_install: false,
        last_known_good: None,
    };
    tokio::spawn(Arc::clone(&balancer).serve(listener));
    // The script removes it.
    let cluster = Cluster::start(&tempfile::tempdir()?.keep()).await?;
    cluster.ask(Some(&guard)).await?;
    let soak = Arc::new(Soak {
        api: cluster.api(),
        counts: Mutex::default(),
        listed: Mutex::new((false, Instant::now())),
        ended: AtomicBool::new(false),
    });
    let load = tokio::spawn(Arc::clone(&soak).load());
    let length = Duration::from_secs(seconds);
    let restarts = disturb(&soak, (&mut replicas, &balancer), (&store, length)).await;
    soak.ended.store(true, Ordering::Relaxed);
    load.await?;
    let restarts = restarts?;
    let counts = std::mem::take(&mut *soak.counts.lock().unwrap_or_else(PoisonError::into_inner));
    println!(
        "{seconds} s of creates through kube-apiserver, {restarts} restarts of a server, a change of the policy each {POLICY:?}\n"
    );
    let mut faults = 0;
    for (what, count) in &counts {
        println!("{count:>8} {what}");
        if !matches!(what.as_str(), "admitted" | "denied") {
            faults += count;
        }
    }
    println!();
    Ok(line(
        "wrong verdicts and failed requests",
        json!(faults).as_f64().unwrap_or(f64::NAN),
        "",
        0.0,
    ))
}
