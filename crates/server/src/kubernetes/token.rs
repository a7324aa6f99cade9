//! Whose a token is, as the cluster that gave it says: a TokenReview, asked for with every call. So a token ends with the
//! service account, or the Pod, that it was made for.

use std::sync::atomic::{AtomicU64, Ordering};

use binauthz_core::name::ClusterName;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::{WAIT, review_by};
use crate::app::App;
use crate::metrics::Text;

const COLLECTION: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
/// Reviews at once. They have places of their own: whoever tries tokens keeps nobody from the emergency door.
const AT_ONCE: usize = 16;

pub(super) struct TokenReviews {
    places: Semaphore,
    good: AtomicU64,
    bad: AtomicU64,
    failed: AtomicU64,
}

impl TokenReviews {
    pub(super) fn new() -> TokenReviews {
        TokenReviews {
            places: Semaphore::new(AT_ONCE),
            good: AtomicU64::new(0),
            bad: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    pub(super) fn write(&self, text: &mut Text) {
        let name = "binauthz_token_reviews_total";
        text.family(name, "counter", "Questions to clusters about whose a token is");
        for (outcome, count) in [("good", &self.good), ("bad", &self.bad), ("failed", &self.failed)] {
            text.row(name, &[("outcome", outcome)], count.load(Ordering::Relaxed));
        }
    }
}

/// The cluster was not heard, or did not say what it thinks of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unasked;

/// The user of the cluster that a token is of, if it is good for one of the audiences.
pub(crate) async fn bearer(
    app: &App,
    cluster: &ClusterName,
    token: &str,
    audiences: &[String],
) -> Result<Option<String>, Unasked> {
    let reviews = &app.kubernetes.tokens;
    let review = json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": { "token": token, "audiences": audiences },
    });
    let until = Instant::now() + WAIT;
    let answer = review_by(app, cluster, (COLLECTION, &review), &reviews.places, until).await;
    let said = answer.and_then(|answer| said(&answer, audiences));
    let count = match &said {
        Ok(Some(_)) => &reviews.good,
        Ok(None) => &reviews.bad,
        Err(why) => {
            tracing::error!(%cluster, why, "whose a token is could not be asked");
            &reviews.failed
        }
    };
    count.fetch_add(1, Ordering::Relaxed);
    said.map_err(|_| Unasked)
}

/// Whom the cluster names, nobody if it does not vouch for the token, or why it said nothing. Without one of our audiences
/// among its own it looked at none, and the token may be for anybody.
fn said(answer: &Value, audiences: &[String]) -> Result<Option<String>, String> {
    let status = &answer["status"];
    let error = status["error"].as_str().unwrap_or_default();
    if status["authenticated"] != true {
        let is_no = status.is_object() && matches!(status["authenticated"], Value::Null | Value::Bool(false));
        return match is_no {
            true => Ok(None),
            false => Err("the API server's answer is no TokenReview".to_owned()),
        };
    }
    let is_ours = |audience: &Value| audiences.iter().any(|ours| *audience == ours.as_str());
    let is_for_us = status["audiences"]
        .as_array()
        .is_some_and(|list| list.iter().any(is_ours));
    match status["user"]["username"].as_str() {
        Some(user) if !user.is_empty() && error.is_empty() && is_for_us => Ok(Some(user.to_owned())),
        Some(_) if error.is_empty() && !is_for_us => {
            tracing::warn!("the API server vouches for a token, and not for whom it is for: it is nobody's");
            Ok(None)
        }
        _ => Err("the API server vouches for the token, and not for whose it is".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_word_for_one_of_our_audiences_counts() {
        let audiences = ["binauthz".to_owned(), "other".to_owned()];
        let user = json!({ "username": "system:serviceaccount:n:a" });
        let good = json!({ "status": { "authenticated": true, "user": user, "audiences": ["x", "other"] } });
        let name = "system:serviceaccount:n:a".to_owned();
        assert_eq!(said(&good, &audiences), Ok(Some(name)));
        for (pointer, value, is_an_answer) in [
            ("/status/authenticated", json!(false), true),
            ("/status/authenticated", json!(null), true),
            ("/status/authenticated", json!("true"), false),
            ("/status", json!(null), false),
            ("/status", json!(true), false),
            ("/status/audiences", json!(null), true),
            ("/status/audiences", json!([]), true),
            ("/status/audiences", json!(["x"]), true),
            ("/status/audiences", json!("binauthz"), true),
            ("/status/user", json!(null), false),
            ("/status/user/username", json!(""), false),
            ("/status/user/username", json!(7), false),
        ] {
            let mut answer = good.clone();
            *answer.pointer_mut(pointer).unwrap() = value;
            let said = said(&answer, &audiences);
            assert_eq!(said.is_ok(), is_an_answer, "{answer}");
            assert_eq!(said.unwrap_or_default(), None, "{answer}");
        }
        let mut erring = good;
        erring["status"]["error"] = json!("no key");
        assert!(said(&erring, &audiences).is_err());
    }
}
