"""A collector that reads what comes by OpenTelemetry's own definitions, strictly, and writes the spans down.

Environment: READY (file that gets the port), SPANS (file that gets one line of JSON for each span), RAW (file that gets the
bodies as they came).
"""

import base64
import json
import os
from http.server import BaseHTTPRequestHandler, HTTPServer

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

READY, SPANS, RAW = (os.environ[name] for name in ("READY", "SPANS", "RAW"))


def for_protobuf(value):
    """OTLP writes identifiers in hexadecimal where protobuf's JSON has base64; nothing else differs."""
    if isinstance(value, list):
        return [for_protobuf(item) for item in value]
    if not isinstance(value, dict):
        return value
    is_id = ("traceId", "spanId", "parentSpanId")
    return {
        key: base64.b64encode(bytes.fromhex(item)).decode() if key in is_id else for_protobuf(item)
        for key, item in value.items()
    }


def attributes(pairs):
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


class Collector(BaseHTTPRequestHandler):
    def do_POST(self):
        assert self.path == "/v1/traces" and self.headers["Content-Type"] == "application/json", self.path
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with open(RAW, "ab") as file:
            file.write(body)
        request = json_format.ParseDict(for_protobuf(json.loads(body)), ExportTraceServiceRequest())
        with open(SPANS, "a") as file:
            for resource in request.resource_spans:
                service = attributes(resource.resource.attributes)["service.name"]
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        assert len(span.trace_id) == 16 and len(span.span_id) == 8, span
                        written = {
                            "service": service,
                            "name": span.name,
                            "trace": span.trace_id.hex(),
                            "span": span.span_id.hex(),
                            "parent": span.parent_span_id.hex(),
                            "kind": Span.SpanKind.Name(span.kind),
                            "status": Status.StatusCode.Name(span.status.code),
                            "begin": span.start_time_unix_nano,
                            "end": span.end_time_unix_nano,
                            "attributes": attributes(span.attributes),
                        }
                        file.write(json.dumps(written) + "\n")
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *arguments):
        pass


server = HTTPServer(("127.0.0.1", 0), Collector)
with open(READY + ".new", "w") as ready:
    ready.write(str(server.server_port))
os.rename(READY + ".new", READY)
server.serve_forever()
