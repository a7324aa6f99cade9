//! Bearer tokens: what one is, where it is read from, and to whom it may travel.

use std::{
    fmt, fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
    str::FromStr,
};

use reqwest::Url;

/// A token file holds one line. A JWT of a service account has some 1,200 bytes; one of a provider with many groups has more.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// A bearer token. It is never printed.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Wraps a token; surrounding white space (a file's last newline) is dropped.
    #[must_use]
    pub fn new(text: &str) -> Secret {
        Secret(text.trim().to_owned())
    }

    /// The token itself, for the `Authorization` header only.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// As it is read from a flag, the environment or a kubeconfig.
impl FromStr for Secret {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Secret, Self::Err> {
        match Secret::new(text) {
            Secret(token) if token.is_empty() || token.contains(char::is_whitespace) => {
                Err("expected a token: one word")
            }
            secret => Ok(secret),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Where a token comes from.
#[derive(Debug, Clone)]
pub enum Token {
    /// It stays the same.
    Fixed(Secret),
    /// A file that is renewed, as the kubelet does every hour: read again for each request.
    File(PathBuf),
}

impl Token {
    /// The token of now.
    ///
    /// # Errors
    /// [`UnusableToken`] when the file holds none.
    pub fn current(&self) -> Result<Secret, UnusableToken> {
        match self {
            Token::Fixed(secret) => Ok(secret.clone()),
            Token::File(path) => read_token(path),
        }
    }
}

/// Why a file gives no token.
#[derive(Debug, thiserror::Error)]
pub enum UnusableToken {
    /// It cannot be read.
    #[error("could not read `{}`: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// It holds something else.
    #[error("`{}` does not hold a token (one line)", path.display())]
    NoToken {
        /// The file.
        path: PathBuf,
    },
}

/// The token in a file.
///
/// # Errors
/// [`UnusableToken`] when it holds none.
pub fn read_token(path: &Path) -> Result<Secret, UnusableToken> {
    let text = fs::read_to_string(path).map_err(|source| UnusableToken::File {
        path: path.to_owned(),
        source,
    })?;
    let token = Some(&text).filter(|text| text.len() <= TOKEN_BYTES_MAX);
    token
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| UnusableToken::NoToken {
            path: path.to_owned(),
        })
}

/// Whether nobody on the way to a server can read what is sent: over TLS, or on this machine. A token travels no other way.
#[must_use]
pub fn is_private(server: &Url) -> bool {
    let host = server.host_str().unwrap_or("").trim_matches(['[', ']']);
    let loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    server.scheme() == "https" || loopback
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_travels_in_clear_only_on_this_machine() {
        let table = [
            ("http://127.0.0.1:1/", true),
            ("http://localhost:1/", true),
            ("http://[::1]:1/", true),
            ("https://binauthz.example/", true),
            ("http://binauthz.example/", false),
            ("http://10.0.0.1/", false),
            ("http://localhost.evil.example/", false),
        ];
        for (server, private) in table {
            let url = Url::parse(server).expect("a test URL");
            assert_eq!(is_private(&url), private, "{server}");
        }
    }

    #[test]
    fn a_token_is_not_printed() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(…)");
    }

    #[test]
    fn a_renewed_file_gives_the_new_token() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        let token = Token::File(path.clone());
        assert!(matches!(token.current(), Err(UnusableToken::File { .. })));
        for word in ["first\n", "second"] {
            fs::write(&path, word).expect("written");
            assert_eq!(token.current().expect("a token").reveal(), word.trim());
        }
        for none in ["", "two words", &"x".repeat(TOKEN_BYTES_MAX + 1)] {
            fs::write(&path, none).expect("written");
            assert!(matches!(token.current(), Err(UnusableToken::NoToken { .. })));
        }
    }
}
