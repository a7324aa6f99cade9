//! `container.googleapis.com`: clusters as far as Binary Authorization needs them.
//!
//! A cluster is registered here, not made: what says how it is built (node pools, networks, add-ons) is kept and shown
//! as it came, and means nothing. What it enforces, where its API server is and which trust domain its workloads'
//! identities belong to is read strictly.

mod operation;
mod view;

pub use operation::{Operation, OperationKind, read_operation, write_operation, write_stored_operation};
pub use view::{ClusterView, write_cluster, write_server_config};

use std::str::FromStr;

use binauthz_core::name::{ClusterId, ProjectId};
use binauthz_core::policy::Evaluation;
use serde_json::{Map, json};

use crate::json::{EnumRow, InvalidField, Object, Value, bytes_out, enum_name};

/// The longest text of what is kept unread. gcloud's fullest command line makes some 6 KiB.
const MAX_KEPT: usize = 64 << 10;
/// Policy bindings of one cluster.
const MAX_BINDINGS: usize = 20;
/// Hosts, versions and descriptions.
const MAX_TEXT: usize = 1024;

/// What clients echo and only a server can know.
const OUTPUT_ONLY: [&str; 19] = [
    "conditions",
    "createTime",
    "currentMasterVersion",
    "currentNodeCount",
    "currentNodeVersion",
    "etag",
    "expireTime",
    "id",
    "instanceGroupUrls",
    "labelFingerprint",
    "location",
    "nodeIpv4CidrSize",
    "satisfiesPzi",
    "satisfiesPzs",
    "selfLink",
    "servicesIpv4Cidr",
    "status",
    "statusMessage",
    "zone",
];

/// Members of `Cluster` in v1, v1beta1 and v1alpha1 that are kept as they came. A list and not "everything else",
/// because a misspelt `binaryAuthorization` must not be taken for one of them.
const KEPT: [&str; 76] = [
    "addonsConfig",
    "alphaClusterFeatureGates",
    "anonymousAuthenticationConfig",
    "authenticatorGroupsConfig",
    "autogke",
    "autopilot",
    "autoscaling",
    "clusterIpv4Cidr",
    "clusterTelemetry",
    "compliancePostureConfig",
    "concurrentOpsConfig",
    "confidentialNodes",
    "controlPlaneEndpointsConfig",
    "costManagementConfig",
    "databaseEncryption",
    "databaseEncryptionKeyId",
    "defaultMaxPodsConstraint",
    "description",
    "enableGvnic",
    "enableK8sBetaApis",
    "enableKubernetesAlpha",
    "enableTpu",
    "enterpriseConfig",
    "fleet",
    "gkeAutoUpgradeConfig",
    "gkeOidcConfig",
    "identityServiceConfig",
    "initialNodeCount",
    "ipAllocationPolicy",
    "kubernetesObjectsExportConfig",
    "legacyAbac",
    "locations",
    "loggingConfig",
    "loggingService",
    "maintenancePolicy",
    "managedConfig",
    "master",
    "masterAuthorizedNetworksConfig",
    "masterIpv4CidrBlock",
    "meshCertificates",
    "monitoringConfig",
    "monitoringService",
    "network",
    "networkConfig",
    "networkPolicy",
    "nodeConfig",
    "nodePoolAutoConfig",
    "nodePoolDefaults",
    "nodePools",
    "nodeSchedulingStrategy",
    "notificationConfig",
    "parentProductConfig",
    "podAutoscaling",
    "podSecurityPolicyConfig",
    "privateCluster",
    "privateClusterConfig",
    "protectConfig",
    "rbacBindingConfig",
    "releaseChannel",
    "resourceLabels",
    "resourceUsageExportConfig",
    "runtimeVulnerabilityInsightConfig",
    "secretManagerConfig",
    "securityPostureConfig",
    "securityProfile",
    "shieldedNodes",
    "subnetwork",
    "tags",
    "tpuConfig",
    "tpuIpv4CidrBlock",
    "userManagedKeysConfig",
    "verticalPodAutoscaling",
    "workloadAltsConfig",
    "workloadCertificates",
    "workloadConfig",
    "workloadMonitoringEnabledEap",
];

/// A cluster's `binaryAuthorization.evaluationMode`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EvaluationMode {
    /// Nothing is enforced.
    #[default]
    Disabled,
    /// The project's policy is enforced.
    ProjectSingleton,
    /// Platform policies are monitored; nothing is enforced.
    PolicyBindings,
    /// Both.
    PolicyBindingsAndProjectSingleton,
}

/// The numbers are those of the proto, which gcloud's own message classes do not have. Unspecified leaves it to the
/// deprecated flag.
const MODES: &[EnumRow<Option<EvaluationMode>>] = &[
    ("DISABLED", 1, Some(EvaluationMode::Disabled)),
    (
        "PROJECT_SINGLETON_POLICY_ENFORCE",
        2,
        Some(EvaluationMode::ProjectSingleton),
    ),
    ("POLICY_BINDINGS", 5, Some(EvaluationMode::PolicyBindings)),
    (
        "POLICY_BINDINGS_AND_PROJECT_SINGLETON_POLICY_ENFORCE",
        6,
        Some(EvaluationMode::PolicyBindingsAndProjectSingleton),
    ),
    ("EVALUATION_MODE_UNSPECIFIED", 0, None),
];

impl EvaluationMode {
    /// Whether the project's policy is enforced.
    pub fn evaluation(self) -> Evaluation {
        match self {
            Self::Disabled | Self::PolicyBindings => Evaluation::Disabled,
            Self::ProjectSingleton | Self::PolicyBindingsAndProjectSingleton => Evaluation::Enforced,
        }
    }

    /// Google's name of the mode.
    pub fn as_str(self) -> &'static str {
        enum_name(MODES, Some(self))
    }

    fn takes_bindings(self) -> bool {
        matches!(
            self,
            Self::PolicyBindings | Self::PolicyBindingsAndProjectSingleton
        )
    }
}

/// What a bound platform policy does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BindingMode {
    /// It is monitored.
    Audit,
    /// It is monitored, and admission warns.
    AuditAndDryRun,
    /// It is monitored and enforced.
    AuditAndEnforce,
}

impl BindingMode {
    const ALL: [Self; 3] = [Self::Audit, Self::AuditAndDryRun, Self::AuditAndEnforce];

    fn as_str(self) -> &'static str {
        match self {
            Self::Audit => "AUDIT",
            Self::AuditAndDryRun => "AUDIT_AND_DRYRUN",
            Self::AuditAndEnforce => "AUDIT_AND_ENFORCE",
        }
    }
}

/// By name only: the numbers are nowhere published, and a wrong guess would turn a dry run into enforcement.
impl FromStr for BindingMode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|mode| mode.as_str() == text)
            .ok_or("expected `AUDIT`, `AUDIT_AND_DRYRUN` or `AUDIT_AND_ENFORCE`")
    }
}

/// A platform policy that is bound to a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyBinding {
    /// `projects/PROJECT/platforms/gke/policies/POLICY`.
    pub name: String,
    /// What it does; absent means the same as audit.
    pub mode: Option<BindingMode>,
}

/// A cluster's `binaryAuthorization`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BinaryAuthorization {
    /// What is enforced.
    pub mode: EvaluationMode,
    /// The bound platform policies; none unless the mode has bindings.
    pub bindings: Vec<PolicyBinding>,
}

impl BinaryAuthorization {
    /// A bound platform policy that is to refuse Pods, if there is one.
    pub fn enforced_binding(&self) -> Option<&PolicyBinding> {
        let mut bindings = self.bindings.iter();
        bindings.find(|binding| binding.mode == Some(BindingMode::AuditAndEnforce))
    }
}

/// A registered cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cluster {
    /// What it enforces.
    pub binary_authorization: BinaryAuthorization,
    /// `workloadIdentityConfig.workloadPool`: the trust domain of its workloads' identities.
    pub workload_pool: Option<String>,
    /// The address of its API server.
    pub endpoint: Option<String>,
    /// The PEM certificate of its API server's authority.
    pub certificate_authority: Option<Vec<u8>>,
    /// Its Kubernetes version, if whoever registered it said so.
    pub version: Option<String>,
    /// How it is built, unread.
    pub kept: Map<String, serde_json::Value>,
}

/// Reads the body of a create call.
pub fn read_create_request(value: Value) -> Result<(ClusterId, Cluster), InvalidField> {
    let mut object = Object::new(value, "")?;
    for field in ["parent", "projectId", "zone"] {
        object.ignore(field);
    }
    let mut cluster = object.take_object("cluster")?;
    object.finish()?;
    let id = cluster.take_parsed("name")?;
    Ok((id, read_fields(cluster)?))
}

/// What an update call asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterUpdate {
    /// What takes the place of the present `binaryAuthorization`.
    pub binary_authorization: BinaryAuthorization,
    /// The etag the cluster was read with; absent means "whatever is there".
    pub etag: Option<String>,
}

/// Reads the body of an update call.
pub fn read_update_request(value: Value) -> Result<ClusterUpdate, InvalidField> {
    const ONLY: &str = "is not changed here: this server keeps what a cluster enforces (`desiredBinaryAuthorization`) and nothing else";
    let mut object = Object::new(value, "")?;
    for field in ["name", "projectId", "zone", "clusterId"] {
        object.ignore(field);
    }
    let mut update = object.take_object("update")?;
    object.finish()?;
    let desired = update.take_optional_object("desiredBinaryAuthorization")?;
    let etag = update.take_optional_string("etag")?;
    update
        .finish()
        .map_err(|other| InvalidField::refused(other.path, ONLY))?;
    let binary_authorization = read_binary_authorization(
        desired.ok_or_else(|| InvalidField::missing("update.desiredBinaryAuthorization"))?,
    )?;
    Ok(ClusterUpdate {
        binary_authorization,
        etag,
    })
}

/// Reads a cluster as [`write_stored_cluster`] wrote it.
pub fn read_stored_cluster(value: Value) -> Result<Cluster, InvalidField> {
    read_fields(Object::new(value, "")?)
}

fn read_fields(mut object: Object) -> Result<Cluster, InvalidField> {
    for field in OUTPUT_ONLY {
        object.ignore(field);
    }
    let binary_authorization = match object.take_optional_object("binaryAuthorization")? {
        Some(object) => read_binary_authorization(object)?,
        None => BinaryAuthorization::default(),
    };
    let workload_pool = read_workload_pool(&mut object)?;
    let endpoint = read_text(&mut object, "endpoint")?;
    let certificate_authority = read_certificate_authority(&mut object)?;
    let version = read_text(&mut object, "initialClusterVersion")?;
    let mut kept = Map::new();
    for field in KEPT {
        if let Some(value) = object.take_optional_value(field)? {
            kept.insert(field.to_owned(), value.into());
        }
    }
    let path = object.path_of("");
    object.finish()?;
    if serde_json::to_string(&kept).map_or(usize::MAX, |text| text.len()) > MAX_KEPT {
        let reason = format_args!("its description is longer than {MAX_KEPT} bytes");
        return Err(InvalidField::refused(path.trim_end_matches('.'), reason));
    }
    Ok(Cluster {
        binary_authorization,
        workload_pool,
        endpoint,
        certificate_authority,
        version,
        kept,
    })
}

fn read_binary_authorization(mut object: Object) -> Result<BinaryAuthorization, InvalidField> {
    let enabled = object.take_optional_bool("enabled")?.unwrap_or(false);
    let given = object.take_optional_enum("evaluationMode", MODES)?.flatten();
    let mode = given.unwrap_or(if enabled {
        EvaluationMode::ProjectSingleton
    } else {
        EvaluationMode::Disabled
    });
    let bindings = object.take_objects("policyBindings")?;
    if bindings.len() > MAX_BINDINGS {
        return Err(object.refused(
            "policyBindings",
            format_args!("has more than {MAX_BINDINGS} entries"),
        ));
    }
    if !bindings.is_empty() && !mode.takes_bindings() {
        let reason = format_args!("means nothing with the evaluation mode `{}`", mode.as_str());
        return Err(object.refused("policyBindings", reason));
    }
    object.finish()?;
    let bindings = bindings.into_iter().map(read_binding).collect::<Result<_, _>>()?;
    Ok(BinaryAuthorization { mode, bindings })
}

fn read_binding(mut object: Object) -> Result<PolicyBinding, InvalidField> {
    let name = object.take_string("name")?;
    if !is_platform_policy(&name) {
        return Err(object.refused(
            "name",
            "expected `projects/PROJECT/platforms/gke/policies/POLICY`",
        ));
    }
    let mode = object.take_optional_parsed("enforcementMode")?;
    object.finish()?;
    Ok(PolicyBinding { name, mode })
}

fn is_platform_policy(name: &str) -> bool {
    let segments: Vec<&str> = name.split('/').collect();
    let ["projects", project, "platforms", "gke", "policies", policy] = segments.as_slice() else {
        return false;
    };
    project.parse::<ProjectId>().is_ok()
        && (1..=128).contains(&policy.len())
        && policy
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

fn read_workload_pool(object: &mut Object) -> Result<Option<String>, InvalidField> {
    let Some(mut config) = object.take_optional_object("workloadIdentityConfig")? else {
        return Ok(None);
    };
    config.ignore("identityNamespace");
    config.ignore("identityProvider");
    config.ignore("issuerUri");
    let pool = read_text(&mut config, "workloadPool")?;
    // It becomes the host of SPIFFE identities.
    let host = |pool: &str| {
        pool.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.')
        })
    };
    if pool
        .as_deref()
        .is_some_and(|pool| pool.len() > 255 || !host(pool))
    {
        let reason = "expected a trust domain of lower-case letters, digits, `-`, `_` and `.`, such as `PROJECT.svc.id.goog`";
        return Err(config.refused("workloadPool", reason));
    }
    config.finish()?;
    Ok(pool)
}

/// Of `masterAuth` only the authority's certificate is kept, passwords and client keys never.
fn read_certificate_authority(object: &mut Object) -> Result<Option<Vec<u8>>, InvalidField> {
    let Some(mut auth) = object.take_optional_object("masterAuth")? else {
        return Ok(None);
    };
    for field in [
        "username",
        "password",
        "clientCertificateConfig",
        "clientCertificate",
        "clientKey",
    ] {
        auth.ignore(field);
    }
    let certificate = auth.take_optional_bytes("clusterCaCertificate")?;
    auth.finish()?;
    if certificate.as_ref().is_some_and(|bytes| bytes.len() > MAX_KEPT) {
        let reason = format_args!("`clusterCaCertificate` is longer than {MAX_KEPT} bytes");
        return Err(object.refused("masterAuth", reason));
    }
    Ok(certificate)
}

fn read_text(object: &mut Object, field: &'static str) -> Result<Option<String>, InvalidField> {
    let text = object.take_optional_string(field)?;
    if text
        .as_ref()
        .is_some_and(|text| text.len() > MAX_TEXT || text.contains(char::is_control))
    {
        return Err(object.refused(
            field,
            format_args!("expected one line of at most {MAX_TEXT} bytes"),
        ));
    }
    Ok(text)
}

/// Writes what is to be kept of a cluster; [`read_stored_cluster`] reads it.
pub fn write_stored_cluster(cluster: &Cluster) -> Map<String, serde_json::Value> {
    let mut members = cluster.kept.clone();
    let mut put = |key: &str, value: serde_json::Value| members.insert(key.to_owned(), value);
    put(
        "binaryAuthorization",
        write_binary_authorization(&cluster.binary_authorization),
    );
    if let Some(pool) = &cluster.workload_pool {
        put("workloadIdentityConfig", json!({ "workloadPool": pool }));
    }
    if let Some(endpoint) = &cluster.endpoint {
        put("endpoint", json!(endpoint));
    }
    if let Some(certificate) = &cluster.certificate_authority {
        put(
            "masterAuth",
            json!({ "clusterCaCertificate": bytes_out(certificate) }),
        );
    }
    if let Some(version) = &cluster.version {
        put("initialClusterVersion", json!(version));
    }
    members
}

fn write_binary_authorization(binary_authorization: &BinaryAuthorization) -> serde_json::Value {
    let mut members = Map::new();
    members.insert(
        "evaluationMode".to_owned(),
        json!(binary_authorization.mode.as_str()),
    );
    if !binary_authorization.bindings.is_empty() {
        let bindings: Vec<_> = binary_authorization.bindings.iter().map(write_binding).collect();
        members.insert("policyBindings".to_owned(), bindings.into());
    }
    members.into()
}

fn write_binding(binding: &PolicyBinding) -> serde_json::Value {
    match binding.mode {
        Some(mode) => json!({ "name": binding.name, "enforcementMode": mode.as_str() }),
        None => json!({ "name": binding.name }),
    }
}

#[cfg(test)]
mod tests;
