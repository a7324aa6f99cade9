//! The configured registries and what can be asked of them.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use binauthz_core::image::{Digest, ImageRef};
use reqwest::{Method, Url};
use serde::Deserialize;

use crate::endpoint::Endpoint;
use crate::error::{RegistryError, UnknownRepository};
use crate::manifest::{MAX_MANIFEST_BYTES, Manifest};
use crate::transport::{Ask, Transport};

/// Tags of one repository, or repositories of one registry, read at most. At 128 bytes a tag: 1.3 MB.
pub const MAX_LISTED: usize = 10_000;
/// One page of a list; registries cap pages at 1 000 names of at most 255 bytes.
const MAX_PAGE_BYTES: usize = 1024 * 1024;
const PAGE: &str = "1000";
/// Registries that ignore the page size asked for send 100 names at a time: 100 pages for [`MAX_LISTED`].
const MAX_PAGES: usize = 100;

/// The registries the operator configured. Cheap to clone.
#[derive(Clone)]
pub struct Registries {
    endpoints: BTreeMap<String, Endpoint>,
    transport: Transport,
}

impl Registries {
    /// Takes the endpoints; of two for one host the later one counts.
    ///
    /// # Errors
    /// The HTTP client's error when the system has no usable TLS set-up.
    pub fn new(endpoints: impl IntoIterator<Item = Endpoint>) -> Result<Self, reqwest::Error> {
        let endpoints = endpoints
            .into_iter()
            .map(|endpoint| (endpoint.host().to_owned(), endpoint))
            .collect();
        Ok(Self {
            endpoints,
            transport: Transport::new()?,
        })
    }

    /// The hosts that can be asked, sorted.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        self.endpoints.keys().map(String::as_str)
    }

    /// The repository `path` of `host`.
    ///
    /// # Errors
    /// [`UnknownRepository`] for every host the operator did not name and for a path no image reference has.
    pub fn repository(&self, host: &str, path: &str) -> Result<Repository<'_>, UnknownRepository> {
        let not_configured = || UnknownRepository::NotConfigured {
            host: host.to_owned(),
        };
        let endpoint = self.endpoints.get(host).ok_or_else(not_configured)?;
        // Part of a URL from here on: `..`, `?` and their like must not get through.
        match format!("{host}/{path}").parse() {
            Ok(ImageRef::Tagged(reference)) if reference.tag().is_none() => Ok(Repository {
                registries: self,
                endpoint,
                path: path.to_owned(),
            }),
            _ => Err(UnknownRepository::InvalidPath {
                path: path.chars().take(300).collect(),
            }),
        }
    }

    /// The repositories of `host` whose path starts with `prefix`, sorted.
    ///
    /// # Errors
    /// [`RegistryError`]; a registry that does not list its repositories answers with
    /// [`RegistryError::Refused`] or [`RegistryError::NotFound`].
    pub async fn repositories(&self, host: &str, prefix: &str) -> Result<Vec<String>, RegistryError> {
        let Some(endpoint) = self.endpoints.get(host) else {
            return Err(RegistryError::NotFound {
                what: host.to_owned(),
            });
        };
        let names = self
            .list(endpoint, "v2/_catalog", |page| page.repositories)
            .await?;
        Ok(names
            .into_iter()
            .filter(|name| name.starts_with(prefix))
            .collect())
    }

    /// Reads a list page by page.
    async fn list(
        &self,
        endpoint: &Endpoint,
        path: &str,
        names: fn(Page) -> Option<Vec<String>>,
    ) -> Result<Vec<String>, RegistryError> {
        let malformed = || RegistryError::Malformed {
            host: endpoint.host().to_owned(),
            what: "list",
        };
        let mut url = endpoint.base().join(path).map_err(|_| malformed())?;
        url.query_pairs_mut().append_pair("n", PAGE);
        let mut all = Vec::new();
        for _ in 0..MAX_PAGES {
            let answer = self
                .transport
                .exchange(endpoint, Ask::get(url.clone()), MAX_PAGE_BYTES)
                .await?;
            let page: Page = serde_json::from_slice(&answer.body).map_err(|_| malformed())?;
            all.extend(names(page).unwrap_or_default());
            match next_page(endpoint, &url, answer.header("link"))? {
                Some(next) if all.len() <= MAX_LISTED => url = next,
                Some(_) => break,
                None => {
                    all.sort_unstable();
                    all.dedup();
                    return Ok(all);
                }
            }
        }
        Err(RegistryError::TooMany {
            host: endpoint.host().to_owned(),
            limit: MAX_LISTED,
        })
    }
}

impl fmt::Debug for Registries {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.endpoints.values()).finish()
    }
}

/// `Link: <…>; rel="next"`, within the origin.
fn next_page(endpoint: &Endpoint, current: &Url, link: Option<&str>) -> Result<Option<Url>, RegistryError> {
    let Some(link) = link.filter(|link| link.contains("rel=\"next\"")) else {
        return Ok(None);
    };
    let malformed = || RegistryError::Malformed {
        host: endpoint.host().to_owned(),
        what: "next page",
    };
    let target = link
        .split_once('<')
        .and_then(|(_, rest)| rest.split_once('>'))
        .ok_or_else(malformed)?
        .0;
    let next = current.join(target).map_err(|_| malformed())?;
    if endpoint.is_origin_of(&next) {
        Ok(Some(next))
    } else {
        Err(RegistryError::Elsewhere {
            host: endpoint.host().to_owned(),
            what: "next page",
        })
    }
}

#[derive(Deserialize)]
struct Page {
    tags: Option<Vec<String>>,
    repositories: Option<Vec<String>>,
}

/// One repository of a configured registry.
#[derive(Debug)]
pub struct Repository<'a> {
    registries: &'a Registries,
    endpoint: &'a Endpoint,
    path: String,
}

impl Repository<'_> {
    /// Reads the manifest with this digest.
    ///
    /// # Errors
    /// [`RegistryError`]; content with another digest is an error, not an answer.
    pub async fn manifest(&self, digest: &Digest) -> Result<Manifest, RegistryError> {
        let manifest = self.fetch(&digest.to_string()).await?;
        self.expect_digest(&manifest, &digest.to_string())?;
        Ok(manifest)
    }

    /// Reads the manifest a tag names now. Its digest is computed here: a `HEAD` would have to be believed.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn resolve(&self, tag: &Tag) -> Result<Manifest, RegistryError> {
        self.fetch(&tag.0).await
    }

    /// The tags, sorted.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn tags(&self) -> Result<Vec<Tag>, RegistryError> {
        let path = format!("v2/{}/tags/list", self.path);
        let names = self
            .registries
            .list(self.endpoint, &path, |page| page.tags)
            .await?;
        let malformed = |_| RegistryError::Malformed {
            host: self.endpoint.host().to_owned(),
            what: "list",
        };
        names
            .into_iter()
            .map(|name| name.parse::<Tag>().map_err(malformed))
            .collect()
    }

    /// Makes `tag` name `manifest`, which must come from this repository.
    ///
    /// # Errors
    /// [`RegistryError`]; also when the registry says it stored something else.
    pub async fn put_tag(&self, tag: &Tag, manifest: &Manifest) -> Result<(), RegistryError> {
        let ask = Ask {
            method: Method::PUT,
            url: self.manifest_url(&tag.0)?,
            body: Some((manifest.media_type(), manifest.bytes().to_vec())),
        };
        let answer = self
            .registries
            .transport
            .exchange(self.endpoint, ask, MAX_PAGE_BYTES)
            .await?;
        answer
            .header(DIGEST_HEADER)
            .map_or(Ok(()), |stored| self.expect_digest(manifest, stored))
    }

    /// Removes a tag. Many registries cannot, and say so.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn delete_tag(&self, tag: &Tag) -> Result<(), RegistryError> {
        self.delete(&tag.0).await
    }

    /// Deletes a manifest, and with it every tag that names it. Registries do this only if they are told to.
    ///
    /// # Errors
    /// [`RegistryError`]; the manifest is still there, unless the connection broke.
    pub async fn delete_manifest(&self, digest: &Digest) -> Result<(), RegistryError> {
        self.delete(&digest.to_string()).await
    }

    async fn delete(&self, reference: &str) -> Result<(), RegistryError> {
        let ask = Ask {
            method: Method::DELETE,
            url: self.manifest_url(reference)?,
            body: None,
        };
        self.registries
            .transport
            .exchange(self.endpoint, ask, MAX_PAGE_BYTES)
            .await
            .map(|_| ())
    }

    async fn fetch(&self, reference: &str) -> Result<Manifest, RegistryError> {
        let ask = Ask::get(self.manifest_url(reference)?);
        let answer = self
            .registries
            .transport
            .exchange(self.endpoint, ask, MAX_MANIFEST_BYTES)
            .await?;
        let content_type = answer.header("content-type").unwrap_or_default().to_owned();
        let stated = answer.header(DIGEST_HEADER).map(str::to_owned);
        let manifest = Manifest::new(answer.body, &content_type)?;
        stated.map_or(Ok(()), |stated| self.expect_digest(&manifest, &stated))?;
        Ok(manifest)
    }

    fn expect_digest(&self, manifest: &Manifest, expected: &str) -> Result<(), RegistryError> {
        if manifest.digest().to_string() == expected {
            return Ok(());
        }
        Err(RegistryError::DigestMismatch {
            host: self.endpoint.host().to_owned(),
            expected: expected.chars().take(100).collect(),
            found: *manifest.digest(),
        })
    }

    fn manifest_url(&self, reference: &str) -> Result<Url, RegistryError> {
        let malformed = |_| RegistryError::Malformed {
            host: self.endpoint.host().to_owned(),
            what: "address",
        };
        self.endpoint
            .base()
            .join(&format!("v2/{}/manifests/{reference}", self.path))
            .map_err(malformed)
    }
}

/// RG-03: believed only where it says what the bytes say.
const DIGEST_HEADER: &str = "docker-content-digest";

/// A tag: 1 to 128 letters, digits, `_`, `.` or `-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tag(String);

impl Tag {
    /// The tag as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = InvalidTag;

    fn from_str(text: &str) -> Result<Self, InvalidTag> {
        // One grammar for tags, that of image references.
        match format!("name:{text}").parse() {
            Ok(ImageRef::Tagged(reference)) if reference.tag() == Some(text) => Ok(Self(text.to_owned())),
            _ => Err(InvalidTag {
                text: text.chars().take(140).collect(),
            }),
        }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Not a tag.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a tag, expected 1 to 128 letters, digits, `_`, `.` or `-`")]
pub struct InvalidTag {
    /// What was written.
    pub text: String,
}

#[cfg(test)]
mod tests;
