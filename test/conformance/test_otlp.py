"""Our OTLP/HTTP JSON, read strictly by OpenTelemetry's own protocol definitions, and sent to a receiver that does so."""
import http.server
import os
import pathlib
import subprocess
import threading

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (ExportMetricsServiceRequest,
                                                                          ExportMetricsServiceResponse)

DRIVER = pathlib.Path(os.environ["SIGNALBOX_BIN"]).parent / "test" / "sinks_driver"


def parse(text):
    # Unknown fields and wrong types are errors here.
    return json_format.Parse(text, ExportMetricsServiceRequest(), ignore_unknown_fields=False)


def check(request):
    [of_resource] = request.resource_metrics
    assert [(a.key, a.value.string_value) for a in of_resource.resource.attributes] == [("service.name", "signalbox")]
    [scope] = of_resource.scope_metrics
    by_name = {metric.name: metric for metric in scope.metrics}
    assert "partitions.skew_record_count" not in by_name, "what is unknown is left out"
    assert all(metric.WhichOneof("data") == "gauge" for metric in scope.metrics)
    [added] = by_name["snapshot.added_records"].gauge.data_points
    assert added.as_double == 1001 and added.time_unix_nano > 1.7e18
    assert [(a.key, a.value.string_value) for a in added.attributes] == [("table", "db.orders")]
    assert by_name["snapshot.total_files_size"].unit == "By"
    names = [a.value.string_value for p in by_name["record_count"].gauge.data_points for a in p.attributes if a.key == "partition"]
    assert 'day=2026-01-50 "ä\\' in names, "any text survives"
    return names


def test_a_request_is_read_by_the_protocols_own_parser():
    done = subprocess.run([DRIVER, "otlp"], capture_output=True, text=True, timeout=30, check=True)
    assert len(check(parse(done.stdout))) == 50


@pytest.mark.parametrize("rejected", [0, 5])
def test_a_receiver_takes_it_and_its_partial_success_is_understood(rejected):
    seen = []

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self):  # noqa: N802 (the library's name)
            seen.append((self.path, self.headers["Content-Type"], self.rfile.read(int(self.headers["Content-Length"])).decode()))
            answer = ExportMetricsServiceResponse()
            if rejected:
                answer.partial_success.rejected_data_points = rejected
                answer.partial_success.error_message = "too old"
            body = json_format.MessageToJson(answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = subprocess.run([DRIVER, "send", f"http://127.0.0.1:{server.server_port}/v1/metrics"], capture_output=True,
                              text=True, timeout=60)
        server.shutdown()
    assert done.stdout.split()[-2:] == ["rejected", str(rejected)], done.stdout
    assert done.returncode == (1 if rejected else 0)
    [(path, kind, text)] = seen
    assert (path, kind) == ("/v1/metrics", "application/json")
    names = check(parse(text))
    assert len(names) == 21 and "other" in names, "twenty partitions and the rest"
