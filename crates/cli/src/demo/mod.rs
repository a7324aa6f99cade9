//! The tutorial's story, played on this machine.
//!
//! The program starts itself as a server in a temporary folder and talks to it as everybody does: its own commands
//! through the API port, and the reviews a Kubernetes API server would send through the webhook's TLS port. What is
//! printed as a command is what is run.

mod ledger;
mod review;
mod screen;
mod server;
mod stage;
mod story;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use self::{screen::Screen, server::Server, stage::Stage};
use crate::failure::{Exit, Failure};

/// How to play it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  binauthz demo\n  binauthz demo --keep\n\n\
    Exit codes: 0 every step came out as it should, 1 one did not, 2 it could not be played")]
pub struct DemoFlags {
    /// Leave the server running afterwards and say how to point gcloud and kubectl at it
    #[arg(long)]
    keep: bool,
}

/// Plays the story. However it ends, the server is stopped and its folder removed.
pub(crate) async fn run(flags: &DemoFlags) -> Result<Exit, Failure> {
    tokio::select! {
        // Dropping the play drops its server and its folder.
        ended = play(flags) => ended,
        interrupted = interruption() => interrupted,
    }
}

async fn play(flags: &DemoFlags) -> Result<Exit, Failure> {
    let mut screen = Screen::for_terminal();
    screen.opening();
    let mut server = Server::start().await?;
    let outcome = story::tell(&mut Stage::new(&server, &mut screen)?).await;
    if let Err(failure) = outcome {
        return Err(failure.advise("this step did not come out as it should"));
    }
    if flags.keep {
        keep(&mut server, &mut screen).await?;
    }
    server.stop().await;
    Ok(Exit::Done)
}

async fn keep(server: &mut Server, screen: &mut Screen) -> Result<(), Failure> {
    server.write_webhook_manifest()?;
    screen.keeping(server.data_dir(), server.manifest());
    server.ended().await
}

/// Ctrl-C or a request to terminate.
async fn interruption() -> Result<Exit, Failure> {
    let failed = |error: std::io::Error| Failure::usage(format_args!("could not watch for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(failed)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = hangup.recv() => {}
    }
    Err(Failure::usage(
        "interrupted; the demonstration's server is stopped and its folder removed",
    ))
}
