//! The shell around the judge: sockets, the webhook, the API, and what is written down.

#![forbid(unsafe_code)]

mod access;
mod admission;
pub mod alert;
mod app;
mod audit;
mod auth;
mod changes;
mod control;
mod counting;
mod documents;
mod files;
mod googleapis;
mod grpc;
mod guard;
mod handed_in;
mod headers;
mod health;
mod kubernetes;
pub mod listen;
mod logs;
mod master;
mod merged;
mod metrics;
mod migrate;
mod rates;
mod run;
mod servers;
mod settings;
mod trace;
mod turns;

pub use auth::IssuerError;
pub use migrate::{MigrateError, backup, migrate_data};
pub use run::{Addresses, Server, StartError, run};
pub use servers::JoinError;
pub use settings::{
    Access, BootstrapToken, Database, Flags, GuardedCluster, Guarding, InvalidSettings, Issuer, Pkcs11,
    PrincipalClaim, Proof, RateLimits, Retention, Security, Settings, Smtp, Staleness, WebhookCertificate,
};
