//! Instructions an admission executes outside of the kernel, warm and cold, beside those of the bare handler. Unlike times they
//! are nearly the same in every run, so a change of a few percent is seen: `benches/instructions.baseline` holds what they were,
//! and more than that by [`PROMISED_GROWTH`] fails.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::baseline::{self, Baseline, Counts};
use crate::load;
use crate::process::{BARE, SERVE, Server, metric};
use crate::{Outcome, inputs, line};

const WARM_UP: usize = 200;
const REQUESTS: usize = 1_000;
/// Each costs some milliseconds under valgrind.
const COLD: u32 = 300;
/// As many as the other measurements have at once.
const CONCURRENCY: usize = 32;
/// Bytes of the log that are indexed together.
const INDEX_BLOCK: f64 = 131_072.0;
const PATIENCE: Duration = Duration::from_secs(60);
/// Counted without the kernel, where the record costs most, and with what brings the index of the log on meanwhile.
const PROMISED_RATIO: f64 = 3.0;
/// The issue's: no more than this many times the baseline.
const PROMISED_GROWTH: f64 = 1.05;

/// Measures; with a folder, what valgrind wrote stays there, for `callgrind_annotate`.
pub(crate) async fn measure(keep: Option<&Path>) -> Outcome<bool> {
    let own = tempfile::tempdir()?;
    let counts = count_all(keep.unwrap_or(own.path())).await?;
    println!(
        "instructions of an admission of a Pod with 3 containers, outside of the kernel: bare {:.0}, warm {:.0}; \
         cold, with one container: {:.0}\n",
        counts.bare, counts.warm, counts.cold
    );
    let mut kept = line(
        "instructions, against the bare handler",
        counts.warm / counts.bare,
        "×",
        PROMISED_RATIO,
    );
    if std::env::var_os("BINAUTHZ_BLESS").is_some() {
        println!("written to {}", Baseline::write(&counts)?.display());
        return Ok(kept);
    }
    if !baseline::is_comparable() {
        println!("SKIPPED (needs x86-64 with AVX2): the baseline was counted on such a machine");
        return Ok(kept);
    }
    let baseline = Baseline::read()?;
    for note in baseline.notes(&counts)? {
        println!("note: {note}");
    }
    for (what, now, then) in [
        ("warm admission", counts.warm, baseline.counts.warm),
        ("cold admission", counts.cold, baseline.counts.cold),
    ] {
        let what = format!("instructions of a {what}, against the baseline");
        kept &= line(&what, now / then, "×", PROMISED_GROWTH);
    }
    Ok(kept)
}

async fn count_all(folder: &Path) -> Outcome<Counts> {
    let signer = inputs::Signer::new()?;
    let bodies = Arc::new(vec![inputs::review(&[0, 1, 2])?]);
    let ours = Counted::start(SERVE, folder.join("ours"), inputs::WEBHOOK_PATH).await?;
    inputs::prepare(&ours.server, &signer).await?;
    inputs::attest(&ours.server, &signer, 0..3 + COLD).await?;
    ours.post(&bodies, WARM_UP).await?;
    let warm = ours.count(&bodies, REQUESTS).await?;
    let cold = (3..3 + COLD).map(|number| inputs::review(&[number]));
    let cold = Arc::new(cold.collect::<Outcome<Vec<_>>>()?);
    let cold = ours.count(&cold, cold.len()).await?;
    drop(ours);
    let yardstick = Counted::start(BARE, folder.join("bare"), "").await?;
    yardstick.post(&bodies, WARM_UP).await?;
    let bare = yardstick.count(&bodies, REQUESTS).await?;
    Ok(Counts { bare, warm, cold })
}

/// A server under valgrind.
struct Counted {
    server: Server,
    client: reqwest::Client,
    url: String,
    folder: PathBuf,
}

impl Counted {
    async fn start(word: &str, folder: PathBuf, path: &str) -> Outcome<Self> {
        std::fs::create_dir_all(&folder)?;
        let output = format!("--callgrind-out-file={}", folder.join("callgrind.out").display());
        let above = ["valgrind", "--tool=callgrind", "--instr-atstart=no", &output];
        let server = Server::start_under(&above, word, &folder).await?;
        Ok(Self {
            client: server.client(false)?,
            url: format!("{}{path}", server.url("webhook")?),
            server,
            folder,
        })
    }

    async fn post(&self, bodies: &Arc<Vec<Bytes>>, requests: usize) -> Outcome<()> {
        let size = (requests, CONCURRENCY);
        load::post(&self.server, (&self.client, &self.url), bodies, size).await?;
        Ok(())
    }

    /// Instructions per request.
    async fn count(&self, bodies: &Arc<Vec<Bytes>>, requests: usize) -> Outcome<f64> {
        let before = totals(&self.folder)?;
        self.indexed().await?;
        self.control("--instr=on")?;
        self.post(bodies, requests).await?;
        self.indexed().await?;
        self.control("--instr=off")?;
        self.control("--dump")?;
        Ok((totals(&self.folder)? - before) / requests as f64)
    }

    /// Waits until the index of the log is as far as it gets: what it owes would be counted, or not, by chance.
    async fn indexed(&self) -> Outcome<()> {
        if self.server.url("health").is_err() {
            // The bare handler has no log.
            return Ok(());
        }
        let began = Instant::now();
        while metric(&self.server.metrics().await?, "binauthz_log_unindexed_bytes")? >= INDEX_BLOCK {
            if began.elapsed() > PATIENCE {
                return Err("the log was not indexed in time".into());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }

    fn control(&self, word: &str) -> Outcome<()> {
        let output = Command::new("callgrind_control")
            .arg(word)
            .arg(self.server.id().to_string())
            .output()?;
        if output.status.success() {
            return Ok(());
        }
        let why = String::from_utf8_lossy(&output.stderr);
        Err(format!("callgrind_control {word}: {why}").into())
    }
}

/// The sums of all dumps of a folder, in their `totals:` lines. A dump sets the counts back.
fn totals(folder: &Path) -> Outcome<f64> {
    let mut total = 0.0;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("callgrind.out") {
            let dump = std::fs::read_to_string(&path)?;
            let lines = dump.lines().filter_map(|line| line.strip_prefix("totals:"));
            total += lines
                .filter_map(|rest| rest.trim().parse::<f64>().ok())
                .sum::<f64>();
        }
    }
    Ok(total)
}
