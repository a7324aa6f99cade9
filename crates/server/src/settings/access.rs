//! Who may call the API by what, and how often.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

use super::{Guarding, InvalidSettings, Issuer, RateLimits, issuers};

/// What the token in the data directory is good for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BootstrapToken {
    /// Everything, for good.
    #[default]
    Permanent,
    /// One call: the making of an administrator's token.
    Once,
}

/// Who may call the API by what, and how often.
#[derive(Debug, Clone)]
pub struct Access {
    /// Authorities of certificates that callers of the API may show in place of a token.
    pub client_authorities: Option<PathBuf>,
    /// What the token in the data directory is good for.
    pub bootstrap_token: BootstrapToken,
    /// Whose ID tokens are believed.
    pub issuers: Vec<Issuer>,
    /// How often the API may be called.
    pub rate_limits: RateLimits,
}

impl Access {
    /// The same, if it can be done.
    pub(super) fn checked(mut self, dev: bool, guard: &Guarding) -> Result<Access, InvalidSettings> {
        if dev && self.client_authorities.is_some() {
            return Err(InvalidSettings::NoTls);
        }
        self.issuers = issuers::chosen(self.issuers, dev, guard).map_err(InvalidSettings::Issuers)?;
        Ok(self)
    }
}

/// As in the file.
impl fmt::Display for Access {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bootstrap = match self.bootstrap_token {
            BootstrapToken::Permanent => "permanent",
            BootstrapToken::Once => "once",
        };
        writeln!(formatter, "bootstrapToken: {bootstrap}")?;
        writeln!(formatter, "rateLimits: {}", self.rate_limits)?;
        if let Some(path) = &self.client_authorities {
            writeln!(formatter, "apiClientAuthorities: {}", path.display())?;
        }
        if !self.issuers.is_empty() {
            let issuers: Vec<String> = self.issuers.iter().map(Issuer::to_string).collect();
            writeln!(formatter, "issuers: [{}]", issuers.join(", "))?;
        }
        Ok(())
    }
}
