//! Issuers of ID tokens that are believed here, and what their tokens make of somebody.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use binauthz_core::name::ClusterName;
use serde::Deserialize;

use super::Guarding;

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

/// What shows that a token is the issuer's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// A signature by one of its keys.
    Keys {
        /// Where they are; found by discovery if absent.
        jwks_uri: Option<String>,
        /// Authorities of the issuer's certificate, in PEM; the system's if absent.
        authorities: Option<PathBuf>,
    },
    /// The word of a guarded cluster, asked about each token.
    Review(ClusterName),
}

/// One issuer, as in the configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Entry")]
pub struct Issuer {
    /// As it is in `iss`, to the letter.
    pub issuer: String,
    /// Whom tokens must be for; one of these.
    pub audiences: Vec<String>,
    /// What shows that a token is the issuer's.
    pub proof: Proof,
    /// What the subject is taken for.
    pub principal: PrincipalClaim,
    /// The domains of addresses that are believed.
    pub email_domains: Vec<String>,
    /// Claims that a token must have, with exactly these values.
    pub required_claims: BTreeMap<String, String>,
    /// Claims that IAM policies may name: `principalSet://ISSUER/attribute.CLAIM/VALUE`, each value of a list by itself.
    pub attributes: Vec<String>,
}

/// An issuer as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Entry {
    issuer: String,
    audiences: Vec<String>,
    jwks_uri: Option<String>,
    authorities: Option<PathBuf>,
    token_review: Option<String>,
    #[serde(default)]
    principal: PrincipalClaim,
    #[serde(default)]
    email_domains: Vec<String>,
    #[serde(default)]
    required_claims: BTreeMap<String, String>,
    #[serde(default)]
    attributes: Vec<String>,
}

impl TryFrom<Entry> for Issuer {
    type Error = String;

    fn try_from(entry: Entry) -> Result<Issuer, String> {
        let proof = match (entry.token_review, entry.jwks_uri, entry.authorities) {
            (None, jwks_uri, authorities) => Proof::Keys {
                jwks_uri,
                authorities,
            },
            (Some(cluster), None, None) => Proof::Review(cluster.parse().map_err(|_| {
                format!(
                    "`tokenReview` is `{}`, expected projects/P/locations/L/clusters/C",
                    cluster.escape_debug()
                )
            })?),
            (Some(_), ..) => {
                return Err(
                    "`tokenReview` needs neither `jwksUri` nor `authorities`: the cluster knows its keys"
                        .to_owned(),
                );
            }
        };
        Ok(Issuer {
            issuer: entry.issuer,
            audiences: entry.audiences,
            proof,
            principal: entry.principal,
            email_domains: entry.email_domains,
            required_claims: entry.required_claims,
            attributes: entry.attributes,
        })
    }
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
        match &self.proof {
            Proof::Keys {
                jwks_uri,
                authorities,
            } => {
                if let Some(address) = jwks_uri {
                    shown["jwksUri"] = address.as_str().into();
                }
                if let Some(path) = authorities {
                    shown["authorities"] = path.display().to_string().into();
                }
            }
            Proof::Review(cluster) => shown["tokenReview"] = cluster.to_string().into(),
        }
        write!(formatter, "{shown}")
    }
}

/// The issuers of the file, if they can be believed at all.
pub(super) fn chosen(issuers: Vec<Issuer>, dev: bool, guard: &Guarding) -> Result<Vec<Issuer>, String> {
    if issuers.len() > MOST {
        return Err(format!(
            "`issuers` has {} entries, expected at most {MOST}",
            issuers.len()
        ));
    }
    for (index, issuer) in issuers.iter().enumerate() {
        let at = format!("issuers[{index}]");
        let jwks_uri = match &issuer.proof {
            Proof::Keys { jwks_uri, .. } => jwks_uri.as_ref(),
            Proof::Review(cluster) => {
                let mut guarded = guard.clusters.iter();
                if !guarded.any(|guarded| guarded.cluster == *cluster) {
                    return Err(format!(
                        "`{at}.tokenReview` names `{cluster}`, expected one of `guard.clusters`: how a cluster is reached is said there"
                    ));
                }
                None
            }
        };
        for (field, url) in [("issuer", Some(&issuer.issuer)), ("jwksUri", jwks_uri)] {
            if url.is_some_and(|url| !is_address(url, dev)) {
                return Err(format!(
                    "`{at}.{field}` must be an `https://` address without credentials, query or fragment"
                ));
            }
        }
        if ["/subject/", "/attribute."]
            .iter()
            .any(|word| format!("{}/", issuer.issuer).contains(word))
        {
            return Err(format!(
                "`{at}.issuer` must not contain `/subject/` or `/attribute.`: its members could be those of another issuer"
            ));
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

    const CLUSTER: &str = "projects/p/locations/l/clusters/c";

    fn read(text: &str, dev: bool) -> Result<Vec<Issuer>, String> {
        let guarded = vec![format!("{CLUSTER}=context")];
        let guard = Guarding::new(super::super::guard::Block::default(), guarded).unwrap();
        let issuers: Vec<Issuer> = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        chosen(issuers, dev, &guard)
    }

    #[test]
    fn a_guarded_cluster_may_judge_the_tokens_of_an_issuer() {
        let reviewed = &format!("- {{issuer: 'https://k.example', audiences: [b], tokenReview: {CLUSTER}}}");
        let issuer = &read(reviewed, false).unwrap()[0];
        assert_eq!(issuer.proof, Proof::Review(CLUSTER.parse().unwrap()));
        assert_eq!(read(&format!("[{issuer}]"), false).unwrap()[0], *issuer);
        for (text, expected) in [
            (&reviewed.replace("/c}", "/d}"), "one of `guard.clusters`"),
            (
                &reviewed.replace("projects/p", "p"),
                "`tokenReview` is `p/locations",
            ),
            (
                &reviewed.replace("tokenReview", "jwksUri: 'https://k.example/keys', tokenReview"),
                "neither `jwksUri`",
            ),
            (
                &reviewed.replace("tokenReview", "authorities: ca.pem, tokenReview"),
                "neither `jwksUri`",
            ),
        ] {
            let why = read(text, false).unwrap_err();
            assert!(why.contains(expected), "{text}: {why}");
        }
    }

    #[test]
    fn an_issuer_says_who_and_for_whom() {
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
                "- {issuer: 'https://t.example/subject/x', audiences: [b]}",
                "must not contain `/subject/`",
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
