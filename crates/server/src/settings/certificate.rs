//! The certificates of the server: whose they are and how long they last.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::InvalidSettings;
use crate::listen::Lifetimes;

/// Less than that is for nothing but tests of the renewal, and less than that cannot be renewed in time.
const LEAST_SECONDS: u32 = 10;
/// Ten years.
const MOST_SECONDS: u32 = 3_650 * 86_400;
/// The longest name of an object in Kubernetes.
const NAME_MAX: usize = 253;

/// What the webhook serves with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebhookCertificate {
    /// A certificate of an authority of its own, both kept in the data directory.
    Own,
    /// The same, kept in a Secret of the cluster that the server runs in, for all of its replicas.
    Shared(String),
    /// `tls.crt` and `tls.key` of a folder, which others write and renew.
    Given(PathBuf),
}

impl WebhookCertificate {
    /// At most one of the two is chosen.
    pub(super) fn chosen(secret: Option<String>, folder: Option<PathBuf>) -> Result<Self, InvalidSettings> {
        let invalid = |sentence: &str| Err(InvalidSettings::Certificate(sentence.to_owned()));
        match (secret, folder) {
            (None, None) => Ok(Self::Own),
            (None, Some(folder)) => Ok(Self::Given(folder)),
            (Some(name), None) if is_name(&name) => Ok(Self::Shared(name)),
            (Some(_), None) => invalid("`webhookSecret` must be the name of a Secret"),
            (Some(_), Some(_)) => invalid("`webhookSecret` and `webhookCertificates` exclude each other"),
        }
    }
}

/// A DNS name, which is what names of Secrets are.
fn is_name(text: &str) -> bool {
    text.len() <= NAME_MAX && text.split('.').all(binauthz_kubernetes::is_label)
}

/// The lifetimes by their two keys.
pub(super) fn lifetimes(authority: Option<u32>, serving: Option<u32>) -> Result<Lifetimes, InvalidSettings> {
    let chosen = |key, value: Option<u32>, usual| match value {
        None => Ok(usual),
        Some(value) if (LEAST_SECONDS..=MOST_SECONDS).contains(&value) => {
            Ok(Duration::from_secs(u64::from(value)))
        }
        Some(value) => Err(InvalidSettings::OutOfRange {
            key,
            value,
            least: LEAST_SECONDS,
            most: MOST_SECONDS,
        }),
    };
    Ok(Lifetimes {
        authority: chosen("authorityLifetimeSeconds", authority, Lifetimes::USUAL.authority)?,
        serving: chosen("certificateLifetimeSeconds", serving, Lifetimes::USUAL.serving)?,
    })
}

/// As it is written in the file, with the line that follows; nothing where nothing is chosen.
impl fmt::Display for WebhookCertificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own => Ok(()),
            Self::Shared(name) => writeln!(formatter, "webhookSecret: {name}"),
            Self::Given(folder) => writeln!(formatter, "webhookCertificates: {}", folder.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_kind_of_certificate_is_chosen_or_none() {
        let chosen = |secret: Option<&str>, folder: Option<&str>| {
            WebhookCertificate::chosen(secret.map(str::to_owned), folder.map(PathBuf::from)).ok()
        };
        assert_eq!(chosen(None, None), Some(WebhookCertificate::Own));
        let shared = WebhookCertificate::Shared("binauthz-webhook.v1".to_owned());
        assert_eq!(chosen(Some("binauthz-webhook.v1"), None), Some(shared));
        assert_eq!(
            chosen(None, Some("/tls")),
            Some(WebhookCertificate::Given("/tls".into()))
        );
        assert_eq!(chosen(Some("a"), Some("/tls")), None);
        for name in ["", "A", "a/b", "../x", "a..b"] {
            assert_eq!(chosen(Some(name), None), None, "{name}");
        }
    }

    #[test]
    fn lifetimes_have_a_least_and_a_most() {
        assert_eq!(lifetimes(None, None).unwrap(), Lifetimes::USUAL);
        assert_eq!(
            lifetimes(Some(60), Some(20)).unwrap().serving,
            Duration::from_secs(20)
        );
        for (authority, serving, key) in [
            (Some(9), None, "authorityLifetimeSeconds"),
            (None, Some(0), "certificateLifetimeSeconds"),
            (Some(u32::MAX), None, "authorityLifetimeSeconds"),
        ] {
            let error = lifetimes(authority, serving).unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
    }
}
