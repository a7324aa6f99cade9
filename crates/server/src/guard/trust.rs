//! Whom the webhook configurations trust: this server's authorities, the one that is to take over before it does.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use binauthz_core::name::ClusterName;
use binauthz_kubernetes::{
    Api, ApiError, CA_BUNDLE, Configuration, Installed, cluster_of, is_injected, is_managed,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::Value;

use crate::listen::Certificates;

/// What the API server of a cluster trusts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Trust {
    /// It is not known.
    #[default]
    Unknown,
    /// Others: a proxy before this server, or cert-manager's authority. That is theirs to renew.
    Others,
    /// Every authority of this server, this one among them if one is to take over.
    Ours(Option<String>),
}

/// Every authority of this server, and those that have ended, in PEM.
#[derive(Debug, Clone)]
pub(super) struct Ours {
    bundle: String,
    ended: String,
    next: Option<String>,
}

impl Ours {
    /// As they are now.
    pub(super) fn of(certificates: &Certificates) -> Ours {
        Ours {
            bundle: certificates.bundle(),
            ended: certificates.ended(),
            next: certificates.next_authority(),
        }
    }
}

/// What is to be done about a `caBundle`.
#[derive(Debug, PartialEq, Eq)]
enum Bundle {
    Others,
    Current,
    Old(String),
}

/// Writes this server's authorities into the configurations that trust one of them. What was written is only believed
/// when the next look reads it.
pub(super) async fn renew(
    api: &Api,
    cluster: &ClusterName,
    installed: &Installed,
    ours: &Ours,
) -> Result<Trust, ApiError> {
    let mut trust = Trust::Others;
    for (which, found) in installed.all() {
        let is_of_cluster = is_managed(found) && cluster_of(found) == Some(cluster.to_string().as_str());
        if !is_of_cluster || is_injected(found) {
            continue;
        }
        let live = found.pointer(CA_BUNDLE).and_then(Value::as_str);
        match bundle(live.unwrap_or_default(), ours) {
            Bundle::Others => {}
            Bundle::Current if trust != Trust::Unknown => trust = Trust::Ours(ours.next.clone()),
            Bundle::Current => {}
            Bundle::Old(wanted) => {
                trust = Trust::Unknown;
                write(api, (which, found), wanted).await?;
            }
        }
    }
    Ok(trust)
}

async fn write(api: &Api, (which, found): (Configuration, &Value), bundle: String) -> Result<(), ApiError> {
    let mut object = found.clone();
    if let Some(field) = object.pointer_mut(CA_BUNDLE) {
        *field = bundle.into();
    }
    match api.replace(&which.path(), &object).await {
        Ok(_) => tracing::info!(
            kind = which.kind(),
            "wrote the certificate authorities into the configuration"
        ),
        // Somebody else wrote meanwhile: the next look sees what.
        Err(ApiError::Refused { http: 409, .. }) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Compares by certificates, not by text: what others trust beside this server's stays.
fn bundle(live: &str, ours: &Ours) -> Bundle {
    let live = STANDARD.decode(live).unwrap_or_default();
    let (live, wanted) = (certificates(&live), certificates(ours.bundle.as_bytes()));
    let ended = certificates(ours.ended.as_bytes());
    if !live.iter().any(|one| wanted.contains(one) || ended.contains(one)) {
        return Bundle::Others;
    }
    let is_whole = wanted.iter().all(|one| live.contains(one));
    if is_whole && !live.iter().any(|one| ended.contains(one)) {
        return Bundle::Current;
    }
    let others = live
        .iter()
        .filter(|one| !wanted.contains(one) && !ended.contains(one));
    let others: String = others.map(pem).collect();
    Bundle::Old(STANDARD.encode(format!("{}{others}", ours.bundle)))
}

/// Those that can be read.
fn certificates(pem: &[u8]) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem)
        .filter_map(Result::ok)
        .collect()
}

fn pem(certificate: &CertificateDer<'static>) -> String {
    const LINE: usize = 64;
    let text = STANDARD.encode(certificate);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(LINE)
        .filter_map(|line| std::str::from_utf8(line).ok())
        .collect();
    format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        lines.join("\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(byte: u8) -> String {
        pem(&CertificateDer::from(vec![byte; 100]))
    }

    fn ours() -> Ours {
        Ours {
            bundle: of(1) + &of(2),
            ended: of(9),
            next: Some(of(2)),
        }
    }

    fn compared(live: &[u8]) -> Bundle {
        let text: String = live.iter().map(|byte| of(*byte)).collect();
        bundle(&STANDARD.encode(text), &ours())
    }

    fn old(wanted: &[u8]) -> Bundle {
        let text: String = wanted.iter().map(|byte| of(*byte)).collect();
        Bundle::Old(STANDARD.encode(text))
    }

    #[test]
    fn what_trusts_us_is_kept_up_to_date_and_what_does_not_is_left_alone() {
        let table: [(&[u8], Bundle); 9] = [
            (&[], Bundle::Others),
            (&[7], Bundle::Others),
            (&[1, 2], Bundle::Current),
            (&[2, 1], Bundle::Current),
            (&[7, 1, 2], Bundle::Current),
            (&[1], old(&[1, 2])),
            (&[7, 1], old(&[1, 2, 7])),
            (&[9], old(&[1, 2])),
            (&[1, 2, 9], old(&[1, 2])),
        ];
        for (live, expected) in table {
            assert_eq!(compared(live), expected, "{live:?}");
        }
        for unreadable in ["", "%", "TkVX"] {
            assert_eq!(bundle(unreadable, &ours()), Bundle::Others);
        }
    }

    #[test]
    fn what_is_written_as_pem_is_read_again() {
        let certificate = CertificateDer::from((0..=255).collect::<Vec<u8>>());
        assert_eq!(certificates(pem(&certificate).as_bytes()), [certificate]);
    }
}
