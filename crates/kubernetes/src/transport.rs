//! One HTTP exchange with one server: paths stay on it, answers have a limit, redirects are not followed. What the bytes
//! mean is for the client above to say.

use std::time::Duration;

use binauthz_core::time::UnixTime;
use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::header::{DATE, HeaderMap};
use reqwest::{Method, RequestBuilder, Url, redirect};

use crate::token::{Token, UnusableToken};

/// No answer is longer: a page of 1,000 occurrences of 64 KiB each.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// One call; creating an RSA-4096 key takes up to 2 s on a busy machine.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there was no exchange.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// No connection, or it broke.
    #[error("`{server}` cannot be reached: {cause}")]
    Unreachable {
        /// The base address that was tried.
        server: String,
        /// The innermost cause, e.g. "connection refused".
        cause: String,
    },
    /// More bytes than any answer has.
    #[error("the answer of `{server}` is longer than {ANSWER_BYTES_MAX} bytes")]
    TooLong {
        /// The base address that was asked.
        server: String,
    },
    /// The path cannot be made into a URL.
    #[error("`{path}` is not a path of this API")]
    BadPath {
        /// The path as built from the arguments.
        path: String,
    },
    /// The file of the token holds none.
    #[error(transparent)]
    Token(#[from] UnusableToken),
}

/// Who the server is, and who asks.
#[derive(Debug, Default)]
pub struct Credentials<'a> {
    /// PEM certificates to trust instead of the system's.
    pub authority: Option<&'a [u8]>,
    /// Sent with every request.
    pub token: Option<Token>,
    /// PEM certificate and key shown in the handshake.
    pub identity: Option<&'a [u8]>,
}

/// A connection to one server.
#[derive(Debug, Clone)]
pub struct Transport {
    http: reqwest::Client,
    server: Url,
    token: Option<Token>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub code: u16,
    /// What time it is there, in whole seconds, if that is said.
    pub time: Option<UnixTime>,
    /// The body.
    pub bytes: Vec<u8>,
}

impl Transport {
    /// Connects on first use.
    ///
    /// # Errors
    /// When certificates or keys are not PEM.
    pub fn new(server: Url, credentials: Credentials<'_>) -> Result<Transport, reqwest::Error> {
        let builder = reqwest::Client::builder()
            // A redirect would carry the token elsewhere; these APIs have none.
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(CALL_TIMEOUT);
        let builder = match credentials.authority {
            Some(pem) => builder.tls_certs_only(reqwest::Certificate::from_pem_bundle(pem)?),
            // Plain HTTP needs no roots, and loading them fails on machines that have none.
            None if server.scheme() == "http" => builder.tls_certs_only([]),
            None => builder,
        };
        let builder = match credentials.identity {
            Some(pem) => builder.identity(reqwest::Identity::from_pem(pem)?),
            None => builder,
        };
        Ok(Transport {
            http: builder.build()?,
            server,
            token: credentials.token,
        })
    }

    /// The base address, without a trailing slash.
    #[must_use]
    pub fn server(&self) -> &str {
        self.server.as_str().trim_end_matches('/')
    }

    /// A request to a path of the server, with the token.
    ///
    /// # Errors
    /// [`TransportError`] when the path is none, or there is no token where there should be one.
    pub fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, TransportError> {
        let request = self.http.request(method, self.url(path)?);
        Ok(match &self.token {
            Some(token) => request.bearer_auth(token.current()?.reveal()),
            None => request,
        })
    }

    /// Sends it and reads the whole answer.
    ///
    /// # Errors
    /// [`TransportError`] when there is none.
    pub async fn send(&self, request: RequestBuilder) -> Result<Answer, TransportError> {
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        Ok(Answer {
            code: response.status().as_u16(),
            time: time_of(response.headers()),
            bytes: self.read(response).await?,
        })
    }

    fn url(&self, path: &str) -> Result<Url, TransportError> {
        // Joined as text: `Url::join` would let a path such as `//elsewhere/` replace the host.
        Url::parse(&format!("{}{path}", self.server()))
            .ok()
            .filter(|url| path.starts_with('/') && url.origin() == self.server.origin())
            .ok_or_else(|| TransportError::BadPath {
                path: path.to_owned(),
            })
    }

    async fn read(&self, mut response: reqwest::Response) -> Result<Vec<u8>, TransportError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(&error))? {
            if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(TransportError::TooLong {
                    server: self.server().to_owned(),
                });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    fn unreachable(&self, error: &reqwest::Error) -> TransportError {
        let mut cause: &dyn std::error::Error = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        TransportError::Unreachable {
            server: self.server().to_owned(),
            cause: cause.to_string(),
        }
    }
}

/// The `Date` of an answer; of several none is believed.
fn time_of(headers: &HeaderMap) -> Option<UnixTime> {
    let mut dates = headers.get_all(DATE).iter();
    let (date, None) = (dates.next()?, dates.next()) else {
        return None;
    };
    let time = DateTimeParser::new().parse_timestamp(date.as_bytes()).ok()?;
    Some(UnixTime::from_seconds(time.as_second()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_what_time_it_is_there_or_nothing() {
        let of = |dates: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for date in dates {
                headers.append(DATE, reqwest::header::HeaderValue::from_static(date));
            }
            time_of(&headers).map(UnixTime::as_seconds)
        };
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(of(&[date]), Some(784_111_777));
        for none in [
            &[][..],
            &[""],
            &["now"],
            &["Mon, 06 Nov 1994 08:49:37 GMT"],
            &["Sun, 06 Nov 1994 08:49"],
            &["784111777"],
            &[date, date],
        ] {
            assert_eq!(of(none), None, "{none:?}");
        }
    }

    #[test]
    fn a_path_never_leaves_the_server() {
        crate::install_crypto_provider();
        let server = Url::parse("http://127.0.0.1:8787/prefix/").expect("a test URL");
        let transport = Transport::new(server, Credentials::default()).expect("a transport");
        let good = transport.url("/v1/projects/p/policy").expect("a good path");
        assert_eq!(good.as_str(), "http://127.0.0.1:8787/prefix/v1/projects/p/policy");
        for bad in ["v1/x", "@evil.example/x", ".evil.example/x", ""] {
            assert!(transport.url(bad).is_err(), "{bad}");
        }
        assert_eq!(
            transport.url("//evil.example/x").expect("stays").host_str(),
            Some("127.0.0.1")
        );
    }

    #[test]
    fn what_is_no_certificate_is_no_identity() {
        crate::install_crypto_provider();
        for pem in [
            "",
            "no PEM",
            "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n",
        ] {
            let credentials = Credentials {
                identity: Some(pem.as_bytes()),
                ..Credentials::default()
            };
            let server = Url::parse("https://127.0.0.1:1/").expect("a test URL");
            assert!(Transport::new(server, credentials).is_err(), "{pem:?}");
        }
    }
}
