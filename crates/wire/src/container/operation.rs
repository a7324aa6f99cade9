//! Operations on clusters. All of them are done when they are answered.

use binauthz_core::name::ClusterName;
use binauthz_core::time::UnixTime;
use serde_json::json;

use super::view::link;
use crate::json::{EnumRow, InvalidField, Object, Value, enum_name, timestamp_out};

/// What an operation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationKind {
    /// Registered a cluster.
    Create,
    /// Changed one.
    Update,
    /// Forgot one.
    Delete,
}

const KINDS: &[EnumRow<OperationKind>] = &[
    ("CREATE_CLUSTER", 1, OperationKind::Create),
    ("DELETE_CLUSTER", 2, OperationKind::Delete),
    ("UPDATE_CLUSTER", 15, OperationKind::Update),
];

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Its id, the last segment of its name.
    pub id: String,
    /// What it did.
    pub kind: OperationKind,
    /// To which cluster.
    pub cluster: ClusterName,
    /// When.
    pub time: UnixTime,
}

/// Writes what is to be kept of an operation; its id and time are kept beside.
pub fn write_stored_operation(operation: &Operation) -> serde_json::Value {
    json!({ "operationType": enum_name(KINDS, operation.kind), "cluster": operation.cluster.to_string() })
}

/// Reads an operation as [`write_stored_operation`] wrote it.
pub fn read_operation(value: Value, id: &str, time: UnixTime) -> Result<Operation, InvalidField> {
    let mut object = Object::new(value, "")?;
    let kind = object.take_enum("operationType", KINDS)?;
    let cluster = object.take_parsed("cluster")?;
    object.finish()?;
    Ok(Operation {
        id: id.to_owned(),
        kind,
        cluster,
        time,
    })
}

/// Writes an operation as clients see it. gcloud asks for it once and finds it done.
pub fn write_operation(operation: &Operation, version: &str) -> serde_json::Value {
    let Operation {
        id,
        kind,
        cluster,
        time,
    } = operation;
    let (project, location, time) = (cluster.project(), cluster.location(), timestamp_out(*time));
    let link_to_self = format!(
        "https://container.googleapis.com/{version}/projects/{project}/locations/{location}/operations/{id}"
    );
    json!({
        "name": id,
        "zone": location.as_str(),
        "location": location.as_str(),
        "operationType": enum_name(KINDS, *kind),
        "status": "DONE",
        "selfLink": link_to_self,
        "targetLink": link(version, cluster),
        "startTime": time,
        "endTime": time,
    })
}
