//! gRPC on the API port. A method is a row of a table that says which call of the REST API it is; from there on it is
//! that call: the same authentication, permission, audit and answer, in protobuf.

mod frame;
mod methods;
mod tail;
mod transcode;

use std::sync::Arc;
use std::time::Duration;

use binauthz_wire::proto::{self, MessageType, Unlisted};
use binauthz_wire::status::Code;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method as HttpMethod, Request, Response, Version, header};
use hyper::body::Incoming;
use tonic::body::Body;

use crate::app::App;
use crate::auth::Caller;
use crate::control::call::{self, Asked};
use crate::control::entry::Entry;
use crate::control::error::ApiError;
use crate::metrics::Outcome;
use methods::Method;

/// Whether a request is gRPC's with protobuf in it. Others of its content types (`application/grpc-web`) are not served,
/// and the REST API says so.
pub(crate) fn is_call<B>(request: &Request<B>) -> bool {
    let kind = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .map(str::trim);
    request.version() == Version::HTTP_2
        && request.method() == HttpMethod::POST
        && matches!(kind, Some("application/grpc" | "application/grpc+proto"))
}

/// Answers one call, or says at the caller's deadline that there is no answer yet. The call itself runs to its end.
pub(crate) async fn handle(app: &Arc<App>, request: Request<Incoming>) -> Response<Body> {
    if request.uri().path() == tail::PATH {
        // Its client ends it at its own deadline.
        return tail::handle(app, request).await;
    }
    let deadline = match deadline(request.headers()) {
        Ok(deadline) => deadline,
        Err(error) => return frame::failure(&error),
    };
    let task = tokio::spawn(run(Arc::clone(app), request));
    let finished = match deadline {
        Some(deadline) => tokio::time::timeout(deadline, task).await,
        None => Ok(task.await),
    };
    match finished {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => {
            tracing::error!(%error, "a call did not finish");
            frame::failure(&ApiError::new(
                Code::Internal,
                "internal error; see the server's log",
            ))
        }
        Err(_) => frame::failure(&ApiError::new(
            Code::DeadlineExceeded,
            "the call was not answered before its deadline; it may still take effect",
        )),
    }
}

/// The `grpc-timeout` of a call: up to eight digits and a unit.
fn deadline(headers: &HeaderMap) -> Result<Option<Duration>, ApiError> {
    let Some(value) = headers.get("grpc-timeout") else {
        return Ok(None);
    };
    let parsed = value.to_str().ok().and_then(|text| {
        let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let is_number = digits.len() <= 8 && digits.bytes().all(|digit| digit.is_ascii_digit());
        let number: u64 = digits.parse().ok().filter(|_| is_number)?;
        Some(match unit {
            "H" => Duration::from_secs(number * 3_600),
            "M" => Duration::from_secs(number * 60),
            "S" => Duration::from_secs(number),
            "m" => Duration::from_millis(number),
            "u" => Duration::from_micros(number),
            "n" => Duration::from_nanos(number),
            _ => return None,
        })
    });
    match parsed {
        Some(deadline) => Ok(Some(deadline)),
        None => Err(ApiError::invalid_argument(
            "`grpc-timeout` cannot be read, expected up to 8 digits and one of `H`, `M`, `S`, `m`, `u`, `n`",
        )),
    }
}

async fn run(app: Arc<App>, request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let mut entry = Entry::new(&app)
        .within(&app, &head.headers)
        .from(&head.extensions);
    let mut response = match enter(&app, &entry, &head, body).await {
        Ok((caller, method, body)) => {
            let headers = head.headers.clone();
            let mut once = Some((&mut entry, caller));
            let work = |message| {
                let once = once.take();
                let (app, headers) = (&app, &headers);
                async move {
                    // tonic asks once.
                    let Some((entry, caller)) = once else {
                        return frame::answer(Err(ApiError::new(Code::Internal, "the call was made twice")));
                    };
                    frame::answer(perform(app, entry, (caller, method, headers), message).await)
                }
            };
            frame::unary(Request::from_parts(head, body), work).await
        }
        Err(error) => frame::failure(&error),
    };
    if let Ok(value) = HeaderValue::from_str(entry.request_id()) {
        response.headers_mut().insert("x-request-id", value);
    }
    entry.count(&app, outcome(&response));
    response
}

/// Everything before the message is looked at: who calls, what is called, and all the bytes.
async fn enter(
    app: &App,
    entry: &Entry,
    head: &Parts,
    body: Incoming,
) -> Result<(Caller, &'static Method, Bytes), ApiError> {
    let caller = entry.caller(app, &head.headers).await?;
    let path = head.uri.path();
    let method = methods::find(path).ok_or_else(|| {
        let path: String = path.chars().take(200).collect();
        ApiError::new(
            Code::Unimplemented,
            format!("`{path}` is not a method of this server"),
        )
    })?;
    Ok((caller, method, frame::read(body).await?))
}

/// From the message to the message of the answer.
async fn perform(
    app: &Arc<App>,
    entry: &mut Entry,
    (caller, method, headers): (Caller, &'static Method, &HeaderMap),
    message: Bytes,
) -> Result<Bytes, ApiError> {
    let (request, response) = (known(&method.request())?, known(&method.response())?);
    let asked = transcode::ask(method, request.decode(&message)?)?;
    let asked = Asked {
        method: asked.verb.method(),
        path: &asked.path,
        headers,
        name: Some(method.name),
        given: std::future::ready(Ok((asked.query, asked.body))),
    };
    let mut reply = call::perform(app, entry, caller, asked).await?.into_json();
    transcode::leave_out(method, &mut reply);
    // A member that the tables do not have is a mistake in them: found by every test, survived by every client.
    let unlisted = if cfg!(debug_assertions) {
        Unlisted::Refuse
    } else {
        Unlisted::Skip
    };
    response.encode(reply, unlisted).map(Bytes::from).map_err(|error| {
        tracing::error!(%error, method = method.name, request_id = entry.request_id(), "a reply does not fit its message");
        ApiError::internal(entry.request_id())
    })
}

/// A message of the tables; a test sees to it that every method's are there.
fn known(name: &str) -> Result<MessageType, ApiError> {
    proto::message_type(name).ok_or_else(|| {
        ApiError::new(
            Code::Unimplemented,
            format!("the message `{name}` is not known here"),
        )
    })
}

/// What became of a call, by the status in its answer: one that failed has nothing but headers.
fn outcome(response: &Response<Body>) -> Outcome {
    use tonic::Code as Grpc;
    match tonic::Status::from_header_map(response.headers()).map(|status| status.code()) {
        None | Some(Grpc::Ok) => Outcome::Done,
        Some(Grpc::Internal | Grpc::Unknown | Grpc::DataLoss | Grpc::Unavailable) => Outcome::Failed,
        Some(_) => Outcome::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_digits_and_a_unit() {
        let parsed = |text: &'static str| {
            let headers = HeaderMap::from_iter([(
                header::HeaderName::from_static("grpc-timeout"),
                HeaderValue::from_static(text),
            )]);
            deadline(&headers)
                .map(Option::unwrap)
                .map_err(|error| error.code())
        };
        for (text, expected) in [
            ("2H", Duration::from_secs(7_200)),
            ("3M", Duration::from_secs(180)),
            ("99999999S", Duration::from_secs(99_999_999)),
            ("10m", Duration::from_millis(10)),
            ("10u", Duration::from_micros(10)),
            ("0n", Duration::ZERO),
        ] {
            assert_eq!(parsed(text).unwrap(), expected, "{text}");
        }
        for text in ["", "S", "1", "1s", "+1S", "-1S", "1.5S", "123456789S", "1 S"] {
            assert_eq!(parsed(text).unwrap_err(), Code::InvalidArgument, "{text}");
        }
        assert_eq!(deadline(&HeaderMap::new()).unwrap(), None);
    }

    #[test]
    fn only_grpc_with_protobuf_over_http2_is_a_call() {
        let request = |method: HttpMethod, version, kind: &'static str| {
            let request = Request::builder().method(method).version(version);
            request.header(header::CONTENT_TYPE, kind).body(()).unwrap()
        };
        for kind in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc; charset=utf-8",
        ] {
            assert!(
                is_call(&request(HttpMethod::POST, Version::HTTP_2, kind)),
                "{kind}"
            );
        }
        for kind in [
            "application/grpc-web",
            "application/grpc+json",
            "application/json",
            "",
        ] {
            assert!(
                !is_call(&request(HttpMethod::POST, Version::HTTP_2, kind)),
                "{kind}"
            );
        }
        assert!(!is_call(&request(
            HttpMethod::POST,
            Version::HTTP_11,
            "application/grpc"
        )));
        assert!(!is_call(&request(
            HttpMethod::GET,
            Version::HTTP_2,
            "application/grpc"
        )));
    }
}
