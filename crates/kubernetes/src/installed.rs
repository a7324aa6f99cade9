//! What there is of a guard in a cluster, and whether it is as it should be.

use binauthz_core::name::ClusterName;
use serde_json::Value;

use crate::{
    api::{Api, ApiError},
    webhooks::{Configuration, Guard, differences, is_registered_by_install},
};

/// The two configurations of a cluster, those that are there.
#[derive(Debug, Clone, Default)]
pub struct Installed {
    configurations: Vec<(Configuration, Value)>,
}

/// One configuration, looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// It is not there.
    Missing,
    /// It is as it is shipped.
    AsShipped,
    /// It is something else, in these places.
    Differs(Vec<String>),
}

impl Installed {
    /// Reads them.
    ///
    /// # Errors
    /// [`ApiError`] when there is no answer, or no right to read them.
    pub async fn read(api: &Api) -> Result<Installed, ApiError> {
        let mut configurations = Vec::new();
        for which in Configuration::ALL {
            if let Some(found) = api.read(&which.path()).await? {
                configurations.push((which, found));
            }
        }
        Ok(Installed { configurations })
    }

    /// Each that is there.
    pub fn all(&self) -> impl Iterator<Item = (Configuration, &Value)> {
        self.configurations.iter().map(|(which, found)| (*which, found))
    }

    /// One of them.
    #[must_use]
    pub fn configuration(&self, which: Configuration) -> Option<&Value> {
        let mut all = self.all();
        all.find(|(found, _)| *found == which).map(|(_, found)| found)
    }

    /// Whether `install` registered the cluster, too.
    #[must_use]
    pub fn is_registered_by_install(&self) -> bool {
        self.all().any(|(_, found)| is_registered_by_install(found))
    }

    /// Whether the API server takes no answer for a yes.
    #[must_use]
    pub fn fails_open(&self) -> bool {
        let validating = self.configuration(Configuration::Validating);
        let webhooks = validating.and_then(|found| found.get("webhooks")?.as_array());
        let mut policies = webhooks
            .into_iter()
            .flatten()
            .map(|webhook| webhook.get("failurePolicy"));
        policies.any(|policy| policy.and_then(Value::as_str) != Some("Fail"))
    }

    /// What the configurations are meant to be, as the first of them that can be read says: they must agree.
    #[must_use]
    pub fn guard(&self, cluster: &ClusterName) -> Option<Guard> {
        let mut order = Configuration::ALL.into_iter().rev();
        order.find_map(|which| Guard::of(cluster, which, self.configuration(which)?))
    }

    /// How one of them compares with what it is meant to be.
    #[must_use]
    pub fn condition(&self, guard: Option<&Guard>, which: Configuration) -> Condition {
        let Some(found) = self.configuration(which) else {
            return Condition::Missing;
        };
        let Some(guard) = guard else {
            let why = "where it asks, whom it trusts or which namespaces it leaves out is not as `install` writes it";
            return Condition::Differs(vec![why.to_owned()]);
        };
        let differences = differences(found, &guard.configuration(which));
        match differences.is_empty() {
            true => Condition::AsShipped,
            false => Condition::Differs(differences),
        }
    }
}
