//! `cargo run -p xtask -- tidy`: what a reviewer would otherwise have to look for by hand. `… -- sbom`: what a release
//! consists of.
#![forbid(unsafe_code)]

use std::io::{self, Write as _};
use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("tidy") => tidy(),
        Some("sbom") => sbom(),
        _ => {
            let _ = writeln!(io::stderr(), "usage: cargo run -p xtask -- tidy|sbom");
            ExitCode::from(2)
        }
    }
}

fn sbom() -> ExitCode {
    let written = xtask::sbom::write(&xtask::repository_root())
        .map_err(|error| error.to_string())
        .and_then(|text| {
            let mut stdout = io::stdout();
            stdout
                .write_all(text.as_bytes())
                .map_err(|error| error.to_string())
        });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "there is no bill of materials: {error}");
            ExitCode::FAILURE
        }
    }
}

fn tidy() -> ExitCode {
    let mut stderr = io::stderr().lock();
    match xtask::tidy::run(&xtask::repository_root()) {
        Ok(findings) if findings.is_empty() => ExitCode::SUCCESS,
        Ok(findings) => {
            for finding in &findings {
                let _ = writeln!(stderr, "{finding}");
            }
            let _ = writeln!(stderr, "{} findings", findings.len());
            ExitCode::FAILURE
        }
        Err(error) => {
            let _ = writeln!(stderr, "tidy could not look: {error}");
            ExitCode::FAILURE
        }
    }
}
