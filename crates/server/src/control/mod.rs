//! The control plane: the API port. Everything goes through [`call::perform`]; what there is to call is in [`routes`].

mod alerts;
mod analysis;
mod attestors;
mod audit_entries;
pub(crate) mod body;
mod break_glass;
pub(crate) mod call;
pub(crate) mod clusters;
mod continuous_validation;
mod credentials;
mod decisions;
mod declared;
pub(crate) mod entry;
pub(crate) mod error;
pub(crate) mod etag;
mod iam;
mod image_digests;
mod images;
mod kms;
pub(crate) mod listing;
mod log_entries;
mod log_metrics;
mod logging;
pub(crate) mod master_key;
mod monitoring;
mod notes;
mod occurrences;
mod openapi;
mod operations;
mod policy;
pub(crate) mod projects;
pub(crate) mod query;
mod roles;
pub(crate) mod routes;
mod services;
mod template;
mod tokens;
mod verb_override;

pub(crate) use declared::{DeclareError, register_declared};
pub(crate) use entry::Source;
pub(crate) use images::TagMoves;
pub(crate) use kms::destroy_as_scheduled;
pub(crate) use logging::{may_read, tailed};

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{Either, Full};
use hyper::body::Incoming;

use crate::app::App;
use crate::grpc;

/// The body of an answer: JSON, or gRPC's.
pub(crate) type Answer = Either<Full<Bytes>, tonic::body::Body>;

/// Answers one request of the API port, in the protocol it came in.
pub(crate) async fn handle(app: &Arc<App>, request: Request<Incoming>) -> Response<Answer> {
    if grpc::is_call(&request) {
        grpc::handle(app, request).await.map(Either::Right)
    } else {
        call::handle(app, request).await.map(Either::Left)
    }
}
