//! `google.monitoring.v3`: alerting policies, notification channels, time series.

use super::Package;

pub(super) const TABLE: Package = Package {
    name: "google.monitoring.v3",
    text: "
AlertPolicy {
  1 name string;
  2 displayName string;
  13 documentation AlertPolicy.Documentation;
  16 userLabels map<string>;
  12 conditions AlertPolicy.Condition*;
  6 combiner AlertPolicy.ConditionCombinerType;
  17 enabled BoolValue;
  18 validity google.rpc.Status;
  14 notificationChannels string*;
  10 creationRecord MutationRecord;
  11 mutationRecord MutationRecord;
  21 alertStrategy AlertPolicy.AlertStrategy;
  22 severity AlertPolicy.Severity;
}
AlertPolicy.Documentation { 1 content string; 2 mimeType string; 3 subject string; 4 links AlertPolicy.Documentation.Link*; }
AlertPolicy.Documentation.Link { 1 displayName string; 2 url string; }
enum AlertPolicy.ConditionCombinerType { 0 COMBINE_UNSPECIFIED; 1 AND; 2 OR; 3 AND_WITH_MATCHING_RESOURCE; }
enum AlertPolicy.Severity { 0 SEVERITY_UNSPECIFIED; 1 CRITICAL; 2 ERROR; 3 WARNING; }
AlertPolicy.Condition {
  12 name string;
  6 displayName string;
  1 conditionThreshold AlertPolicy.Condition.MetricThreshold|condition;
  2 conditionAbsent AlertPolicy.Condition.MetricAbsence|condition;
  20 conditionMatchedLog AlertPolicy.Condition.LogMatch|condition;
  19 conditionMonitoringQueryLanguage opaque|condition;
  21 conditionPrometheusQueryLanguage opaque|condition;
  22 conditionSql opaque|condition;
}
AlertPolicy.Condition.MetricThreshold {
  2 filter string;
  8 aggregations Aggregation*;
  9 denominatorFilter string;
  10 denominatorAggregations Aggregation*;
  12 forecastOptions AlertPolicy.Condition.MetricThreshold.ForecastOptions;
  4 comparison ComparisonType;
  5 thresholdValue double;
  6 duration Duration;
  7 trigger AlertPolicy.Condition.Trigger;
  11 evaluationMissingData AlertPolicy.Condition.EvaluationMissingData;
}
AlertPolicy.Condition.MetricThreshold.ForecastOptions { 1 forecastHorizon Duration; }
AlertPolicy.Condition.Trigger { 1 count int32|type; 2 percent double|type; }
enum AlertPolicy.Condition.EvaluationMissingData {
  0 EVALUATION_MISSING_DATA_UNSPECIFIED; 1 EVALUATION_MISSING_DATA_INACTIVE; 2 EVALUATION_MISSING_DATA_ACTIVE;
  3 EVALUATION_MISSING_DATA_NO_OP;
}
AlertPolicy.Condition.MetricAbsence {
  1 filter string;
  5 aggregations Aggregation*;
  2 duration Duration;
  3 trigger AlertPolicy.Condition.Trigger;
}
AlertPolicy.Condition.LogMatch { 1 filter string; 2 labelExtractors map<string>; }
enum ComparisonType {
  0 COMPARISON_UNSPECIFIED; 1 COMPARISON_GT; 2 COMPARISON_GE; 3 COMPARISON_LT; 4 COMPARISON_LE; 5 COMPARISON_EQ;
  6 COMPARISON_NE;
}
Aggregation {
  1 alignmentPeriod Duration;
  2 perSeriesAligner Aggregation.Aligner;
  4 crossSeriesReducer Aggregation.Reducer;
  5 groupByFields string*;
}
enum Aggregation.Aligner {
  0 ALIGN_NONE; 1 ALIGN_DELTA; 2 ALIGN_RATE; 3 ALIGN_INTERPOLATE; 4 ALIGN_NEXT_OLDER; 10 ALIGN_MIN; 11 ALIGN_MAX;
  12 ALIGN_MEAN; 13 ALIGN_COUNT; 14 ALIGN_SUM; 15 ALIGN_STDDEV; 16 ALIGN_COUNT_TRUE; 24 ALIGN_COUNT_FALSE;
  17 ALIGN_FRACTION_TRUE; 18 ALIGN_PERCENTILE_99; 19 ALIGN_PERCENTILE_95; 20 ALIGN_PERCENTILE_50;
  21 ALIGN_PERCENTILE_05; 23 ALIGN_PERCENT_CHANGE;
}
enum Aggregation.Reducer {
  0 REDUCE_NONE; 1 REDUCE_MEAN; 2 REDUCE_MIN; 3 REDUCE_MAX; 4 REDUCE_SUM; 5 REDUCE_STDDEV; 6 REDUCE_COUNT;
  7 REDUCE_COUNT_TRUE; 15 REDUCE_COUNT_FALSE; 8 REDUCE_FRACTION_TRUE; 9 REDUCE_PERCENTILE_99;
  10 REDUCE_PERCENTILE_95; 11 REDUCE_PERCENTILE_50; 12 REDUCE_PERCENTILE_05;
}
MutationRecord { 1 mutateTime Timestamp; 2 mutatedBy string; }
AlertPolicy.AlertStrategy {
  1 notificationRateLimit AlertPolicy.AlertStrategy.NotificationRateLimit;
  2 notificationPrompts AlertPolicy.AlertStrategy.NotificationPrompt*;
  3 autoClose Duration;
  4 notificationChannelStrategy AlertPolicy.AlertStrategy.NotificationChannelStrategy*;
}
AlertPolicy.AlertStrategy.NotificationRateLimit { 1 period Duration; }
enum AlertPolicy.AlertStrategy.NotificationPrompt { 0 NOTIFICATION_PROMPT_UNSPECIFIED; 1 OPENED; 3 CLOSED; }
AlertPolicy.AlertStrategy.NotificationChannelStrategy { 1 notificationChannelNames string*; 2 renotifyInterval Duration; }
ListAlertPoliciesRequest { 4 name string; 5 filter string; 6 orderBy string; 2 pageSize int32; 3 pageToken string; }
ListAlertPoliciesResponse { 3 alertPolicies AlertPolicy*; 2 nextPageToken string; 4 totalSize int32; }
GetAlertPolicyRequest { 3 name string; }
CreateAlertPolicyRequest { 3 name string; 2 alertPolicy AlertPolicy; }
UpdateAlertPolicyRequest { 2 updateMask FieldMask; 3 alertPolicy AlertPolicy; }
DeleteAlertPolicyRequest { 3 name string; }
NotificationChannel {
  1 type string;
  6 name string;
  3 displayName string;
  4 description string;
  5 labels map<string>;
  8 userLabels map<string>;
  9 verificationStatus NotificationChannel.VerificationStatus;
  11 enabled BoolValue;
  12 creationRecord MutationRecord;
  13 mutationRecords MutationRecord*;
}
enum NotificationChannel.VerificationStatus { 0 VERIFICATION_STATUS_UNSPECIFIED; 1 UNVERIFIED; 2 VERIFIED; }
NotificationChannelDescriptor {
  6 name string;
  1 type string;
  2 displayName string;
  3 description string;
  4 labels google.api.LabelDescriptor*;
  7 launchStage google.api.LaunchStage;
}
ListNotificationChannelDescriptorsRequest { 4 name string; 2 pageSize int32; 3 pageToken string; }
ListNotificationChannelDescriptorsResponse { 1 channelDescriptors NotificationChannelDescriptor*; 2 nextPageToken string; }
GetNotificationChannelDescriptorRequest { 3 name string; }
ListNotificationChannelsRequest { 5 name string; 6 filter string; 7 orderBy string; 3 pageSize int32; 4 pageToken string; }
ListNotificationChannelsResponse {
  3 notificationChannels NotificationChannel*; 2 nextPageToken string; 4 totalSize int32;
}
GetNotificationChannelRequest { 3 name string; }
CreateNotificationChannelRequest { 3 name string; 2 notificationChannel NotificationChannel; }
UpdateNotificationChannelRequest { 2 updateMask FieldMask; 3 notificationChannel NotificationChannel; }
DeleteNotificationChannelRequest { 3 name string; 5 force bool; }
TimeInterval { 2 endTime Timestamp; 1 startTime Timestamp; }
ListTimeSeriesRequest {
  10 name string;
  2 filter string;
  4 interval TimeInterval;
  5 aggregation Aggregation;
  11 secondaryAggregation Aggregation;
  6 orderBy string;
  7 view ListTimeSeriesRequest.TimeSeriesView;
  8 pageSize int32;
  9 pageToken string;
}
enum ListTimeSeriesRequest.TimeSeriesView { 0 FULL; 1 HEADERS; }
ListTimeSeriesResponse { 1 timeSeries TimeSeries*; 2 nextPageToken string; 3 executionErrors google.rpc.Status*; 5 unit string; }
TimeSeries {
  1 metric google.api.Metric;
  2 resource google.api.MonitoredResource;
  7 metadata google.api.MonitoredResourceMetadata;
  3 metricKind google.api.MetricDescriptor.MetricKind;
  4 valueType google.api.MetricDescriptor.ValueType;
  5 points Point*;
  8 unit string;
}
Point { 1 interval TimeInterval; 2 value TypedValue; }
TypedValue {
  1 boolValue bool|value;
  2 int64Value int64|value;
  3 doubleValue double|value;
  4 stringValue string|value;
  5 distributionValue google.api.Distribution|value;
}
CreateTimeSeriesRequest { 3 name string; 2 timeSeries TimeSeries*; }
ListMetricDescriptorsRequest { 5 name string; 2 filter string; 3 pageSize int32; 4 pageToken string; 6 activeOnly bool; }
ListMetricDescriptorsResponse { 1 metricDescriptors google.api.MetricDescriptor*; 2 nextPageToken string; }
GetMetricDescriptorRequest { 3 name string; }
ListMonitoredResourceDescriptorsRequest { 5 name string; 2 filter string; 3 pageSize int32; 4 pageToken string; }
ListMonitoredResourceDescriptorsResponse {
  1 resourceDescriptors google.api.MonitoredResourceDescriptor*; 2 nextPageToken string;
}
GetMonitoredResourceDescriptorRequest { 3 name string; }
SendNotificationChannelVerificationCodeRequest { 1 name string; }
Snooze { 1 name string; 3 criteria Snooze.Criteria; 4 interval TimeInterval; 5 displayName string; }
Snooze.Criteria { 1 policies string*; 2 filter string; }
ListSnoozesRequest { 1 parent string; 2 filter string; 4 pageSize int32; 5 pageToken string; }
ListSnoozesResponse { 1 snoozes Snooze*; 2 nextPageToken string; }
",
};
