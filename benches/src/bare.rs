//! The yardstick: the same listener, the same TLS, the same reader of the same body, and a constant answer.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use binauthz_server::listen::{
    self, Certificates, Lifetimes, Limits, Listener, Plan, read_body, server_config,
};
use binauthz_wire::admission_review;
use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;

use crate::Outcome;

const ANSWER: &str = r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"UID","allowed":true}}"#;

pub(crate) async fn serve(folder: PathBuf) -> Outcome<bool> {
    let plan = Plan {
        data_directory: &folder,
        secret: None,
        names: &[],
        lifetimes: Lifetimes::USUAL,
    };
    let certificates = Arc::new(Certificates::open(plan, SystemTime::now()).await?);
    let listener = Listener::bind(
        "127.0.0.1:0".parse()?,
        Some(server_config(certificates)?),
        Limits::default(),
    )
    .await?;
    let address = listener.local_address()?;
    std::fs::write(
        folder.join("addresses.new"),
        format!(r#"{{"webhook":"https://{address}"}}"#),
    )?;
    std::fs::rename(folder.join("addresses.new"), folder.join("addresses.json"))?;
    let (_trigger, shutdown) = listen::shutdown();
    listen::serve(listener, |_| service_fn(answer), shutdown).await;
    Ok(true)
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = read_body(request.into_body(), 7 << 20).await.unwrap_or_default();
    let text = match admission_review::read(&body) {
        Ok(review) => ANSWER.replace("UID", review.uid()),
        Err(why) => why.to_string(),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/json"),
    );
    Ok(response)
}
