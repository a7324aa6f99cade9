//! What a webhook request must look like before anything of it is believed.

use binauthz_core::name::ClusterName;
use binauthz_wire::admission_review::Review;
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::deadline::{Deadlines, by};
use crate::listen::{BodyError, read_body};

/// Twice the API server's own limit for an object, and room for old and new one with their envelope.
const MAX_BODY: usize = 7 << 20;

/// How the question is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Admit,
    Mutate,
    ImagePolicy,
}

/// Where a request goes: which dialect, and for which cluster.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) dialect: Dialect,
    pub(super) cluster: ClusterName,
}

/// A request that is not a question. Never a redirect: the API server would follow it.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    message: String,
}

impl Refused {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
        }
    }

    /// A body that is JSON of another form, or has two readings.
    pub(super) fn unreadable(why: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, why.to_string())
    }

    pub(super) fn body(&self) -> Vec<u8> {
        serde_json::json!({ "error": { "code": self.status.as_u16(), "message": self.message } })
            .to_string()
            .into_bytes()
    }
}

impl Target {
    /// Reads path, method and headers.
    pub(super) fn of(request: &Request<Incoming>) -> Result<Self, Refused> {
        let target = Self::from_path(request.uri().path()).ok_or_else(|| {
            let expected =
                "expected /admit/, /mutate/ or /imagepolicy/ and projects/P/locations/L/clusters/C";
            Refused::new(StatusCode::NOT_FOUND, expected)
        })?;
        if request.method() != Method::POST {
            return Err(Refused::new(StatusCode::METHOD_NOT_ALLOWED, "expected POST"));
        }
        let content_type = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let media_type = content_type
            .and_then(|text| text.split(';').next())
            .map(str::trim);
        if !media_type.is_some_and(|text| text.eq_ignore_ascii_case("application/json")) {
            return Err(Refused::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "expected application/json",
            ));
        }
        if request.headers().contains_key(header::CONTENT_ENCODING) {
            return Err(Refused::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "expected a body that is not compressed",
            ));
        }
        Ok(target)
    }

    fn from_path(path: &str) -> Option<Self> {
        let (dialect, cluster) = path.strip_prefix('/')?.split_once('/')?;
        let dialect = match dialect {
            "admit" => Dialect::Admit,
            "mutate" => Dialect::Mutate,
            "imagepolicy" => Dialect::ImagePolicy,
            _ => return None,
        };
        Some(Self {
            dialect,
            cluster: cluster.parse().ok()?,
        })
    }
}

/// A body, and the room it takes while it is held.
pub(super) struct Held<'a> {
    bytes: Bytes,
    _room: SemaphorePermit<'a>,
}

impl Held<'_> {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The body, bounded in size and time, and all bodies together by `room`, in bytes. Where there is no room, it waits for
/// as long as the body might take to arrive.
pub(super) async fn body<'a>(
    request: Request<Incoming>,
    room: &'a Semaphore,
    deadlines: &Deadlines,
) -> Result<Held<'a>, Refused> {
    let body = request.into_body();
    let size = body.size_hint();
    if size.lower() > MAX_BODY as u64 {
        return Err(too_large());
    }
    // The API server says how long its bodies are; what does not say it may become as large as any.
    let most = size.upper().map_or(MAX_BODY, |upper| {
        usize::try_from(upper).map_or(MAX_BODY, |upper| upper.min(MAX_BODY))
    });
    let permits = room.acquire_many(u32::try_from(most).unwrap_or(u32::MAX));
    let Ok(Ok(room)) = by(deadlines.read(), permits).await else {
        return Err(Refused::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "overloaded: the bodies of other requests take all the room there is",
        ));
    };
    match by(deadlines.read(), read_body(body, MAX_BODY)).await {
        Ok(Ok(bytes)) => Ok(Held { bytes, _room: room }),
        Ok(Err(BodyError::TooLarge { .. })) => Err(too_large()),
        Ok(Err(error @ BodyError::Broken(_))) => Err(Refused::unreadable(error)),
        Err(_) => Err(Refused::new(
            StatusCode::REQUEST_TIMEOUT,
            "the body did not arrive in time",
        )),
    }
}

fn too_large() -> Refused {
    Refused::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("expected at most {MAX_BODY} bytes"),
    )
}

/// Reads a body that nobody wants, frame by frame, and keeps nothing of it.
pub(super) async fn discard(request: Request<Incoming>, deadlines: &Deadlines) {
    let mut body = request.into_body();
    let mut left = MAX_BODY;
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(length) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    let _ = tokio::time::timeout_at(deadlines.read(), reading).await;
}

/// Kinds that come through subresources and carry no image. Everything else that is not a workload is denied.
const WITHOUT_IMAGES: [(&str, &str, &str); 3] = [
    ("autoscaling", "Scale", "scale"),
    ("policy", "Eviction", "eviction"),
    ("", "Binding", "binding"),
];

/// Whether the explicit table says that nothing of this can start an image.
pub(super) fn carries_no_image(review: &Review<'_>) -> bool {
    let kind = review.kind();
    WITHOUT_IMAGES.iter().any(|(group, name, sub_resource)| {
        kind.group == *group && kind.kind == *name && review.sub_resource() == *sub_resource
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_dialect_and_a_cluster() {
        let cluster = "projects/p/locations/us-central1-a/clusters/c";
        for (word, dialect) in [
            ("admit", Dialect::Admit),
            ("mutate", Dialect::Mutate),
            ("imagepolicy", Dialect::ImagePolicy),
        ] {
            let target = Target::from_path(&format!("/{word}/{cluster}")).unwrap();
            assert_eq!(
                (target.dialect, target.cluster.to_string().as_str()),
                (dialect, cluster)
            );
        }
        for path in [
            "",
            "/",
            "/admit",
            "/admit/",
            "//admit/projects/p/locations/l/clusters/c",
            "/admit/projects/p/locations/l/clusters/c/",
            "/Admit/projects/p/locations/l/clusters/c",
            "/admit/projects/../locations/l/clusters/c",
            "/other/projects/p/locations/l/clusters/c",
        ] {
            assert!(Target::from_path(path).is_none(), "{path}");
        }
    }
}
