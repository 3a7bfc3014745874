"""OpenTelemetry from `flow run`, as a collector gets it: read with the messages of `opentelemetry-proto`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from database import Database
from flow_binary import Flow
from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from python_package import Interpreter
from receiver import Receiver, receiver

PROJECT = """
[pipelines.customers]
source = { table = "app.customers" }
target = "analytics.customers"
keys = "id"
mode = "merge"
transforms_post = ["ANALYZE analytics.customers"]
"""

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def collector() -> Iterator[Receiver]:
    with receiver() as here:
        yield here


@pytest.fixture
def source(database: Database) -> None:
    database.execute(
        "CREATE SCHEMA app; CREATE TABLE app.customers (id bigint PRIMARY KEY, email text);"
        "INSERT INTO app.customers SELECT n, 'a' || n FROM generate_series(1, 3) n"
    )


def variables(collector: Receiver, **more: str) -> dict[str, str]:
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, **more}


def attributes(pairs: Any) -> dict[str, Any]:
    def value(pair: KeyValue) -> Any:
        return getattr(pair.value, pair.value.WhichOneof("value") or "string_value")

    return {pair.key: value(pair) for pair in pairs}


def spans(collector: Receiver) -> dict[str, Span]:
    """The spans of a run by their names; of several of one name the last."""
    found = {}
    for request in collector.wait_for("/v1/traces"):
        assert request.headers["content-type"] == "application/x-protobuf"
        for resource in ExportTraceServiceRequest.FromString(request.body).resource_spans:
            found |= {span.name: span for scope in resource.scope_spans for span in scope.spans}
    return found


def metrics(request: ExportMetricsServiceRequest) -> dict[str, Any]:
    (resource,) = request.resource_metrics
    return {metric.name: metric for scope in resource.scope_metrics for metric in scope.metrics}


def points(metric: Any) -> dict[tuple[str, ...], Any]:
    """Points by the values of their attributes."""
    data = getattr(metric, metric.WhichOneof("data"))
    return {tuple(attributes(point.attributes).values()): point for point in data.data_points}


def run(flow: Flow, env: Mapping[str, str], *arguments: str, expect: int = 0) -> dict[str, Any]:
    return flow("run", "customers", *arguments, "--output", "json", env=env, expect=expect).json()


def test_a_run_is_a_span_and_each_step_one_below_it(
    flow: Flow, database: Database, source: None, collector: Receiver
) -> None:
    flow.project(PROJECT)
    report = run(flow, variables(collector))
    found = spans(collector)
    whole = found["run customers"]
    said = attributes(whole.attributes)
    assert said["ematix.pipeline"] == "customers"
    assert said["ematix.run_id"] == report["run_id"]
    assert said["ematix.status"] == "success"
    assert said["ematix.rows.inserted"] == 3
    assert not whole.parent_span_id
    assert whole.status.code == Status.STATUS_CODE_UNSET
    steps = [span for span in found.values() if span is not whole]
    assert {span.parent_span_id for span in steps} == {whole.span_id}
    assert {span.trace_id for span in steps} == {whole.trace_id}
    for span in steps:
        assert whole.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
        assert span.end_time_unix_nano <= whole.end_time_unix_nano
    insert = found["INSERT analytics.customers"]
    assert insert.kind == Span.SPAN_KIND_CLIENT
    said = attributes(insert.attributes)
    assert said["db.system.name"] == "postgresql"
    assert said["db.namespace"] == database.name
    assert said["db.operation.name"] == "INSERT"
    assert said["db.collection.name"] == "analytics.customers"
    assert said["ematix.rows"] == 3
    assert "transform ANALYZE analytics.customers" in found


def test_a_run_is_a_part_of_the_trace_that_it_was_started_in(
    flow: Flow, database: Database, source: None, collector: Receiver
) -> None:
    flow.project(PROJECT)
    run(flow, variables(collector, TRACEPARENT=f"00-{TRACE}-{PARENT}-01", TRACESTATE="vendor=1"))
    whole = spans(collector)["run customers"]
    assert (whole.trace_id.hex(), whole.parent_span_id.hex(), whole.trace_state) == (TRACE, PARENT, "vendor=1")


def test_a_trace_that_nobody_keeps_gets_no_spans(
    flow: Flow, database: Database, source: None, collector: Receiver
) -> None:
    flow.project(PROJECT)
    run(flow, variables(collector, TRACEPARENT=f"00-{TRACE}-{PARENT}-00"))
    collector.wait_for("/v1/metrics")
    assert collector.of("/v1/traces") == []


def test_a_run_that_fails_marks_its_span_and_that_of_the_step_with_the_code(
    flow: Flow, database: Database, source: None, collector: Receiver
) -> None:
    flow.project(PROJECT.replace('table = "app.customers"', 'query = "SELECT id / (id - 1) AS id FROM app.customers"'))
    report = run(flow, variables(collector), expect=1)
    found = spans(collector)
    failed = [span for span in found.values() if span.status.code == Status.STATUS_CODE_ERROR]
    code = report["error"]["code"]
    assert "run customers" in {span.name for span in failed}
    assert len(failed) == 2, list(found)
    for span in failed:
        assert span.status.message.startswith(f"{code}: ")
        said = attributes(span.attributes)
        assert (said["error.type"], said["db.response.status_code"]) == (code, "22012")


def test_metrics_count_runs_rows_and_seconds(flow: Flow, database: Database, source: None, collector: Receiver) -> None:
    flow.project(PROJECT)
    run(flow, variables(collector))
    (request,) = collector.wait_for("/v1/metrics")
    found = metrics(ExportMetricsServiceRequest.FromString(request.body))
    assert points(found["ematix.runs"])["customers", "success"].as_int == 1
    rows = {kind: point.as_int for (_, kind), point in points(found["ematix.rows"]).items()}
    assert (rows["in"], rows["inserted"], rows["updated"]) == (3, 3, 0)
    seconds = points(found["ematix.run.duration"])["customers", "success"]
    assert (seconds.count, sum(seconds.bucket_counts)) == (1, 1)
    assert seconds.sum > 0
    assert found["ematix.run.duration"].unit == "s"
    assert "ematix.lag" not in found, "only what has a slot has one"


def test_a_scheduled_run_says_how_late_it_was(
    flow: Flow, database: Database, source: None, collector: Receiver
) -> None:
    flow.project(PROJECT + 'every = "1d"\nfirst_run = "now"\n')
    flow("run-due", env=variables(collector))
    (request,) = collector.wait_for("/v1/metrics")
    lag = points(metrics(ExportMetricsServiceRequest.FromString(request.body))["ematix.lag"])["customers",]
    assert lag.as_double >= 0


def test_the_end_of_a_run_is_a_log_record_of_its_span(
    flow: Flow, database: Database, source: None, collector: Receiver
) -> None:
    flow.project(PROJECT)
    run(flow, variables(collector))
    (request,) = collector.wait_for("/v1/logs")
    (resource,) = ExportLogsServiceRequest.FromString(request.body).resource_logs
    (record,) = resource.scope_logs[0].log_records
    assert (record.severity_text, record.body.string_value) == ("INFO", "customers success")
    assert record.span_id == spans(collector)["run customers"].span_id


def test_who_sends_it_is_as_the_variables_say(
    flow: Flow, database: Database, source: None, collector: Receiver
) -> None:
    flow.project(PROJECT)
    env = variables(
        collector,
        OTEL_SERVICE_NAME="etl",
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=prod,team=a%20b",
        OTEL_EXPORTER_OTLP_HEADERS="Authorization=Bearer%20token-of-mine",
    )
    run(flow, env)
    (request,) = collector.wait_for("/v1/traces")
    assert request.headers["authorization"] == "Bearer token-of-mine"
    (resource,) = ExportTraceServiceRequest.FromString(request.body).resource_spans
    said = attributes(resource.resource.attributes)
    assert (said["service.name"], said["deployment.environment.name"], said["team"]) == ("etl", "prod", "a b")


def test_json_is_what_protobuf_says(flow: Flow, database: Database, source: None, collector: Receiver) -> None:
    flow.project(PROJECT)
    run(flow, variables(collector, OTEL_EXPORTER_OTLP_PROTOCOL="http/json"))
    (request,) = collector.wait_for("/v1/traces")
    assert request.headers["content-type"] == "application/json"
    body = request.json()
    # Its ids are hexadecimal, which the general mapping of protobuf is not.
    ids = {span.pop("traceId") for span in body["resourceSpans"][0]["scopeSpans"][0]["spans"]}
    assert [len(bytes.fromhex(one)) for one in ids] == [16]
    for span in body["resourceSpans"][0]["scopeSpans"][0]["spans"]:
        del span["spanId"], span["parentSpanId"]
    read = json_format.ParseDict(body, ExportTraceServiceRequest())
    assert "run customers" in {span.name for span in read.resource_spans[0].scope_spans[0].spans}
    (request,) = collector.wait_for("/v1/metrics")
    assert "ematix.runs" in metrics(json_format.ParseDict(request.json(), ExportMetricsServiceRequest()))


@pytest.mark.parametrize(
    ("said", "paths"),
    [
        ({"OTEL_SDK_DISABLED": "true"}, set()),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}, {"/v1/metrics"}),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "{url}/own"}, {"/own", "/v1/metrics", "/v1/logs"}),
    ],
)
def test_what_is_sent_where_the_variables_say(
    flow: Flow, database: Database, source: None, collector: Receiver, said: dict[str, str], paths: set[str]
) -> None:
    flow.project(PROJECT)
    run(flow, variables(collector) | {name: value.format(url=collector.url) for name, value in said.items()})
    assert {request.path for request in collector.received} == paths


def test_grpc_is_refused_with_a_warning(flow: Flow, database: Database, source: None, collector: Receiver) -> None:
    flow.project(PROJECT)
    finished = flow("run", "customers", env=variables(collector, OTEL_EXPORTER_OTLP_PROTOCOL="grpc"))
    assert "the protocol grpc is not spoken here" in finished.stderr
    assert collector.received == []


def test_a_dry_run_is_a_trace_and_is_not_counted(
    flow: Flow, database: Database, source: None, collector: Receiver
) -> None:
    flow.project(PROJECT)
    flow("dry-run", "customers", env=variables(collector))
    assert attributes(spans(collector)["run customers"].attributes)["ematix.dry_run"] is True
    assert collector.of("/v1/metrics") == []


def test_the_package_sends_what_the_command_sends(
    tmp_path: Path, database: Database, source: None, collector: Receiver
) -> None:
    python = Interpreter(tmp_path, variables(collector, EMATIX_FLOW_DSN=database.dsn))
    python.run(
        """
        from ematix_flow import Source, connect, pipeline

        pipeline.sync(
            name="customers",
            source=Source.postgres_query(connect("default"), "SELECT * FROM app.customers"),
            target="analytics.customers",
            keys="id",
            mode="merge",
        )
        """
    )
    assert attributes(spans(collector)["run customers"].attributes)["ematix.started_by"] == "python"


def test_no_secret_is_sent(flow: Flow, database: Database, source: None, collector: Receiver, tcp_role: str) -> None:
    flow.project(PROJECT)
    env = variables(collector, OTEL_EXPORTER_OTLP_HEADERS="Authorization=Bearer%20token-of-mine")
    run(flow, env | {"EMATIX_FLOW_DSN": database.dsn_over_tcp(tcp_role, "right")})
    sent = b"".join(request.body for request in collector.received)
    assert b"token-of-mine" not in sent
    assert b"right" not in sent
    assert tcp_role.encode() not in sent
