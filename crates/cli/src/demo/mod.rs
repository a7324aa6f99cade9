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

use std::time::Instant;

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
    let mut screen = Screen::for_terminal();
    let mut server = tokio::select! {
        // Dropping the play drops its server and its folder.
        played = play(&mut screen) => played?,
        interrupted = interruption() => return Err(after(interrupted)),
    };
    if flags.keep {
        server.write_webhook_manifest()?;
        screen.keeping(server.data_dir(), server.manifest());
        screen.shown()?;
        tokio::select! {
            ended = server.ended() => ended?,
            interrupted = interruption() => interrupted?,
        }
    }
    server.stop().await;
    Ok(Exit::Done)
}

async fn play(screen: &mut Screen) -> Result<Server, Failure> {
    let started = Instant::now();
    screen.opening();
    let server = Server::start().await?;
    story::tell(&mut Stage::new(&server, screen)?)
        .await
        .map_err(|failure| failure.advise("this step did not come out as it should"))?;
    let seconds = started.elapsed().as_secs_f32();
    screen.ending(&format!("Every step came out as it should ({seconds:.1} s)."));
    screen.shown()?;
    Ok(server)
}

fn after(interrupted: Result<(), Failure>) -> Failure {
    let sentence = "interrupted; the demonstration's server is stopped and its folder removed";
    interrupted.err().unwrap_or_else(|| Failure::usage(sentence))
}

/// Ctrl-C or a request to terminate.
async fn interruption() -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::usage(format_args!("could not watch for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(failed)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}
