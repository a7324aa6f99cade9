//! Where the material of self-made certificates is kept: in a file of the data directory, or in a Secret of the cluster
//! that several replicas run in.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use binauthz_kubernetes::{Api, ApiError, Inside, NotInside};
use serde_json::{Value, json};

use super::CertificatesError;
use super::material::{Authority, Material, Terms};

/// The entry of a Secret.
const MATERIAL: &str = "material.json";
/// Beside it, for those who are to trust it.
const BUNDLE: &str = "ca.crt";
/// An authority of an earlier release, which lasted so long and did not write down until when.
const FORMER_LIFETIME: Duration = Duration::from_secs(3_650 * 86_400);

/// The place.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// `FOLDER/material.json`, of one process alone.
    Folder(PathBuf),
    /// A Secret that others write, too.
    Secret(SecretPlace),
}

/// A Secret of the process's own namespace.
#[derive(Debug, Clone)]
pub(super) struct SecretPlace {
    pub(super) inside: Inside,
    pub(super) name: String,
}

/// What was there, and which version it is of.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) material: Material,
    version: Option<Value>,
}

/// What came of writing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Written {
    Done,
    /// Somebody else was first.
    Overtaken,
}

impl Place {
    /// What is there, if anything is.
    pub(super) async fn read(
        &self,
        terms: &Terms,
        now: SystemTime,
    ) -> Result<Option<Kept>, CertificatesError> {
        match self {
            Place::Folder(folder) => {
                let mut material = of_folder(folder)?;
                if material.is_none()
                    && let Some(former) = of_former_release(folder, terms, now)?
                {
                    write(&folder.join(MATERIAL), text(&former).as_bytes(), 0o600)?;
                    material = Some(former);
                }
                Ok(material.map(|material| Kept {
                    material,
                    version: None,
                }))
            }
            Place::Secret(place) => place.read().await,
        }
    }

    /// Writes it in the place of what was read.
    pub(super) async fn write(
        &self,
        material: &Material,
        before: Option<&Kept>,
    ) -> Result<Written, CertificatesError> {
        match self {
            Place::Folder(folder) => {
                let text = text(material);
                write(&folder.join(MATERIAL), text.as_bytes(), 0o600).map(|()| Written::Done)
            }
            Place::Secret(place) => place.write(material, before).await,
        }
    }
}

impl SecretPlace {
    fn api(&self) -> Result<(Api, String), NotInside> {
        let namespace = self.inside.namespace()?;
        Ok((
            Api::inside(&self.inside)?,
            format!("/api/v1/namespaces/{namespace}/secrets"),
        ))
    }

    fn failed(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> CertificatesError {
        CertificatesError::Secret {
            name: self.name.clone(),
            source: source.into(),
        }
    }

    async fn read(&self) -> Result<Option<Kept>, CertificatesError> {
        let (api, collection) = self.api().map_err(|error| self.failed(error))?;
        let path = format!("{collection}/{}", self.name);
        let found = api.read(&path).await.map_err(|error| self.failed(error))?;
        let Some(secret) = found else { return Ok(None) };
        let data = secret["data"][MATERIAL].as_str().unwrap_or_default();
        let bytes = STANDARD.decode(data).map_err(|error| self.failed(error))?;
        let material = serde_json::from_slice(&bytes).map_err(|error| self.failed(error))?;
        Ok(Some(Kept {
            material,
            version: secret["metadata"].get("resourceVersion").cloned(),
        }))
    }

    async fn write(&self, material: &Material, before: Option<&Kept>) -> Result<Written, CertificatesError> {
        let (api, collection) = self.api().map_err(|error| self.failed(error))?;
        let mut secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": self.name, "labels": {"app.kubernetes.io/managed-by": "binauthz"}},
            "type": "Opaque",
            "data": {
                MATERIAL: STANDARD.encode(text(material)),
                BUNDLE: STANDARD.encode(material.bundle()),
            },
        });
        let written = match before {
            None => api.create(&collection, &secret).await,
            Some(before) => {
                // Kubernetes refuses it if the Secret is of another version by now.
                secret["metadata"]["resourceVersion"] = before.version.clone().unwrap_or_default();
                api.replace(&format!("{collection}/{}", self.name), &secret).await
            }
        };
        match written {
            Ok(_) => Ok(Written::Done),
            Err(ApiError::Refused { http: 409, .. }) => Ok(Written::Overtaken),
            Err(error) => Err(self.failed(error)),
        }
    }
}

fn text(material: &Material) -> String {
    json!(material).to_string()
}

fn of_folder(folder: &Path) -> Result<Option<Material>, CertificatesError> {
    let path = folder.join(MATERIAL);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(CertificatesError::File { path, source }),
    };
    let material = serde_json::from_str(&text).map_err(|source| CertificatesError::Damaged {
        path,
        source: source.into(),
    })?;
    Ok(Some(material))
}

/// An authority in files of its own, which clusters trust: it stays.
fn of_former_release(
    folder: &Path,
    terms: &Terms,
    now: SystemTime,
) -> Result<Option<Material>, CertificatesError> {
    let (certificate, key) = (folder.join("authority.pem"), folder.join("authority.key"));
    if !certificate.exists() || !key.exists() {
        return Ok(None);
    }
    let read = |path: &Path| {
        fs::read_to_string(path).map_err(|source| CertificatesError::File {
            path: path.to_owned(),
            source,
        })
    };
    let made = fs::metadata(&certificate).and_then(|metadata| metadata.modified());
    let ends = made.unwrap_or(now) + FORMER_LIFETIME;
    let authority = Authority::found(read(&certificate)?, read(&key)?, ends);
    let material = Material::under(authority, terms, now).map_err(|source| CertificatesError::Damaged {
        path: key,
        source: source.into(),
    })?;
    Ok(Some(material))
}

/// Writes beside and renames, so that nobody reads half a file and a key is never readable by others.
pub(super) fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), CertificatesError> {
    let beside = path.with_extension("new");
    let written = (|| {
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&beside)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    })();
    written.map_err(|source| CertificatesError::File {
        path: path.to_owned(),
        source,
    })
}
