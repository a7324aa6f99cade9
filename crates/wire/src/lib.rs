//! What Google and Kubernetes call things in JSON, and the translation to and from the words of the core.
//!
//! Pure: no clock, no environment, no files, no network. Everything that comes in is bytes or text of somebody
//! we do not trust; everything that goes out is a value the caller sends.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::indexing_slicing,
        clippy::string_slice
    )
)]

pub mod admission_review;
pub mod artifactregistry;
pub mod binaryauthorization;
pub mod cloudkms;
pub mod container;
pub mod containeranalysis;
pub mod custom_resources;
pub mod event;
pub mod field_mask;
pub mod filter;
pub mod iam;
pub mod image_review;
pub mod json;
pub mod jwt;
pub mod logging;
pub mod manifest;
pub mod monitoring;
pub mod page;
pub mod proto;
pub mod refusal;
pub mod serviceusage;
pub mod status;
mod strict;
pub mod tlog;
pub mod verdict;
pub mod workload;
pub mod yaml;
