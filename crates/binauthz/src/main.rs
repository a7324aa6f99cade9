//! One binary: argv → the server, or a command.

#![forbid(unsafe_code)]

mod memory;
mod serve;

use std::process::ExitCode;

use binauthz_cli::{Failure, Invocation, parse, report};

// Admissions allocate many small values on several threads at once.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // The one TLS and crypto stack of the process, before anything can ask for another.
    binauthz_cli::install_crypto_provider();
    let exit = match parse() {
        Ok(Invocation::Serve(folder, flags)) => serve::run(folder, *flags),
        Ok(Invocation::MigrateData(folder, flags)) => serve::migrate_data(&folder, flags),
        Ok(Invocation::Backup(folder, to)) => serve::backup(&folder, &to),
        Ok(Invocation::Command(arguments)) => {
            // A command that signs opens a key, too; one that cannot be protected so is no reason not to sign.
            let _ = memory::keep();
            match runtime() {
                Ok(runtime) => runtime.block_on(binauthz_cli::run(*arguments)),
                Err(error) => report(&Failure::usage(format_args!(
                    "the program's threads could not be started: {error}"
                ))),
            }
        }
        Err(failure) => report(&failure),
    };
    exit.into()
}

/// Threads for everything that waits.
pub(crate) fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}
