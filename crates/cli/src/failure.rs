//! What a command says when it does not do what was asked, and the exit code that goes with it.

use std::{fmt, path::Path, process::ExitCode};

use binauthz_kubernetes::{
    ApiError, InvalidKubeconfig, Unreachable, UnusableToken, transport::TransportError,
};

use crate::{client::CallError, output::plain};

/// How a command ended. The numbers are part of the command line's contract (see `binauthz --help`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done; for `decide`: admitted.
    Done,
    /// The server refused the request; for `decide`: denied; for `policy lint`: something to look at.
    Refused,
    /// Wrong usage, an unreadable file, a server that cannot be reached: nothing was decided.
    Error,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        match exit {
            Exit::Done => ExitCode::SUCCESS,
            Exit::Refused => ExitCode::from(1),
            Exit::Error => ExitCode::from(2),
        }
    }
}

/// A command that did not do what was asked: one sentence for a person, and what to do about it.
///
/// This is the last stop of every typed error on its way to the terminal; nothing branches on its text.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    sentence: String,
    advice: Vec<String>,
}

impl Failure {
    /// Something the person typed, or a file they named, cannot be used.
    pub fn usage(sentence: impl fmt::Display) -> Failure {
        Failure {
            exit: Exit::Error,
            sentence: sentence.to_string(),
            advice: Vec::new(),
        }
    }

    /// The answer is a plain no.
    pub(crate) fn refused(sentence: impl fmt::Display) -> Failure {
        Failure {
            exit: Exit::Refused,
            sentence: sentence.to_string(),
            advice: Vec::new(),
        }
    }

    /// A file that could not be read or written.
    pub(crate) fn file(doing: &str, path: &Path, error: &std::io::Error) -> Failure {
        Failure::usage(format_args!("could not {doing} `{}`: {error}", path.display()))
    }

    /// Adds a line that says what to do.
    #[must_use]
    pub(crate) fn advise(mut self, line: impl fmt::Display) -> Failure {
        self.advice.push(line.to_string());
        self
    }

    /// The same failure with exit code 2: for `decide`, where 1 is reserved for a denial.
    #[must_use]
    pub(crate) fn undecided(mut self) -> Failure {
        self.exit = Exit::Error;
        self
    }

    /// What happened, without what to do about it.
    pub(crate) fn sentence(&self) -> &str {
        &self.sentence
    }

    /// The exit code of the process.
    pub fn exit(&self) -> Exit {
        self.exit
    }
}

/// The text for the terminal. Whatever came over the network or from a file has its control characters escaped.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", plain(&self.sentence))?;
        for line in &self.advice {
            write!(f, "\n  {}", plain(line))?;
        }
        Ok(())
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Failure {
        match &error {
            CallError::Refused(refusal) => {
                let failure = Failure::refused(format_args!("{}: {}", refusal.status, refusal.message));
                let failure = refusal.details.iter().fold(failure, Failure::advise);
                match refusal.status.as_str() {
                    "UNAUTHENTICATED" => failure.advise(
                        "pass --token-file FILE, set BINAUTHZ_TOKEN, or name the server's folder with --data-dir",
                    ),
                    _ => failure,
                }
            }
            CallError::Transport(TransportError::Unreachable { .. }) => Failure::usage(&error)
                .advise("is it running? `binauthz serve --dev --data-dir DIR` starts one; --server or --data-dir names it"),
            _ => Failure::usage(&error),
        }
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Failure {
        match &error {
            ApiError::Refused { http: 401, .. } => {
                Failure::refused(&error).advise("the credentials of the context are not accepted")
            }
            ApiError::Refused { http: 403, .. } => Failure::refused(&error).advise(
                "webhook configurations take an administrator of the cluster: choose another --context",
            ),
            ApiError::Refused { .. } => Failure::refused(&error),
            ApiError::Transport(_) | ApiError::NotKubernetes { .. } => Failure::usage(&error),
        }
    }
}

impl From<InvalidKubeconfig> for Failure {
    fn from(error: InvalidKubeconfig) -> Failure {
        error
            .advice()
            .iter()
            .fold(Failure::usage(&error), Failure::advise)
    }
}

impl From<Unreachable> for Failure {
    fn from(error: Unreachable) -> Failure {
        match error {
            Unreachable::Api(error) => error.into(),
            Unreachable::Unanswered { .. } => Failure::refused(&error).advise(
                "its address must be reachable from the control plane, and its certificate be of --webhook-ca",
            ),
            other => Failure::refused(&other),
        }
    }
}

impl From<UnusableToken> for Failure {
    fn from(error: UnusableToken) -> Failure {
        Failure::usage(&error)
    }
}
