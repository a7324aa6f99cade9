//! The route table: every address of the API port, in one list. A row cannot be written without a permission and a class;
//! `tests::every_row_is_complete` and the tests over HTTP walk the list.
//!
//! To add an endpoint: write the handler in the file of its resource, add its row to `routes()` of that file, and, for a
//! new file, add that `routes()` to [`table`].

use std::future::Future;
use std::pin::Pin;
use std::sync::LazyLock;

use http::Method;

use super::call::{Call, Reply};
use super::error::ApiError;
use super::template::Table;
use crate::app::App;

/// What a handler returns.
pub(crate) type Handled<'a> = Pin<Box<dyn Future<Output = Result<Reply, ApiError>> + Send + 'a>>;

/// A handler. In a row: `handler: |app, call| Box::pin(create(app, call))`.
pub(crate) type Handler = for<'a> fn(&'a App, Call) -> Handled<'a>;

/// One row of the route table.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    pub(crate) verb: Verb,
    /// `/{version}/projects/{project}/attestors/{attestor}:getIamPolicy`; see [`super::template`].
    pub(crate) template: &'static str,
    /// What `{version}` may be. Ignored by a template without it.
    pub(crate) versions: &'static [ApiVersion],
    pub(crate) api: Api,
    /// The method's name in its API, for the audit log and the metrics: `CreateAttestor`.
    pub(crate) name: &'static str,
    /// The permission a caller needs: `binaryauthorization.attestors.create`.
    pub(crate) permission: &'static str,
    pub(crate) class: Class,
    pub(crate) handler: Handler,
}

/// Where a call's permission is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guard {
    /// At what its path names.
    Resource,
    /// At nothing of a project: the roles of credentials decide.
    Installation,
    /// Where its body or what it finds says; the handler asks.
    Handler,
    /// Nowhere: any caller may, and is shown what is theirs to see.
    Anyone,
}

impl Route {
    /// Where the permission is asked about. What is not listed here is about what its path names.
    pub(crate) fn guard(&self) -> Guard {
        match (self.name, self.template) {
            ("TestIamPermissions", _)
            | ("ListProjects", _)
            | (
                _,
                "/{version}/locations/{location}/policy"
                | "/{version}/roles"
                | "/{version}/roles/{role}"
                | "/{version}/permissions:queryTestablePermissions",
            ) => Guard::Anyone,
            (
                _,
                "/{version}/entries:list" | "/{version}/entries:write" | "/{version}/operations/{operation}",
            ) => Guard::Handler,
            (_, template) if template.contains("/projects/{project}") => Guard::Resource,
            _ => Guard::Installation,
        }
    }
}

/// What a call does to the world, and so what it leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Changes nothing; counted in the metrics only.
    Read,
    /// Changes something, or uses a private key: leaves an audit row, also when it fails.
    Write,
    /// Adds records, which say all that a row would: needs what a change needs, and leaves no row.
    Ingest,
}

/// The HTTP methods the API has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Verb {
    pub(super) fn of(method: &Method) -> Option<Verb> {
        [Verb::Get, Verb::Post, Verb::Put, Verb::Patch, Verb::Delete]
            .into_iter()
            .find(|verb| verb.as_str() == method.as_str())
    }

    pub(crate) fn method(self) -> Method {
        match self {
            Verb::Get => Method::GET,
            Verb::Post => Method::POST,
            Verb::Put => Method::PUT,
            Verb::Patch => Method::PATCH,
            Verb::Delete => Method::DELETE,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Verb::Get => "GET",
            Verb::Post => "POST",
            Verb::Put => "PUT",
            Verb::Patch => "PATCH",
            Verb::Delete => "DELETE",
        }
    }
}

/// The version segment of Google's addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ApiVersion {
    V1,
    V1Beta1,
    V1Alpha1,
    V1Alpha2,
    V2,
    V3,
}

impl ApiVersion {
    /// The tracks of Binary Authorization: GA, beta, alpha.
    pub(crate) const BINARY_AUTHORIZATION: &'static [ApiVersion] =
        &[ApiVersion::V1, ApiVersion::V1Beta1, ApiVersion::V1Alpha2];
    /// The tracks of Kubernetes Engine: GA, beta, alpha.
    pub(crate) const CONTAINER: &'static [ApiVersion] =
        &[ApiVersion::V1, ApiVersion::V1Beta1, ApiVersion::V1Alpha1];
    /// What only the alpha of Binary Authorization has.
    pub(crate) const V1_ALPHA2_ONLY: &'static [ApiVersion] = &[ApiVersion::V1Alpha2];
    /// The APIs that have one version.
    pub(crate) const V1_ONLY: &'static [ApiVersion] = &[ApiVersion::V1];
    /// Monitoring has one version, too.
    pub(crate) const V3_ONLY: &'static [ApiVersion] = &[ApiVersion::V3];

    /// Cloud Logging.
    pub(crate) const V2_ONLY: &'static [ApiVersion] = &[ApiVersion::V2];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            ApiVersion::V1 => "v1",
            ApiVersion::V1Beta1 => "v1beta1",
            ApiVersion::V1Alpha1 => "v1alpha1",
            ApiVersion::V1Alpha2 => "v1alpha2",
            ApiVersion::V2 => "v2",
            ApiVersion::V3 => "v3",
        }
    }
}

/// The API a row belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    ArtifactRegistry,
    BinaryAuthorization,
    /// Our own addresses, under `/binauthz/v1/`.
    Binauthz,
    CloudKms,
    Container,
    ContainerAnalysis,
    Iam,
    Logging,
    Monitoring,
    ResourceManager,
    ServiceUsage,
}

impl Api {
    /// The name in audit rows and metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Api::ArtifactRegistry => "artifactregistry",
            Api::BinaryAuthorization => "binaryauthorization",
            Api::Binauthz => "binauthz",
            Api::CloudKms => "cloudkms",
            Api::Container => "container",
            Api::ContainerAnalysis => "containeranalysis",
            Api::Iam => "iam",
            Api::Logging => "logging",
            Api::Monitoring => "monitoring",
            Api::ResourceManager => "cloudresourcemanager",
            Api::ServiceUsage => "serviceusage",
        }
    }
}

/// The name of the method at this address, if there is one.
pub(crate) fn name_at(verb: Verb, path: &str) -> Option<&'static str> {
    table().find(Some(verb), path).ok().map(|(route, _)| route.name)
}

/// Every row.
pub(crate) fn all() -> impl Iterator<Item = &'static Route> {
    table().routes()
}

/// The row of an address and what its path captured.
#[cfg(test)]
pub(crate) fn captured_at(
    method: &Method,
    path: &str,
) -> Option<(&'static Route, Vec<(&'static str, String)>)> {
    let (route, captured) = table().find(Verb::of(method), path).ok()?;
    Some((route, captured.params))
}

/// The whole table.
pub(super) fn table() -> &'static Table {
    static TABLE: LazyLock<Table> = LazyLock::new(|| {
        Table::new(
            [
                // One line per file.
                super::alerts::routes(),
                super::analysis::routes(),
                super::attestors::routes(),
                super::audit_entries::routes(),
                super::clusters::routes(),
                super::continuous_validation::routes(),
                super::credentials::routes(),
                super::decisions::routes(),
                super::image_digests::routes(),
                super::images::routes(),
                super::iam::routes(),
                super::kms::routes(),
                super::log_metrics::routes(),
                super::logging::routes(),
                super::master_key::routes(),
                super::monitoring::routes(),
                super::notes::routes(),
                super::occurrences::routes(),
                super::openapi::routes(),
                super::operations::routes(),
                super::policy::routes(),
                super::projects::routes(),
                super::roles::routes(),
                super::services::routes(),
                super::tokens::routes(),
            ]
            .concat(),
        )
    });
    &TABLE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::template::Template;

    /// The table as it is written down, so that a change of it is seen by whoever reads the change. `BINAUTHZ_BLESS=1`
    /// writes it down anew.
    #[test]
    fn the_table_is_the_one_that_is_written_down() {
        let mut lines: Vec<String> = table()
            .routes()
            .map(|route| {
                let versions: Vec<&str> = route.versions.iter().map(|version| version.as_str()).collect();
                let class = match route.class {
                    Class::Read => "read",
                    Class::Write => "write",
                    Class::Ingest => "ingest",
                };
                let (verb, template) = (route.verb.as_str(), route.template);
                let (versions, permission) = (versions.join(","), route.permission);
                let guard = match route.guard() {
                    Guard::Resource => "resource",
                    Guard::Installation => "installation",
                    Guard::Handler => "handler",
                    Guard::Anyone => "anyone",
                };
                let (api, name) = (route.api.as_str(), route.name);
                format!("{verb} {template} {versions} {permission} {class} {api}.{name} {guard}\n")
            })
            .collect();
        lines.sort_by_key(|line| line.split(' ').nth(1).map(str::to_owned));
        let served = lines.concat();
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/control/routes.golden");
        if std::env::var_os("BINAUTHZ_BLESS").is_some() {
            std::fs::write(file, &served).unwrap();
        }
        let written = std::fs::read_to_string(file).unwrap();
        for (served, written) in served.lines().zip(written.lines()) {
            assert_eq!(served, written, "see `BINAUTHZ_BLESS` above");
        }
        assert_eq!(served, written);
    }

    #[test]
    fn every_row_is_complete() {
        let mut seen = std::collections::BTreeSet::new();
        for route in table().routes() {
            let at = format!("{} {}", route.verb.as_str(), route.template);
            assert!(seen.insert(at.clone()), "{at} is there twice");
            assert!(
                route.permission.split('.').count() >= 3,
                "{at}: `{}` is no permission",
                route.permission
            );
            assert!(!route.name.is_empty() && !route.versions.is_empty(), "{at}");
            // A read leaves no audit row, so it must not be able to change anything.
            let reads = [
                "Get", "List", "Query", "Test", "Validate", "Decide", "Export", "Follow", "Report",
            ];
            let is_read = reads.iter().any(|prefix| route.name.starts_with(prefix));
            assert_eq!(
                route.class == Class::Read,
                is_read,
                "{at}: {:?} {}",
                route.class,
                route.name
            );
            let template = Template::parse(route.template);
            let known = template
                .parameters()
                .all(|name| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
            assert!(known, "{at}");
        }
        assert!(seen.len() > 60, "only {} rows", seen.len());
    }
}
