//! The answer to a call that failed: Google's error body, and the one mapping from our errors to its codes.
//!
//! A permanent error is never a 5xx: `gcloud` repeats those for half a minute and then prints a raw body.

use binauthz_core::name::InvalidName;
use binauthz_store::{CommitError, Unavailable};
use binauthz_wire::json::{InvalidField, InvalidJson};
use binauthz_wire::status::{Code, Status};
use http::StatusCode;

use crate::auth::Unknowable;
use crate::rates::Wait;

/// A failed call.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: Status,
    /// Where HTTP has a more exact word than the code's own mapping (413, 415).
    http: Option<StatusCode>,
    /// When the client may come again, where that is known.
    retry_after: Option<Wait>,
}

impl ApiError {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> ApiError {
        Status::new(code, message).into()
    }

    /// Too much of something, for now.
    pub(crate) fn too_many(what: &str, wait: Wait) -> ApiError {
        ApiError {
            retry_after: Some(wait),
            ..ApiError::new(
                Code::ResourceExhausted,
                format!("{what}: try again in {} s", wait.0),
            )
        }
    }

    pub(crate) fn retry_after(&self) -> Option<Wait> {
        self.retry_after
    }

    pub(crate) fn invalid_argument(message: impl Into<String>) -> ApiError {
        ApiError::new(Code::InvalidArgument, message)
    }

    pub(crate) fn failed_precondition(message: impl Into<String>) -> ApiError {
        ApiError::new(Code::FailedPrecondition, message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> ApiError {
        ApiError::new(Code::NotFound, message)
    }

    pub(crate) fn already_exists(message: impl Into<String>) -> ApiError {
        ApiError::new(Code::AlreadyExists, message)
    }

    /// A stale etag.
    pub(crate) fn aborted(message: impl Into<String>) -> ApiError {
        ApiError::new(Code::Aborted, message)
    }

    pub(crate) fn permission_denied(message: impl Into<String>) -> ApiError {
        ApiError::new(Code::PermissionDenied, message)
    }

    pub(crate) fn unauthenticated() -> ApiError {
        ApiError::new(
            Code::Unauthenticated,
            "request had no valid credential: send `Authorization: Bearer TOKEN` with the administrator's token of the \
             data directory or one made by `binauthz tokens create`",
        )
    }

    /// Something is down that may come back; the only error clients should repeat.
    pub(crate) fn unavailable(message: impl Into<String>) -> ApiError {
        ApiError::new(Code::Unavailable, message)
    }

    /// A fault of ours. The cause goes to the log under the request id, not to the caller.
    pub(crate) fn internal(request_id: &str) -> ApiError {
        ApiError::new(
            Code::Internal,
            format!("internal error; the server's log has it under request id `{request_id}`"),
        )
    }

    /// Answers with another HTTP status than the code's own.
    pub(crate) fn with_http(mut self, http: StatusCode) -> ApiError {
        self.http = Some(http);
        self
    }

    /// Adds an element to `details[]`.
    pub(crate) fn with_detail(mut self, detail: serde_json::Value) -> ApiError {
        self.status.details.push(detail);
        self
    }

    pub(crate) fn code(&self) -> Code {
        self.status.code
    }

    pub(crate) fn message(&self) -> &str {
        &self.status.message
    }

    /// The error without its HTTP side.
    pub(crate) fn status(&self) -> &Status {
        &self.status
    }

    pub(crate) fn http_status(&self) -> StatusCode {
        let mapped =
            StatusCode::from_u16(self.status.code.http()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        self.http.unwrap_or(mapped)
    }

    pub(crate) fn to_json(&self) -> serde_json::Value {
        let mut body = self.status.to_json();
        if let (Some(http), Some(code)) = (self.http, body.pointer_mut("/error/code")) {
            *code = http.as_u16().into();
        }
        body
    }
}

impl From<InvalidField> for ApiError {
    fn from(error: InvalidField) -> ApiError {
        Status::from(error).into()
    }
}

impl From<InvalidJson> for ApiError {
    fn from(error: InvalidJson) -> ApiError {
        Status::from(error).into()
    }
}

impl From<Status> for ApiError {
    fn from(status: Status) -> ApiError {
        ApiError {
            status,
            http: None,
            retry_after: None,
        }
    }
}

impl From<InvalidName> for ApiError {
    fn from(error: InvalidName) -> ApiError {
        ApiError::invalid_argument(error.to_string())
    }
}

impl From<Unknowable> for ApiError {
    fn from(error: Unknowable) -> ApiError {
        match error {
            Unknowable::Store(error) => error.into(),
            Unknowable::Issuer(error) => ApiError::unavailable(error.to_string()),
        }
    }
}

impl From<Unavailable> for ApiError {
    fn from(error: Unavailable) -> ApiError {
        tracing::error!(%error, "the store could not answer");
        ApiError::unavailable("the store could not answer; try again")
    }
}

impl From<CommitError> for ApiError {
    fn from(error: CommitError) -> ApiError {
        match error {
            CommitError::AlreadyExists { name } => {
                ApiError::already_exists(format!("`{name}` already exists"))
            }
            CommitError::NotFound { name } => ApiError::not_found(format!("`{name}` was not found")),
            CommitError::Stale { name } => stale(&name),
            CommitError::TooLarge { .. } => ApiError::invalid_argument(error.to_string()),
            CommitError::Unavailable(error) => error.into(),
        }
    }
}

/// Somebody else wrote first.
pub(crate) fn stale(name: &str) -> ApiError {
    ApiError::aborted(format!(
        "`{name}` has changed since it was read (its etag is another one now): read it again, repeat the change, and write again"
    ))
}
