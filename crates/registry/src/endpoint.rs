//! Where images of a host are asked: one `HOST=URL` of the operator.

use std::fmt;
use std::str::FromStr;

use reqwest::Url;
use zeroize::Zeroizing;

/// A registry host as image references name it, and the address it answers under.
#[derive(Clone)]
pub struct Endpoint {
    host: String,
    base: Url,
    credentials: Option<Credentials>,
}

/// A user and a password, for one origin.
#[derive(Clone)]
pub(crate) struct Credentials {
    pub(crate) user: String,
    pub(crate) password: Zeroizing<String>,
}

impl Endpoint {
    /// The host as image references name it.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The address without credentials.
    #[must_use]
    pub fn url(&self) -> &str {
        self.base.as_str()
    }

    pub(crate) const fn base(&self) -> &Url {
        &self.base
    }

    pub(crate) const fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }

    /// Whether `url` is on the very scheme, host and port of this endpoint: the only place that sees its
    /// credentials (RG-08), and the only place a redirect may lead to (SS-02).
    pub(crate) fn is_origin_of(&self, url: &Url) -> bool {
        url.origin() == self.base.origin()
    }
}

impl FromStr for Endpoint {
    type Err = InvalidEndpoint;

    /// Reads `HOST=URL`; the URL may carry `USER:PASSWORD@`.
    fn from_str(text: &str) -> Result<Self, InvalidEndpoint> {
        let (host, address) = text.split_once('=').ok_or(InvalidEndpoint::NoEquals)?;
        // The host is compared with image references as text, so it has to be one a reference can have.
        let reference = format!("{host}/name").parse::<binauthz_core::image::ImageRef>();
        if !reference.is_ok_and(|reference| reference.host() == Some(host)) {
            return Err(InvalidEndpoint::Host {
                host: host.chars().take(100).collect(),
            });
        }
        let mut base = Url::parse(address).map_err(|_| InvalidEndpoint::Address {
            host: host.to_owned(),
        })?;
        let plain =
            matches!(base.scheme(), "http" | "https") && base.query().is_none() && base.fragment().is_none();
        if !plain || base.cannot_be_a_base() {
            return Err(InvalidEndpoint::Address {
                host: host.to_owned(),
            });
        }
        let credentials = base
            .password()
            .filter(|_| !base.username().is_empty())
            .map(|password| Credentials {
                user: decode(base.username()),
                password: Zeroizing::new(decode(password)),
            });
        // What a Url with credentials would do on its own: send them.
        if base
            .set_username("")
            .and_then(|()| base.set_password(None))
            .is_err()
        {
            return Err(InvalidEndpoint::Address {
                host: host.to_owned(),
            });
        }
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        Ok(Self {
            host: host.to_owned(),
            base,
            credentials,
        })
    }
}

/// Undoes the percent-encoding of a URL's user or password; what is not encoded well stays as it is.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let pair = after.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        match pair
            .filter(|_| byte == b'%')
            .and_then(|pair| u8::from_str_radix(pair, 16).ok())
        {
            Some(decoded) => {
                bytes.push(decoded);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

impl fmt::Debug for Endpoint {
    /// Without the credentials.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Endpoint({}={})", self.host, self.base)
    }
}

/// Why a text is not `HOST=URL`. The URL is not repeated: it may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEndpoint {
    /// No `=`.
    #[error("expected `HOST=URL`, as in `us-central1-docker.pkg.dev=https://registry.example:5000`")]
    NoEquals,
    /// Not a host an image reference can name.
    #[error("`{host}` is not a registry host, expected the part of an image reference before the first `/`")]
    Host {
        /// What was written.
        host: String,
    },
    /// Not an http or https URL.
    #[error(
        "the address of `{host}` is not a URL, expected `http://…` or `https://…` without query and fragment"
    )]
    Address {
        /// The host it is for.
        host: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_host_and_address() {
        let cases = [
            (
                "us-central1-docker.pkg.dev=http://127.0.0.1:5000",
                "us-central1-docker.pkg.dev",
                "http://127.0.0.1:5000/",
            ),
            (
                "localhost:5001=https://r.example/a/b",
                "localhost:5001",
                "https://r.example/a/b/",
            ),
            (
                "r.example=https://u:p%40ss@r.example",
                "r.example",
                "https://r.example/",
            ),
        ];
        for (text, host, url) in cases {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!((endpoint.host(), endpoint.url()), (host, url), "{text}");
        }
    }

    #[test]
    fn credentials_are_kept_apart_and_never_printed() {
        let endpoint: Endpoint = "r.example=https://u:p%40ss@r.example".parse().unwrap();
        let credentials = endpoint.credentials().unwrap();
        assert_eq!(
            (credentials.user.as_str(), credentials.password.as_str()),
            ("u", "p@ss")
        );
        assert_eq!(format!("{endpoint:?}"), "Endpoint(r.example=https://r.example/)");
    }

    #[test]
    fn refuses_what_is_not_host_and_address() {
        for text in [
            "",
            "r.example",
            "=http://x",
            "name=http://x",
            "r.example/path=http://x",
            "r.example=",
            "r.example=file:///etc/passwd",
            "r.example=unix:/x",
            "r.example=r.example:5000",
            "r.example=http://x?y=z",
            "r.example=http://x#y",
            "https://r.example=http://x",
        ] {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }

    #[test]
    fn another_scheme_host_or_port_is_another_origin() {
        let endpoint: Endpoint = "r.example=https://r.example:5000/base".parse().unwrap();
        let cases = [
            ("https://r.example:5000/other", true),
            ("http://r.example:5000/", false),
            ("https://r.example/", false),
            ("https://r.example.evil.test:5000/", false),
            ("https://r.example:5000@evil.test/", false),
        ];
        for (url, same) in cases {
            assert_eq!(endpoint.is_origin_of(&Url::parse(url).unwrap()), same, "{url}");
        }
    }
}
