//! The server under Google's names: what a client that was told nothing but a proxy and an authority finds there.
//!
//! `oauth2.googleapis.com` changes signed assertions for access tokens; every other name is the API, as on its own port.

mod token;

use std::sync::Arc;

use binauthz_wire::status::Code;
use http::uri::Authority;
use http::{Request, Response, StatusCode, header};
use http_body_util::Either;
use hyper::body::Incoming;

use crate::app::App;
use crate::control::{self, Answer, call, error::ApiError};

/// The services that this server answers for.
pub(crate) const SERVICES: [&str; 10] = [
    "artifactregistry.googleapis.com",
    "binaryauthorization.googleapis.com",
    "cloudkms.googleapis.com",
    "cloudresourcemanager.googleapis.com",
    "container.googleapis.com",
    "containeranalysis.googleapis.com",
    "iam.googleapis.com",
    "logging.googleapis.com",
    "monitoring.googleapis.com",
    "serviceusage.googleapis.com",
];

/// Where tokens are made.
const TOKENS: &str = "oauth2.googleapis.com";

/// Every name: those of the certificate, and the only ones that a tunnel leads to.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    SERVICES.into_iter().chain([TOKENS])
}

/// Whether a tunnel may lead to this name.
pub(crate) fn is_ours(name: &str) -> bool {
    names().any(|ours| ours == name)
}

/// Answers one request by the name it was sent to.
pub(crate) async fn handle(app: &Arc<App>, request: Request<Incoming>) -> Response<Answer> {
    match name(&request) {
        Some(TOKENS) => token::handle(app, request).await.map(Either::Left),
        Some(_) => control::handle(app, request).await,
        None => {
            let message =
                "`Host` is none of the names that are answered for here, such as `logging.googleapis.com`";
            let error =
                ApiError::new(Code::InvalidArgument, message).with_http(StatusCode::MISDIRECTED_REQUEST);
            call::failure(error).map(Either::Left)
        }
    }
}

/// The one of our names that a request is for. One that says two things is for nobody.
fn name<B>(request: &Request<B>) -> Option<&'static str> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let host = hosts
        .next()
        .map(|value| value.to_str().ok()?.parse::<Authority>().ok());
    if hosts.next().is_some() {
        return None;
    }
    let named = match (request.uri().authority(), host) {
        (Some(of_uri), None) => of_uri.clone(),
        (None, Some(of_header)) => of_header?,
        (Some(of_uri), Some(of_header)) => of_header.filter(|host| host == of_uri)?,
        (None, None) => return None,
    };
    let is_https = matches!(named.port_u16(), None | Some(443)) && !named.as_str().contains('@');
    names().find(|name| is_https && named.host().eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(uri: &str, hosts: &[&str]) -> Option<&'static str> {
        let mut request = Request::builder().uri(uri);
        for host in hosts {
            request = request.header(header::HOST, *host);
        }
        name(&request.body(()).unwrap())
    }

    #[test]
    fn a_request_is_for_the_name_it_says_once() {
        let logging = Some("logging.googleapis.com");
        assert_eq!(named("/v2", &["logging.googleapis.com"]), logging);
        assert_eq!(named("/v2", &["LOGGING.googleapis.com:443"]), logging);
        assert_eq!(named("https://logging.googleapis.com/v2", &[]), logging);
        assert_eq!(
            named("https://logging.googleapis.com/v2", &["logging.googleapis.com"]),
            logging
        );
        assert_eq!(named("/token", &["oauth2.googleapis.com"]), Some(TOKENS));
        for (uri, hosts) in [
            ("/", vec![]),
            ("/", vec![""]),
            ("/", vec!["127.0.0.1"]),
            ("/", vec!["storage.googleapis.com"]),
            ("/", vec!["logging.googleapis.com.evil.example"]),
            ("/", vec!["logging.googleapis.com:80"]),
            ("/", vec!["evil@logging.googleapis.com"]),
            ("/", vec!["logging.googleapis.com", "logging.googleapis.com"]),
            ("https://logging.googleapis.com/", vec!["oauth2.googleapis.com"]),
        ] {
            assert_eq!(named(uri, &hosts), None, "{uri} {hosts:?}");
        }
    }
}
