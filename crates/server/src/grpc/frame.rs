//! One message in, one message or a status out: tonic frames them, and knows nothing of what is in them.

use std::time::Duration;

use binauthz_wire::json::Limits;
use binauthz_wire::proto::status_bytes;
use binauthz_wire::status::Code;
use bytes::{Buf as _, BufMut as _, Bytes};
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use tonic::Status;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, UnaryService};

use crate::control::error::ApiError;
use crate::listen::{BodyError, read_body};

/// How long a message may take to arrive, as a body of the REST API.
pub(super) const MESSAGE_WAIT: Duration = Duration::from_secs(30);
/// The flag and the length before a message.
const PREFIX: usize = 5;

/// The bytes of the one message of a call, with its frame.
pub(super) async fn read(body: Incoming) -> Result<Bytes, ApiError> {
    let limit = Limits::API.bytes;
    match tokio::time::timeout(MESSAGE_WAIT, read_body(body, limit + PREFIX)).await {
        Ok(Ok(bytes)) if bytes.is_empty() => Err(ApiError::invalid_argument(
            "the call carries no message, expected one",
        )),
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(BodyError::TooLarge { .. })) => Err(ApiError::new(
            Code::ResourceExhausted,
            format!("the message is larger than {limit} bytes"),
        )),
        Ok(Err(error @ BodyError::Broken(_))) => Err(ApiError::invalid_argument(error.to_string())),
        Err(_) => Err(ApiError::new(
            Code::DeadlineExceeded,
            format!("the message did not arrive within {} s", MESSAGE_WAIT.as_secs()),
        )),
    }
}

/// Takes the message out of its frame, has `work` done with it, and frames what comes of it.
pub(super) async fn unary<F, R>(request: Request<Bytes>, work: F) -> Response<Body>
where
    F: FnMut(Bytes) -> R,
    R: Future<Output = Result<tonic::Response<Bytes>, Status>>,
{
    Grpc::new(Raw)
        .max_decoding_message_size(Limits::API.bytes)
        .unary(Work(work), request.map(Full::new))
        .await
}

/// What came of a call, in tonic's words.
pub(super) fn answer(outcome: Result<Bytes, ApiError>) -> Result<tonic::Response<Bytes>, Status> {
    outcome.map(tonic::Response::new).map_err(|error| status(&error))
}

/// A function in the form tonic wants.
struct Work<F>(F);

impl<F, R> UnaryService<Bytes> for Work<F>
where
    F: FnMut(Bytes) -> R,
    R: Future<Output = Result<tonic::Response<Bytes>, Status>>,
{
    type Response = Bytes;
    type Future = R;

    fn call(&mut self, request: tonic::Request<Bytes>) -> R {
        (self.0)(request.into_inner())
    }
}

/// The answer to a call that failed: a status in the headers, and Google's details with it.
pub(super) fn failure(error: &ApiError) -> Response<Body> {
    status(error).into_http()
}

/// The error in tonic's words.
pub(super) fn status(error: &ApiError) -> Status {
    let status = error.status();
    let details = if status.details.is_empty() {
        Bytes::new()
    } else {
        status_bytes(status).into()
    };
    Status::with_details(
        tonic::Code::from_i32(status.code.number()),
        status.message.as_str(),
        details,
    )
}

/// Bytes as they are.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
