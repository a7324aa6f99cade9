//! Google's messages: their fields' numbers, names in JSON, and kinds. One constant for each package.
//!
//! To add a message, add its block to the table of its package; [`super::schema`] says how a table reads, and
//! `tests/proto_oracle.rs` compares every row with the code that others generated from Google's definitions.

mod binaryauthorization;
mod cloudkms;
mod grafeas;
mod logging;
mod monitoring;
mod shared;

/// The table of one package.
#[derive(Debug, Clone, Copy)]
pub struct Package {
    /// Its full name.
    pub name: &'static str,
    /// Its messages and enumerations.
    pub text: &'static str,
}

/// A package stands after those it uses.
pub const PACKAGES: [Package; 12] = [
    shared::RPC,
    shared::TYPE,
    shared::API,
    shared::IAM,
    shared::LOCATION,
    grafeas::TABLE,
    binaryauthorization::TABLE,
    cloudkms::TABLE,
    logging::SEVERITY,
    logging::AUDIT,
    logging::LOGGING,
    monitoring::TABLE,
];
