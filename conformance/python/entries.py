"""The tutorial's program that looks for break-glass, through Google's client of Cloud Logging.

Environment: API (base URL), TOKEN, TRANSPORT (http, grpc, grpc-insecure).
"""

import os
import threading
from datetime import datetime, timedelta, timezone

import grpc
from google.api_core.client_options import ClientOptions
from google.api_core.exceptions import InvalidArgument, NotFound
from google.cloud import logging_v2
from google.cloud.logging_v2.services.logging_service_v2 import LoggingServiceV2Client
from google.cloud.logging_v2.services.metrics_service_v2 import MetricsServiceV2Client
from google.cloud.logging_v2.types import TailLogEntriesRequest
from google.oauth2.credentials import Credentials

API, TOKEN, TRANSPORT = (os.environ[name] for name in ("API", "TOKEN", "TRANSPORT"))
HOST = API.split("://")[1]
OPENED = """
resource.type="k8s_cluster"
protoPayload.request.metadata.annotations."alpha.image-policy.k8s.io/break-glass" != ""
"""


class WithToken(grpc.UnaryUnaryClientInterceptor, grpc.StreamStreamClientInterceptor):
    """On a channel without TLS the libraries send no credential."""

    def intercept_unary_unary(self, continuation, details, request):
        metadata = [*(details.metadata or []), ("authorization", "Bearer " + TOKEN)]
        return continuation(details._replace(metadata=metadata), request)

    intercept_stream_stream = intercept_unary_unary


def transport_of(kind):
    if TRANSPORT == "grpc":
        return kind.get_transport_class()(host=HOST, credentials=Credentials(TOKEN))
    channel = grpc.intercept_channel(grpc.insecure_channel(HOST), WithToken())
    return kind.get_transport_class("grpc")(channel=channel)


def over_http():
    client = logging_v2.Client(
        project="demo",
        credentials=Credentials(TOKEN),
        client_options=ClientOptions(api_endpoint=API),
        _use_grpc=False,
    )
    since = (datetime.now(timezone.utc) - timedelta(hours=24)).isoformat()
    found = client.list_entries(
        filter_=OPENED + f'timestamp>="{since}"', order_by=logging_v2.DESCENDING, page_size=100
    )
    entries = list(found)
    assert len(entries) == 1, entries
    payload = entries[0].payload
    annotations = payload["request"]["metadata"]["annotations"]
    assert "INC-1234" in annotations["alpha.image-policy.k8s.io/break-glass"], payload
    assert payload["authenticationInfo"]["principalEmail"] == "jane@example.com", payload
    assert entries[0].severity == "WARNING", entries
    metric = client.metric("opened", filter_=OPENED, description="doors")
    metric.create()
    assert metric.exists() and [m.name for m in client.list_metrics()] == ["opened"]
    metric.delete()
    assert not metric.exists()


def over_grpc():
    client = LoggingServiceV2Client(transport=transport_of(LoggingServiceV2Client))
    request = {"resource_names": ["projects/demo"], "filter": OPENED, "order_by": "timestamp desc", "page_size": 1}
    entries = list(client.list_log_entries(request=request))
    assert len(entries) == 1 and entries[0].resource.type == "k8s_cluster", entries
    assert entries[0].proto_payload.type_url == "type.googleapis.com/google.cloud.audit.AuditLog", entries
    logs = list(client.list_logs(parent="projects/demo"))
    assert logs == ["projects/demo/logs/cloudaudit.googleapis.com%2Factivity"], logs
    try:
        client.list_log_entries(request={"resource_names": ["projects/demo"], "filter": "severity>=EROR"})
        raise AssertionError("should have been refused")
    except InvalidArgument as error:
        assert "column 11" in str(error), error
    metrics = MetricsServiceV2Client(transport=transport_of(MetricsServiceV2Client))
    made = metrics.create_log_metric(parent="projects/demo", metric={"name": "a/b", "filter": OPENED})
    assert made.metric_descriptor.type == "logging.googleapis.com/user/a/b", made
    assert [metric.name for metric in metrics.list_log_metrics(parent="projects/demo")] == ["a/b"]
    name = "projects/demo/metrics/a%2Fb"
    assert metrics.get_log_metric(metric_name=name).filter == OPENED
    metrics.delete_log_metric(metric_name=name)
    try:
        metrics.get_log_metric(metric_name=name)
        raise AssertionError("should be gone")
    except NotFound:
        pass
    tail(client)


def tail(client):
    """Follows what this program writes itself."""
    request = {"resource_names": ["projects/demo"], "filter": 'textPayload:"followed"', "buffer_window": "1s"}
    log, resource = "projects/demo/logs/mine", {"type": "global"}

    def write():
        for number in range(3):
            entry = {"log_name": log, "resource": resource, "text_payload": f"followed {number}"}
            client.write_log_entries(entries=[entry])

    # The library gives the stream back when the first message is there.
    writer = threading.Timer(3, write)
    writer.start()
    responses = client.tail_log_entries(requests=iter([TailLogEntriesRequest(request)]), timeout=60)
    texts = []
    for response in responses:
        assert not response.suppression_info, response
        texts += [entry.text_payload for entry in response.entries]
        if len(texts) >= 3:
            break
    assert texts == ["followed 0", "followed 1", "followed 2"], texts
    responses.cancel()
    writer.join()
    try:
        bad = iter([TailLogEntriesRequest({"resource_names": ["projects/demo"], "filter": "severity>=EROR"})])
        next(iter(client.tail_log_entries(requests=bad, timeout=60)))
        raise AssertionError("should have been refused")
    except InvalidArgument as error:
        assert "column 11" in str(error), error


over_http() if TRANSPORT == "http" else over_grpc()
print("found")
