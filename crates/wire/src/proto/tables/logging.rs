//! `google.logging.v2`, and the audit record that entries carry.

use super::Package;

pub(super) const SEVERITY: Package = Package {
    name: "google.logging.type",
    text: "
enum LogSeverity {
  0 DEFAULT; 100 DEBUG; 200 INFO; 300 NOTICE; 400 WARNING; 500 ERROR; 600 CRITICAL; 700 ALERT; 800 EMERGENCY;
}
HttpRequest {
  1 requestMethod string;
  2 requestUrl string;
  3 requestSize int64;
  4 status int32;
  5 responseSize int64;
  6 userAgent string;
  7 remoteIp string;
  13 serverIp string;
  8 referer string;
  14 latency Duration;
  11 cacheLookup bool;
  9 cacheHit bool;
  10 cacheValidatedWithOriginServer bool;
  12 cacheFillBytes int64;
  15 protocol string;
}
",
};

pub(super) const AUDIT: Package = Package {
    name: "google.cloud.audit",
    text: "
AuditLog {
  7 serviceName string;
  8 methodName string;
  11 resourceName string;
  12 numResponseItems int64;
  2 status google.rpc.Status;
  3 authenticationInfo AuthenticationInfo;
  9 authorizationInfo AuthorizationInfo*;
  4 requestMetadata RequestMetadata;
  16 request Struct;
  17 response Struct;
  18 metadata Struct;
}
AuthenticationInfo { 1 principalEmail string; 8 principalSubject string; }
AuthorizationInfo { 1 resource string; 2 permission string; 3 granted bool; }
RequestMetadata { 1 callerIp string; 2 callerSuppliedUserAgent string; }
",
};

pub(super) const LOGGING: Package = Package {
    name: "google.logging.v2",
    text: "
LogEntry {
  12 logName string;
  8 resource google.api.MonitoredResource;
  2 protoPayload Any|payload;
  3 textPayload string|payload;
  6 jsonPayload Struct|payload;
  9 timestamp Timestamp;
  24 receiveTimestamp Timestamp;
  10 severity google.logging.type.LogSeverity;
  4 insertId string;
  7 httpRequest google.logging.type.HttpRequest;
  11 labels map<string>;
  15 operation LogEntryOperation;
  22 trace string;
  27 spanId string;
  30 traceSampled bool;
  23 sourceLocation LogEntrySourceLocation;
  35 split LogSplit;
}
LogEntryOperation { 1 id string; 2 producer string; 3 first bool; 4 last bool; }
LogEntrySourceLocation { 1 file string; 2 line int64; 3 function string; }
LogSplit { 1 uid string; 2 index int32; 3 totalSplits int32; }
ListLogEntriesRequest { 8 resourceNames string*; 2 filter string; 3 orderBy string; 4 pageSize int32; 5 pageToken string; }
ListLogEntriesResponse { 1 entries LogEntry*; 2 nextPageToken string; }
WriteLogEntriesRequest {
  1 logName string;
  2 resource google.api.MonitoredResource;
  3 labels map<string>;
  4 entries LogEntry*;
  5 partialSuccess bool;
  6 dryRun bool;
}
WriteLogEntriesResponse { }
TailLogEntriesRequest { 1 resourceNames string*; 2 filter string; 3 bufferWindow Duration; }
TailLogEntriesResponse { 1 entries LogEntry*; 2 suppressionInfo TailLogEntriesResponse.SuppressionInfo*; }
TailLogEntriesResponse.SuppressionInfo {
  1 reason TailLogEntriesResponse.SuppressionInfo.Reason;
  2 suppressedCount int32;
}
enum TailLogEntriesResponse.SuppressionInfo.Reason { 0 REASON_UNSPECIFIED; 1 RATE_LIMIT; 2 NOT_CONSUMED; }
ListLogsRequest { 1 parent string; 8 resourceNames string*; 2 pageSize int32; 3 pageToken string; }
ListLogsResponse { 3 logNames string*; 2 nextPageToken string; }
DeleteLogRequest { 1 logName string; }
ListMonitoredResourceDescriptorsRequest { 1 pageSize int32; 2 pageToken string; }
LogMetric {
  1 name string;
  2 description string;
  3 filter string;
  13 bucketName string;
  12 disabled bool;
  5 metricDescriptor google.api.MetricDescriptor;
  6 valueExtractor string;
  7 labelExtractors map<string>;
  8 bucketOptions google.api.Distribution.BucketOptions;
  9 createTime Timestamp;
  10 updateTime Timestamp;
  4 version LogMetric.ApiVersion;
}
enum LogMetric.ApiVersion { 0 V2; 1 V1; }
ListLogMetricsRequest { 1 parent string; 2 pageToken string; 3 pageSize int32; }
ListLogMetricsResponse { 1 metrics LogMetric*; 2 nextPageToken string; }
GetLogMetricRequest { 1 metricName string; }
CreateLogMetricRequest { 1 parent string; 2 metric LogMetric; }
UpdateLogMetricRequest { 1 metricName string; 2 metric LogMetric; }
DeleteLogMetricRequest { 1 metricName string; }
",
};
