//! Who may open the emergency door, as the cluster's own authorization says: a SubjectAccessReview for the verb `use` on
//! `breakglass.binauthz`, a resource that exists in roles alone.

use std::sync::atomic::{AtomicU64, Ordering};

use binauthz_core::name::ClusterName;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::review_by;
use crate::app::App;
use crate::metrics::Text;

const COLLECTION: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
/// Reviews at once. A controller that makes the Pods of an opened workload asks some ten times a second.
const AT_ONCE: usize = 64;

/// Who wants the door open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asker {
    pub(crate) user: String,
    pub(crate) groups: Vec<String>,
}

/// Whether the door opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Opening {
    /// The cluster says that they may.
    Granted,
    /// It does not open, and why.
    Closed(String),
}

pub(super) struct Reviews {
    places: Semaphore,
    granted: AtomicU64,
    denied: AtomicU64,
    failed: AtomicU64,
}

impl Reviews {
    pub(super) fn new() -> Reviews {
        Reviews {
            places: Semaphore::new(AT_ONCE),
            granted: AtomicU64::new(0),
            denied: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    pub(super) fn write(&self, text: &mut Text) {
        let name = "binauthz_break_glass_reviews_total";
        text.family(
            name,
            "counter",
            "Questions to clusters about who may break the glass",
        );
        for (outcome, count) in [
            ("granted", &self.granted),
            ("denied", &self.denied),
            ("failed", &self.failed),
        ] {
            text.row(name, &[("outcome", outcome)], count.load(Ordering::Relaxed));
        }
    }
}

/// Asks the cluster whether whoever asks may open the door. Every failure leaves it closed.
pub(crate) async fn opening(
    app: &App,
    cluster: &ClusterName,
    asker: Option<&Asker>,
    namespace: &str,
    until: Instant,
) -> Opening {
    let reviews = &app.kubernetes.reviews;
    let Some(asker) = asker.filter(|asker| !asker.user.is_empty()) else {
        reviews.failed.fetch_add(1, Ordering::Relaxed);
        return Opening::Closed("the request does not say who asks".to_owned());
    };
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": asker.user,
            "groups": asker.groups,
            "resourceAttributes": {
                "namespace": namespace, "verb": "use", "group": "binauthz", "resource": "breakglass",
            },
        },
    });
    let answer = match review_by(app, cluster, (COLLECTION, &review), &reviews.places, until).await {
        Ok(answer) => answer,
        Err(why) => return reviews.failed(cluster, &why),
    };
    let status = &answer["status"];
    if status["allowed"] == true && status["denied"] != true {
        reviews.granted.fetch_add(1, Ordering::Relaxed);
        return Opening::Granted;
    }
    if status["allowed"] != false && status["denied"] != true {
        return reviews.failed(cluster, "the API server's answer is no SubjectAccessReview");
    }
    reviews.denied.fetch_add(1, Ordering::Relaxed);
    Opening::Closed(format!(
        "`{}` may not `use` `breakglass.binauthz` in namespace `{namespace}`",
        asker.user
    ))
}

impl Reviews {
    fn failed(&self, cluster: &ClusterName, why: &str) -> Opening {
        self.failed.fetch_add(1, Ordering::Relaxed);
        tracing::error!(%cluster, why, "who may break the glass could not be asked; it stays whole");
        Opening::Closed(format!("who may open it could not be asked: {why}"))
    }
}
