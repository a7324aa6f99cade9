//! `serviceusage.googleapis.com`: which services a project uses. Every call is done when it is answered.

use binauthz_core::name::ProjectId;
use serde_json::json;

use crate::json::{EnumRow, InvalidField, Object, Value, enum_name};

/// Services in one `batchEnable`, as Google has it.
const MAX_BATCH: usize = 20;
/// The longest name: host names end at 253 bytes.
const MAX_NAME: usize = 253;

/// The services this server answers for, and what Google calls them.
pub const SERVED: [(&str, &str); 7] = [
    ("artifactregistry.googleapis.com", "Artifact Registry API"),
    ("binaryauthorization.googleapis.com", "Binary Authorization API"),
    (
        "cloudkms.googleapis.com",
        "Cloud Key Management Service (KMS) API",
    ),
    (
        "cloudresourcemanager.googleapis.com",
        "Cloud Resource Manager API",
    ),
    ("container.googleapis.com", "Kubernetes Engine API"),
    ("containeranalysis.googleapis.com", "Container Analysis API"),
    ("serviceusage.googleapis.com", "Service Usage API"),
];

/// Whether a project uses a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceState {
    /// It does.
    Enabled,
    /// It does not.
    Disabled,
}

const STATES: &[EnumRow<ServiceState>] = &[
    ("ENABLED", 2, ServiceState::Enabled),
    ("DISABLED", 1, ServiceState::Disabled),
];

/// Whether to ask first if the service was used. Nothing is known of that here.
const USAGE_CHECKS: &[EnumRow<()>] = &[
    ("CHECK_IF_SERVICE_HAS_USAGE_UNSPECIFIED", 0, ()),
    ("SKIP", 1, ()),
    ("CHECK", 2, ()),
];

/// The name of a service, such as `container.googleapis.com`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceName(String);

/// Why a text is not the name of a service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the name of a service, expected one such as `container.googleapis.com`")]
pub struct InvalidServiceName(String);

impl ServiceName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What Google calls it; its name if it is none of [`SERVED`].
    pub fn title(&self) -> &str {
        SERVED
            .iter()
            .find(|(name, _)| *name == self.0)
            .map_or(&self.0, |(_, title)| title)
    }
}

impl std::str::FromStr for ServiceName {
    type Err = InvalidServiceName;

    fn from_str(text: &str) -> Result<Self, InvalidServiceName> {
        let label = |label: &str| {
            !label.is_empty()
                && !label.starts_with('-')
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        };
        if text.len() > MAX_NAME || !text.contains('.') || !text.split('.').all(label) {
            return Err(InvalidServiceName(text.chars().take(MAX_NAME).collect()));
        }
        Ok(Self(text.to_owned()))
    }
}

/// Reads the body of `enable`, which has no fields.
pub fn read_enable_request(value: Value) -> Result<(), InvalidField> {
    let mut object = Object::new(value, "")?;
    object.ignore("name");
    object.finish()
}

/// Reads the body of `batchEnable`.
pub fn read_batch_enable_request(value: Value) -> Result<Vec<ServiceName>, InvalidField> {
    let mut object = Object::new(value, "")?;
    object.ignore("parent");
    let names = object.take_strings("serviceIds")?;
    if names.is_empty() || names.len() > MAX_BATCH {
        return Err(object.refused("serviceIds", format_args!("expected 1 to {MAX_BATCH} services")));
    }
    let names = names
        .iter()
        .map(|name| {
            name.parse()
                .map_err(|error: InvalidServiceName| object.refused("serviceIds", error))
        })
        .collect::<Result<_, _>>()?;
    object.finish()?;
    Ok(names)
}

/// Reads the body of `disable`. What it asks about usage and dependants has no meaning here.
pub fn read_disable_request(value: Value) -> Result<(), InvalidField> {
    let mut object = Object::new(value, "")?;
    object.ignore("name");
    object.take_optional_enum("checkIfServiceHasUsage", USAGE_CHECKS)?;
    object.take_optional_bool("disableDependentServices")?;
    object.finish()
}

/// Reads the `filter` of a list: a state, or nothing.
pub fn read_filter(filter: Option<&str>) -> Result<Option<ServiceState>, InvalidField> {
    let Some(filter) = filter else { return Ok(None) };
    let state = filter
        .trim()
        .strip_prefix("state")
        .map(|rest| rest.trim_start_matches([':', '=', ' ']));
    match STATES.iter().find(|(name, _, _)| Some(*name) == state) {
        Some((_, _, state)) => Ok(Some(*state)),
        None => Err(InvalidField::refused(
            "filter",
            "expected `state:ENABLED` or `state:DISABLED`",
        )),
    }
}

/// Writes a service of a project.
pub fn write_service(project: &ProjectId, service: &ServiceName, state: ServiceState) -> serde_json::Value {
    let name = service.as_str();
    json!({
        "name": format!("projects/{project}/services/{name}"),
        "parent": format!("projects/{project}"),
        "config": { "name": name, "title": service.title() },
        "state": enum_name(STATES, state),
    })
}

/// Writes what is to be kept of a service.
pub fn write_stored_service(state: ServiceState) -> serde_json::Value {
    json!({ "state": enum_name(STATES, state) })
}

/// Reads a service as [`write_stored_service`] wrote it.
pub fn read_stored_service(value: Value) -> Result<ServiceState, InvalidField> {
    let mut object = Object::new(value, "")?;
    let state = object.take_enum("state", STATES)?;
    object.finish()?;
    Ok(state)
}

/// The answers a finished operation carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// To `enable`: `service`.
    Enable,
    /// To `batchEnable`: `services`.
    BatchEnable,
    /// To `disable`: `service`.
    Disable,
}

/// Writes a finished operation with the services it was about, the first one where only one is told.
pub fn write_operation(name: &str, answer: Answer, services: Vec<serde_json::Value>) -> serde_json::Value {
    let kind = match answer {
        Answer::Enable => "EnableServiceResponse",
        Answer::BatchEnable => "BatchEnableServicesResponse",
        Answer::Disable => "DisableServiceResponse",
    };
    let kind = format!("type.googleapis.com/google.api.serviceusage.v1.{kind}");
    let response = match answer {
        Answer::BatchEnable => json!({ "@type": kind, "services": services }),
        Answer::Enable | Answer::Disable => json!({ "@type": kind, "service": services.into_iter().next() }),
    };
    json!({ "name": name, "done": true, "response": response })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_services() {
        for name in [
            "container.googleapis.com",
            "example.endpoints.p.cloud.goog",
            "a-1.b",
        ] {
            assert_eq!(name.parse::<ServiceName>().unwrap().as_str(), name);
        }
        for name in [
            "",
            "container",
            "Container.googleapis.com",
            "a..b",
            ".a",
            "a.",
            "-a.b",
            "a/b.c",
            "a b.c",
        ] {
            assert!(name.parse::<ServiceName>().is_err(), "{name}");
        }
        assert!(
            format!("{}.com", "a".repeat(MAX_NAME))
                .parse::<ServiceName>()
                .is_err()
        );
    }

    #[test]
    fn bodies_are_read_strictly() {
        let batch = |ids: serde_json::Value| read_batch_enable_request(json!({ "serviceIds": ids }).into());
        assert_eq!(batch(json!(["a.b", "c.d"])).unwrap().len(), 2);
        assert!(batch(json!([])).is_err());
        assert!(batch(json!(["nonsense"])).is_err());
        assert!(batch(json!(vec!["a.b"; MAX_BATCH + 1])).is_err());
        let disable = json!({ "checkIfServiceHasUsage": "SKIP", "disableDependentServices": true });
        read_disable_request(disable.into()).unwrap();
        read_disable_request(json!({ "checkIfServiceHasUsage": 1 }).into()).unwrap();
        assert!(read_disable_request(json!({ "checkIfServiceHasUsage": 3 }).into()).is_err());
        assert!(read_disable_request(json!({ "checkIfServiceHasUsage": "NEVER" }).into()).is_err());
        assert!(read_disable_request(json!({ "force": true }).into()).is_err());
        read_enable_request(json!({}).into()).unwrap();
        assert!(read_enable_request(json!({ "serviceIds": [] }).into()).is_err());
    }

    #[test]
    fn filters() {
        assert_eq!(read_filter(None).unwrap(), None);
        for text in ["state:ENABLED", "state=ENABLED", "state : ENABLED"] {
            assert_eq!(
                read_filter(Some(text)).unwrap(),
                Some(ServiceState::Enabled),
                "{text}"
            );
        }
        assert_eq!(
            read_filter(Some("state:DISABLED")).unwrap(),
            Some(ServiceState::Disabled)
        );
        for text in ["state:ON", "name:x", "state:ENABLED OR state:DISABLED"] {
            assert!(read_filter(Some(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn an_operation_is_done_and_carries_its_answer() {
        let project = "demo".parse().unwrap();
        let service: ServiceName = "container.googleapis.com".parse().unwrap();
        let shown = write_service(&project, &service, ServiceState::Enabled);
        assert_eq!(shown["config"]["title"], "Kubernetes Engine API");
        let operation = write_operation("operations/x", Answer::Enable, vec![shown.clone()]);
        assert_eq!(operation["done"], true);
        assert_eq!(operation["response"]["service"], shown);
        let operation = write_operation("operations/x", Answer::BatchEnable, vec![shown.clone()]);
        assert_eq!(operation["response"]["services"], json!([shown]));
        let stored = write_stored_service(ServiceState::Disabled);
        assert_eq!(
            read_stored_service(stored.into()).unwrap(),
            ServiceState::Disabled
        );
    }
}
