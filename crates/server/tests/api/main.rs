//! The server through its real ports. One file for each resource.

mod alert_channels;
mod attestations;
mod attestors;
mod calls;
mod cloudkms;
mod clusters;
mod court;
mod decisions;
mod grpc;
mod grpc_errors;
mod iam;
mod images;
mod monitoring;
mod notes;
mod policies;
mod projects;
mod routes;
mod services;
mod start;
mod support;
mod webhook;
mod webhook_callers;
mod webhook_evidence;
mod webhook_hostile;
mod webhook_updates;
mod wire;
