//! What the promises about speed and size come to on this machine, each in one run:
//!
//! ```text
//! cargo run --release -p binauthz-benches -- access      what IAM policies add to a read of the management API
//! cargo run --release -p binauthz-benches -- admission   server CPU per warm admission, against a bare handler
//! cargo run --release -p binauthz-benches -- cold        server CPU per decision on an image never seen before
//! cargo run --release -p binauthz-benches -- durability  records per sync of the disk, and what recording adds to an admission
//! cargo run --release -p binauthz-benches -- alert-delay   from the record of a break-glass to the receiver of its alert
//! cargo run --release -p binauthz-benches -- start [ATTESTATIONS]  start to ready, and memory, with 1 000 000 of them stored
//! cargo run --release -p binauthz-benches -- allowlist   10 000 patterns against 10
//! cargo run --release -p binauthz-benches -- ingest [ATTESTATIONS]  attestations through the API, against the store alone
//! cargo run --release -p binauthz-benches -- misses [DIGESTS]  proofs that are not in memory, against pgbench
//! cargo run --release -p binauthz-benches -- query       first page of log queries over 1 000 000 verdicts
//! cargo run --release -p binauthz-benches -- creates     Pods created in a real cluster, against bare webhooks
//! cargo run --release -p binauthz-benches -- replicas    1, 2 and 4 servers on one PostgreSQL, against a model of them
//! cargo run --release -p binauthz-benches -- saturation [PLOT]  warm admissions at half and at twice of what can be answered
//! cargo run --release -p binauthz-benches -- soak [SECONDS]  ten minutes of creates while servers and policy change
//! cargo run --release -p binauthz-benches -- kills [SECONDS]  kill -9 of a random server, or of PostgreSQL, every 2 s
//! cargo run --release -p binauthz-benches -- instructions  what admissions execute, counted by valgrind, against the baseline
//! cargo run --release -p binauthz-benches -- report [NAME…]  runs them and writes the results into docs/performance.md
//! ```
//!
//! The servers are processes of their own (this program started again), so that their CPU time is theirs alone.
//! It exits with 1 when a promise is not kept.

#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for a terminal"
)]

mod access;
mod admission;
mod alert_delay;
mod allowlist;
mod bare;
mod baseline;
mod cold;
mod creates;
mod durability;
mod filled;
mod ingest;
mod inputs;
mod instructions;
mod kills;
mod load;
mod misses;
mod process;
mod query;
mod replicas;
mod report;
mod saturation;
mod scale;
mod soak;
mod start;
mod wrong_tokens;

use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use binauthz_server::{Flags, Settings};

// As the product's own main does.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The measurements, and what writes them down.
const NAMES: [&str; 18] = [
    "access",
    "admission",
    "alert-delay",
    "allowlist",
    "cold",
    "creates",
    "durability",
    "ingest",
    "instructions",
    "kills",
    "misses",
    "query",
    "replicas",
    "report",
    "saturation",
    "soak",
    "start",
    "wrong-tokens",
];

pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> ExitCode {
    // An error would mean that it is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = measure(&words);
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// What the words ask for.
fn measure(words: &[&str]) -> Outcome<bool> {
    match words {
        ["access"] => run(access::measure()),
        ["admission"] => run(admission::measure()),
        ["allowlist"] => run(allowlist::measure()),
        ["alert-delay"] => run(alert_delay::measure()),
        ["cold"] => run(cold::measure()),
        ["creates"] => run(creates::measure()),
        ["durability"] => run(durability::measure()),
        ["start", rest @ ..] => run(start::measure(number(rest, start::ATTESTATIONS)?)),
        ["ingest", rest @ ..] => run(ingest::measure(number(rest, ingest::ATTESTATIONS)?)),
        ["misses", rest @ ..] => run(misses::measure(number(rest, misses::DIGESTS)?)),
        ["query", rest @ ..] => run(query::measure(number(rest, query::ENTRIES)?)),
        ["replicas"] => run(scale::measure()),
        ["saturation"] => run(saturation::measure(None)),
        ["saturation", plot] => run(saturation::measure(Some(plot.as_ref()))),
        ["soak", rest @ ..] => run(soak::measure(number(rest, 600)?)),
        ["kills", rest @ ..] => run(kills::measure(number(rest, kills::SECONDS)?)),
        ["wrong-tokens"] => run(wrong_tokens::measure()),
        ["instructions"] => run(instructions::measure(None)),
        ["instructions", folder] => run(instructions::measure(Some(folder.as_ref()))),
        [process::SERVE, folder] => run(serve(PathBuf::from(folder), None)),
        [process::SERVE, folder, store] => run(serve(PathBuf::from(folder), Some((*store).to_owned()))),
        [process::BARE, folder] => run(bare::serve(PathBuf::from(folder))),
        ["report", names @ ..] => report::write(names),
        _ => Err(format!("expected one of: {}", NAMES.join(", ")).into()),
    }
}

/// The number behind the name of a measurement, if there is one.
fn number<T: FromStr>(rest: &[&str], usual: T) -> Outcome<T> {
    match rest {
        [] => Ok(usual),
        [number] => number
            .parse()
            .map_err(|_| format!("`{number}`: expected a number").into()),
        _ => Err("expected one number, or none".into()),
    }
}

fn run(measure: impl Future<Output = Outcome<bool>>) -> Outcome<bool> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(measure)
}

/// The product, on free ports, with the configuration file of its folder if there is one.
async fn serve(data_dir: PathBuf, store: Option<String>) -> Outcome<bool> {
    let free = Some("127.0.0.1:0".parse()?);
    let config = Some(data_dir.join("binauthz.yaml")).filter(|path| path.exists());
    let flags = Flags {
        data_dir,
        dev: true,
        api_listen: free,
        webhook_listen: free,
        health_listen: free,
        store,
        config,
        ..Flags::default()
    };
    binauthz_server::run(Settings::new(flags)?).await?;
    Ok(true)
}

/// One line of a report: what, how much, how much was promised.
pub(crate) fn line(what: &str, value: f64, unit: &str, most: f64) -> bool {
    promised(what, (value, unit), "≤", (most, value <= most))
}

/// The same of something that was promised to be no less.
pub(crate) fn line_at_least(what: &str, value: f64, unit: &str, least: f64) -> bool {
    promised(what, (value, unit), "≥", (least, value >= least))
}

fn promised(what: &str, (value, unit): (f64, &str), sign: &str, (bound, kept): (f64, bool)) -> bool {
    println!(
        "{what:<58} {value:>9.2} {unit:<4} promised {sign} {bound:.2} {}",
        if kept { "✓" } else { "✗" }
    );
    kept
}
