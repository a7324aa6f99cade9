//! `ContinuousValidationConfig` of v1alpha2: the switch of a service that Google has ended. gcloud still reads and
//! writes it, so it is kept.

use binauthz_core::time::UnixTime;
use serde_json::{Map, json};

use crate::json::{InvalidField, Object, Value, timestamp_out};

/// Reads a configuration: whether it is switched on. Its name and time mean nothing in a request.
pub fn read_continuous_validation_config(value: Value) -> Result<bool, InvalidField> {
    let mut object = Object::new(value, "")?;
    object.ignore("name");
    object.ignore("updateTime");
    let enabled = match object.take_optional_object("enforcementPolicyConfig")? {
        Some(mut config) => {
            let enabled = config.take_optional_bool("enabled")?.unwrap_or(false);
            config.finish()?;
            enabled
        }
        None => false,
    };
    object.finish()?;
    Ok(enabled)
}

/// Writes a configuration under its `name`. `enforcementPolicyConfig` is always there: gcloud stops without it.
pub fn write_continuous_validation_config(
    name: &str,
    enabled: bool,
    updated: Option<UnixTime>,
) -> serde_json::Value {
    let config = if enabled {
        json!({ "enabled": true })
    } else {
        json!({})
    };
    let mut members = Map::new();
    members.insert("name".to_owned(), json!(name));
    members.insert("enforcementPolicyConfig".to_owned(), config);
    if let Some(updated) = updated {
        members.insert("updateTime".to_owned(), json!(timestamp_out(updated)));
    }
    members.into()
}
