//! The demonstration.
use crate::failure::{Exit, Failure};
use clap::Args;

/// How to play it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  binauthz demo\n  binauthz demo --keep")]
pub struct DemoFlags {
    /// Leave the server running afterwards, until Ctrl-C
    #[arg(long)]
    keep: bool,
}

pub(crate) async fn run(_flags: &DemoFlags) -> Result<Exit, Failure> {
    Err(Failure::usage("not yet"))
}
