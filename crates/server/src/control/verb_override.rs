//! `X-HTTP-Method-Override`: gcloud sends a GET whose address is longer than 2 048 bytes as a POST, with the query in
//! the body. What a call is (its row, its permission, its audit) follows from the method that is meant.

use binauthz_wire::json::Value;
use http::request::Parts;
use http::{HeaderName, Method, header};
use hyper::body::Incoming;

use super::body;
use super::error::ApiError;
use super::query::{MAX_QUERY, Query};

const OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");
const FORM: &str = "application/x-www-form-urlencoded";

/// The method that is meant. Only a POST may stand for another one: what is between us and the client has judged the
/// method it saw, and a POST is what is trusted least.
pub(super) fn method(head: &Parts) -> Result<Method, ApiError> {
    let mut values = head.headers.get_all(OVERRIDE).iter();
    let Some(value) = values.next() else {
        return Ok(head.method.clone());
    };
    if values.next().is_some() {
        return Err(ApiError::invalid_argument(
            "`X-HTTP-Method-Override` is given twice, expected once",
        ));
    }
    let meant = [
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
    ]
    .into_iter()
    .find(|method| value.as_bytes() == method.as_str().as_bytes())
    .ok_or_else(|| {
        ApiError::invalid_argument(
            "`X-HTTP-Method-Override` is not a method, expected `GET`, `PUT`, `PATCH` or `DELETE`",
        )
    })?;
    if head.method != Method::POST && meant != head.method {
        return Err(ApiError::invalid_argument(format!(
            "`X-HTTP-Method-Override` is `{meant}` on a `{}` request, expected it on `POST` only",
            head.method
        )));
    }
    Ok(meant)
}

/// The query and the body of a call of this method.
pub(super) async fn read(method: &Method, head: &Parts, body: Incoming) -> Result<(Query, Value), ApiError> {
    let query = Query::parse(head.uri.query())?;
    if *method != Method::GET || head.method != Method::POST {
        return Ok((query, body::read(method, head, body).await?));
    }
    let form = body::bytes(head, body, MAX_QUERY).await?;
    if form.is_empty() {
        return Ok((query, Value::empty_object()));
    }
    let is_form = head
        .headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|media| media.trim().eq_ignore_ascii_case(FORM));
    if !is_form {
        return Err(ApiError::invalid_argument(format!(
            "the body of a POST that stands for a GET is its query, expected `Content-Type: {FORM}`"
        )));
    }
    let text = std::str::from_utf8(&form)
        .map_err(|_| ApiError::invalid_argument("the query in the body is not valid UTF-8"))?;
    Ok((query.and(Query::parse(Some(text))?), Value::empty_object()))
}
