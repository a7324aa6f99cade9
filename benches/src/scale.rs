//! What one, two and four servers on one PostgreSQL of this machine do, and what that means for many clusters: a model of a
//! few constants, held against what was measured.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use binauthz_cli::load::{Came, Fault, Load, Until, drive};
use binauthz_conformance::Database;
use bytes::Bytes;

use crate::load::{must_be_good, reviews};
use crate::process::Server;
use crate::replicas::{self, Replica};
use crate::{Outcome, inputs, line};

/// Servers at a time.
const COUNTS: [usize; 3] = [1, 2, 4];
/// Requests of each server that wait at the same time. What an admission costs depends on that and not on the number of
/// servers: those that come together share a sync of the disk.
const AT_ONCE: usize = 16;
const WRITERS: usize = 16;
const LENGTH: Duration = Duration::from_secs(6);
const IDLE: Duration = Duration::from_secs(10);
/// How far the model may be from what is measured.
const NEAR: f64 = 0.25;

/// What a number of servers came to.
#[derive(Debug, Clone, Copy)]
struct Measured {
    servers: f64,
    /// Of all of them, when nobody asks: CPU seconds a second, and transactions of the database a second.
    idle_cpu: f64,
    idle_transactions: f64,
    /// Warm admissions a second, and CPU of all servers for each.
    admissions: f64,
    admission_cpu: f64,
    /// Attestations stored one by one a second, by all servers.
    writes: f64,
    /// Resident memory of one.
    megabytes: f64,
    /// What a verdict takes in the log.
    record_bytes: f64,
}

/// What everything follows from; all but the last from one server.
#[derive(Debug, Clone, Copy)]
struct Costs {
    /// CPU seconds of a warm admission of a Pod of three containers.
    admission: f64,
    /// CPU seconds a second, and transactions a second, of a server that nobody asks.
    idle: (f64, f64),
    /// Changes a second, however many servers there are: they write one at a time.
    writes: f64,
    record_bytes: f64,
}

impl Costs {
    fn of(one: &Measured) -> Self {
        Self {
            admission: one.admission_cpu,
            idle: (one.idle_cpu, one.idle_transactions),
            writes: one.writes,
            record_bytes: one.record_bytes,
        }
    }

    /// CPU seconds a second of so many servers that answer so many admissions a second.
    fn cpu(&self, servers: f64, admissions: f64) -> f64 {
        servers * self.idle.0 + admissions * self.admission
    }
}

/// Whose Pods are to be admitted.
#[derive(Debug, Clone, Copy)]
struct Fleet {
    clusters: f64,
    pods: f64,
    /// How often a Pod is replaced in a day.
    replaced: f64,
    /// New images a day.
    images: f64,
    /// Clusters that start all their Pods at the same time, and in how many seconds.
    restart: (f64, f64),
}

/// The issue's.
const FLEET: Fleet = Fleet {
    clusters: 1_000.0,
    pods: 10_000.0,
    replaced: 3.0,
    images: 10_000.0,
    restart: (20.0, 300.0),
};
const DAY: f64 = 86_400.0;
/// Of a core, in use at the worst moment.
const FULL: f64 = 0.5;

/// What a fleet needs.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Needs {
    usual: f64,
    worst: f64,
    cores: f64,
    /// Of all servers together.
    gigabytes_a_day: f64,
    /// Of what the database can take.
    writes_share: f64,
}

fn needs(fleet: &Fleet, costs: &Costs, servers: f64) -> Needs {
    let usual = fleet.clusters * fleet.pods * fleet.replaced / DAY;
    let worst = usual + fleet.restart.0 * fleet.pods / fleet.restart.1;
    Needs {
        usual,
        worst,
        cores: costs.cpu(servers, worst) / FULL,
        gigabytes_a_day: usual * DAY * costs.record_bytes / 1e9,
        // Each image with one attestation in an hour of the day in which everybody builds.
        writes_share: fleet.images / 3_600.0 / costs.writes,
    }
}

pub(crate) async fn measure() -> Outcome<bool> {
    println!(
        "servers on one PostgreSQL, all on this machine with the driver; Pods of 3 containers, warm, {AT_ONCE} at once for each server\n"
    );
    println!(
        "servers   admissions/s   CPU each   attestations/s   idle CPU, all   idle transactions/s   memory of one"
    );
    let mut measured = Vec::new();
    for count in COUNTS {
        let one = run(count).await?;
        println!(
            "{count:>7} {:>14.0} {:>7.1} µs {:>16.0} {:>11.2} % {:>21.1} {:>12.0} MB",
            one.admissions,
            one.admission_cpu * 1e6,
            one.writes,
            one.idle_cpu * 100.0,
            one.idle_transactions,
            one.megabytes,
        );
        measured.push(one);
    }
    let costs = Costs::of(measured.first().ok_or("nothing was measured")?);
    show(&costs);
    Ok(compare(&costs, &measured))
}

/// What the fleet needs by the model.
fn show(costs: &Costs) {
    let Fleet { clusters, pods, .. } = FLEET;
    println!("\n{clusters:.0} clusters of {pods:.0} Pods, by the model:");
    for servers in [3.0, 10.0] {
        let needs = needs(&FLEET, costs, servers);
        println!(
            "{servers:>3.0} servers: {:.0} admissions a second, {:.0} at worst, for which {:.1} cores half in use; {:.0} GB of log a day; \
             changes take {:.1} % of what the database commits; idle they ask it {:.0} times a second",
            needs.usual,
            needs.worst,
            needs.cores,
            needs.gigabytes_a_day,
            needs.writes_share * 100.0,
            servers * costs.idle.1,
        );
    }
    println!();
}

/// The model's figures against the measured ones, for more servers than it was made from.
fn compare(costs: &Costs, measured: &[Measured]) -> bool {
    let mut kept = true;
    for one in measured.iter().skip(1) {
        let count = one.servers;
        let away = |is: f64, by_model: f64| (is / by_model - 1.0).abs();
        let cpu = one.admission_cpu * one.admissions;
        let by_model = costs.cpu(count, one.admissions) - count * costs.idle.0;
        kept &= line(
            &format!("{count:.0} servers: CPU for admissions, away from the model"),
            away(cpu, by_model),
            "×",
            NEAR,
        );
        kept &= line(
            &format!("{count:.0} servers: idle transactions, away from the model"),
            away(one.idle_transactions, count * costs.idle.1),
            "×",
            NEAR,
        );
        kept &= line(
            &format!("{count:.0} servers: changes a second, away from the model"),
            away(one.writes, costs.writes),
            "×",
            NEAR,
        );
    }
    kept
}

async fn run(count: usize) -> Outcome<Measured> {
    let database = Database::start().ok_or("this needs PostgreSQL")?;
    let replicas = replicas::start(count, (&database.url(), "")).await?;
    let servers = replicas
        .iter()
        .map(Replica::running)
        .collect::<Outcome<Vec<_>>>()?;
    let first = servers.first().ok_or("no server runs")?;
    let signer = inputs::Signer::new()?;
    inputs::prepare(first, &signer).await?;
    inputs::attest(first, &signer, 0..3).await?;
    let bodies = Arc::new(vec![inputs::review(&[0, 1, 2])?]);
    // The first answers are about what nobody has in memory.
    admit(&servers, &bodies, Duration::from_secs(2)).await?;
    // What the beginning left to be done is done.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let (before, began, asked) = (cpu(&servers)?, Instant::now(), transactions(&database)?);
    tokio::time::sleep(IDLE).await;
    let idle = began.elapsed().as_secs_f64();
    let idle_cpu = (cpu(&servers)? - before).as_secs_f64() / idle;
    let idle_transactions = (transactions(&database)? - asked) / idle;
    let (before, bytes) = (cpu(&servers)?, logged(&replicas)?);
    let came = admit(&servers, &bodies, LENGTH).await?;
    let answered: u64 = came.iter().map(|came| came.waits.count()).sum();
    let used = (cpu(&servers)? - before).as_secs_f64() - idle_cpu * LENGTH.as_secs_f64();
    let record_bytes = (logged(&replicas)? - bytes) / answered as f64;
    let longest = came.iter().map(|came| came.took).max().unwrap_or(LENGTH);
    Ok(Measured {
        servers: count as f64,
        idle_cpu,
        idle_transactions,
        admissions: answered as f64 / longest.as_secs_f64(),
        admission_cpu: used / answered as f64,
        writes: writes(&servers, signer).await?,
        megabytes: first.resident_megabytes()?,
        record_bytes,
    })
}

fn cpu(servers: &[&Server]) -> Outcome<Duration> {
    servers.iter().map(|server| server.cpu()).sum()
}

/// What the database has committed and rolled back so far, without this question.
fn transactions(database: &Database) -> Outcome<f64> {
    let sql = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = 'binauthz'";
    Ok(database.ask("postgres", sql).parse()?)
}

/// Bytes of records in the logs of all servers.
fn logged(replicas: &[Replica]) -> Outcome<f64> {
    let mut sum = 0;
    for replica in replicas {
        for entry in std::fs::read_dir(replica.folder.path().join("journal"))? {
            sum += written(&entry?.path())?;
        }
    }
    Ok(f64::from(u32::try_from(sum)?))
}

/// Of a segment, up to the room that was made ahead.
fn written(path: &Path) -> Outcome<usize> {
    if path.extension().is_none_or(|end| end != "jsonl") {
        return Ok(0);
    }
    let bytes = std::fs::read(path)?;
    Ok(bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1))
}

/// Asks all of them at the same time.
async fn admit(servers: &[&Server], bodies: &Arc<Vec<Bytes>>, length: Duration) -> Outcome<Vec<Came>> {
    let mut asking = tokio::task::JoinSet::new();
    for server in servers {
        let load = Load {
            at_once: AT_ONCE,
            until: Until::Elapsed(length),
            per_second: None,
        };
        let client = server.client(false)?;
        let url = format!("{}{}", server.url("webhook")?, inputs::WEBHOOK_PATH);
        let bodies = Arc::clone(bodies);
        asking.spawn(async move { reviews(load, (&client, &url), &bodies).await });
    }
    let came = asking.join_all().await;
    came.iter().try_for_each(must_be_good)?;
    Ok(came)
}

/// Attestations stored one by one, by turns through each server.
async fn writes(servers: &[&Server], signer: inputs::Signer) -> Outcome<f64> {
    let apis = servers.iter().map(|server| inputs::Api::of(server));
    let apis = Arc::new(apis.collect::<Outcome<Vec<_>>>()?);
    let signer = Arc::new(signer);
    let load = Load {
        at_once: WRITERS,
        until: Until::Elapsed(LENGTH),
        per_second: None,
    };
    let came = drive(load, move |number| {
        let (apis, signer) = (Arc::clone(&apis), Arc::clone(&signer));
        async move {
            let fault = |sentence: String| Fault {
                kind: "not stored".to_owned(),
                sentence,
            };
            let place = usize::try_from(number).unwrap_or_default() % apis.len();
            let api = apis.get(place).ok_or_else(|| fault("no server".to_owned()))?;
            let image = 1_000 + u32::try_from(number).unwrap_or_default();
            let occurrence = signer
                .occurrence(image)
                .map_err(|error| fault(error.to_string()))?;
            let path = "/v1/projects/bench/occurrences";
            let sent = api.send("POST", path, &occurrence).await;
            sent.map_err(|error| fault(error.to_string()))
        }
    })
    .await;
    must_be_good(&came)?;
    Ok(came.per_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    const COSTS: Costs = Costs {
        admission: 50e-6,
        idle: (0.01, 5.0),
        writes: 1_000.0,
        record_bytes: 2_000.0,
    };

    #[test]
    fn what_a_fleet_needs_follows_from_its_pods() {
        let one = needs(&FLEET, &COSTS, 1.0);
        assert!((one.usual - 347.2).abs() < 0.1, "{one:?}");
        assert!((one.worst - one.usual - 666.7).abs() < 0.1, "{one:?}");
        assert!((one.gigabytes_a_day - 60.0).abs() < 0.1, "{one:?}");
        // Servers that nobody asks cost something, too.
        let ten = needs(&FLEET, &COSTS, 10.0);
        assert!(
            (ten.cores - one.cores - 9.0 * 0.01 / FULL).abs() < 1e-9,
            "{ten:?}"
        );
        let twice = Fleet {
            clusters: 2_000.0,
            ..FLEET
        };
        assert!(needs(&twice, &COSTS, 1.0).cores > one.cores);
    }

    #[test]
    fn a_measurement_that_is_not_as_the_model_says_is_no_promise_kept() {
        let measured = |servers: f64, admission_cpu: f64, writes: f64| Measured {
            servers,
            idle_cpu: servers * 0.01,
            idle_transactions: servers * 5.0,
            admissions: 10_000.0,
            admission_cpu,
            writes,
            megabytes: 50.0,
            record_bytes: 2_000.0,
        };
        let one = measured(1.0, 50e-6, 1_000.0);
        for (other, expected) in [
            (measured(2.0, 55e-6, 900.0), true),
            (measured(2.0, 90e-6, 900.0), false),
            (measured(2.0, 55e-6, 100.0), false),
        ] {
            assert_eq!(compare(&Costs::of(&one), &[one, other]), expected, "{other:?}");
        }
    }
}
