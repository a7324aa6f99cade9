//! Instructions a warm admission executes outside of the kernel, beside those of the bare handler. Unlike times they are
//! nearly the same in every run on every machine, so a change of a few percent is seen.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;

use crate::load;
use crate::process::{BARE, SERVE, Server};
use crate::{Outcome, inputs, line};

const WARM_UP: usize = 200;
const REQUESTS: usize = 1_000;
/// As many as the other measurements have at once.
const CONCURRENCY: usize = 32;
/// Counted without the kernel, where the record costs most, and with what brings the index of the log on meanwhile.
const PROMISED_RATIO: f64 = 3.0;

/// Measures; with a folder, what valgrind wrote stays there, for `callgrind_annotate`.
pub(crate) async fn measure(keep: Option<&Path>) -> Outcome<bool> {
    let own = tempfile::tempdir()?;
    let folder = keep.unwrap_or(own.path());
    let (ours, bare) = (folder.join("ours"), folder.join("bare"));
    std::fs::create_dir_all(&ours)?;
    std::fs::create_dir_all(&bare)?;
    let signer = inputs::Signer::new()?;
    let bodies = Arc::new(vec![inputs::review(&[0, 1, 2])?]);
    let server = start(SERVE, &ours).await?;
    inputs::prepare(&server, &signer).await?;
    inputs::attest(&server, &signer, 0..3).await?;
    let full = count(&server, inputs::WEBHOOK_PATH, &bodies, &ours).await?;
    drop(server);
    let yardstick = start(BARE, &bare).await?;
    let empty = count(&yardstick, "", &bodies, &bare).await?;
    println!("instructions of a warm admission: bare {empty:.0}, ours {full:.0}");
    Ok(line(
        "instructions, against the bare handler",
        full / empty,
        "×",
        PROMISED_RATIO,
    ))
}

async fn start(word: &str, folder: &Path) -> Outcome<Server> {
    let output = format!("--callgrind-out-file={}", folder.join("callgrind.out").display());
    let above = ["valgrind", "--tool=callgrind", "--instr-atstart=no", &output];
    Server::start_under(Some(&above), word, folder).await
}

/// Instructions per request.
async fn count(server: &Server, path: &str, bodies: &Arc<Vec<Bytes>>, folder: &Path) -> Outcome<f64> {
    let client = server.client(false)?;
    let url = format!("{}{path}", server.url("webhook")?);
    load::post(server, (&client, &url), bodies, (WARM_UP, CONCURRENCY)).await?;
    control(server, "--instr=on")?;
    load::post(server, (&client, &url), bodies, (REQUESTS, CONCURRENCY)).await?;
    control(server, "--instr=off")?;
    control(server, "--dump")?;
    let mut total = 0.0;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("callgrind.out"))
        {
            total += totals(&std::fs::read_to_string(path)?);
        }
    }
    Ok(total / REQUESTS as f64)
}

fn control(server: &Server, word: &str) -> Outcome<()> {
    let output = Command::new("callgrind_control")
        .arg(word)
        .arg(server.id().to_string())
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "callgrind_control {word}: {}",
        String::from_utf8_lossy(&output.stderr)
    )
    .into())
}

/// The sums of a dump, in its `totals:` lines.
fn totals(dump: &str) -> f64 {
    let lines = dump.lines().filter_map(|line| line.strip_prefix("totals:"));
    lines.filter_map(|rest| rest.trim().parse::<f64>().ok()).sum()
}
