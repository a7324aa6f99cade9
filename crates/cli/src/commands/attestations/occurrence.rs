//! The occurrence that carries an attestation: where it hangs, what is checked before it is stored.

use binauthz_core::{
    key::reduced_id,
    name::{AttestorName, NoteName},
};
use clap::Args;
use serde_json::{Value, json};

use crate::{artifact::Artifact, client::Client, failure::Failure, names, settings::Settings};

/// Whose attestation it is: an attestor, or the note itself.
#[derive(Debug, Args)]
#[group(skip)]
#[command(group(clap::ArgGroup::new("authority").required(true).args(["attestor", "note"])))]
pub(super) struct AuthorityFlags {
    /// Attestor: id, or `projects/PROJECT/attestors/ATTESTOR`
    #[arg(long)]
    attestor: Option<String>,
    /// Project of the attestor, where it differs
    #[arg(long, value_name = "PROJECT", requires = "attestor", conflicts_with = "note")]
    attestor_project: Option<String>,
    /// Note, where the attestor may not be read: id, or `projects/PROJECT/notes/NOTE`
    #[arg(long)]
    note: Option<String>,
    /// Project of the note, where it differs
    #[arg(long, value_name = "PROJECT", requires = "note", conflicts_with = "attestor")]
    note_project: Option<String>,
}

/// Where the attestation hangs, and the attestor's keys where one was named.
#[derive(Debug)]
pub(super) struct Authority {
    pub(super) note: NoteName,
    pub(super) attestor: Option<AttestorKeys>,
}

/// An attestor as far as a signer needs it.
#[derive(Debug)]
pub(super) struct AttestorKeys {
    pub(super) name: AttestorName,
    keys: Vec<Value>,
}

impl AuthorityFlags {
    /// Reads the attestor, or takes the note as given.
    pub(super) async fn resolve(&self, client: &Client, settings: &Settings) -> Result<Authority, Failure> {
        let Some(attestor) = &self.attestor else {
            let note = names::required(self.note.as_deref(), "--attestor")?;
            return Ok(Authority {
                note: names::note(note, self.note_project.as_deref(), settings)?,
                attestor: None,
            });
        };
        let name = names::attestor(attestor, self.attestor_project.as_deref(), settings)?;
        let found = client.get(&names::path("v1", &name), &[]).await?;
        let own_note = found.get("userOwnedGrafeasNote");
        let note = own_note
            .and_then(|note| note.get("noteReference")?.as_str())
            .unwrap_or("");
        let note = note
            .parse()
            .map_err(|error| Failure::usage(format_args!("attestor `{name}`: {error}")))?;
        let keys = own_note
            .and_then(|note| note.get("publicKeys")?.as_array())
            .cloned()
            .unwrap_or_default();
        Ok(Authority {
            note,
            attestor: Some(AttestorKeys { name, keys }),
        })
    }
}

impl AttestorKeys {
    /// The PKIX keys as (id, PEM, algorithm name).
    pub(super) fn pkix(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.keys.iter().filter_map(|key| {
            let pkix = key.get("pkixPublicKey")?;
            Some((
                key.get("id")?.as_str()?,
                pkix.get("publicKeyPem")?.as_str()?,
                pkix.get("signatureAlgorithm")?.as_str()?,
            ))
        })
    }

    /// The id under which the attestor holds a key: ids that differ in the host name only are the same.
    pub(super) fn id_like(&self, id: &str) -> Option<String> {
        let wanted = reduced_id(id);
        let mut ids = self.keys.iter().filter_map(|key| key.get("id")?.as_str());
        ids.find(|id| reduced_id(id) == wanted).map(str::to_owned)
    }

    /// The failure for a key the attestor does not hold: what it signs would count for nothing.
    pub(super) fn unknown_key(&self, key: &str, add: &str) -> Failure {
        Failure::refused(format_args!(
            "attestor `{}` does not hold the key `{key}`: its signature would count for nothing",
            self.name
        ))
        .advise(format_args!(
            "add it first: binauthz attestors public-keys add --attestor={} {add}",
            self.name
        ))
    }
}

/// An attestation ready to be stored.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) authority: Authority,
    pub(super) resource_uri: String,
    pub(super) payload: Vec<u8>,
    pub(super) key_id: String,
    pub(super) signature: Vec<u8>,
}

impl Draft {
    /// For an image, signed by a key.
    pub(super) fn new(
        authority: Authority,
        artifact: &Artifact,
        payload: Vec<u8>,
        signed: (String, Vec<u8>),
    ) -> Draft {
        let (key_id, signature) = signed;
        Draft {
            authority,
            resource_uri: artifact.resource_uri(),
            payload,
            key_id,
            signature,
        }
    }

    /// Asks the server whether the attestor would accept it. Nothing is stored when it would not.
    pub(super) async fn validate(&self, client: &Client) -> Result<(), Failure> {
        let attestor = self.authority.attestor.as_ref().map(|attestor| &attestor.name);
        let attestor = attestor.ok_or_else(|| Failure::usage("--validate needs --attestor"))?;
        let body = json!({
            "attestation": self.attestation(),
            "occurrenceNote": self.authority.note.to_string(),
            "occurrenceResourceUri": self.resource_uri,
        });
        let path = format!("{}:validateAttestationOccurrence", names::path("v1", attestor));
        let answer = client.post(&path, &[], &body).await?;
        if answer.get("result").and_then(Value::as_str) == Some("VERIFIED") {
            return Ok(());
        }
        let why = answer
            .get("denialReason")
            .and_then(Value::as_str)
            .unwrap_or("no reason was given");
        Err(Failure::refused(format_args!(
            "attestor `{attestor}` would not accept the attestation: {why}"
        ))
        .advise("nothing was stored"))
    }

    /// Stores it in the current project, or else in the note's.
    pub(super) async fn store(&self, client: &Client, settings: &Settings) -> Result<Value, Failure> {
        let project = settings
            .project()
            .unwrap_or_else(|_| self.authority.note.project().as_str());
        let occurrence = json!({
            "kind": "ATTESTATION",
            "noteName": self.authority.note.to_string(),
            "resourceUri": self.resource_uri,
            "attestation": self.attestation(),
        });
        Ok(client
            .post(&format!("/v1/projects/{project}/occurrences"), &[], &occurrence)
            .await?)
    }

    fn attestation(&self) -> Value {
        json!({
            "serializedPayload": binauthz_wire::json::bytes_out(&self.payload),
            "signatures": [{
                "publicKeyId": self.key_id,
                "signature": binauthz_wire::json::bytes_out(&self.signature),
            }],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attestor() -> AttestorKeys {
        AttestorKeys {
            name: "projects/p/attestors/a".parse().expect("a name"),
            keys: vec![
                json!({"id": "//cloudkms.googleapis.com/v1/projects/p/locations/global/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1",
                       "pkixPublicKey": {"publicKeyPem": "P", "signatureAlgorithm": "ECDSA_P256_SHA256"}}),
                json!({"id": "0123456789ABCDEF0123456789ABCDEF01234567", "asciiArmoredPgpPublicKey": "A"}),
            ],
        }
    }

    #[test]
    fn a_key_is_found_under_another_host_name_and_only_the_same_version() {
        let attestor = attestor();
        let version = "projects/p/locations/global/keyRings/r/cryptoKeys/k/cryptoKeyVersions";
        let stored = format!("//cloudkms.googleapis.com/v1/{version}/1");
        assert_eq!(
            attestor.id_like(&format!("//127.0.0.1:8787/v1/{version}/1")),
            Some(stored)
        );
        assert_eq!(
            attestor.id_like(&format!("//127.0.0.1:8787/v1/{version}/2")),
            None
        );
        assert_eq!(attestor.pkix().count(), 1, "a PGP key is no PKIX key");
    }
}
