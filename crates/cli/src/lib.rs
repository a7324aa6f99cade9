//! The operator's hand: gcloud-shaped commands over HTTP, a verdict without a server, and the demonstration.
//!
//! Arguments are read in two steps: as typed (`args`), then as meant (`settings`). A command is one file under
//! `commands`; it answers with an [`Exit`] or a [`Failure`], and only [`run`] prints the latter.

#![forbid(unsafe_code)]

mod args;
mod artifact;
mod client;
mod commands;
mod demo;
mod duration;
mod explain;
mod failure;
mod key_flags;
mod lint;
mod listing;
pub mod load;
mod names;
mod output;
mod settings;
mod signing;
mod snapshot;
mod yaml;

use std::path::PathBuf;

use clap::{CommandFactory, FromArgMatches, parser::ValueSource};

pub use args::{Arguments, Command, GlobalFlags, MigrateDataFlags, ServeFlags, StoreCommand};
pub use failure::{Exit, Failure};
use settings::Settings;

/// What the process is to be: a server, or one command.
#[derive(Debug)]
pub enum Invocation {
    /// The server, with its data folder.
    Serve(PathBuf, Box<ServeFlags>),
    /// The copying of a data folder's store into the database of this address.
    MigrateData(PathBuf, MigrateDataFlags),
    /// The copying of a data folder's store into this file.
    Backup(PathBuf, PathBuf),
    /// A command of this crate.
    Command(Box<Arguments>),
}

/// Installs the process-wide TLS provider, once, before the first connection or listener.
pub fn install_crypto_provider() {
    // An error means that one is installed already, which is what is wanted.
    let _already = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// Reads the command line; wrong usage and `--help` end the process, as clap does.
pub fn parse() -> Result<Invocation, Failure> {
    let matches = Arguments::command().get_matches();
    let mut arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let typed = |flag: &str| matches.value_source(flag) == Some(ValueSource::CommandLine);
    arguments.global = Settings::of_command_line(arguments.global, typed);
    match arguments.command {
        Command::Serve(flags) => {
            let folder = Settings::new(arguments.global).required_data_dir()?.to_owned();
            Ok(Invocation::Serve(folder, Box::new(flags)))
        }
        Command::Store(StoreCommand::MigrateData(flags)) => {
            let folder = Settings::new(arguments.global).required_data_dir()?.to_owned();
            Ok(Invocation::MigrateData(folder, flags))
        }
        Command::Store(StoreCommand::Backup(flags)) => {
            let folder = Settings::new(arguments.global).required_data_dir()?.to_owned();
            Ok(Invocation::Backup(folder, flags.to))
        }
        _ => Ok(Invocation::Command(Box::new(arguments))),
    }
}

/// Runs one command to its end.
pub async fn run(arguments: Arguments) -> Exit {
    let settings = Settings::with_environment(arguments.global);
    match dispatch(&arguments.command, &settings).await {
        Ok(exit) => exit,
        Err(failure) => report(&failure),
    }
}

/// Says what went wrong, on standard error.
pub fn report(failure: &Failure) -> Exit {
    for line in failure.to_string().lines() {
        output::note(line);
    }
    failure.exit()
}

async fn dispatch(command: &Command, settings: &Settings) -> Result<Exit, Failure> {
    match command {
        Command::Demo(flags) => demo::run(flags).await,
        Command::Serve(_) | Command::Store(_) => {
            Err(Failure::usage("this is run by the program itself, not over HTTP"))
        }
        Command::Attestors(command) => command.run(settings).await,
        Command::Policy(command) => command.run(settings).await,
        Command::Attestations(command) => command.run(settings).await,
        Command::CreateSignaturePayload(flags) => flags.run(),
        Command::Keyrings(command) => command.run(settings).await,
        Command::Keys(command) => command.run(settings).await,
        Command::Locations(command) => command.run(settings).await,
        Command::Channels(command) => command.run(settings).await,
        Command::Incidents(command) => command.run(settings).await,
        Command::Notes(command) => command.run(settings).await,
        Command::Cluster(command) => command.run(settings).await,
        Command::Clusters(command) => command.run(settings).await,
        Command::Images(command) => command.run(settings).await,
        Command::Services(command) => command.run(settings).await,
        Command::Logs(command) => command.run(settings).await,
        Command::Audit(command) => command.run(settings).await,
        Command::BreakGlass(command) => command.run(settings).await,
        Command::Iam(command) => command.run(settings).await,
        Command::Sod(command) => command.run(settings).await,
        Command::Tokens(command) => command.run(settings).await,
        Command::Credentials(command) => command.run(settings).await,
        Command::Projects(command) => command.run(settings).await,
        Command::Decide(flags) => flags.run(settings).await,
        Command::Doctor(flags) => flags.run(settings).await,
        Command::Bench(flags) => flags.run(settings).await,
        Command::Explain(flags) => flags.run(settings).await,
        Command::Snapshot(command) => command.run(settings).await,
        Command::Env(flags) => flags.run(settings),
        Command::Completion(flags) => flags.run(),
    }
}
