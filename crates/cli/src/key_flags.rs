//! The five `--keyversion-*` flags that name a key version of the key service.

use binauthz_core::name::KeyVersionName;
use clap::Args;

use crate::{failure::Failure, names, settings::Settings};

/// A key version: five flags, or `--keyversion` with the full name.
#[derive(Debug, Args)]
pub(crate) struct KeyVersionFlags {
    /// Version number, or the full name `projects/…/cryptoKeyVersions/1`
    #[arg(long, value_name = "VERSION")]
    pub keyversion: Option<String>,
    /// Key of the version
    #[arg(long, value_name = "KEY", requires = "keyversion")]
    keyversion_key: Option<String>,
    /// Key ring of the key
    #[arg(long, value_name = "KEY_RING", requires = "keyversion")]
    keyversion_keyring: Option<String>,
    /// Location of the key ring
    #[arg(long, value_name = "LOCATION", requires = "keyversion")]
    keyversion_location: Option<String>,
    /// Project of the key ring, where it differs
    #[arg(long, value_name = "PROJECT", requires = "keyversion")]
    keyversion_project: Option<String>,
}

impl KeyVersionFlags {
    /// The full name.
    pub(crate) fn name(&self, settings: &Settings) -> Result<KeyVersionName, Failure> {
        let version = names::required(self.keyversion.as_deref(), "--keyversion")?;
        if version.contains('/') {
            return version.parse().map_err(Failure::usage);
        }
        let project = self
            .keyversion_project
            .as_deref()
            .map_or_else(|| settings.project(), Ok)?;
        let location = names::required(self.keyversion_location.as_deref(), "--keyversion-location")?;
        let ring = names::required(self.keyversion_keyring.as_deref(), "--keyversion-keyring")?;
        let key = names::required(self.keyversion_key.as_deref(), "--keyversion-key")?;
        format!("projects/{project}/locations/{location}/keyRings/{ring}/cryptoKeys/{key}/cryptoKeyVersions/{version}")
            .parse()
            .map_err(Failure::usage)
    }
}
