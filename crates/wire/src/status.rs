//! Google's error form: `google.rpc.Code`, its HTTP status, and the details people and gcloud read.

use serde_json::json;

use crate::json::{InvalidField, InvalidJson};

/// `google.rpc.Code`, without `OK`: a status is only ever made of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// The caller went away.
    Cancelled,
    /// Nobody knows.
    Unknown,
    /// The request is wrong whatever the state of the system.
    InvalidArgument,
    /// Not answered in time.
    DeadlineExceeded,
    /// The thing named does not exist.
    NotFound,
    /// The thing to be created exists.
    AlreadyExists,
    /// The caller may not do this.
    PermissionDenied,
    /// The caller did not say who they are, or not credibly.
    Unauthenticated,
    /// A limit is reached.
    ResourceExhausted,
    /// The state of the system forbids this now.
    FailedPrecondition,
    /// Somebody else changed it in between.
    Aborted,
    /// Past the end.
    OutOfRange,
    /// Not offered here.
    Unimplemented,
    /// A defect of ours.
    Internal,
    /// Try again later.
    Unavailable,
    /// Data is lost.
    DataLoss,
}

impl Code {
    /// The name in upper case, as in `"status"`.
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// The number of `google.rpc.Code`.
    pub fn number(self) -> i32 {
        self.row().1
    }

    /// The HTTP status Google maps it to; `UNIMPLEMENTED` is 400, since gcloud retries every 5xx for half a minute.
    pub fn http(self) -> u16 {
        self.row().2
    }

    fn row(self) -> (&'static str, i32, u16) {
        match self {
            Code::Cancelled => ("CANCELLED", 1, 499),
            Code::Unknown => ("UNKNOWN", 2, 500),
            Code::InvalidArgument => ("INVALID_ARGUMENT", 3, 400),
            Code::DeadlineExceeded => ("DEADLINE_EXCEEDED", 4, 504),
            Code::NotFound => ("NOT_FOUND", 5, 404),
            Code::AlreadyExists => ("ALREADY_EXISTS", 6, 409),
            Code::PermissionDenied => ("PERMISSION_DENIED", 7, 403),
            Code::ResourceExhausted => ("RESOURCE_EXHAUSTED", 8, 429),
            Code::FailedPrecondition => ("FAILED_PRECONDITION", 9, 400),
            Code::Aborted => ("ABORTED", 10, 409),
            Code::OutOfRange => ("OUT_OF_RANGE", 11, 400),
            Code::Unimplemented => ("UNIMPLEMENTED", 12, 400),
            Code::Internal => ("INTERNAL", 13, 500),
            Code::Unavailable => ("UNAVAILABLE", 14, 503),
            Code::DataLoss => ("DATA_LOSS", 15, 500),
            Code::Unauthenticated => ("UNAUTHENTICATED", 16, 401),
        }
    }
}

/// A failure as it travels.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// What kind of failure.
    pub code: Code,
    /// The sentence for people.
    pub message: String,
    /// Typed details; see [`bad_request`], [`precondition_failure`], [`error_info`].
    pub details: Vec<serde_json::Value>,
}

impl Status {
    /// A failure without details.
    pub fn new(code: Code, message: impl Into<String>) -> Status {
        Status {
            code,
            message: message.into(),
            details: Vec::new(),
        }
    }

    /// The same with one more detail.
    #[must_use]
    pub fn with(mut self, detail: serde_json::Value) -> Status {
        self.details.push(detail);
        self
    }

    /// The body: `{"error":{"code":404,"message":…,"status":"NOT_FOUND","details":[…]}}`.
    pub fn to_json(&self) -> serde_json::Value {
        let mut error = json!({
            "code": self.code.http(),
            "message": self.message,
            "status": self.code.name(),
        });
        if let (false, Some(members)) = (self.details.is_empty(), error.as_object_mut()) {
            members.insert(
                "details".to_owned(),
                serde_json::Value::Array(self.details.clone()),
            );
        }
        json!({ "error": error })
    }
}

impl From<InvalidField> for Status {
    fn from(error: InvalidField) -> Status {
        let detail = bad_request(&[(&error.path, &error.description())]);
        Status::new(Code::InvalidArgument, error.to_string()).with(detail)
    }
}

impl From<InvalidJson> for Status {
    fn from(error: InvalidJson) -> Status {
        Status::new(Code::InvalidArgument, error.to_string())
    }
}

/// `google.rpc.BadRequest`: which fields are wrong and why. gcloud prints it as YAML.
pub fn bad_request(violations: &[(&str, &str)]) -> serde_json::Value {
    let violations: Vec<_> = violations
        .iter()
        .map(|(field, description)| json!({ "field": field, "description": description }))
        .collect();
    json!({ "@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations })
}

/// `google.rpc.PreconditionFailure` with one violation.
pub fn precondition_failure(kind: &str, subject: &str, description: &str) -> serde_json::Value {
    json!({
        "@type": "type.googleapis.com/google.rpc.PreconditionFailure",
        "violations": [{ "type": kind, "subject": subject, "description": description }],
    })
}

/// `google.rpc.ErrorInfo`: a machine-readable reason.
pub fn error_info(reason: &str, domain: &str, metadata: &[(&str, &str)]) -> serde_json::Value {
    let metadata: serde_json::Map<String, serde_json::Value> = metadata
        .iter()
        .map(|(key, value)| ((*key).to_owned(), json!(value)))
        .collect();
    json!({
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason,
        "domain": domain,
        "metadata": metadata,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{Object, Value};

    #[test]
    fn the_body_has_googles_form() {
        let status = Status::new(Code::NotFound, "no such attestor");
        let expected = json!({"error": {"code": 404, "message": "no such attestor", "status": "NOT_FOUND"}});
        assert_eq!(status.to_json(), expected);
    }

    #[test]
    fn a_wrong_field_becomes_a_field_violation() {
        let mut object = Object::new(Value::empty_object(), "policy").unwrap();
        let status = Status::from(object.take_string("name").unwrap_err());
        assert_eq!(status.code, Code::InvalidArgument);
        assert_eq!(status.message, "`policy.name` is required");
        let violation = &status.to_json()["error"]["details"][0]["fieldViolations"][0];
        assert_eq!(
            violation,
            &json!({"field": "policy.name", "description": "is required"})
        );
    }

    #[test]
    fn permanent_failures_are_never_5xx() {
        for code in [
            Code::InvalidArgument,
            Code::NotFound,
            Code::AlreadyExists,
            Code::Unimplemented,
            Code::Aborted,
        ] {
            assert!((400..500).contains(&code.http()), "{}", code.name());
        }
    }
}
