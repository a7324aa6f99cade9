//! Clusters as clients see them.

use binauthz_core::name::ClusterName;
use binauthz_core::time::UnixTime;
use serde_json::{Map, json};

use super::{Cluster, write_stored_cluster};
use crate::json::timestamp_out;

/// What the server knows of a cluster beside its own fields.
#[derive(Debug, Clone)]
pub struct ClusterView<'a> {
    /// Its name.
    pub name: &'a ClusterName,
    /// The API version asked, for the link.
    pub version: &'a str,
    /// Its identity, which no later cluster of the same name has.
    pub id: String,
    /// Its etag.
    pub etag: String,
    /// When it was registered.
    pub created: UnixTime,
}

/// Writes a cluster as `get` and `list` show it.
pub fn write_cluster(cluster: &Cluster, view: &ClusterView<'_>) -> serde_json::Value {
    let mut members = write_stored_cluster(cluster);
    let name = view.name;
    let mut put = |key: &str, value: serde_json::Value| members.insert(key.to_owned(), value);
    put("name", json!(name.cluster().as_str()));
    put("location", json!(name.location().as_str()));
    put("zone", json!(name.location().as_str()));
    put("status", json!("RUNNING"));
    put("id", json!(view.id));
    put("etag", json!(view.etag));
    put("createTime", json!(timestamp_out(view.created)));
    put("selfLink", json!(link(view.version, name)));
    if cluster.endpoint.is_none() {
        // gcloud stops when there is none; this one says by itself that nobody gave it, and resolves nowhere.
        let host = format!(
            "{}.{}.{}.invalid",
            name.cluster(),
            name.location(),
            name.project()
        );
        put("endpoint", json!(host));
    }
    if let Some(version) = &cluster.version {
        put("currentMasterVersion", json!(version));
        put("currentNodeVersion", json!(version));
    }
    members.into()
}

/// The canonical address of a cluster.
pub(super) fn link(version: &str, name: &ClusterName) -> String {
    format!("https://container.googleapis.com/{version}/{name}")
}

/// Writes the answer to `getServerConfig`: no versions are offered, because clusters are registered and not made.
pub fn write_server_config() -> serde_json::Value {
    let empty: [&str; 0] = [];
    Map::from_iter([
        ("validMasterVersions".to_owned(), json!(empty)),
        ("validNodeVersions".to_owned(), json!(empty)),
        ("validImageTypes".to_owned(), json!(empty)),
    ])
    .into()
}
