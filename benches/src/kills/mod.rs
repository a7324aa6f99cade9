//! `kill -9` of a random process of several servers on one database, every two seconds, under load: of a server, of the
//! database, or of one of the database's connections. What was answered has to be there afterwards, once; what a verdict
//! says has to be what policy and attestations said at the time; and no key goes back to a state that it has left.

mod facts;
mod keys;
mod ledger;
mod workers;

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use binauthz_conformance::Database;

use self::workers::Storm;
use crate::replicas::{self, Replica};
use crate::{Outcome, inputs, line};

/// The issue's.
pub(crate) const SECONDS: u64 = 300;
const REPLICAS: usize = 3;
/// From one kill to the next; the issue's.
const PACE: Duration = Duration::from_secs(2);
/// Of so many kills one takes a server and the database at the same time.
const BOTH: usize = 4;

/// Until a server runs again.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whose end came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    Server,
    Database,
    Connection,
    ServerAndDatabase,
}

impl Victim {
    fn chosen() -> Self {
        if random(BOTH) == 0 {
            return Victim::ServerAndDatabase;
        }
        // One process of the database for each server's.
        match random(REPLICAS + 1) {
            0 if random(2) == 0 => Victim::Connection,
            0 => Victim::Database,
            _ => Victim::Server,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Victim::Server => "a server",
            Victim::Database => "the database",
            Victim::Connection => "a connection of the database",
            Victim::ServerAndDatabase => "a server and the database at once",
        }
    }
}

/// A number below this one.
fn random(below: usize) -> usize {
    let number = RandomState::new().hash_one(0);
    usize::try_from(number % below.max(1) as u64).unwrap_or_default()
}

pub(crate) async fn measure(seconds: u64) -> Outcome<bool> {
    let mut database = Database::start().ok_or("this needs PostgreSQL")?;
    let store = database.url();
    let mut replicas = replicas::start(REPLICAS, (&store, "")).await?;
    let first = replicas.first().ok_or("no server runs")?.running()?;
    let signer = inputs::Signer::new()?;
    inputs::prepare(first, &signer).await?;
    let storm = Arc::new(Storm::over(&replicas, signer)?);
    storm.prepare().await?;
    let load = workers::start(&storm);
    let began = Instant::now();
    let length = Duration::from_secs(seconds);
    let kills = disturb(&storm, (&mut replicas, &mut database), (&store, length)).await;
    storm.end();
    load.join_all().await;
    let kills = kills?;
    println!(
        "{:.0} s of admissions and changes over {REPLICAS} servers on one PostgreSQL, {} kills:\n",
        began.elapsed().as_secs_f64(),
        kills.values().sum::<usize>()
    );
    for (victim, count) in &kills {
        println!("{count:>8} {}", victim.name());
    }
    println!();
    ledger::check(&storm, (&replicas, &database)).await?;
    let mut faults = 0;
    for (what, count) in storm.counts() {
        println!("{count:>8} {what}");
        if what.starts_with(workers::FAULT) {
            faults += count;
        }
    }
    println!();
    Ok(line(
        "acknowledged and lost, twice, backwards or wrong",
        f64::from(u32::try_from(faults).unwrap_or(u32::MAX)),
        "",
        0.0,
    ))
}

/// Kills and starts again, for so long; at the end everything runs.
async fn disturb(
    storm: &Storm,
    (replicas, database): (&mut [Replica], &mut Database),
    (store, length): (&str, Duration),
) -> Outcome<BTreeMap<Victim, usize>> {
    let mut clock = tokio::time::interval(PACE);
    clock.tick().await;
    let (began, mut kills) = (Instant::now(), BTreeMap::new());
    while began.elapsed() < length {
        clock.tick().await;
        let victim = Victim::chosen();
        *kills.entry(victim).or_default() += 1;
        let number = random(replicas.len());
        let replica = replicas.get_mut(number).ok_or("no such server")?;
        if matches!(victim, Victim::Server | Victim::ServerAndDatabase) {
            storm.lost_server(number);
            replica.kill();
        }
        // Not on another thread: PostgreSQL ends with the thread that started it.
        match victim {
            Victim::Server => {}
            Victim::Database | Victim::ServerAndDatabase => {
                storm.lost_database();
                database.kill();
                database.run();
                storm.has_database();
            }
            Victim::Connection => {
                storm.lost_database();
                if database.kill_one_connection() {
                    database.wait();
                }
                storm.has_database();
            }
        }
        if replica.server.is_none() {
            start_again(replica, store).await?;
            storm.has_server(number, replica.running()?)?;
        }
    }
    Ok(kills)
}

/// As whoever looks after it does: a server that finds no database ends, and is started anew.
async fn start_again(replica: &mut Replica, store: &str) -> Outcome<()> {
    let began = Instant::now();
    loop {
        match replica.start(store).await {
            Ok(_) => return Ok(()),
            Err(why) if began.elapsed() > PATIENCE => return Err(why),
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}
