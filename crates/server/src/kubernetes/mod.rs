//! The API servers of the guarded clusters, asked in the course of an admission or because of one, where the operator chose
//! so: who may open the emergency door, and where a refusal is told. Nothing here can admit anything: what cannot be asked
//! stays closed, and an Event that cannot be written is counted.

mod events;
mod review;

use binauthz_core::name::ClusterName;

pub(crate) use events::{Refusal, emit};
pub(crate) use review::{Asker, Opening, opening};

use self::events::Events;
use self::review::Reviews;
use crate::app::App;
use crate::metrics::Text;
use crate::settings::GuardedCluster;

/// What waits to be told, and what was asked and told.
pub(crate) struct Kubernetes {
    events: Events,
    reviews: Reviews,
}

impl Kubernetes {
    pub(crate) fn new() -> Kubernetes {
        Kubernetes {
            events: Events::new(),
            reviews: Reviews::new(),
        }
    }

    /// Writes the numbers.
    pub(crate) fn write(&self, text: &mut Text) {
        self.events.write(text);
        self.reviews.write(text);
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
