//! One HTTP exchange with a registry: redirects, credentials and limits in our own hands.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, WWW_AUTHENTICATE,
};
use reqwest::{Client, Method, Response, StatusCode, Url};
use serde::Deserialize;

use crate::endpoint::Endpoint;
use crate::error::RegistryError;
use crate::manifest::MEDIA_TYPES;

/// A registry next door answers in milliseconds, one across an ocean in a second.
const CONNECT_WAIT: Duration = Duration::from_secs(3);
/// One operation: up to four hops, twice (before and after the token), and the token.
const OPERATION_WAIT: Duration = Duration::from_secs(15);
const MAX_REDIRECTS: usize = 3;
/// Tokens are 1 to 4 KiB.
const MAX_TOKEN_BYTES: usize = 64 * 1024;

/// What is sent.
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) body: Option<(&'static str, Vec<u8>)>,
}

impl Ask {
    pub(crate) const fn get(url: Url) -> Self {
        Self {
            method: Method::GET,
            url,
            body: None,
        }
    }

    fn describe(&self) -> String {
        format!("{} {}", self.method, self.url.path())
    }
}

/// What came back, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// An HTTP client and its patience.
#[derive(Clone)]
pub(crate) struct Transport {
    pub(crate) client: Client,
    pub(crate) wait: Duration,
}

impl Transport {
    /// A client that follows nothing, keeps no cookies and uses no proxy it was not told about.
    pub(crate) fn new() -> Result<Self, reqwest::Error> {
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .connect_timeout(CONNECT_WAIT)
            .user_agent(concat!("binauthz/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self {
            client,
            wait: OPERATION_WAIT,
        })
    }

    /// Asks the registry of `endpoint`, and reads at most `limit` bytes of a successful answer.
    pub(crate) async fn exchange(
        &self,
        endpoint: &Endpoint,
        ask: Ask,
        limit: usize,
    ) -> Result<Answer, RegistryError> {
        let timed_out = |_| RegistryError::TimedOut {
            host: endpoint.host().to_owned(),
            seconds: self.wait.as_secs(),
        };
        tokio::time::timeout(self.wait, exchange(&self.client, endpoint, ask, limit))
            .await
            .map_err(timed_out)?
    }
}

async fn exchange(
    client: &Client,
    endpoint: &Endpoint,
    ask: Ask,
    limit: usize,
) -> Result<Answer, RegistryError> {
    let basic = endpoint.credentials().map(|credentials| {
        let pair = format!("{}:{}", credentials.user, credentials.password.as_str());
        format!("Basic {}", STANDARD.encode(pair))
    });
    let mut response = send(client, endpoint, &ask, basic.as_deref()).await?;
    if response.status() == StatusCode::UNAUTHORIZED
        && let Some(challenge) = bearer_challenge(response.headers())
    {
        let token = token(client, endpoint, &challenge, basic.as_deref()).await?;
        response = send(client, endpoint, &ask, Some(&format!("Bearer {token}"))).await?;
    }
    let response = check(endpoint, &ask, response)?;
    let headers = response.headers().clone();
    let body = read(endpoint, response, limit).await?;
    Ok(Answer { headers, body })
}

fn check(endpoint: &Endpoint, ask: &Ask, response: Response) -> Result<Response, RegistryError> {
    let host = endpoint.host().to_owned();
    match response.status() {
        status if status.is_success() => Ok(response),
        StatusCode::NOT_FOUND => Err(RegistryError::NotFound {
            what: format!("{host}{}", ask.url.path()),
        }),
        status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => Err(RegistryError::Denied {
            host,
            status: status.as_u16(),
        }),
        status => Err(RegistryError::Refused {
            host,
            request: ask.describe(),
            status: status.as_u16(),
        }),
    }
}

/// Sends, following a read's redirects within the origin only.
async fn send(
    client: &Client,
    endpoint: &Endpoint,
    ask: &Ask,
    authorization: Option<&str>,
) -> Result<Response, RegistryError> {
    let mut url = ask.url.clone();
    for _ in 0..=MAX_REDIRECTS {
        let mut request = client
            .request(ask.method.clone(), url.clone())
            .header(ACCEPT, MEDIA_TYPES.join(", "));
        if let Some(value) = authorization.and_then(|value| HeaderValue::from_str(value).ok()) {
            request = request.header(AUTHORIZATION, value);
        }
        if let Some((content_type, bytes)) = &ask.body {
            request = request.header(CONTENT_TYPE, *content_type).body(bytes.clone());
        }
        let response = request.send().await.map_err(|error| broken(endpoint, error))?;
        if !response.status().is_redirection() || ask.method != Method::GET {
            return Ok(response);
        }
        let malformed = || RegistryError::Malformed {
            host: endpoint.host().to_owned(),
            what: "redirect",
        };
        let location = response
            .headers()
            .get(LOCATION)
            .and_then(|value| value.to_str().ok())
            .ok_or_else(malformed)?;
        url = url.join(location).map_err(|_| malformed())?;
        if !endpoint.is_origin_of(&url) {
            return Err(RegistryError::Elsewhere {
                host: endpoint.host().to_owned(),
                what: "redirect",
            });
        }
    }
    Err(RegistryError::TooManyRedirects {
        host: endpoint.host().to_owned(),
        limit: MAX_REDIRECTS,
    })
}

async fn read(endpoint: &Endpoint, mut response: Response, limit: usize) -> Result<Vec<u8>, RegistryError> {
    let too_large = || RegistryError::TooLarge {
        host: endpoint.host().to_owned(),
        limit,
    };
    if response
        .content_length()
        .is_some_and(|length| length > limit as u64)
    {
        return Err(too_large());
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| broken(endpoint, error))? {
        if body.len() + chunk.len() > limit {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn broken(endpoint: &Endpoint, source: reqwest::Error) -> RegistryError {
    let host = endpoint.host().to_owned();
    if source.is_timeout() {
        return RegistryError::TimedOut {
            host,
            seconds: OPERATION_WAIT.as_secs(),
        };
    }
    // The address may be an internal one: the operator knows it, the caller need not.
    RegistryError::Unreachable {
        host,
        source: source.without_url(),
    }
}

/// A `WWW-Authenticate: Bearer …` header, taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
struct Challenge {
    realm: String,
    service: Option<String>,
    scope: Option<String>,
}

fn bearer_challenge(headers: &HeaderMap) -> Option<Challenge> {
    headers
        .get_all(WWW_AUTHENTICATE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .find_map(parse_challenge)
}

fn parse_challenge(header: &str) -> Option<Challenge> {
    let (scheme, mut rest) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let mut challenge = Challenge::default();
    while let Some((name, after)) = rest.split_once("=\"") {
        let (value, after) = after.split_once('"')?;
        match name.trim_matches([' ', ',']).to_ascii_lowercase().as_str() {
            "realm" => value.clone_into(&mut challenge.realm),
            "service" => challenge.service = Some(value.to_owned()),
            "scope" => challenge.scope = Some(value.to_owned()),
            _ => {}
        }
        rest = after;
    }
    (!challenge.realm.is_empty()).then_some(challenge)
}

#[derive(Deserialize)]
struct Token {
    #[serde(alias = "access_token")]
    token: String,
}

/// Gets a token from the registry's own origin, and from nowhere else: the realm is text of the other side.
async fn token(
    client: &Client,
    endpoint: &Endpoint,
    challenge: &Challenge,
    basic: Option<&str>,
) -> Result<String, RegistryError> {
    let malformed = |what| RegistryError::Malformed {
        host: endpoint.host().to_owned(),
        what,
    };
    let mut url = endpoint
        .base()
        .join(&challenge.realm)
        .map_err(|_| malformed("token realm"))?;
    if !endpoint.is_origin_of(&url) {
        return Err(RegistryError::Elsewhere {
            host: endpoint.host().to_owned(),
            what: "token",
        });
    }
    for (name, value) in [("service", &challenge.service), ("scope", &challenge.scope)] {
        if let Some(value) = value {
            url.query_pairs_mut().append_pair(name, value);
        }
    }
    let ask = Ask::get(url);
    let response = check(endpoint, &ask, send(client, endpoint, &ask, basic).await?)?;
    let body = read(endpoint, response, MAX_TOKEN_BYTES).await?;
    let token: Token = serde_json::from_slice(&body).map_err(|_| malformed("token"))?;
    Ok(token.token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_taken_apart() {
        let cases = [
            (
                r#"Bearer realm="https://r/token",service="r",scope="repository:a/b:pull""#,
                Some(("https://r/token", "r", "repository:a/b:pull")),
            ),
            (
                r#"bearer scope="s", service="x", realm="/token""#,
                Some(("/token", "x", "s")),
            ),
            (r#"Basic realm="r""#, None),
            (r#"Bearer service="x""#, None),
            ("Bearer", None),
            (r#"Bearer realm="unterminated"#, None),
        ];
        for (header, expected) in cases {
            let expected = expected.map(|(realm, service, scope)| Challenge {
                realm: realm.to_owned(),
                service: Some(service.to_owned()),
                scope: Some(scope.to_owned()),
            });
            assert_eq!(parse_challenge(header), expected, "{header}");
        }
    }
}
