"""Sends logs, spans and metrics by one of OpenTelemetry's exporters, and prints what the pipeline should make of them.

Usage: otlp.py grpc|grpc-gzip|http|http-gzip|http-deflate|json GRPC_PORT HTTP_PORT
"""
import json, logging, sys, time
from datetime import datetime, timezone

from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider, UpDownCounter
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

way, grpc_port, http_port = sys.argv[1], sys.argv[2], sys.argv[3]
kind, _, compression = way.partition("-")
if kind == "grpc":
    import grpc
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    options = {"endpoint": f"http://127.0.0.1:{grpc_port}", "insecure": True}
    if compression:
        options["compression"] = grpc.Compression.Gzip
    at = lambda signal: options
else:
    if kind == "json":
        try:
            from opentelemetry.exporter.otlp.json.http._log_exporter import OTLPLogExporter
            from opentelemetry.exporter.otlp.json.http.metric_exporter import OTLPMetricExporter
            from opentelemetry.exporter.otlp.json.http.trace_exporter import OTLPSpanExporter
        except ImportError as e:
            print(f"opentelemetry-exporter-otlp-json-http is not installed ({e})")
            sys.exit(3)
        options = {}
    else:
        from opentelemetry.exporter.otlp.proto.http import Compression
        from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        options = {"compression": Compression(compression or "none")}
    at = lambda signal: {"endpoint": f"http://127.0.0.1:{http_port}/v1/{signal}", **options}

resource = Resource({"service.name": "shop", "n": 7, "list": ["a", "b"]})
attributes = dict(resource.attributes)
attributes["list"] = list(attributes["list"])


def stamp(nanos):
    """As the pipeline writes a time: with as many of the nanoseconds' digits as are needed, three at a time."""
    text = datetime.fromtimestamp(nanos // 10**9, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    part = f"{nanos % 10**9:09}"
    for digits in (0, 3, 6, 9):
        if not part[digits:].strip("0"):
            break
    return f"{text}{'.' + part[:digits] if digits else ''}Z"


def spans():
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(**at("traces"))))
    tracer = provider.get_tracer("lib", "1.2")
    wanted = []
    now = time.time_ns()
    for i in range(200):
        with tracer.start_as_current_span(f"outer {i:03}", kind=SpanKind.SERVER, start_time=now + i) as outer:
            context = outer.get_span_context()
            link = Link(context, {"why": "because"})
            inner = tracer.start_span(f"work {i:03}", kind=SpanKind.CLIENT, links=[link], start_time=now + i, attributes={"i": i, "f": 1.5, "b": True})
            inner.add_event("step", {"of": i}, timestamp=now + i + 1)
            inner.set_status(Status(StatusCode.ERROR, "no luck"))
            inner.end(end_time=now + i + 1_000_000)
        common = {
            "trace_id": f"{context.trace_id:032x}", "trace_state": "", "resources": attributes, "ingest_timestamp": "*",
            "start_time_unix_nano": stamp(now + i), "dropped_attributes_count": 0, "dropped_events_count": 0, "dropped_links_count": 0,
        }
        wanted.append({
            **common, "span_id": f"{context.span_id:016x}", "parent_span_id": "", "name": f"outer {i:03}", "kind": 2,
            "end_time_unix_nano": "*", "status": {"code": 0, "message": ""},
        })
        own = inner.get_span_context()
        wanted.append({
            **common, "span_id": f"{own.span_id:016x}", "parent_span_id": f"{context.span_id:016x}", "name": f"work {i:03}", "kind": 3,
            "end_time_unix_nano": stamp(now + i + 1_000_000), "status": {"code": 2, "message": "no luck"},
            "attributes": {"i": i, "f": 1.5, "b": True},
            "events": [{"name": "step", "time_unix_nano": stamp(now + i + 1), "attributes": {"of": i}, "dropped_attributes_count": 0}],
            "links": [{
                "trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}", "trace_state": "",
                "attributes": {"why": "because"}, "dropped_attributes_count": 0,
            }],
        })
    provider.shutdown()
    return wanted


def logs():
    provider = LoggerProvider(resource=resource)
    provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(**at("logs"))))
    logger = provider.get_logger("lib", "1.2", attributes={"scope": "s"})
    wanted = []
    bodies = ["text ü", 5, 1.5, True, {"a": {"b": [1, "x"]}}, ["x", 2], b"bytes"]
    for i in range(1000):
        now, body = time.time_ns(), bodies[i % len(bodies)]
        logger.emit(LogRecord(
            timestamp=now, observed_timestamp=now + 5, severity_number=SeverityNumber.WARN, severity_text="WARN", body=body,
            attributes={"i": f"{i:04}", "big": 2**53 + 1, "neg": -i, "list": ["p", "q"], "flag": False},
        ))
        wanted.append({
            "message": body.decode() if isinstance(body, bytes) else body, "timestamp": stamp(now), "observed_timestamp": stamp(now + 5),
            "severity_number": 13, "severity_text": "WARN", "resources": attributes, "source_type": "opentelemetry",
            "scope": {"name": "lib", "version": "1.2", "attributes": {"scope": "s"}}, "dropped_attributes_count": 0,
            "attributes": {"i": f"{i:04}", "big": 2**53 + 1, "neg": -i, "list": ["p", "q"], "flag": False},
        })
    provider.shutdown()
    return wanted


def metrics():
    delta = {Counter: AggregationTemporality.DELTA, Histogram: AggregationTemporality.CUMULATIVE, UpDownCounter: AggregationTemporality.CUMULATIVE}
    exporter = OTLPMetricExporter(**at("metrics"), preferred_temporality=delta)
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=float("inf"))
    view = View(instrument_name="exp", aggregation=ExponentialBucketHistogramAggregation(max_scale=0))
    provider = MeterProvider(metric_readers=[reader], resource=resource, views=[view])
    meter = provider.get_meter("lib", "1.2")
    counter, balance = meter.create_counter("hits"), meter.create_up_down_counter("open")
    gauge, histogram, exponential = meter.create_gauge("heat"), meter.create_histogram("took", explicit_bucket_boundaries_advisory=[1.0, 10.0]), meter.create_histogram("exp")
    wanted = []
    tags = {"resource.service.name": "shop", "resource.n": "7", "resource.list": "null", "scope.name": "lib", "scope.version": "1.2"}
    for i in range(100):
        own = {"i": f"{i:03}"}
        counter.add(i, own), balance.add(-i, own), gauge.set(i / 2, own)
        for value in (0.5, 5, 50):
            histogram.record(value, own)
        for value in (1.5, 3):
            exponential.record(value, own)
        add = lambda name, kind, value: wanted.append({"name": name, "kind": kind, "tags": {**tags, **own}, "timestamp": "*", **value})
        add("hits", "incremental", {"counter": {"value": float(i)}})
        add("open", "absolute", {"gauge": {"value": float(-i)}})
        add("heat", "absolute", {"gauge": {"value": i / 2}})
        buckets = [{"upper_limit": 1.0, "count": 1}, {"upper_limit": 10.0, "count": 1}, {"upper_limit": "*", "count": 1}]
        add("took", "absolute", {"aggregated_histogram": {"buckets": buckets, "count": 3, "sum": 55.5}})
        # The SDK sends an empty bucket of the negative side; it is kept, as by Vector.
        buckets = [{"upper_limit": -1.0, "count": 0}, {"upper_limit": 2.0, "count": 1}, {"upper_limit": 4.0, "count": 1}]
        add("exp", "absolute", {"aggregated_histogram": {"buckets": buckets, "count": 2, "sum": 4.5}})
    provider.force_flush()
    provider.shutdown()
    return wanted


# What an exporter cannot deliver it says in its log only.
class Refuse(logging.Handler):
    def emit(self, record):
        trouble.append(record.getMessage())


trouble = []
logging.getLogger().addHandler(Refuse(level=logging.ERROR))
sent = {"logs": logs(), "traces": spans(), "metrics": metrics()}
if trouble:
    raise SystemExit("\n".join(trouble))
print(json.dumps(sent))
