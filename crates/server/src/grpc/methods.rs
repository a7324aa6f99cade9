//! The methods that are served over gRPC, and the call of the REST API that each of them is.

use crate::control::routes::Verb;

/// One service and its methods.
#[derive(Debug)]
struct Service {
    name: &'static str,
    methods: &'static [Method],
}

/// One method, in the words of its `google.api.http` annotation.
#[derive(Debug)]
pub(super) struct Method {
    pub(super) name: &'static str,
    /// The package of its messages.
    package: &'static str,
    /// Most methods have one. `GetIamPolicy` is a GET or a POST, as the API of its resource has it.
    pub(super) verbs: &'static [Verb],
    /// `/v1/{parent=projects/*}/notes`: the field that is in the path, and the form it must have.
    pub(super) template: &'static str,
    /// The field that is the body, `*` for all that is left, or nothing.
    pub(super) body: &'static str,
    /// With its package where that is not the one of the messages.
    response: &'static str,
}

impl Method {
    /// The full name of its request's message.
    pub(super) fn request(&self) -> String {
        format!("{}.{}Request", self.package, self.name)
    }

    /// The full name of its reply's message.
    pub(super) fn response(&self) -> String {
        if self.response.contains('.') {
            return self.response.to_owned();
        }
        format!("{}.{}", self.package, self.response)
    }
}

/// The row of a path `/SERVICE/METHOD`.
pub(super) fn find(path: &str) -> Option<&'static Method> {
    let (service, name) = path.strip_prefix('/')?.split_once('/')?;
    let service = SERVICES.iter().find(|row| row.name == service)?;
    service.methods.iter().find(|row| row.name == name)
}

const EMPTY: &str = "google.protobuf.Empty";
const GET: &[Verb] = &[Verb::Get];
const POST: &[Verb] = &[Verb::Post];
const PUT: &[Verb] = &[Verb::Put];
const PATCH: &[Verb] = &[Verb::Patch];
const DELETE: &[Verb] = &[Verb::Delete];
const GET_OR_POST: &[Verb] = &[Verb::Get, Verb::Post];

/// A service and its rows: name, verbs, template, body, reply.
macro_rules! service {
    ($service:literal, $package:literal, $( ($name:literal, $verbs:expr, $template:expr, $body:literal, $response:expr), )+) => {
        Service {
            name: $service,
            methods: &[ $( Method {
                name: $name, package: $package, verbs: $verbs, template: $template, body: $body, response: $response,
            }, )+ ],
        }
    };
}

macro_rules! ring {
    ($before:literal, $after:literal) => {
        concat!("/v1/{", $before, "=projects/*/locations/*/keyRings/*}", $after)
    };
}

macro_rules! key {
    ($before:literal, $after:literal) => {
        concat!(
            "/v1/{",
            $before,
            "=projects/*/locations/*/keyRings/*/cryptoKeys/*}",
            $after
        )
    };
}

macro_rules! version {
    ($before:literal, $after:literal) => {
        concat!(
            "/v1/{",
            $before,
            "=projects/*/locations/*/keyRings/*/cryptoKeys/*/cryptoKeyVersions/*}",
            $after
        )
    };
}

#[rustfmt::skip] // A table: one method a line.
static SERVICES: [Service; 14] = [
    service!("google.cloud.binaryauthorization.v1.BinauthzManagementServiceV1", "google.cloud.binaryauthorization.v1",
        ("GetPolicy", GET, "/v1/{name=projects/*/policy}", "", "Policy"),
        ("UpdatePolicy", PUT, "/v1/{policy.name=projects/*/policy}", "policy", "Policy"),
        ("CreateAttestor", POST, "/v1/{parent=projects/*}/attestors", "attestor", "Attestor"),
        ("GetAttestor", GET, "/v1/{name=projects/*/attestors/*}", "", "Attestor"),
        ("UpdateAttestor", PUT, "/v1/{attestor.name=projects/*/attestors/*}", "attestor", "Attestor"),
        ("ListAttestors", GET, "/v1/{parent=projects/*}/attestors", "", "ListAttestorsResponse"),
        ("DeleteAttestor", DELETE, "/v1/{name=projects/*/attestors/*}", "", EMPTY),
    ),
    service!("google.cloud.binaryauthorization.v1.SystemPolicyV1", "google.cloud.binaryauthorization.v1",
        ("GetSystemPolicy", GET, "/v1/{name=locations/*/policy}", "", "Policy"),
    ),
    service!("google.cloud.binaryauthorization.v1.ValidationHelperV1", "google.cloud.binaryauthorization.v1",
        ("ValidateAttestationOccurrence", POST, "/v1/{attestor=projects/*/attestors/*}:validateAttestationOccurrence", "*", "ValidateAttestationOccurrenceResponse"),
    ),
    service!("grafeas.v1.Grafeas", "grafeas.v1",
        ("GetOccurrence", GET, "/v1/{name=projects/*/occurrences/*}", "", "Occurrence"),
        ("ListOccurrences", GET, "/v1/{parent=projects/*}/occurrences", "", "ListOccurrencesResponse"),
        ("DeleteOccurrence", DELETE, "/v1/{name=projects/*/occurrences/*}", "", EMPTY),
        ("CreateOccurrence", POST, "/v1/{parent=projects/*}/occurrences", "occurrence", "Occurrence"),
        ("BatchCreateOccurrences", POST, "/v1/{parent=projects/*}/occurrences:batchCreate", "*", "BatchCreateOccurrencesResponse"),
        ("UpdateOccurrence", PATCH, "/v1/{name=projects/*/occurrences/*}", "occurrence", "Occurrence"),
        ("GetOccurrenceNote", GET, "/v1/{name=projects/*/occurrences/*}/notes", "", "Note"),
        ("GetNote", GET, "/v1/{name=projects/*/notes/*}", "", "Note"),
        ("ListNotes", GET, "/v1/{parent=projects/*}/notes", "", "ListNotesResponse"),
        ("DeleteNote", DELETE, "/v1/{name=projects/*/notes/*}", "", EMPTY),
        ("CreateNote", POST, "/v1/{parent=projects/*}/notes", "note", "Note"),
        ("BatchCreateNotes", POST, "/v1/{parent=projects/*}/notes:batchCreate", "*", "BatchCreateNotesResponse"),
        ("UpdateNote", PATCH, "/v1/{name=projects/*/notes/*}", "note", "Note"),
        ("ListNoteOccurrences", GET, "/v1/{name=projects/*/notes/*}/occurrences", "", "ListNoteOccurrencesResponse"),
    ),
    service!("google.devtools.containeranalysis.v1.ContainerAnalysis", "google.iam.v1",
        ("SetIamPolicy", POST, "/v1/{resource=**}:setIamPolicy", "*", "Policy"),
        ("GetIamPolicy", GET_OR_POST, "/v1/{resource=**}:getIamPolicy", "*", "Policy"),
        ("TestIamPermissions", POST, "/v1/{resource=**}:testIamPermissions", "*", "TestIamPermissionsResponse"),
    ),
    service!("google.cloud.kms.v1.KeyManagementService", "google.cloud.kms.v1",
        ("ListKeyRings", GET, "/v1/{parent=projects/*/locations/*}/keyRings", "", "ListKeyRingsResponse"),
        ("GetKeyRing", GET, ring!("name", ""), "", "KeyRing"),
        ("CreateKeyRing", POST, "/v1/{parent=projects/*/locations/*}/keyRings", "keyRing", "KeyRing"),
        ("ListCryptoKeys", GET, ring!("parent", "/cryptoKeys"), "", "ListCryptoKeysResponse"),
        ("GetCryptoKey", GET, key!("name", ""), "", "CryptoKey"),
        ("CreateCryptoKey", POST, ring!("parent", "/cryptoKeys"), "cryptoKey", "CryptoKey"),
        ("UpdateCryptoKey", PATCH, key!("cryptoKey.name", ""), "cryptoKey", "CryptoKey"),
        ("ListCryptoKeyVersions", GET, key!("parent", "/cryptoKeyVersions"), "", "ListCryptoKeyVersionsResponse"),
        ("GetCryptoKeyVersion", GET, version!("name", ""), "", "CryptoKeyVersion"),
        ("CreateCryptoKeyVersion", POST, key!("parent", "/cryptoKeyVersions"), "cryptoKeyVersion", "CryptoKeyVersion"),
        ("UpdateCryptoKeyVersion", PATCH, version!("cryptoKeyVersion.name", ""), "cryptoKeyVersion", "CryptoKeyVersion"),
        ("DestroyCryptoKeyVersion", POST, version!("name", ":destroy"), "*", "CryptoKeyVersion"),
        ("RestoreCryptoKeyVersion", POST, version!("name", ":restore"), "*", "CryptoKeyVersion"),
        ("GetPublicKey", GET, version!("name", "/publicKey"), "", "PublicKey"),
        ("AsymmetricSign", POST, version!("name", ":asymmetricSign"), "*", "AsymmetricSignResponse"),
    ),
    service!("google.logging.v2.LoggingServiceV2", "google.logging.v2",
        ("ListLogEntries", POST, "/v2/entries:list", "*", "ListLogEntriesResponse"),
        ("WriteLogEntries", POST, "/v2/entries:write", "*", "WriteLogEntriesResponse"),
        ("DeleteLog", DELETE, "/v2/{logName=projects/*/logs/*}", "", EMPTY),
        ("ListLogs", GET, "/v2/{parent=projects/*}/logs", "", "ListLogsResponse"),
    ),
    service!("google.logging.v2.MetricsServiceV2", "google.logging.v2",
        ("ListLogMetrics", GET, "/v2/{parent=projects/*}/metrics", "", "ListLogMetricsResponse"),
        ("GetLogMetric", GET, "/v2/{metricName=projects/*/metrics/*}", "", "LogMetric"),
        ("CreateLogMetric", POST, "/v2/{parent=projects/*}/metrics", "metric", "LogMetric"),
        ("UpdateLogMetric", PUT, "/v2/{metricName=projects/*/metrics/*}", "metric", "LogMetric"),
        ("DeleteLogMetric", DELETE, "/v2/{metricName=projects/*/metrics/*}", "", EMPTY),
    ),
    service!("google.monitoring.v3.AlertPolicyService", "google.monitoring.v3",
        ("ListAlertPolicies", GET, "/v3/{name=projects/*}/alertPolicies", "", "ListAlertPoliciesResponse"),
        ("GetAlertPolicy", GET, "/v3/{name=projects/*/alertPolicies/*}", "", "AlertPolicy"),
        ("CreateAlertPolicy", POST, "/v3/{name=projects/*}/alertPolicies", "alertPolicy", "AlertPolicy"),
        ("UpdateAlertPolicy", PATCH, "/v3/{alertPolicy.name=projects/*/alertPolicies/*}", "alertPolicy", "AlertPolicy"),
        ("DeleteAlertPolicy", DELETE, "/v3/{name=projects/*/alertPolicies/*}", "", EMPTY),
    ),
    service!("google.monitoring.v3.NotificationChannelService", "google.monitoring.v3",
        ("ListNotificationChannelDescriptors", GET, "/v3/{name=projects/*}/notificationChannelDescriptors", "", "ListNotificationChannelDescriptorsResponse"),
        ("GetNotificationChannelDescriptor", GET, "/v3/{name=projects/*/notificationChannelDescriptors/*}", "", "NotificationChannelDescriptor"),
        ("ListNotificationChannels", GET, "/v3/{name=projects/*}/notificationChannels", "", "ListNotificationChannelsResponse"),
        ("GetNotificationChannel", GET, "/v3/{name=projects/*/notificationChannels/*}", "", "NotificationChannel"),
        ("CreateNotificationChannel", POST, "/v3/{name=projects/*}/notificationChannels", "notificationChannel", "NotificationChannel"),
        ("UpdateNotificationChannel", PATCH, "/v3/{notificationChannel.name=projects/*/notificationChannels/*}", "notificationChannel", "NotificationChannel"),
        ("DeleteNotificationChannel", DELETE, "/v3/{name=projects/*/notificationChannels/*}", "", EMPTY),
        ("SendNotificationChannelVerificationCode", POST, "/v3/{name=projects/*/notificationChannels/*}:sendVerificationCode", "*", EMPTY),
    ),
    service!("google.monitoring.v3.MetricService", "google.monitoring.v3",
        ("ListTimeSeries", GET, "/v3/{name=projects/*}/timeSeries", "", "ListTimeSeriesResponse"),
        ("ListMetricDescriptors", GET, "/v3/{name=projects/*}/metricDescriptors", "", "ListMetricDescriptorsResponse"),
        ("GetMetricDescriptor", GET, "/v3/{name=projects/*/metricDescriptors/**}", "", "google.api.MetricDescriptor"),
        ("ListMonitoredResourceDescriptors", GET, "/v3/{name=projects/*}/monitoredResourceDescriptors", "", "ListMonitoredResourceDescriptorsResponse"),
        ("GetMonitoredResourceDescriptor", GET, "/v3/{name=projects/*/monitoredResourceDescriptors/*}", "", "google.api.MonitoredResourceDescriptor"),
    ),
    service!("google.monitoring.v3.SnoozeService", "google.monitoring.v3",
        ("ListSnoozes", GET, "/v3/{parent=projects/*}/snoozes", "", "ListSnoozesResponse"),
    ),
    service!("google.iam.v1.IAMPolicy", "google.iam.v1",
        ("SetIamPolicy", POST, "/v1/{resource=**}:setIamPolicy", "*", "Policy"),
        ("GetIamPolicy", GET_OR_POST, "/v1/{resource=**}:getIamPolicy", "*", "Policy"),
        ("TestIamPermissions", POST, "/v1/{resource=**}:testIamPermissions", "*", "TestIamPermissionsResponse"),
    ),
    service!("google.cloud.location.Locations", "google.cloud.location",
        ("ListLocations", GET, "/v1/{name=projects/*}/locations", "", "ListLocationsResponse"),
        ("GetLocation", GET, "/v1/{name=projects/*/locations/*}", "", "Location"),
    ),
];

#[cfg(test)]
mod tests {
    use binauthz_wire::proto::message_type;

    use super::super::transcode;
    use super::*;
    use crate::control::routes;

    #[test]
    fn every_method_is_a_call_of_the_rest_api_with_known_messages() {
        let mut methods = 0;
        for service in &SERVICES {
            for method in service.methods {
                methods += 1;
                let path = format!("/{}/{}", service.name, method.name);
                assert!(
                    std::ptr::eq(find(&path).unwrap(), method),
                    "{path} is there twice"
                );
                for message in [method.request(), method.response()] {
                    assert!(message_type(&message).is_some(), "{path}: no message `{message}`");
                }
                let path = match transcode::variable(method) {
                    Some(field) => {
                        let name = match field.form {
                            "**" => "projects/p/attestors/a".to_owned(),
                            form => form.replace('*', "name"),
                        };
                        format!("{}{name}{}", field.before, field.after)
                    }
                    None => method.template.to_owned(),
                };
                let rows: Vec<&str> = method
                    .verbs
                    .iter()
                    .filter_map(|verb| routes::name_at(*verb, &path))
                    .collect();
                assert_eq!(rows, [method.name], "{path}");
            }
        }
        assert!(methods > 40, "only {methods} methods");
    }

    #[test]
    fn other_paths_are_no_methods() {
        for path in [
            "",
            "/",
            "grafeas.v1.Grafeas/GetNote",
            "/grafeas.v1.Grafeas",
            "/grafeas.v1.Grafeas/",
            "/grafeas.v1.Grafeas/getNote",
            "/grafeas.v1.Grafeas/GetNote/",
            "/grafeas.v1.Grafeas/GetPolicy",
            "/Grafeas/GetNote",
        ] {
            assert!(find(path).is_none(), "{path}");
        }
        assert!(find("/grafeas.v1.Grafeas/GetNote").is_some());
    }
}
