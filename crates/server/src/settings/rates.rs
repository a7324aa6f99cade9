//! How often the API may be called.

use serde::Deserialize;

use super::InvalidSettings;

/// Bounds of the API port; an absent one does not bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimits {
    /// Calls a second from one address, twice as many at once.
    pub(crate) per_source: Option<u32>,
    /// Calls a second of one principal, twice as many at once.
    pub(crate) per_principal: Option<u32>,
    /// Wrong credentials at once from one address; one is forgiven each second.
    pub(crate) wrong_credentials: Option<u32>,
    /// Writing calls at once that are refused to one principal; one is forgiven each second.
    pub(crate) refused_calls: Option<u32>,
    /// Writing calls at once of one principal; one more each second.
    pub(crate) recorded_calls: Option<u32>,
}

/// As it is in the file; 0 does not bound.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct Block {
    per_source: Option<u32>,
    per_principal: Option<u32>,
    wrong_credentials: Option<u32>,
    refused_calls: Option<u32>,
    recorded_calls: Option<u32>,
}

impl RateLimits {
    /// A pipeline that signs as fast as it can makes some hundred calls a second; a person makes one.
    const SERVED: Self = Self {
        per_source: Some(1_000),
        per_principal: Some(1_000),
        wrong_credentials: Some(10),
        // Each is a line of the log: 170 MB a day of one principal.
        refused_calls: Some(100),
        // Each is a line of the log that verdicts are in, of 1 KB: 100 MB at once and 86 MB a day, so that one principal needs
        // a month and a half to push verdicts out of the 4 GiB that are kept. A pipeline signs for 80 000 images a day by it.
        recorded_calls: Some(100_000),
    };
    /// On one machine, everybody has one address.
    const DEV: Self = Self {
        per_source: None,
        per_principal: None,
        wrong_credentials: None,
        refused_calls: None,
        recorded_calls: None,
    };
    const MOST: u32 = 1_000_000;

    pub(super) fn chosen(block: Option<Block>, dev: bool) -> Result<Self, InvalidSettings> {
        let default = if dev { Self::DEV } else { Self::SERVED };
        let block = block.unwrap_or_default();
        let chosen = |key, given: Option<u32>, default| match given {
            None => Ok(default),
            Some(0) => Ok(None),
            Some(value) if value <= Self::MOST => Ok(Some(value)),
            Some(value) => Err(InvalidSettings::OutOfRange {
                key,
                value,
                least: 0,
                most: Self::MOST,
            }),
        };
        Ok(Self {
            per_source: chosen("rateLimits.perSource", block.per_source, default.per_source)?,
            per_principal: chosen(
                "rateLimits.perPrincipal",
                block.per_principal,
                default.per_principal,
            )?,
            wrong_credentials: chosen(
                "rateLimits.wrongCredentials",
                block.wrong_credentials,
                default.wrong_credentials,
            )?,
            refused_calls: chosen(
                "rateLimits.refusedCalls",
                block.refused_calls,
                default.refused_calls,
            )?,
            recorded_calls: chosen(
                "rateLimits.recordedCalls",
                block.recorded_calls,
                default.recorded_calls,
            )?,
        })
    }
}

/// As in the file.
impl std::fmt::Display for RateLimits {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [source, principal, wrong, refused, recorded] = [
            self.per_source,
            self.per_principal,
            self.wrong_credentials,
            self.refused_calls,
            self.recorded_calls,
        ]
        .map(Option::unwrap_or_default);
        write!(
            formatter,
            "{{perSource: {source}, perPrincipal: {principal}, wrongCredentials: {wrong}, refusedCalls: {refused}, \
             recordedCalls: {recorded}}}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_chosen_is_the_default_and_nothing_is_unbounded_but_by_a_zero() {
        assert_eq!(RateLimits::chosen(None, false).unwrap(), RateLimits::SERVED);
        assert_eq!(RateLimits::chosen(None, true).unwrap(), RateLimits::DEV);
        let block = Block {
            per_source: Some(5),
            per_principal: Some(0),
            wrong_credentials: None,
            refused_calls: Some(7),
            recorded_calls: None,
        };
        let chosen = RateLimits::chosen(Some(block), false).unwrap();
        assert_eq!(
            chosen.to_string(),
            "{perSource: 5, perPrincipal: 0, wrongCredentials: 10, refusedCalls: 7, recordedCalls: 100000}"
        );
        let block = Block {
            per_source: Some(1_000_001),
            ..block
        };
        let why = RateLimits::chosen(Some(block), true).unwrap_err().to_string();
        assert_eq!(why, "`rateLimits.perSource` is 1000001, expected 0 to 1000000");
    }
}
