//! What answers say to a browser that was led to them.

use http::{HeaderMap, HeaderValue, header};

/// Names in an answer are whatever somebody chose: no browser takes it for a page, or runs anything of it.
pub(crate) fn is_no_page(headers: &mut HeaderMap) {
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    );
}
