//! `serve`: the flags of the command line handed to the server, and its log set up.

use std::fmt::Display;
use std::io::{IsTerminal, Write as _};
use std::path::{Path, PathBuf};

use binauthz_cli::{Exit, Failure, MigrateDataFlags, ServeFlags, report};
use binauthz_server::{Flags, Settings};
use tracing_subscriber::EnvFilter;

/// Serves until it is told to stop.
pub(crate) fn run(data_dir: PathBuf, flags: ServeFlags) -> Exit {
    start_log();
    if let Err(error) = crate::memory::keep() {
        tracing::warn!(%error, "a core file of this process would hold private keys: the system does not let it be forbidden");
    }
    match serve(data_dir, flags) {
        Ok(()) => Exit::Done,
        Err(failure) => report(&failure),
    }
}

fn serve(data_dir: PathBuf, flags: ServeFlags) -> Result<(), Failure> {
    let settings = Settings::new(Flags {
        data_dir,
        dev: flags.dev,
        api_listen: flags.api_listen,
        webhook_listen: flags.webhook_listen,
        health_listen: flags.health_listen,
        registries: flags.registries,
        require_policy: flags.require_policy,
        googleapis: flags.googleapis,
        googleapis_listen: flags.googleapis_listen,
        custom_resources: flags.custom_resources,
        guard: flags.guard,
        store: flags.store,
        config: flags.config,
    })
    .map_err(failed)?;
    if flags.check {
        return std::io::stdout()
            .write_all(settings.to_string().as_bytes())
            .map_err(failed);
    }
    let runtime = crate::runtime().map_err(failed)?;
    runtime.block_on(binauthz_server::run(settings)).map_err(failed)
}

/// Copies the store of a data folder into a database, and says what was copied, a line for each table.
pub(crate) fn migrate_data(folder: &Path, flags: MigrateDataFlags) -> Exit {
    start_log();
    let migrated = crate::runtime()
        .map_err(failed)
        .and_then(|runtime| {
            runtime
                .block_on(binauthz_server::migrate_data(folder, &flags.store, flags.config))
                .map_err(failed)
        })
        .and_then(|report| std::io::stdout().write_all(report.as_bytes()).map_err(failed));
    match migrated {
        Ok(()) => Exit::Done,
        Err(failure) => report(&failure),
    }
}

/// Copies the store of a data folder into a file.
pub(crate) fn backup(folder: &Path, to: &Path) -> Exit {
    match binauthz_server::backup(folder, to).map_err(failed) {
        Ok(()) => Exit::Done,
        Err(failure) => report(&failure),
    }
}

fn failed(error: impl Display) -> Failure {
    Failure::usage(error)
}

/// Lines for a person at a terminal, JSON for everything else; `BINAUTHZ_LOG` filters (`info` by default).
fn start_log() {
    let filter = EnvFilter::try_from_env("BINAUTHZ_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        log.init();
    } else {
        log.json().init();
    }
}
