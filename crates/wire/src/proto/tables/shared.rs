//! What several APIs share: errors, resource descriptions, IAM policies, locations.

use super::Package;

pub(super) const RPC: Package = Package {
    name: "google.rpc",
    text: "
Status { 1 code int32; 2 message string; 3 details Any*; }
BadRequest { 1 fieldViolations BadRequest.FieldViolation*; }
BadRequest.FieldViolation { 1 field string; 2 description string; }
PreconditionFailure { 1 violations PreconditionFailure.Violation*; }
PreconditionFailure.Violation { 1 type string; 2 subject string; 3 description string; }
ErrorInfo { 1 reason string; 2 domain string; 3 metadata map<string>; }
",
};

pub(super) const TYPE: Package = Package {
    name: "google.type",
    text: "
Expr { 1 expression string; 2 title string; 3 description string; 4 location string; }
",
};

pub(super) const IAM: Package = Package {
    name: "google.iam.v1",
    text: "
SetIamPolicyRequest { 1 resource string; 2 policy Policy; 3 updateMask FieldMask; }
GetIamPolicyRequest { 1 resource string; 2 options GetPolicyOptions; }
GetPolicyOptions { 1 requestedPolicyVersion int32; }
TestIamPermissionsRequest { 1 resource string; 2 permissions string*; }
TestIamPermissionsResponse { 1 permissions string*; }
Policy { 1 version int32; 4 bindings Binding*; 6 auditConfigs opaque*; 3 etag bytes; }
Binding { 1 role string; 2 members string*; 3 condition google.type.Expr; }
",
};

pub(super) const LOCATION: Package = Package {
    name: "google.cloud.location",
    text: "
ListLocationsRequest { 1 name string; 2 filter string; 3 pageSize int32; 4 pageToken string; }
ListLocationsResponse { 1 locations Location*; 2 nextPageToken string; }
GetLocationRequest { 1 name string; }
Location { 1 name string; 4 locationId string; 5 displayName string; 2 labels map<string>; 3 metadata Any; }
",
};

pub(super) const API: Package = Package {
    name: "google.api",
    text: "
MonitoredResource { 1 type string; 2 labels map<string>; }
MonitoredResourceDescriptor {
  5 name string; 1 type string; 2 displayName string; 3 description string; 4 labels LabelDescriptor*;
  7 launchStage LaunchStage;
}
MonitoredResourceMetadata { 1 systemLabels Struct; 2 userLabels map<string>; }
Metric { 3 type string; 2 labels map<string>; }
LabelDescriptor { 1 key string; 2 valueType LabelDescriptor.ValueType; 3 description string; }
enum LabelDescriptor.ValueType { 0 STRING; 1 BOOL; 2 INT64; }
MetricDescriptor {
  1 name string;
  8 type string;
  2 labels LabelDescriptor*;
  3 metricKind MetricDescriptor.MetricKind;
  4 valueType MetricDescriptor.ValueType;
  5 unit string;
  6 description string;
  7 displayName string;
  10 metadata MetricDescriptor.MetricDescriptorMetadata;
  12 launchStage LaunchStage;
  13 monitoredResourceTypes string*;
}
MetricDescriptor.MetricDescriptorMetadata { 1 launchStage LaunchStage; 2 samplePeriod Duration; 3 ingestDelay Duration; }
enum MetricDescriptor.MetricKind { 0 METRIC_KIND_UNSPECIFIED; 1 GAUGE; 2 DELTA; 3 CUMULATIVE; }
enum MetricDescriptor.ValueType {
  0 VALUE_TYPE_UNSPECIFIED; 1 BOOL; 2 INT64; 3 DOUBLE; 4 STRING; 5 DISTRIBUTION; 6 MONEY;
}
enum LaunchStage {
  0 LAUNCH_STAGE_UNSPECIFIED; 6 UNIMPLEMENTED; 7 PRELAUNCH; 1 EARLY_ACCESS; 2 ALPHA; 3 BETA; 4 GA; 5 DEPRECATED;
}
Distribution {
  1 count int64;
  2 mean double;
  3 sumOfSquaredDeviation double;
  4 range Distribution.Range;
  6 bucketOptions Distribution.BucketOptions;
  7 bucketCounts int64*;
  10 exemplars opaque*;
}
Distribution.Range { 1 min double; 2 max double; }
Distribution.BucketOptions {
  1 linearBuckets Distribution.BucketOptions.Linear|options;
  2 exponentialBuckets Distribution.BucketOptions.Exponential|options;
  3 explicitBuckets Distribution.BucketOptions.Explicit|options;
}
Distribution.BucketOptions.Linear { 1 numFiniteBuckets int32; 2 width double; 3 offset double; }
Distribution.BucketOptions.Exponential { 1 numFiniteBuckets int32; 2 growthFactor double; 3 scale double; }
Distribution.BucketOptions.Explicit { 1 bounds double*; }
",
};
