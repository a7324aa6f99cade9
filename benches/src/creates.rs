//! Pods created in a real cluster: what the webhook adds, against a bare one on the same stack that allows everything.
//!
//! API server, etcd and webhook share the machine, so what one of them computes delays the others, as it would delay them
//! on a small control plane.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use binauthz_cli::load::{Came, Fault, Load, Until, drive};
use binauthz_kubernetes::{Api, Configuration, Endpoint, Guard};
use serde_json::{Value, json};

use crate::load::{median, must_be_good};
use crate::process::{BARE, SERVE, Server};
use crate::{Outcome, inputs, line};

const ROUNDS: usize = 12;
const CREATES: usize = 400;
/// As controllers do; the promise is about this.
const CROWD: usize = 8;
/// The issue's: binauthz adds no more than this many times what a bare webhook adds.
const PROMISED_RATIO: f64 = 1.2;
pub(crate) const PODS: &str = "/api/v1/namespaces/default/pods";
const SCRIPT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../conformance/kubernetes/cluster.sh"
);
/// The API server hears of a changed configuration within a second.
const SETTLE: Duration = Duration::from_secs(2);

/// A control plane that ends with this value.
pub(crate) struct Cluster {
    script: Child,
    api: Arc<Api>,
}

impl Cluster {
    pub(crate) async fn start(folder: &Path) -> Outcome<Cluster> {
        let assets = std::env::var("KUBEBUILDER_ASSETS")
            .map_err(|_| "KUBEBUILDER_ASSETS must name a folder of kube-apiserver, etcd and kubectl")?;
        let ports = [(); 3].map(|()| std::net::TcpListener::bind("127.0.0.1:0"));
        let mut command = Command::new("bash");
        command.arg(SCRIPT).arg(folder);
        for port in ports {
            command.arg(port?.local_addr()?.port().to_string());
        }
        let command = command.env("KUBEBUILDER_ASSETS", assets);
        let mut script = command.stdin(Stdio::piped()).spawn()?;
        while !folder.join("ready").exists() {
            if let Some(status) = script.try_wait()? {
                return Err(format!("the cluster ended with {status}").into());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let api = Api::of_context(Some(&folder.join("kubeconfig")), "my-cluster")?;
        let api = Arc::new(api);
        Ok(Cluster { script, api })
    }

    /// Has these webhooks asked, or none.
    pub(crate) async fn ask(&self, guard: Option<&Guard>) -> Outcome<()> {
        for which in [Configuration::Validating, Configuration::Mutating] {
            self.api.delete(&which.path()).await?;
            if let Some(guard) = guard {
                let configuration = guard.configuration(which);
                self.api.create(which.collection(), &configuration).await?;
            }
        }
        tokio::time::sleep(SETTLE).await;
        Ok(())
    }

    pub(crate) fn api(&self) -> Arc<Api> {
        Arc::clone(&self.api)
    }

    /// Creates Pods, some at a time.
    async fn create(&self, (creates, at_once): (usize, usize)) -> Outcome<Came> {
        let load = Load {
            at_once,
            until: Until::Requests(creates as u64),
            per_second: None,
        };
        let (api, pod) = (Arc::clone(&self.api), Arc::new(pod()));
        let came = drive(load, move |_| {
            let (api, pod) = (Arc::clone(&api), Arc::clone(&pod));
            async move {
                let created = api.create(PODS, &pod).await;
                created.map(drop).map_err(|error| Fault {
                    kind: "not created".to_owned(),
                    sentence: error.to_string(),
                })
            }
        })
        .await;
        must_be_good(&came)?;
        Ok(came)
    }
}

impl Cluster {
    /// What each way takes, so many creates at once; how many times what a bare webhook adds ours does.
    async fn compare(&self, guards: &[Option<Guard>; 3], at_once: usize) -> Outcome<f64> {
        println!(
            "creates of a Pod with 3 containers through kube-apiserver, {at_once} at once, {ROUNDS} rounds of {CREATES} by \
             turns, medians\n"
        );
        let mut rounds = [(); 3].map(|()| Rounds::default());
        for round in 0..ROUNDS {
            // Each is the first as often as the last: the cluster gets slower with what it holds.
            for way in 0..guards.len() {
                let way = (way + round) % guards.len();
                let (Some(guard), Some(rounds)) = (guards.get(way), rounds.get_mut(way)) else {
                    continue;
                };
                self.ask(guard.as_ref()).await?;
                self.create((CREATES / 4, at_once)).await?;
                rounds.add(&self.create((CREATES, at_once)).await?);
                self.api.delete(&format!("{PODS}?gracePeriodSeconds=0")).await?;
            }
        }
        let [none, bare, ours] = rounds;
        let none = none.print("no webhook");
        let (bare, ours) = (bare.print("bare webhook") - none, ours.print("binauthz") - none);
        println!("\n{:<58} {bare:>9.2} ms", "what a bare webhook adds to the mean");
        println!("{:<58} {ours:>9.2} ms", "what binauthz adds to the mean");
        println!("{:<58} {:>9.2} ×\n", "", ours / bare);
        Ok(ours / bare)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // It ends when its input does, and removes its folder.
        drop(self.script.stdin.take());
        let _ = self.script.wait();
    }
}

/// A Pod of three attested images.
fn pod() -> Value {
    pod_of(&[0, 1, 2].map(inputs::image))
}

/// A Pod with one container for each image.
pub(crate) fn pod_of(images: &[String]) -> Value {
    let containers: Vec<Value> = images
        .iter()
        .enumerate()
        .map(|(number, image)| {
            json!({
                "name": format!("container-{number}"), "image": image,
                "env": [{"name": "GREETING", "value": "hello"}, {"name": "LEVEL", "value": "info"}],
                "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
            })
        })
        .collect();
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"generateName": "bench-", "labels": {"app": "bench"}},
        "spec": {"containers": containers},
    })
}

/// Has a server asked, as `cluster install` would.
fn guard(server: &Server, folder: &Path) -> Outcome<Guard> {
    Ok(Guard {
        cluster: "projects/bench/locations/us-central1-a/clusters/bench".parse()?,
        endpoint: Endpoint::url(&server.url("webhook")?)?,
        ca_bundle: STANDARD.encode(std::fs::read(folder.join("webhook-ca.pem"))?),
        exempt: Vec::new(),
        custom: Vec::new(),
        inject_ca_from: None,
        registered_by_install: false,
        last_known_good: None,
    })
}

/// What the rounds of one way came to.
#[derive(Default)]
struct Rounds {
    mean: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
    per_second: Vec<f64>,
}

impl Rounds {
    fn add(&mut self, came: &Came) {
        let millis = |duration: Duration| duration.as_secs_f64() * 1e3;
        self.mean.push(millis(came.waits.mean()));
        self.p50.push(millis(came.waits.percentile(0.5)));
        self.p99.push(millis(came.waits.percentile(0.99)));
        self.per_second.push(came.per_second());
    }

    /// Prints them; the median of the means.
    fn print(self, name: &str) -> f64 {
        let mean = median(self.mean);
        println!(
            "{name:<16} {:>7.0} a second   mean {mean:>6.2} ms   p50 {:>6.2} ms   p99 {:>6.2} ms",
            median(self.per_second),
            median(self.p50),
            median(self.p99),
        );
        mean
    }
}

pub(crate) async fn measure() -> Outcome<bool> {
    let (ours, bare) = (tempfile::tempdir()?, tempfile::tempdir()?);
    // The script removes it.
    let folder: PathBuf = tempfile::tempdir()?.keep();
    let server = Server::start(SERVE, ours.path()).await?;
    let yardstick = Server::start(BARE, bare.path()).await?;
    inputs::prepare_three(&server).await?;
    let cluster = Cluster::start(&folder).await?;
    let guards = [
        None,
        Some(guard(&yardstick, bare.path())?),
        Some(guard(&server, ours.path())?),
    ];
    // Alone, as a person deploys, what is added is mostly the sync of the record, which a bare webhook does without.
    cluster.compare(&guards, 1).await?;
    let ratio = cluster.compare(&guards, CROWD).await?;
    Ok(line(
        &format!("what binauthz adds, against a bare webhook, {CROWD} at once"),
        ratio,
        "×",
        PROMISED_RATIO,
    ))
}
