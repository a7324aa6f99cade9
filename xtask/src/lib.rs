//! Chores of the repository itself. None of it is part of the product.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};

pub mod sbom;
pub mod tidy;

/// The checkout this was compiled in.
pub fn repository_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}
