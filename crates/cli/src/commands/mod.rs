//! One file per noun: its flags as typed on top, what it does below.

pub(crate) mod attestations;
pub(crate) mod attestors;
pub(crate) mod audit;
mod cef;
pub(crate) mod channels;
pub(crate) mod clusters;
pub(crate) mod completion;
pub(crate) mod credentials;
pub(crate) mod decide;
pub(crate) mod environment;
pub(crate) mod files;
pub(crate) mod iam;
pub(crate) mod images;
pub(crate) mod keyrings;
pub(crate) mod keys;
pub(crate) mod keys_versions;
pub(crate) mod locations;
pub(crate) mod logs;
pub(crate) mod notes;
pub(crate) mod payload;
pub(crate) mod policy;
pub(crate) mod projects;
pub(crate) mod public_keys;
pub(crate) mod services;
pub(crate) mod snapshot;
pub(crate) mod tokens;
