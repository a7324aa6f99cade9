//! YAML files into JSON trees and back, through the strict reader of the wire crate.

use std::path::Path;

use serde_json::Value;

use crate::failure::Failure;

/// The one document of a file (JSON is YAML too).
pub(crate) fn read(bytes: &[u8], path: &Path) -> Result<Value, Failure> {
    binauthz_wire::yaml::parse(bytes)
        .map(Value::from)
        .map_err(|error| unreadable(path, &error))
}

/// The failure for a file that is not YAML.
pub(crate) fn unreadable(path: &Path, error: &binauthz_wire::yaml::InvalidYaml) -> Failure {
    Failure::usage(format_args!("`{}`: {error}", path.display()))
}

/// YAML with sorted keys and no character a terminal acts on.
pub(crate) fn write(value: &Value) -> String {
    binauthz_wire::yaml::write(value)
}
