//! The server through its real ports. One file for each resource.

mod cloudkms;
mod clusters;
mod court;
mod decisions;
mod images;
mod services;
mod start;
mod support;
mod webhook;
mod webhook_callers;
mod webhook_evidence;
mod webhook_hostile;
mod webhook_updates;
