//! Issuers of ID tokens that are believed here, and what their tokens make of somebody.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

/// Issuers at most: each is asked for its keys every few minutes.
const MOST: usize = 16;

/// What the subject of a token is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PrincipalClaim {
    /// `principal://ISSUER/subject/SUB`, which nobody but the issuer gives.
    #[default]
    Sub,
    /// `user:EMAIL`, of a verified address in one of the listed domains.
    Email,
}

/// One issuer, as in the configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Issuer {
    /// As it is in `iss`, to the letter.
    pub issuer: String,
    /// Whom tokens must be for; one of these.
    pub audiences: Vec<String>,
    /// Where the keys are; found by discovery if absent.
    pub jwks_uri: Option<String>,
    /// Authorities of the issuer's certificate, in PEM; the system's if absent.
    pub authorities: Option<PathBuf>,
    /// What the subject is taken for.
    #[serde(default)]
    pub principal: PrincipalClaim,
    /// The domains of addresses that are believed.
    #[serde(default)]
    pub email_domains: Vec<String>,
    /// Claims that a token must have, with exactly these values.
    #[serde(default)]
    pub required_claims: BTreeMap<String, String>,
    /// Claims that IAM policies may name: `principalSet://ISSUER/attribute.CLAIM/VALUE`, each value of a list by itself.
    #[serde(default)]
    pub attributes: Vec<String>,
}

impl Issuer {
    /// The issuer without its scheme, as members name it.
    pub(crate) fn place(&self) -> &str {
        self.issuer
            .split_once("://")
            .map_or(self.issuer.as_str(), |(_, place)| place)
    }
}

/// As in the file, on one line: JSON is YAML.
impl fmt::Display for Issuer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let principal = match self.principal {
            PrincipalClaim::Sub => "sub",
            PrincipalClaim::Email => "email",
        };
        let mut shown = serde_json::json!({
            "issuer": self.issuer,
            "audiences": self.audiences,
            "principal": principal,
            "emailDomains": self.email_domains,
            "requiredClaims": self.required_claims,
            "attributes": self.attributes,
        });
        if let Some(address) = &self.jwks_uri {
            shown["jwksUri"] = address.as_str().into();
        }
        if let Some(path) = &self.authorities {
            shown["authorities"] = path.display().to_string().into();
        }
        write!(formatter, "{shown}")
    }
}

/// The issuers of the file, if they can be believed at all.
pub(super) fn chosen(issuers: Vec<Issuer>, dev: bool) -> Result<Vec<Issuer>, String> {
    if issuers.len() > MOST {
        return Err(format!(
            "`issuers` has {} entries, expected at most {MOST}",
            issuers.len()
        ));
    }
    for (index, issuer) in issuers.iter().enumerate() {
        let at = format!("issuers[{index}]");
        for (field, url) in [
            ("issuer", Some(&issuer.issuer)),
            ("jwksUri", issuer.jwks_uri.as_ref()),
        ] {
            if url.is_some_and(|url| !is_address(url, dev)) {
                return Err(format!(
                    "`{at}.{field}` must be an `https://` address without credentials, query or fragment"
                ));
            }
        }
        if issuer.audiences.is_empty() || issuer.audiences.iter().any(String::is_empty) {
            return Err(format!(
                "`{at}.audiences` must name whom tokens are for: without it, a token for anybody would open this server"
            ));
        }
        if (issuer.principal == PrincipalClaim::Email) == issuer.email_domains.is_empty() {
            return Err(format!(
                "`{at}.emailDomains` goes with `principal: email`: the domains whose addresses this issuer may give"
            ));
        }
        let is_again = issuers
            .iter()
            .take(index)
            .any(|other| other.issuer == issuer.issuer);
        if is_again {
            return Err(format!("`{at}.issuer` is there twice"));
        }
    }
    Ok(issuers)
}

/// With `--dev`, plain HTTP to this machine is for trying it out.
fn is_address(text: &str, dev: bool) -> bool {
    let Ok(url) = reqwest::Url::parse(text) else {
        return false;
    };
    let is_bare = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    let is_local = matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
    is_bare && url.has_host() && (url.scheme() == "https" || (dev && url.scheme() == "http" && is_local))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_says_who_and_for_whom() {
        let read = |text: &str, dev| {
            let issuers: Vec<Issuer> = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
            chosen(issuers, dev)
        };
        let good = "- {issuer: 'https://token.example', audiences: [binauthz]}";
        let issuer = &read(good, false).unwrap()[0];
        assert_eq!(issuer.place(), "token.example");
        assert_eq!(read(&format!("[{issuer}]"), false).unwrap()[0], *issuer);
        let local = "- {issuer: 'http://127.0.0.1:5/x', audiences: [b]}";
        assert_eq!(read(local, true).unwrap()[0].place(), "127.0.0.1:5/x");
        for (text, expected) in [
            (local, "`issuers[0].issuer` must be an `https://` address"),
            ("- {issuer: 'https://token.example'}", "audiences"),
            (
                "- {issuer: 'https://token.example', audiences: []}",
                "`issuers[0].audiences`",
            ),
            (
                "- {issuer: 'https://u:p@token.example', audiences: [b]}",
                "without credentials",
            ),
            ("- {issuer: 'https://token.example?x', audiences: [b]}", "query"),
            (
                "- {issuer: 'https://t.example', audiences: [b], jwksUri: 'http://t.example/k'}",
                "jwksUri",
            ),
            (
                "- {issuer: 'https://t.example', audiences: [b], principal: email}",
                "emailDomains",
            ),
            (
                "- {issuer: 'https://t.example', audiences: [b], emailDomains: [x.example]}",
                "emailDomains",
            ),
            (
                "- {issuer: 'https://t.example', audiences: [b], algorithm: none}",
                "algorithm",
            ),
            (
                "- {issuer: 'https://t.example', audiences: [b]}\n- {issuer: 'https://t.example', audiences: [c]}",
                "`issuers[1].issuer` is there twice",
            ),
        ] {
            let why = read(text, false).unwrap_err();
            assert!(why.contains(expected), "{text}: {why}");
        }
    }
}
