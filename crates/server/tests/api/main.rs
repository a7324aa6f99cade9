//! The server through its real ports. One file for each resource.

mod attestations;
mod attestors;
mod calls;
mod cloudkms;
mod clusters;
mod court;
mod iam;
mod images;
mod notes;
mod policies;
mod projects;
mod routes;
mod services;
mod start;
mod support;
mod tokens;
mod webhook;
mod webhook_hostile;
