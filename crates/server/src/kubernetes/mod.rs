//! The API servers of clusters, asked by the server itself where the operator chose so: who may open the emergency door,
//! and where a refusal is told. Nothing here can admit anything: what cannot be asked stays closed, and an Event that
//! cannot be written is counted.

mod events;
mod review;

use std::collections::HashMap;
use std::sync::Arc;

use binauthz_core::name::ClusterName;
use binauthz_kubernetes::{Api, Inside};

pub(crate) use events::{Refusal, emit};
pub(crate) use review::{Asker, Opening};

use self::events::Events;
use self::review::Reviews;
use crate::metrics::Text;
use crate::settings::{KubernetesAccess, Place};

/// Why an API server of the settings cannot be asked.
#[derive(Debug, thiserror::Error)]
#[error("the API server of `{cluster}` cannot be asked: {why}")]
pub struct NoAccess {
    /// The cluster.
    pub cluster: String,
    /// What is wrong.
    pub why: String,
}

/// The clusters of the settings.
pub(crate) struct Clusters {
    all: HashMap<ClusterName, Access>,
    events: Events,
    reviews: Reviews,
}

struct Access {
    api: Arc<Api>,
    events: bool,
    review: bool,
}

impl Clusters {
    /// Prepares to ask. Nothing is asked yet: an API server may start later than its webhook.
    pub(crate) fn new(list: &[KubernetesAccess]) -> Result<Clusters, NoAccess> {
        let mut all = HashMap::new();
        for access in list {
            let api = connect(&access.place).map_err(|why| NoAccess {
                cluster: access.cluster.to_string(),
                why,
            })?;
            let of = Access {
                api: Arc::new(api),
                events: access.events,
                review: access.review_break_glass,
            };
            all.insert(access.cluster.clone(), of);
        }
        Ok(Clusters {
            all,
            events: Events::new(),
            reviews: Reviews::new(),
        })
    }

    /// Whether there is anybody who tells of refusals.
    fn tells(&self) -> bool {
        self.all.values().any(|access| access.events)
    }

    /// Writes what was asked and told.
    pub(crate) fn write(&self, text: &mut Text) {
        self.events.write(text);
        self.reviews.write(text);
    }
}

fn connect(place: &Place) -> Result<Api, String> {
    match place {
        Place::Inside => {
            let inside = Inside::of_environment(None).map_err(|why| why.to_string())?;
            Api::inside(&inside).map_err(|why| why.to_string())
        }
        Place::Context { kubeconfig, context } => {
            Api::of_context(Some(kubeconfig), context).map_err(|why| why.to_string())
        }
    }
}
