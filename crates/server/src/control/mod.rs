//! The control plane: the API port. Everything goes through [`call::handle`]; what there is to call is in [`routes`].

mod attestors;
mod audit_entries;
mod body;
pub(crate) mod call;
pub(crate) mod clusters;
mod continuous_validation;
mod decisions;
pub(crate) mod error;
pub(crate) mod etag;
mod iam;
mod images;
mod kms;
pub(crate) mod listing;
mod notes;
mod occurrences;
mod operations;
mod policy;
pub(crate) mod projects;
mod query;
pub(crate) mod routes;
mod services;
mod template;
mod tokens;
mod verb_override;

pub(crate) use call::handle;
pub(crate) use images::TagMoves;
pub(crate) use kms::destroy_as_scheduled;
