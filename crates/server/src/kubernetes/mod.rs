//! The API servers of the guarded clusters, asked where the operator chose so: in the course of an admission who may open
//! the emergency door, because of one where a refusal is told, and by the management API whose a token is. Nothing here can
//! admit anything or anybody: what cannot be asked stays closed, and an Event that cannot be written is counted.

mod events;
mod review;
mod token;

use std::time::Duration;

use binauthz_core::name::ClusterName;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

pub(crate) use events::{Refusal, emit};
pub(crate) use review::{Asker, Opening, opening};
pub(crate) use token::{Unasked, bearer};

use self::events::Events;
use self::review::Reviews;
use self::token::TokenReviews;
use crate::app::App;
use crate::guard::connect;
use crate::metrics::Text;
use crate::settings::GuardedCluster;

/// A review takes some milliseconds; an API server that needs longer does not get to hold up what waits for it.
const WAIT: Duration = Duration::from_secs(2);

/// What waits to be told, and what was asked and told.
pub(crate) struct Kubernetes {
    events: Events,
    reviews: Reviews,
    tokens: TokenReviews,
}

impl Kubernetes {
    pub(crate) fn new() -> Kubernetes {
        Kubernetes {
            events: Events::new(),
            reviews: Reviews::new(),
            tokens: TokenReviews::new(),
        }
    }

    /// Writes the numbers.
    pub(crate) fn write(&self, text: &mut Text) {
        self.events.write(text);
        self.reviews.write(text);
        self.tokens.write(text);
    }
}

/// Whether refusals of this cluster are told there.
pub(crate) fn wants_events(app: &App, cluster: &ClusterName) -> bool {
    app.settings.guard.events && guarded(app, cluster).is_some()
}

/// Whether this cluster says who may break the glass. Elsewhere whoever may write the object may.
pub(crate) fn reviews(app: &App, cluster: &ClusterName) -> bool {
    app.settings.guard.review_break_glass && guarded(app, cluster).is_some()
}

fn guarded<'a>(app: &'a App, cluster: &ClusterName) -> Option<&'a GuardedCluster> {
    let mut all = app.settings.guard.clusters.iter();
    all.find(|guarded| guarded.cluster == *cluster)
}

/// Has a cluster review something, in one of so many places at once; or why it did not, in time or at all.
async fn review_by(
    app: &App,
    cluster: &ClusterName,
    (collection, review): (&str, &Value),
    places: &Semaphore,
    until: Instant,
) -> Result<Value, String> {
    let asked = async {
        // It is never closed.
        let _place = places.acquire().await;
        let guarded = guarded(app, cluster).ok_or("the settings do not name the cluster")?;
        let api = connect(app, guarded)?;
        api.create(collection, review)
            .await
            .map_err(|error| error.to_string())
    };
    match timeout_at(until.min(Instant::now() + WAIT), asked).await {
        Ok(answered) => answered,
        Err(_) => Err("the API server did not answer in time".to_owned()),
    }
}
