//! The shapes that go in and come out. Times are microseconds since the epoch, UTC.

/// The most rows one query returns. A page of 5 000 documents of about 1 KB is 5 MB.
pub const MAX_ROWS: u32 = 5_000;

/// The longest document in bytes. A policy of 10 MB would be read into every snapshot; Google's own
/// requests end at 1 MiB.
pub const MAX_DOCUMENT: usize = 1 << 20;

/// The longest `detail` of an audit row in bytes: a million rows stay below 64 GB even at the limit.
pub const MAX_AUDIT_DETAIL: usize = 64 << 10;

/// What a resource is. A name is unique within its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A project that was created here.
    Project,
    /// A project's Binary Authorization policy.
    Policy,
    /// An attestor.
    Attestor,
    /// A Container Analysis note.
    Note,
    /// A key ring.
    KeyRing,
    /// A key.
    CryptoKey,
    /// A version of a key; its private half is a sealed key of the same name.
    CryptoKeyVersion,
    /// A registered cluster.
    Cluster,
    /// A long-running operation.
    Operation,
    /// The IAM policy of the resource it is named after.
    IamPolicy,
    /// The state of a service in a project.
    Service,
    /// A platform policy.
    PlatformPolicy,
    /// A project's continuous validation configuration.
    ContinuousValidationConfig,
    /// An alert policy.
    AlertPolicy,
    /// A notification channel; its secrets are a sealed key of the same name.
    NotificationChannel,
    /// A setting of this installation.
    Setting,
    /// A log-based metric.
    LogMetric,
    /// A log whose entries up to a time are not shown any more.
    DeletedLog,
    /// A public key whose owner may sign for access tokens.
    Credential,
    /// A role that a project made for itself.
    Role,
}

impl Kind {
    /// Every kind, in the order of the enum.
    pub const ALL: [Kind; 20] = [
        Kind::Project,
        Kind::Policy,
        Kind::Attestor,
        Kind::Note,
        Kind::KeyRing,
        Kind::CryptoKey,
        Kind::CryptoKeyVersion,
        Kind::Cluster,
        Kind::Operation,
        Kind::IamPolicy,
        Kind::Service,
        Kind::PlatformPolicy,
        Kind::ContinuousValidationConfig,
        Kind::AlertPolicy,
        Kind::NotificationChannel,
        Kind::Setting,
        Kind::LogMetric,
        Kind::DeletedLog,
        Kind::Credential,
        Kind::Role,
    ];

    /// The word that stands for the kind in the database. It never changes once released.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Project => "project",
            Kind::Policy => "policy",
            Kind::Attestor => "attestor",
            Kind::Note => "note",
            Kind::KeyRing => "key_ring",
            Kind::CryptoKey => "crypto_key",
            Kind::CryptoKeyVersion => "crypto_key_version",
            Kind::Cluster => "cluster",
            Kind::Operation => "operation",
            Kind::IamPolicy => "iam_policy",
            Kind::Service => "service",
            Kind::PlatformPolicy => "platform_policy",
            Kind::ContinuousValidationConfig => "continuous_validation_config",
            Kind::AlertPolicy => "alert_policy",
            Kind::NotificationChannel => "notification_channel",
            Kind::Setting => "setting",
            Kind::LogMetric => "log_metric",
            Kind::DeletedLog => "deleted_log",
            Kind::Credential => "credential",
            Kind::Role => "role",
        }
    }
}

/// A stored resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// What it is.
    pub kind: Kind,
    /// Its name, unique within the kind.
    pub name: String,
    /// What it is listed under.
    pub parent: String,
    /// Opaque JSON text.
    pub document: String,
    /// The revision of the commit that last wrote it; one sequence for the whole store.
    pub revision: i64,
    /// When it was inserted.
    pub created: i64,
    /// When it was last written.
    pub updated: i64,
}

/// A resource as a caller writes it; revision and times come from the commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewResource {
    /// What it is.
    pub kind: Kind,
    /// Its name, unique within the kind.
    pub name: String,
    /// What it is listed under.
    pub parent: String,
    /// Opaque JSON text.
    pub document: String,
}

/// Which resources to list, in the order of their names.
#[derive(Debug, Clone)]
pub struct ListQuery {
    /// The kind listed.
    pub kind: Kind,
    /// Only those under this parent; empty for all of the kind.
    pub parent: String,
    /// Only names after this one.
    pub after: Option<String>,
    /// At most this many; never more than [`MAX_ROWS`].
    pub limit: u32,
}

/// A stored occurrence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OccurrenceRow {
    /// `projects/P/occurrences/ID`.
    pub name: String,
    /// The project the occurrence lies in: `P`.
    pub project: String,
    /// The note it is attached to: `projects/P/notes/N`, not always of the same project.
    pub note: String,
    /// The digest of the resource when it has one.
    pub digest: Option<[u8; 32]>,
    /// The resource the occurrence speaks of, as the caller wrote it.
    pub resource_uri: String,
    /// The kind of the note, for example `ATTESTATION`.
    pub kind: String,
    /// Opaque JSON text.
    pub document: String,
    /// What makes two occurrences the same; unique.
    pub fingerprint: [u8; 32],
    /// When it was created.
    pub created: i64,
    /// When it was last written.
    pub updated: i64,
}

impl OccurrenceRow {
    /// Its place among the occurrences of its note and digest, from the newest to the oldest.
    pub fn age(&self) -> Age {
        Age {
            created: self.created,
            name: self.name.clone(),
        }
    }
}

/// When an occurrence was created; the name settles a tie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Age {
    pub(crate) created: i64,
    pub(crate) name: String,
}

/// Whose occurrences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OccurrenceScope {
    /// Those attached to this note, whatever project they lie in.
    Note(String),
    /// Those that lie in this project.
    Project(String),
}

/// Which occurrences to list, in the order of their names.
#[derive(Debug, Clone)]
pub struct OccurrenceQuery {
    /// Whose.
    pub scope: OccurrenceScope,
    /// Only those of this digest.
    pub digest: Option<[u8; 32]>,
    /// Only names after this one.
    pub after: Option<String>,
    /// At most this many; never more than [`MAX_ROWS`].
    pub limit: u32,
}

/// An API token. The token itself is never stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    /// How people refer to it.
    pub id: String,
    /// SHA-256 of the token.
    pub hash: [u8; 32],
    /// Who its bearer is.
    pub principal: String,
    /// Opaque JSON text: what the bearer may do, and what the token is for.
    pub document: String,
    /// When it was made.
    pub created: i64,
    /// When it stops working, if ever.
    pub expires: Option<i64>,
    /// When it was revoked, if it was.
    pub revoked: Option<i64>,
}

/// One line of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Its place in the log; assigned by the store, whatever a caller writes here.
    pub sequence: i64,
    /// When the call was made. It is also the time of every change in the same commit.
    pub time: i64,
    /// Who made it.
    pub principal: String,
    /// What was called.
    pub method: String,
    /// On what.
    pub resource: String,
    /// The `google.rpc.Code` of the answer; 0 is success.
    pub status_code: i32,
    /// The id that ties the row to log lines.
    pub request_id: String,
    /// Opaque JSON text, at most [`MAX_AUDIT_DETAIL`] bytes.
    pub detail: String,
}

/// The direction in which the audit log is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditOrder {
    /// As it was written.
    OldestFirst,
    /// The last line first.
    NewestFirst,
}

/// Which part of the audit log to read.
#[derive(Debug, Clone)]
pub struct AuditQuery {
    /// The direction.
    pub order: AuditOrder,
    /// Start beyond this sequence number (exclusive) in that direction; `None` starts at the end.
    pub beyond: Option<i64>,
    /// At most this many; never more than [`MAX_ROWS`].
    pub limit: u32,
}
