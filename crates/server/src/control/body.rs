//! The body of a call: bounded, plain or in one gzip, strict JSON.

use std::io::Read;
use std::time::Duration;

use binauthz_wire::json::{self, Limits, Value};
use bytes::Bytes;
use flate2::bufread::GzDecoder;
use http::request::Parts;
use http::{Method, StatusCode, header};
use hyper::body::Incoming;

use super::error::ApiError;
use crate::listen::{BodyError, read_body};

/// How long a body may take to arrive: the 4 MiB of [`Limits::API`] at 140 KB/s.
const BODY_WAIT: Duration = Duration::from_secs(30);

/// The parsed body of a call of this method; `{}` where there is none.
pub(super) async fn read(method: &Method, head: &Parts, body: Incoming) -> Result<Value, ApiError> {
    if *method == Method::GET || *method == Method::DELETE {
        return Ok(Value::empty_object());
    }
    let bytes = bytes(head, body, Limits::API.bytes).await?;
    if bytes.trim_ascii().is_empty() {
        return Ok(Value::empty_object());
    }
    Ok(json::parse(&bytes, Limits::API)?)
}

/// The bytes of the body, unpacked; `limit` holds for what arrives and for what comes out.
pub(crate) async fn bytes(head: &Parts, body: Incoming, limit: usize) -> Result<Bytes, ApiError> {
    let is_packed = is_packed(head)?;
    let bytes = match tokio::time::timeout(BODY_WAIT, read_body(body, limit)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error @ BodyError::TooLarge { .. })) => return Err(too_large(error.to_string())),
        Ok(Err(error @ BodyError::Broken(_))) => return Err(ApiError::invalid_argument(error.to_string())),
        Err(_) => {
            let message = format!("the request body did not arrive within {} s", BODY_WAIT.as_secs());
            return Err(ApiError::invalid_argument(message).with_http(StatusCode::REQUEST_TIMEOUT));
        }
    };
    if is_packed {
        unpack(&bytes, limit)
    } else {
        Ok(bytes)
    }
}

fn too_large(message: String) -> ApiError {
    ApiError::invalid_argument(message).with_http(StatusCode::PAYLOAD_TOO_LARGE)
}

/// Whether the body is packed with gzip. Anything else, and gzip in gzip, is refused.
fn is_packed(head: &Parts) -> Result<bool, ApiError> {
    let mut encodings = head
        .headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .filter(|value| *value != "identity");
    match (encodings.next(), encodings.next()) {
        (None, _) => Ok(false),
        (Some(only), None) if only.as_bytes().eq_ignore_ascii_case(b"gzip") => Ok(true),
        _ => {
            let message =
                "the request body has a `Content-Encoding` that is not read, expected `gzip` once or none";
            Err(ApiError::invalid_argument(message).with_http(StatusCode::UNSUPPORTED_MEDIA_TYPE))
        }
    }
}

/// Unpacks one gzip member that is the whole body. No more than `limit` and a byte is ever unpacked, however much was
/// packed.
fn unpack(packed: &[u8], limit: usize) -> Result<Bytes, ApiError> {
    let broken = |why: &str| ApiError::invalid_argument(format!("the request body is not gzip: {why}"));
    let mut decoder = GzDecoder::new(packed);
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let mut unpacked = Vec::new();
    decoder
        .by_ref()
        .take(most)
        .read_to_end(&mut unpacked)
        .map_err(|error| broken(&error.to_string()))?;
    if unpacked.len() > limit {
        return Err(too_large(format!(
            "the request body is larger than {limit} bytes when it is unpacked"
        )));
    }
    if !decoder.into_inner().is_empty() {
        return Err(broken("more bytes follow its end"));
    }
    Ok(unpacked.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn pack(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn what_was_packed_comes_out_within_the_limit() {
        assert_eq!(unpack(&pack(b"{}"), 2).unwrap(), "{}");
        assert_eq!(unpack(&pack(b""), 2).unwrap(), "");
        let error = unpack(&pack(b"{} "), 2).unwrap_err();
        assert_eq!(error.http_status(), StatusCode::PAYLOAD_TOO_LARGE);
        // A thousand times as much as is packed.
        let bomb = pack(&vec![0; 64 << 20]);
        assert!(bomb.len() < 1 << 17);
        let error = unpack(&bomb, Limits::API.bytes).unwrap_err();
        assert_eq!(error.http_status(), StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[test]
    fn what_is_not_one_whole_gzip_is_refused() {
        let whole = pack(b"{}");
        let cut = whole[..whole.len() - 1].to_vec();
        let twice = [whole.clone(), whole.clone()].concat();
        let mut damaged = whole.clone();
        damaged[whole.len() - 8] ^= 1;
        for bytes in [Vec::new(), b"{}".to_vec(), cut, twice, damaged] {
            let error = unpack(&bytes, 1000).unwrap_err();
            assert_eq!(error.http_status(), StatusCode::BAD_REQUEST, "{bytes:?}");
        }
    }
}
