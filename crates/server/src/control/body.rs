//! The body of a call: bounded, uncompressed, strict JSON.

use std::time::Duration;

use binauthz_wire::json::{self, Limits, Value};
use http::request::Parts;
use http::{Method, StatusCode, header};
use hyper::body::Incoming;

use super::error::ApiError;
use crate::listen::{BodyError, read_body};

/// How long a body may take to arrive: the 4 MiB of [`Limits::API`] at 140 KB/s.
const BODY_WAIT: Duration = Duration::from_secs(30);

/// The parsed body; `{}` where there is none.
pub(super) async fn read(head: &Parts, body: Incoming) -> Result<Value, ApiError> {
    if head.method == Method::GET || head.method == Method::DELETE {
        return Ok(Value::empty_object());
    }
    refuse_compressed(head)?;
    let bytes = match tokio::time::timeout(BODY_WAIT, read_body(body, Limits::API.bytes)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error @ BodyError::TooLarge { .. })) => {
            return Err(
                ApiError::invalid_argument(error.to_string()).with_http(StatusCode::PAYLOAD_TOO_LARGE)
            );
        }
        Ok(Err(error @ BodyError::Broken(_))) => return Err(ApiError::invalid_argument(error.to_string())),
        Err(_) => {
            let message = format!("the request body did not arrive within {} s", BODY_WAIT.as_secs());
            return Err(ApiError::invalid_argument(message).with_http(StatusCode::REQUEST_TIMEOUT));
        }
    };
    if bytes.trim_ascii().is_empty() {
        return Ok(Value::empty_object());
    }
    Ok(json::parse(&bytes, Limits::API)?)
}

fn refuse_compressed(head: &Parts) -> Result<(), ApiError> {
    let encoded = head
        .headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .any(|value| value != "identity");
    if encoded {
        let message = "the request body is compressed, expected it plain: send no `Content-Encoding`";
        return Err(ApiError::invalid_argument(message).with_http(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    Ok(())
}
