//! The server through its real ports. One file for each resource.

mod clusters;
mod services;
mod start;
mod support;
