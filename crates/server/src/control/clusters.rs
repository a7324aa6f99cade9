//! Kubernetes Engine's clusters, registered here so that their webhooks may ask.

use binauthz_core::name::{ClusterName, LocationId};
use binauthz_core::time::UnixTime;
use binauthz_store::{Change, Kind, ListQuery, NewResource, Resource};
use binauthz_wire::container::{self, BinaryAuthorization, Cluster, ClusterView, OperationKind};
use binauthz_wire::status::Code;

use super::call::{Call, Reply};
use super::error::ApiError;
use super::operations;
use super::routes::{Api, ApiVersion, Class, Handler, Route, Verb};
use super::{etag, listing};
use crate::app::App;
use crate::documents::{UnreadableCluster, cluster_from};

/// Clusters of one project. Kubernetes Engine's lists have no pages; at 6 KiB each this one ends at 6 MB.
const MAX_CLUSTERS: u32 = 1_000;

/// The two forms of an address: of today, and with a zone.
const LOCATIONS: &str = "/{version}/projects/{project}/locations/{location}/clusters";
const ZONES: &str = "/{version}/projects/{project}/zones/{location}/clusters";
const LOCATION: &str = "/{version}/projects/{project}/locations/{location}/clusters/{cluster}";
const ZONE: &str = "/{version}/projects/{project}/zones/{location}/clusters/{cluster}";

#[rustfmt::skip] // A table: one route a line.
pub(crate) fn routes() -> Vec<Route> {
    let mut routes = Vec::new();
    let mut add = |verb, templates: [&'static str; 2], name, permission, class, handler: Handler| {
        routes.extend(templates.map(|template| Route {
            verb,
            template,
            versions: ApiVersion::CONTAINER,
            api: Api::Container,
            name,
            permission,
            class,
            handler,
        }));
    };
    let (all, one) = ([LOCATIONS, ZONES], [LOCATION, ZONE]);
    add(Verb::Post, all, "CreateCluster", "container.clusters.create", Class::Write, |app, call| {
        Box::pin(create(app, call))
    });
    add(Verb::Get, all, "ListClusters", "container.clusters.list", Class::Read, |app, call| {
        Box::pin(list(app, call))
    });
    add(Verb::Get, one, "GetCluster", "container.clusters.get", Class::Read, |app, call| Box::pin(read(app, call)));
    add(Verb::Put, one, "UpdateCluster", "container.clusters.update", Class::Write, |app, call| {
        Box::pin(update(app, call))
    });
    add(Verb::Delete, one, "DeleteCluster", "container.clusters.delete", Class::Write, |app, call| {
        Box::pin(delete(app, call))
    });
    let config = [
        "/{version}/projects/{project}/locations/{location}/serverConfig",
        "/{version}/projects/{project}/zones/{location}/serverconfig",
    ];
    add(Verb::Get, config, "GetServerConfig", "container.clusters.get", Class::Read, |_, _| {
        Box::pin(async { Ok(Reply::json(container::write_server_config())) })
    });
    routes
}

fn document(cluster: &Cluster) -> String {
    serde_json::Value::from(container::write_stored_cluster(cluster)).to_string()
}

impl From<UnreadableCluster> for ApiError {
    fn from(error: UnreadableCluster) -> ApiError {
        tracing::error!(%error, "a cluster cannot be read");
        ApiError::failed_precondition(error.to_string())
    }
}

fn cluster_name(call: &Call) -> Result<ClusterName, ApiError> {
    Ok(ClusterName::new(
        call.project()?,
        call.param("location").parse()?,
        call.param("cluster").parse()?,
    ))
}

async fn create(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    let location: LocationId = call.param("location").parse()?;
    let (id, mut cluster) = container::read_create_request(call.take_body())?;
    can_be_meant(&cluster.binary_authorization)?;
    let name = ClusterName::new(call.project()?, location, id);
    let parent = format!("projects/{}", name.project());
    let query = ListQuery {
        kind: Kind::Cluster,
        parent: parent.clone(),
        after: None,
        limit: MAX_CLUSTERS,
    };
    if app.store.list(&query).await?.len() >= MAX_CLUSTERS as usize {
        let message = format!("`{parent}` has {MAX_CLUSTERS} clusters, and more are not kept in one project");
        return Err(ApiError::new(Code::ResourceExhausted, message));
    }
    // Kept at once, so that a later change of this rule leaves registered clusters as they are.
    cluster
        .workload_pool
        .get_or_insert_with(|| format!("{}.svc.id.goog", name.project()));
    let document = document(&cluster);
    let insert = Change::Insert(NewResource {
        kind: Kind::Cluster,
        name: name.to_string(),
        parent,
        document,
    });
    change(app, &call, OperationKind::Create, name, insert).await
}

async fn update(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    let name = cluster_name(&call)?;
    let update = container::read_update_request(call.take_body())?;
    can_be_meant(&update.binary_authorization)?;
    let row = registered(app, &name).await?;
    let expect = etag::expected(update.etag.as_deref(), &row.name)?.or(Some(row.revision));
    let cluster = Cluster {
        binary_authorization: update.binary_authorization,
        ..cluster_from(&row.document)?
    };
    let document = document(&cluster);
    let replace = Change::Replace {
        kind: Kind::Cluster,
        name: row.name,
        document,
        expect,
    };
    change(app, &call, OperationKind::Update, name, replace).await
}

/// Whoever binds a policy that is to refuse Pods counts on it, and no platform policy is evaluated here.
fn can_be_meant(desired: &BinaryAuthorization) -> Result<(), ApiError> {
    match desired.enforced_binding() {
        None => Ok(()),
        Some(binding) => Err(ApiError::invalid_argument(format!(
            "`policyBindings`: `{}` has the enforcement mode `AUDIT_AND_ENFORCE`, but this server evaluates no platform \
             policies, so nothing would be refused by it; expected `AUDIT`",
            binding.name
        ))),
    }
}

async fn delete(app: &App, call: Call) -> Result<Reply, ApiError> {
    let name = cluster_name(&call)?;
    let row = registered(app, &name).await?;
    let delete = Change::Delete {
        kind: Kind::Cluster,
        name: row.name,
        expect: Some(row.revision),
    };
    change(app, &call, OperationKind::Delete, name, delete).await
}

/// Commits the change with its operation, which is done by then.
async fn change(
    app: &App,
    call: &Call,
    kind: OperationKind,
    cluster: ClusterName,
    change: Change,
) -> Result<Reply, ApiError> {
    let (operation, record) = operations::new(app, call.now, kind, cluster).await?;
    let changes = std::iter::once(change).chain(record).collect();
    call.commit(app, changes).await?;
    app.snapshots.invalidate();
    Ok(Reply::json(container::write_operation(
        &operation,
        call.version.as_str(),
    )))
}

async fn registered(app: &App, name: &ClusterName) -> Result<Resource, ApiError> {
    app.store.resource(Kind::Cluster, &name.to_string()).await?.ok_or_else(|| {
        let (cluster, location) = (name.cluster(), name.location());
        ApiError::not_found(format!(
            "`{name}` was not found: register it with `binauthz clusters create {cluster} --location={location}`"
        ))
    })
}

async fn read(app: &App, call: Call) -> Result<Reply, ApiError> {
    let row = registered(app, &cluster_name(&call)?).await?;
    Ok(Reply::json(describe(&call, &row)?))
}

fn describe(call: &Call, row: &Resource) -> Result<serde_json::Value, ApiError> {
    let name: ClusterName = row.name.parse()?;
    let view = ClusterView {
        name: &name,
        version: call.version.as_str(),
        // The same name at another time is another cluster.
        id: format!("{:016x}", row.created),
        etag: etag::of(row.revision),
        created: UnixTime::from_micros(row.created),
    };
    Ok(container::write_cluster(&cluster_from(&row.document)?, &view))
}

async fn list(app: &App, call: Call) -> Result<Reply, ApiError> {
    let parent = format!("projects/{}", call.project()?);
    let query = ListQuery {
        kind: Kind::Cluster,
        parent,
        after: None,
        limit: MAX_CLUSTERS,
    };
    let mut rows = app.store.list(&query).await?;
    let prefix = operations::prefix(&call)?;
    rows.retain(|row| row.name.starts_with(&prefix));
    let clusters = rows
        .iter()
        .map(|row| describe(&call, row))
        .collect::<Result<_, _>>()?;
    Ok(Reply::json(listing::reply("clusters", clusters, None)))
}
