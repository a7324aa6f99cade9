//! What entries and time series can be about.

use serde_json::json;

/// A kind of monitored resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResourceDescriptor {
    /// Its type, as series and entries name it.
    pub kind: &'static str,
    /// Its name for people.
    pub display_name: &'static str,
    /// What it is.
    pub description: &'static str,
    /// Its labels: key and explanation.
    pub labels: &'static [(&'static str, &'static str)],
}

const PROJECT: (&str, &str) = ("project_id", "The project's id.");

/// Every kind this server writes about, by type. Written entries may be about others.
pub const RESOURCES: [ResourceDescriptor; 3] = [
    ResourceDescriptor {
        kind: "audited_resource",
        display_name: "Audited Resource",
        description: "What a call of the API was about.",
        labels: &[
            PROJECT,
            ("service", "The API's name."),
            ("method", "The method's full name."),
        ],
    },
    ResourceDescriptor {
        kind: "global",
        display_name: "Global",
        description: "What is about the project and no single thing in it.",
        labels: &[PROJECT],
    },
    ResourceDescriptor {
        kind: "k8s_cluster",
        display_name: "Kubernetes Cluster",
        description: "A cluster whose workloads are judged.",
        labels: &[
            PROJECT,
            ("location", "The cluster's location."),
            ("cluster_name", "The cluster's name."),
        ],
    },
];

/// Writes a kind of monitored resource.
pub fn write_resource_descriptor(project: &str, descriptor: &ResourceDescriptor) -> serde_json::Value {
    let label = |(key, description): &(&str, &str)| json!({ "key": key, "description": description });
    json!({
        "name": format!("projects/{project}/monitoredResourceDescriptors/{}", descriptor.kind),
        "type": descriptor.kind,
        "displayName": descriptor.display_name,
        "description": descriptor.description,
        "labels": descriptor.labels.iter().map(label).collect::<Vec<_>>(),
        "launchStage": "GA",
    })
}
