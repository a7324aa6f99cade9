//! The secrets of a server inside of a cluster: made once, kept in a Secret, which its replicas mount.

use std::time::{Duration, SystemTime};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use binauthz_keyring::MasterKey;
use binauthz_kubernetes::is_label;
use clap::Args;
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose};
use serde_json::{Value, json};

use super::server::{CREDENTIALS, NAMESPACE};
use crate::{
    failure::{Exit, Failure},
    output,
    settings::Settings,
    yaml,
};

/// What webhook configurations trust must outlive many serving certificates.
const AUTHORITY_LIFETIME: Duration = Duration::from_secs(3_650 * 86_400);
/// The API server's clock may be behind ours.
const SKEW: Duration = Duration::from_secs(86_400);

/// Where the Secret is to be.
#[derive(Debug, Args)]
pub struct Flags {
    /// Namespace of the server
    #[arg(long, default_value = NAMESPACE, value_parser = label)]
    namespace: String,
    /// Name of the Secret
    #[arg(long, default_value = CREDENTIALS, value_parser = label)]
    name: String,
}

impl Flags {
    pub(super) fn run(&self, settings: &Settings) -> Result<Exit, Failure> {
        let secret = secret(&self.namespace, &self.name)?;
        match settings.format.as_ref() {
            Some(format) => output::show_one(Some(format), &secret)?,
            None => output::print(&yaml::write(&secret))?,
        }
        Ok(Exit::Done)
    }
}

/// A new token, master key and authority, as a Secret.
pub(super) fn secret(namespace: &str, name: &str) -> Result<Value, Failure> {
    let random = || {
        MasterKey::random_bytes()
            .map_err(|_| Failure::usage("the system gave no random bytes: no secrets were made"))
    };
    let (token, master) = (random()?, random()?);
    let token: String = token.iter().map(|byte| format!("{byte:02x}")).collect();
    let (key, certificate) = authority(SystemTime::now())
        .map_err(|error| Failure::usage(format_args!("no certificate authority could be made: {error}")))?;
    Ok(json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"app.kubernetes.io/name": "binauthz", "app.kubernetes.io/managed-by": "binauthz"},
        },
        "type": "Opaque",
        "data": {
            "admin.token": STANDARD.encode(token),
            "master.key": STANDARD.encode(master.as_slice()),
            "authority.key": STANDARD.encode(key),
            "authority.pem": STANDARD.encode(certificate),
        },
    }))
}

/// Key and certificate, as the server makes its own.
fn authority(now: SystemTime) -> Result<(String, String), rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, "binauthz webhook authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    // Whole seconds, as X.509 has no finer time.
    let since_epoch = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let now = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(since_epoch.as_secs());
    params.not_before = now - SKEW;
    params.not_after = now + AUTHORITY_LIFETIME;
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok((key.serialize_pem(), certificate.pem()))
}

fn label(text: &str) -> Result<String, String> {
    match is_label(text) {
        true => Ok(text.to_owned()),
        false => Err("expected lower-case letters, digits and `-`, 63 at most".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_holds_what_the_server_takes_and_no_two_are_alike() {
        let decoded =
            |secret: &Value, key: &str| STANDARD.decode(secret["data"][key].as_str().unwrap()).unwrap();
        let (one, other) = (secret("a", "b").unwrap(), secret("a", "b").unwrap());
        assert_eq!(one["metadata"]["namespace"], "a");
        assert_eq!(one["metadata"]["name"], "b");
        assert_eq!(decoded(&one, "master.key").len(), MasterKey::BYTES);
        assert_eq!(decoded(&one, "admin.token").len(), 64);
        let pem = decoded(&one, "authority.pem");
        assert_eq!(reqwest::Certificate::from_pem_bundle(&pem).unwrap().len(), 1);
        for key in ["admin.token", "master.key", "authority.key", "authority.pem"] {
            assert_ne!(decoded(&one, key), decoded(&other, key), "{key}");
        }
    }
}
