//! What a `LogEntry` is made of, and what a path in a query means.

use crate::filter::{Error, Value, joined, shown};
use crate::logging::node::{Node, Severity};

/// A field of `LogEntry` or of a message in it.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
}

/// What a field holds.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Text,
    Bool,
    /// 32 bits: a number in JSON.
    Integer,
    /// 64 bits: text in JSON.
    Long,
    Time,
    Span,
    Severity,
    Message(&'static [Field]),
    /// A map from text to text.
    Labels,
    /// `textPayload`: absent is missing, not empty.
    TextPayload,
    /// `jsonPayload`
    Struct,
    /// `protoPayload`
    Audit,
}

const fn field(name: &'static str, kind: Kind) -> Field {
    Field { name, kind }
}

/// `google.logging.v2.LogEntry`
pub(super) const ENTRY: &[Field] = &[
    field("logName", Kind::Text),
    field("resource", Kind::Message(RESOURCE)),
    field("timestamp", Kind::Time),
    field("receiveTimestamp", Kind::Time),
    field("severity", Kind::Severity),
    field("insertId", Kind::Text),
    field("httpRequest", Kind::Message(HTTP_REQUEST)),
    field("labels", Kind::Labels),
    field("operation", Kind::Message(OPERATION)),
    field("trace", Kind::Text),
    field("spanId", Kind::Text),
    field("traceSampled", Kind::Bool),
    field("sourceLocation", Kind::Message(SOURCE_LOCATION)),
    field("split", Kind::Message(SPLIT)),
    field("textPayload", Kind::TextPayload),
    field("jsonPayload", Kind::Struct),
    field("protoPayload", Kind::Audit),
];

const RESOURCE: &[Field] = &[field("type", Kind::Text), field("labels", Kind::Labels)];

const HTTP_REQUEST: &[Field] = &[
    field("requestMethod", Kind::Text),
    field("requestUrl", Kind::Text),
    field("requestSize", Kind::Long),
    field("status", Kind::Integer),
    field("responseSize", Kind::Long),
    field("userAgent", Kind::Text),
    field("remoteIp", Kind::Text),
    field("serverIp", Kind::Text),
    field("referer", Kind::Text),
    field("latency", Kind::Span),
    field("cacheLookup", Kind::Bool),
    field("cacheHit", Kind::Bool),
    field("cacheValidatedWithOriginServer", Kind::Bool),
    field("cacheFillBytes", Kind::Long),
    field("protocol", Kind::Text),
];

const OPERATION: &[Field] = &[
    field("id", Kind::Text),
    field("producer", Kind::Text),
    field("first", Kind::Bool),
    field("last", Kind::Bool),
];

const SOURCE_LOCATION: &[Field] = &[
    field("file", Kind::Text),
    field("line", Kind::Long),
    field("function", Kind::Text),
];

const SPLIT: &[Field] = &[
    field("uid", Kind::Text),
    field("index", Kind::Integer),
    field("totalSplits", Kind::Integer),
];

/// `google.cloud.audit.AuditLog`: a field with its fields. Only their names matter: their values are compared as they
/// are, and their absence is the absence of a part of the payload.
pub(super) struct AuditField(pub(super) &'static str, pub(super) &'static [AuditField]);

pub(super) const AUDIT_LOG: &[AuditField] = &[
    AuditField("serviceName", &[]),
    AuditField("methodName", &[]),
    AuditField("resourceName", &[]),
    AuditField("numResponseItems", &[]),
    AuditField("resourceLocation", &[]),
    AuditField("resourceOriginalState", &[]),
    AuditField(
        "status",
        &[
            AuditField("code", &[]),
            AuditField("message", &[]),
            AuditField("details", &[]),
        ],
    ),
    AuditField(
        "authenticationInfo",
        &[
            AuditField("principalEmail", &[]),
            AuditField("principalSubject", &[]),
            AuditField("authoritySelector", &[]),
            AuditField("serviceAccountKeyName", &[]),
            AuditField("serviceAccountDelegationInfo", &[]),
            AuditField("thirdPartyPrincipal", &[]),
        ],
    ),
    AuditField(
        "authorizationInfo",
        &[
            AuditField("resource", &[]),
            AuditField("permission", &[]),
            AuditField("granted", &[]),
            AuditField("resourceAttributes", &[]),
        ],
    ),
    AuditField(
        "requestMetadata",
        &[
            AuditField("callerIp", &[]),
            AuditField("callerSuppliedUserAgent", &[]),
            AuditField("callerNetwork", &[]),
            AuditField("requestAttributes", &[]),
            AuditField("destinationAttributes", &[]),
        ],
    ),
    AuditField("policyViolationInfo", &[]),
    AuditField("request", &[]),
    AuditField("response", &[]),
    AuditField("metadata", &[]),
    AuditField("serviceData", &[]),
];

/// The members of an AuditLog whose keys are data, as those of `jsonPayload` are.
pub(super) const AUDIT_STRUCTS: [&str; 4] = ["request", "response", "metadata", "serviceData"];

/// A path of a query, with every name spelled as in the entry.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Path {
    pub(super) names: Vec<String>,
    /// What stands for it when it is absent; `None`: then nothing does.
    pub(super) default: Option<Node<'static>>,
    pub(super) holds: Holds,
}

/// What is known about the values at the end of a path before any entry is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    Text,
    Bool,
    Number,
    Time,
    Span,
    Severity,
    /// Any value.
    Anything,
    /// Never a single value.
    Message,
}

impl Path {
    /// Reads a path; unknown fields of `LogEntry` are refused.
    pub(super) fn resolve(segments: &[Value]) -> Result<Path, Error> {
        let column = segments.first().map_or(0, |first| first.column);
        let mut names = Vec::new();
        let mut fields = ENTRY;
        let mut left = segments;
        loop {
            let Some((first, rest)) = left.split_first() else {
                return Ok(Path::of(names, Kind::Message(fields)));
            };
            let Some(found) = fields.iter().find(|field| is_name(&first.text, field.name)) else {
                return Err(unknown(column, segments, fields));
            };
            names.push(found.name.to_owned());
            match found.kind {
                Kind::Message(inner) => (fields, left) = (inner, rest),
                kind => return Path::below(names, kind, rest, column),
            }
        }
    }

    /// The path from a field that is no message.
    fn below(mut names: Vec<String>, kind: Kind, rest: &[Value], column: usize) -> Result<Path, Error> {
        let texts = || rest.iter().map(|segment| segment.text.clone());
        match kind {
            _ if rest.is_empty() => {}
            Kind::Labels | Kind::Struct => names.extend(texts()),
            Kind::Audit => names.extend(audit_names(rest)),
            _ => {
                let why = format_args!("`{}` has no fields", names.join("."));
                return Err(Error::at(column, why));
            }
        }
        let whole = rest.is_empty() && matches!(kind, Kind::Labels | Kind::Struct | Kind::Audit);
        let kind = if whole { Kind::Message(&[]) } else { kind };
        Ok(Path::of(names, kind))
    }

    fn of(names: Vec<String>, kind: Kind) -> Path {
        let (holds, default) = match kind {
            Kind::Text => (Holds::Text, Some(Node::Text("".into()))),
            Kind::Bool => (Holds::Bool, Some(Node::Bool(false))),
            Kind::Integer | Kind::Long => (Holds::Number, Some(Node::Integer(0))),
            Kind::Time => (
                Holds::Time,
                Some(Node::Time(binauthz_core::time::UnixTime::from_micros(0))),
            ),
            Kind::Span => (Holds::Span, Some(Node::Span(0))),
            Kind::Severity => (Holds::Severity, Some(Node::Severity(Severity::Default))),
            Kind::Labels | Kind::TextPayload => (Holds::Text, None),
            Kind::Struct | Kind::Audit => (Holds::Anything, None),
            Kind::Message(_) => (Holds::Message, None),
        };
        Path {
            names,
            default,
            holds,
        }
    }

    pub(super) fn is(&self, name: &str) -> bool {
        matches!(self.names.as_slice(), [only] if only == name)
    }

    /// `protoPayload.response.status` is an object in Google's schema and a word in what Kubernetes answers. What is
    /// asked below the word is looked for beside it: this gives the names after `status`.
    pub(super) fn below_response_status(&self) -> Option<&[String]> {
        match self.names.as_slice() {
            [payload, response, status, rest @ ..]
                if payload == "protoPayload"
                    && response == "response"
                    && status == "status"
                    && !rest.is_empty() =>
            {
                Some(rest)
            }
            _ => None,
        }
    }
}

/// AuditLog's own fields in their spelling; what is below them or unknown stays as it is.
fn audit_names(segments: &[Value]) -> Vec<String> {
    let mut fields = AUDIT_LOG;
    let mut names = Vec::new();
    for segment in segments {
        let found = fields.iter().find(|field| is_name(&segment.text, field.0));
        names.push(found.map_or_else(|| segment.text.clone(), |field| field.0.to_owned()));
        fields = found.map_or(&[], |field| field.1);
    }
    names
}

/// Whether `given` is `name` in any case of letters, in camelCase or snake_case.
pub(super) fn is_name(given: &str, name: &str) -> bool {
    let letters = given.bytes().filter(|byte| *byte != b'_');
    letters
        .map(|byte| byte.to_ascii_lowercase())
        .eq(name.bytes().map(|byte| byte.to_ascii_lowercase()))
}

fn unknown(column: usize, segments: &[Value], fields: &[Field]) -> Error {
    let names: Vec<String> = fields.iter().map(|field| format!("`{}`", field.name)).collect();
    let given = shown(&joined(segments));
    let why = format_args!(
        "`{given}` is not a field of a log entry, expected one of {}; text to look for everywhere stands alone",
        names.join(", ")
    );
    Error::at(column, why)
}
