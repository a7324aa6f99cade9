//! Who may call the API by what, and how often.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

use super::{Guarding, InvalidSettings, Issuer, RateLimits, issuers};

/// What the token in the data directory is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BootstrapToken {
    /// Everything, for good.
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

impl BootstrapToken {
    /// What was chosen. Otherwise a token that the server made for itself is good for one call; one that the operator handed
    /// in is theirs to keep or to replace, and with `--dev` it is the only one that anybody has.
    pub(super) fn chosen(given: Option<BootstrapToken>, (dev, is_handed_in): (bool, bool)) -> BootstrapToken {
        given.unwrap_or(match dev || is_handed_in {
            true => BootstrapToken::Permanent,
            false => BootstrapToken::Once,
        })
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_the_server_made_in_earnest_is_good_for_one_call() {
        use BootstrapToken::{Once, Permanent};
        for (given, dev, is_handed_in, expected) in [
            (None, false, false, Once),
            (None, true, false, Permanent),
            (None, false, true, Permanent),
            (Some(Permanent), false, false, Permanent),
            (Some(Once), true, true, Once),
        ] {
            assert_eq!(BootstrapToken::chosen(given, (dev, is_handed_in)), expected);
        }
    }
}
