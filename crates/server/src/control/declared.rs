//! Clusters that the configuration declares: registered at the start, with their projects, where they are not there. What
//! is there is left as it is: the API has the last word.

use binauthz_core::name::ClusterName;
use binauthz_store::{AuditRow, Change, Commit, CommitError, Kind, NewResource, Unavailable};
use binauthz_wire::container::{self, Cluster};
use binauthz_wire::json::InvalidField;
use serde_json::json;

use crate::app::App;

/// How a declared cluster is judged until somebody says otherwise.
const MODE: &str = "PROJECT_SINGLETON_POLICY_ENFORCE";

/// Why a declared cluster could not be registered.
#[derive(Debug, thiserror::Error)]
pub enum DeclareError {
    /// The store did not answer.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The store did not take it.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// What is written here is not what is read.
    #[error("a cluster cannot be described: {0}")]
    Description(#[from] InvalidField),
}

/// Registers them. Another replica may do the same at the same time.
pub(crate) async fn register_declared(app: &App) -> Result<(), DeclareError> {
    for name in &app.settings.clusters {
        let project = name.project();
        insert(
            app,
            NewResource {
                kind: Kind::Project,
                name: format!("projects/{project}"),
                parent: String::new(),
                document: json!({ "displayName": project.as_str() }).to_string(),
            },
        )
        .await?;
        let cluster = NewResource {
            kind: Kind::Cluster,
            name: name.to_string(),
            parent: format!("projects/{project}"),
            document: document(name)?,
        };
        if insert(app, cluster).await? {
            tracing::info!(cluster = %name, mode = MODE, "registered, as the configuration says");
        }
    }
    Ok(())
}

fn document(name: &ClusterName) -> Result<String, InvalidField> {
    let request = json!({"cluster": {
        "name": name.cluster().as_str(),
        "binaryAuthorization": {"evaluationMode": MODE},
        "workloadIdentityConfig": {"workloadPool": format!("{}.svc.id.goog", name.project())},
    }});
    let (_, cluster): (_, Cluster) = container::read_create_request(request.into())?;
    Ok(serde_json::Value::from(container::write_stored_cluster(&cluster)).to_string())
}

/// Whether it was not there.
async fn insert(app: &App, resource: NewResource) -> Result<bool, DeclareError> {
    if app.store.resource(resource.kind, &resource.name).await?.is_some() {
        return Ok(false);
    }
    let audit = AuditRow {
        sequence: 0,
        time: (app.clock)().as_micros(),
        principal: "system:binauthz".to_owned(),
        method: "binauthz.RegisterDeclared".to_owned(),
        resource: resource.name.clone(),
        status_code: 0,
        request_id: String::new(),
        detail: "{}".to_owned(),
    };
    let changes = vec![Change::Insert(resource)];
    match app.store.commit(Commit { audit, changes }).await {
        Ok(_) => Ok(true),
        Err(CommitError::AlreadyExists { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
