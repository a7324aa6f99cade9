//! Service Usage. The APIs of this server are always there, so its services are enabled until somebody disables them;
//! what was said of any service is kept and shown, and has no other effect.

use std::collections::BTreeMap;

use binauthz_core::name::ProjectId;
use binauthz_store::{Change, Kind, ListQuery, MAX_ROWS, NewResource};
use binauthz_wire::json::{self, Limits};
use binauthz_wire::serviceusage::{self, Answer, InvalidServiceName, SERVED, ServiceName, ServiceState};

use super::call::{Call, Reply};
use super::error::ApiError;
use super::listing::{self, Page};
use super::operations;
use super::routes::{Api, ApiVersion, Class, Handler, Route, Verb};
use crate::app::App;

#[rustfmt::skip] // A table: one route a line.
pub(crate) fn routes() -> Vec<Route> {
    let row = |verb, template, name, permission, class, handler: Handler| Route {
        verb,
        template,
        versions: ApiVersion::V1_ONLY,
        api: Api::ServiceUsage,
        name,
        permission,
        class,
        handler,
    };
    const ENABLE: &str = "/{version}/projects/{project}/services/{service}:enable";
    const DISABLE: &str = "/{version}/projects/{project}/services/{service}:disable";
    const BATCH: &str = "/{version}/projects/{project}/services:batchEnable";
    const SERVICE: &str = "/{version}/projects/{project}/services/{service}";
    const SERVICES: &str = "/{version}/projects/{project}/services";
    vec![
        row(Verb::Post, ENABLE, "EnableService", "serviceusage.services.enable", Class::Write, |app, call| {
            Box::pin(enable(app, call))
        }),
        row(Verb::Post, BATCH, "BatchEnableServices", "serviceusage.services.enable", Class::Write, |app, call| {
            Box::pin(batch_enable(app, call))
        }),
        row(Verb::Post, DISABLE, "DisableService", "serviceusage.services.disable", Class::Write, |app, call| {
            Box::pin(disable(app, call))
        }),
        row(Verb::Get, SERVICE, "GetService", "serviceusage.services.get", Class::Read, |app, call| {
            Box::pin(read(app, call))
        }),
        row(Verb::Get, SERVICES, "ListServices", "serviceusage.services.list", Class::Read, |app, call| {
            Box::pin(list(app, call))
        }),
    ]
}

impl From<InvalidServiceName> for ApiError {
    fn from(error: InvalidServiceName) -> ApiError {
        ApiError::invalid_argument(error.to_string())
    }
}

async fn enable(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    serviceusage::read_enable_request(call.take_body())?;
    let service = call.param("service").parse()?;
    set(app, &call, vec![service], ServiceState::Enabled, Answer::Enable).await
}

async fn batch_enable(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    let services = serviceusage::read_batch_enable_request(call.take_body())?;
    set(app, &call, services, ServiceState::Enabled, Answer::BatchEnable).await
}

async fn disable(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    serviceusage::read_disable_request(call.take_body())?;
    let service = call.param("service").parse()?;
    set(app, &call, vec![service], ServiceState::Disabled, Answer::Disable).await
}

/// Keeps the state of the services with the operation that says so.
async fn set(
    app: &App,
    call: &Call,
    services: Vec<ServiceName>,
    state: ServiceState,
    answer: Answer,
) -> Result<Reply, ApiError> {
    let project = call.project()?;
    let shown = services
        .iter()
        .map(|service| serviceusage::write_service(&project, service, state))
        .collect();
    let answer = |name: &str| serviceusage::write_operation(name, answer, shown);
    let (operation, record) = operations::new_of_services(app, &project, answer).await?;
    let puts = services.iter().map(|service| {
        let (name, parent) = (resource_name(&project, service), format!("projects/{project}"));
        let document = serviceusage::write_stored_service(state).to_string();
        Change::Put {
            resource: NewResource {
                kind: Kind::Service,
                name,
                parent,
                document,
            },
            expect: None,
        }
    });
    call.commit(app, puts.chain(record).collect()).await?;
    Ok(Reply::json(operation))
}

fn resource_name(project: &ProjectId, service: &ServiceName) -> String {
    format!("projects/{project}/services/{}", service.as_str())
}

fn state_of(document: &str) -> Result<ServiceState, ApiError> {
    Ok(serviceusage::read_stored_service(json::parse(
        document.as_bytes(),
        Limits::API,
    )?)?)
}

fn initial(service: &str) -> ServiceState {
    if SERVED.iter().any(|(name, _)| *name == service) {
        ServiceState::Enabled
    } else {
        ServiceState::Disabled
    }
}

async fn read(app: &App, call: Call) -> Result<Reply, ApiError> {
    let (project, service) = (call.project()?, call.param("service").parse::<ServiceName>()?);
    let state = match app
        .store
        .resource(Kind::Service, &resource_name(&project, &service))
        .await?
    {
        Some(row) => state_of(&row.document)?,
        None => initial(service.as_str()),
    };
    Ok(Reply::json(serviceusage::write_service(
        &project, &service, state,
    )))
}

async fn list(app: &App, call: Call) -> Result<Reply, ApiError> {
    let project = call.project()?;
    let filter = call.query.string("filter")?;
    let wanted = serviceusage::read_filter(filter)?;
    let page = Page::of(
        &call,
        format!("services {project} {}", filter.unwrap_or_default()),
        50,
        200,
    )?;
    let mut states = BTreeMap::new();
    for (name, _) in SERVED {
        states.insert(name.parse::<ServiceName>()?, ServiceState::Enabled);
    }
    let parent = format!("projects/{project}");
    let query = ListQuery {
        kind: Kind::Service,
        parent: parent.clone(),
        after: None,
        limit: MAX_ROWS,
    };
    for row in app.store.list(&query).await? {
        let name = row
            .name
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .parse::<ServiceName>()?;
        states.insert(name, state_of(&row.document)?);
    }
    let after = page.after().unwrap_or_default();
    let mut services: Vec<(ServiceName, ServiceState)> = states
        .into_iter()
        .filter(|(service, state)| {
            service.as_str() > after.as_str() && wanted.is_none_or(|wanted| wanted == *state)
        })
        .collect();
    let next = page.cut(&mut services, |(service, _)| service.as_str().to_owned());
    let shown = services
        .iter()
        .map(|(service, state)| serviceusage::write_service(&project, service, *state))
        .collect();
    Ok(Reply::json(listing::reply("services", shown, next)))
}
