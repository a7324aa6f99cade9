//! Who wants to run what: the subject a rule is chosen for, the images, and the emergency door.

use crate::image::{ImageRef, InvalidImageRef};
use crate::name::ClusterName;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The Pod label that opens the emergency door; its value must be `true`.
pub const BREAK_GLASS_LABEL: &str = "image-policy.k8s.io/break-glass";
/// The annotation that opens it; its value is `true` or a justification.
pub const BREAK_GLASS_ANNOTATION: &str = "alpha.image-policy.k8s.io/break-glass";
/// Longest justification kept, in characters; a longer one still opens and is cut.
pub const MAX_JUSTIFICATION_CHARS: usize = 1024;

macro_rules! key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The key as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

key!(
    /// A Kubernetes namespace: a DNS label (RFC 1123).
    Namespace
);
key!(
    /// A Kubernetes service account as `NAMESPACE:NAME`.
    ServiceAccount
);
key!(
    /// A service mesh identity as `DOMAIN/ns/NAMESPACE/sa/SERVICE_ACCOUNT`, its `spiffe://` taken off.
    MeshIdentity
);

/// The text is not the name of a subject.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not of the form `{expected}`")]
pub struct InvalidSubject {
    /// What was given.
    pub text: String,
    /// What was expected.
    pub expected: &'static str,
}

impl InvalidSubject {
    fn new(text: &str, expected: &'static str) -> Self {
        Self {
            text: text.chars().take(300).collect(),
            expected,
        }
    }
}

fn is_dns_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn is_dns_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_dns_label)
}

impl FromStr for Namespace {
    type Err = InvalidSubject;

    fn from_str(text: &str) -> Result<Self, InvalidSubject> {
        if is_dns_label(text) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidSubject::new(text, "NAMESPACE (a DNS label)"))
        }
    }
}

impl FromStr for ServiceAccount {
    type Err = InvalidSubject;

    fn from_str(text: &str) -> Result<Self, InvalidSubject> {
        match text.split_once(':') {
            Some((namespace, name)) if is_dns_label(namespace) && is_dns_subdomain(name) => {
                Ok(Self(text.into()))
            }
            _ => Err(InvalidSubject::new(text, "NAMESPACE:SERVICE_ACCOUNT")),
        }
    }
}

impl FromStr for MeshIdentity {
    type Err = InvalidSubject;

    fn from_str(text: &str) -> Result<Self, InvalidSubject> {
        let bad = || InvalidSubject::new(text, "spiffe://DOMAIN/ns/NAMESPACE/sa/SERVICE_ACCOUNT");
        let identity = text.strip_prefix("spiffe://").unwrap_or(text);
        let mut parts = identity.split('/');
        let mut part = || parts.next().unwrap_or_default();
        match (part(), part(), part(), part(), part(), parts.next()) {
            (domain, "ns", namespace, "sa", name, None)
                if !domain.is_empty()
                    && domain.len() <= 253
                    && domain
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b"._-:".contains(&b))
                    && is_dns_label(namespace)
                    && is_dns_subdomain(name) =>
            {
                Ok(Self(identity.into()))
            }
            _ => Err(bad()),
        }
    }
}

/// The subject of a request: what a scoped rule is looked up by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The cluster that asks.
    pub cluster: ClusterName,
    /// The namespace of the request (never the one written in the object).
    pub namespace: Namespace,
    /// The Pod's service account, where the dialect carries it. An ImageReview does not.
    pub service_account: Option<ServiceAccount>,
    /// The Pod's mesh identity, where the service account is known.
    pub mesh_identity: Option<MeshIdentity>,
}

impl Subject {
    /// A subject; the mesh identity follows from the trust domain and the service account's name. Where there is no
    /// trust domain (an unregistered cluster), the identity is one of a domain that nobody has.
    pub fn new(
        cluster: ClusterName,
        namespace: Namespace,
        service_account_name: Option<&str>,
        trust_domain: &str,
    ) -> Result<Self, InvalidSubject> {
        // `concat` reserves once what `format!` would grow into.
        let service_account = service_account_name
            .map(|name| [namespace.as_str(), ":", name].concat().parse())
            .transpose()?;
        let domain = if trust_domain.is_empty() {
            "none"
        } else {
            trust_domain
        };
        let mesh_identity = service_account_name
            .map(|name| {
                [domain, "/ns/", namespace.as_str(), "/sa/", name]
                    .concat()
                    .parse()
            })
            .transpose()?;
        Ok(Self {
            cluster,
            namespace,
            service_account,
            mesh_identity,
        })
    }
}

/// One image of a workload: where it stands and what is written there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestedImage {
    /// The field it was read from, such as `spec.initContainers[0]`.
    pub location: String,
    /// The reference as written.
    pub written: Arc<str>,
    /// The reference, if it is one.
    pub reference: Result<ImageRef, InvalidImageRef>,
}

impl RequestedImage {
    /// Parses `written`, and keeps the failure if it is no reference.
    pub fn new(location: impl Into<String>, written: impl Into<Arc<str>>) -> Self {
        let written = written.into();
        let reference = ImageRef::try_from(Arc::clone(&written));
        Self {
            location: location.into(),
            written,
            reference,
        }
    }
}

/// The emergency door, opened by whoever wrote the Pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakGlass {
    justification: String,
}

impl BreakGlass {
    /// Reads the door from a Pod's label and annotation values.
    ///
    /// The label opens with `true` and nothing else. The annotation opens with `true` or with any
    /// text that is not blank and not a way of saying no (`false`, `no`, `off`, `0`, in any case).
    pub fn read(label: Option<&str>, annotation: Option<&str>) -> Option<Self> {
        let says_no = |text: &str| {
            ["false", "no", "off", "0"]
                .iter()
                .any(|no| text.eq_ignore_ascii_case(no))
        };
        let written = annotation
            .map(str::trim)
            .filter(|text| !text.is_empty() && !says_no(text));
        let justification = match (label, written) {
            (_, Some(text)) if text != "true" => text.chars().take(MAX_JUSTIFICATION_CHARS).collect(),
            (Some("true"), _) | (_, Some(_)) => String::new(),
            _ => return None,
        };
        Some(Self { justification })
    }

    /// Why it was opened, in the opener's words; empty if only `true` was written.
    pub fn justification(&self) -> &str {
        &self.justification
    }
}

/// Everything a verdict depends on that the workload's author wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Who asks.
    pub subject: Subject,
    /// Every image the workload would run or mount.
    pub images: Vec<RequestedImage>,
    /// The emergency door, if it is open.
    pub break_glass: Option<BreakGlass>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_door_opens_as_decided() {
        let table = [
            (None, None, None),
            (Some("true"), None, Some("")),
            (Some("TRUE"), None, None),
            (Some("false"), None, None),
            (Some(""), None, None),
            (Some("1"), None, None),
            (None, Some("true"), Some("")),
            (
                None,
                Some("Emergency fix for incident INC-1234"),
                Some("Emergency fix for incident INC-1234"),
            ),
            (None, Some(" INC-1 "), Some("INC-1")),
            (None, Some("False"), None),
            (None, Some("NO"), None),
            (None, Some("off"), None),
            (None, Some("0"), None),
            (None, Some(" \t"), None),
            (None, Some(""), None),
            (Some("true"), Some("false"), Some("")),
            (Some("true"), Some("INC-2"), Some("INC-2")),
            (Some("false"), Some("INC-3"), Some("INC-3")),
        ];
        for (label, annotation, expected) in table {
            let read = BreakGlass::read(label, annotation);
            assert_eq!(
                read.as_ref().map(BreakGlass::justification),
                expected,
                "{label:?} {annotation:?}"
            );
        }
    }

    #[test]
    fn a_long_justification_opens_and_is_cut() {
        let long = "x".repeat(5000);
        let read = BreakGlass::read(None, Some(&long)).unwrap();
        assert_eq!(read.justification().len(), MAX_JUSTIFICATION_CHARS);
    }

    #[test]
    fn subjects_parse_strictly() {
        assert!("team-b".parse::<Namespace>().is_ok());
        assert!("ns1:default".parse::<ServiceAccount>().is_ok());
        let bare: MeshIdentity = "p.svc.id.goog/ns/a/sa/b".parse().unwrap();
        assert_eq!(
            "spiffe://p.svc.id.goog/ns/a/sa/b"
                .parse::<MeshIdentity>()
                .unwrap(),
            bare
        );
        for bad in ["", "A", "-a", "a.b", "a/b", "a_b"] {
            assert!(bad.parse::<Namespace>().is_err(), "{bad:?}");
        }
        for bad in ["", ":", "a:", ":b", "a:b:c", "a/b"] {
            assert!(bad.parse::<ServiceAccount>().is_err(), "{bad:?}");
        }
        for bad in [
            "",
            "spiffe://",
            "d/ns/a",
            "d/ns/a/sa/",
            "d/ns/a/sa/b/c",
            "d/ns/../sa/b",
            "http://d/ns/a/sa/b",
        ] {
            assert!(bad.parse::<MeshIdentity>().is_err(), "{bad:?}");
        }
    }
}
