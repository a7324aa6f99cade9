"""The tutorial's monitoring of blocked deployments, through Google's client of Cloud Monitoring, which speaks gRPC only.

Environment: API (base URL), TOKEN, TRANSPORT (grpc, grpc-insecure). Argument: define, or read.
"""

import os
import sys
import time

import grpc
from google.api_core.exceptions import InvalidArgument, NotFound
from google.cloud import monitoring_v3
from google.cloud.logging_v2.services.metrics_service_v2 import MetricsServiceV2Client
from google.oauth2.credentials import Credentials

API, TOKEN, TRANSPORT = (os.environ[name] for name in ("API", "TOKEN", "TRANSPORT"))
HOST = API.split("://")[1]
PROJECT = "projects/demo"
METRIC = "logging.googleapis.com/user/binauthz-blocked-deployments"
FILTER = 'resource.type="k8s_cluster" protoPayload.response.status.message:"denied by attestor"'


class WithToken(grpc.UnaryUnaryClientInterceptor):
    """On a channel without TLS the libraries send no credential."""

    def intercept_unary_unary(self, continuation, details, request):
        metadata = [*(details.metadata or []), ("authorization", "Bearer " + TOKEN)]
        return continuation(details._replace(metadata=metadata), request)


def client(kind):
    if TRANSPORT == "grpc":
        return kind(transport=kind.get_transport_class()(host=HOST, credentials=Credentials(TOKEN)))
    channel = grpc.intercept_channel(grpc.insecure_channel(HOST), WithToken())
    return kind(transport=kind.get_transport_class("grpc")(channel=channel))


def define():
    metrics = client(MetricsServiceV2Client)
    metrics.create_log_metric(parent=PROJECT, metric={"name": "binauthz-blocked-deployments", "filter": FILTER})
    channels = client(monitoring_v3.NotificationChannelServiceClient)
    channel = channels.create_notification_channel(
        name=PROJECT,
        notification_channel={
            "type_": "slack",
            "display_name": "Operations",
            "labels": {"channel_name": "#operations", "auth_token": "secret"},
        },
    )
    assert [one.name for one in channels.list_notification_channels(name=PROJECT)] == [channel.name]
    policies = client(monitoring_v3.AlertPolicyServiceClient)
    policy = policies.create_alert_policy(
        name=PROJECT,
        alert_policy={
            "display_name": "Binary Auth Blocked Deployment",
            "combiner": "OR",
            "conditions": [
                {
                    "display_name": "Unsigned image deployment attempted",
                    "condition_threshold": {
                        "filter": f'metric.type="{METRIC}"',
                        "comparison": "COMPARISON_GT",
                        "duration": {"seconds": 0},
                    },
                }
            ],
            "notification_channels": [channel.name],
        },
    )
    assert policy.creation_record.mutated_by, policy
    # Two more are there for every project.
    listed = [one.display_name for one in policies.list_alert_policies(name=PROJECT) if '/binauthz-' not in one.name]
    assert listed == [policy.display_name]
    policies.delete_alert_policy(name=policy.name)
    try:
        policies.get_alert_policy(name=policy.name)
        raise AssertionError("should be gone")
    except NotFound:
        pass
    channels.delete_notification_channel(name=channel.name)
    assert list(channels.list_notification_channels(name=PROJECT)) == []
    assert list(client(monitoring_v3.SnoozeServiceClient).list_snoozes(parent=PROJECT)) == []
    print("defined")


def counted(metrics, aggregation=None):
    now = time.time()
    interval = monitoring_v3.TimeInterval(
        {"start_time": {"seconds": int(now) - 3600}, "end_time": {"seconds": int(now) + 60}}
    )
    request = {
        "name": PROJECT,
        "filter": f'metric.type="{METRIC}"',
        "interval": interval,
        "view": monitoring_v3.ListTimeSeriesRequest.TimeSeriesView.FULL,
        "aggregation": aggregation,
    }
    return list(metrics.list_time_series(request=request))


def read():
    metrics = client(monitoring_v3.MetricServiceClient)
    descriptor = metrics.get_metric_descriptor(name=f"{PROJECT}/metricDescriptors/{METRIC}")
    assert [one.type for one in metrics.list_metric_descriptors(name=PROJECT)] == [descriptor.type], descriptor
    kinds = [one.type for one in metrics.list_monitored_resource_descriptors(name=PROJECT)]
    assert "k8s_cluster" in kinds, kinds
    until = time.time() + 30
    total = 0
    while total < 3 and time.time() < until:
        series = counted(metrics)
        total = sum(point.value.int64_value for one in series for point in one.points)
        time.sleep(0.1)
    assert series[0].resource.labels["cluster_name"] == "my-cluster", series
    aggregation = monitoring_v3.Aggregation(
        {
            "alignment_period": {"seconds": 7200},
            "per_series_aligner": monitoring_v3.Aggregation.Aligner.ALIGN_SUM,
            "cross_series_reducer": monitoring_v3.Aggregation.Reducer.REDUCE_SUM,
            "group_by_fields": ["resource.labels.cluster_name"],
        }
    )
    reduced = counted(metrics, aggregation)
    assert [point.value.int64_value for one in reduced for point in one.points] == [total], reduced
    try:
        counted(metrics, monitoring_v3.Aggregation(alignment_period={"seconds": 1}, per_series_aligner="ALIGN_SUM"))
        raise AssertionError("should have been refused")
    except InvalidArgument as error:
        assert "aggregation.alignmentPeriod" in str(error), error
    print("counted", total)


{"define": define, "read": read}[sys.argv[1]]()
