//! `completion`: a script for the shell.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::{
    args::Arguments,
    failure::{Exit, Failure},
    output,
};

/// Which shell.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  source <(binauthz completion bash)\n  \
    binauthz completion zsh > ~/.zfunc/_binauthz\n  \
    binauthz completion fish > ~/.config/fish/completions/binauthz.fish")]
pub struct Flags {
    /// Shell to complete for
    shell: Shell,
}

impl Flags {
    /// Prints the script.
    pub fn run(&self) -> Result<Exit, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "binauthz", &mut script);
        output::print_bytes(&script)?;
        Ok(Exit::Done)
    }
}
