//! Start to ready, and memory, with many attestations stored.

use binauthz_store::Store;

use crate::load::{self, median};
use crate::process::{SERVE, Server};
use crate::{Outcome, filled, inputs, line};

/// As many as an organisation of a thousand clusters has.
pub(crate) const ATTESTATIONS: u32 = 1_000_000;
const STARTS: u32 = 9;
const PROMISED_MILLISECONDS: f64 = 300.0;
/// With up to a tenth of them, and with all.
const PROMISED_MEGABYTES: [f64; 2] = [150.0, 256.0];

pub(crate) async fn measure(attestations: u32) -> Outcome<bool> {
    let folder = tempfile::tempdir()?;
    let signer = inputs::Signer::new()?;
    let server = Server::start(SERVE, folder.path()).await?;
    inputs::prepare(&server, &signer).await?;
    drop(server);
    let store = Store::open(&folder.path().join("binauthz.db"))?;
    filled::fill(&store, &signer, 0..attestations).await?;
    drop(store);
    println!("{attestations} attestations stored; {STARTS} starts, each asked for one verdict\n");
    let (mut ready, mut resident) = (Vec::new(), Vec::new());
    for number in 0..STARTS {
        let server = Server::start(SERVE, folder.path()).await?;
        ready.push(server.ready_after.as_secs_f64() * 1e3);
        let url = format!("{}{}", server.url("webhook")?, inputs::WEBHOOK_PATH);
        let body = inputs::review(&[attestations / STARTS * number])?;
        load::post(
            &server,
            (&server.client(false)?, &url),
            &vec![body].into(),
            (1, 1),
        )
        .await?;
        resident.push(server.resident_megabytes()?);
    }
    println!(
        "slowest start {:.0} ms",
        ready.iter().copied().fold(0.0, f64::max)
    );
    let quick = line(
        "start to ready, median",
        median(ready),
        "ms",
        PROMISED_MILLISECONDS,
    );
    let small = line(
        "resident memory after the first verdict, median",
        median(resident),
        "MB",
        PROMISED_MEGABYTES[usize::from(attestations > ATTESTATIONS / 10)],
    );
    Ok(quick && small)
}
