//! `cargo run -p xtask -- tidy`: what a reviewer would otherwise have to look for by hand.
#![forbid(unsafe_code)]

use std::io::{self, Write as _};
use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("tidy") => tidy(),
        _ => {
            let _ = writeln!(io::stderr(), "usage: cargo run -p xtask -- tidy");
            ExitCode::from(2)
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
