//! Reads a request body under a cap.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Incoming};

/// Why a body was not read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// More than the cap, by its declared length or by what arrived.
    #[error("the request body is larger than {limit} bytes")]
    TooLarge {
        /// The cap, in bytes.
        limit: usize,
    },
    /// The connection broke off.
    #[error("the request body ended early")]
    Broken(#[source] hyper::Error),
}

/// Reads the whole body, at most `limit` bytes. A declared length above it is refused before anything is read,
/// and no more than the declared length is ever reserved.
///
/// # Errors
/// [`BodyError`] when it is too large or breaks off. Waiting is bounded by the caller's own deadline.
pub async fn read_body(mut body: Incoming, limit: usize) -> Result<Bytes, BodyError> {
    let declared = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if declared > limit {
        return Err(BodyError::TooLarge { limit });
    }
    let Some(first) = next_data(&mut body).await? else {
        return Ok(Bytes::new());
    };
    if first.len() > limit {
        return Err(BodyError::TooLarge { limit });
    }
    if body.is_end_stream() {
        return Ok(first);
    }
    let mut whole = BytesMut::with_capacity(declared.max(first.len()));
    whole.extend_from_slice(&first);
    while let Some(data) = next_data(&mut body).await? {
        if whole.len() + data.len() > limit {
            return Err(BodyError::TooLarge { limit });
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

/// The next data frame; trailers are skipped.
async fn next_data(body: &mut Incoming) -> Result<Option<Bytes>, BodyError> {
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(BodyError::Broken)?.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}
