//! OpenTelemetry: a trace of every run, metrics and a log record of its end, by OTLP over HTTP. What is sent where, the
//! variables of the OpenTelemetry specification say; without one of them there is nothing here.

mod logs;
mod metrics;
mod settings;
mod traces;

pub use traces::RunTrace;

use crate::courier::{Courier, Hurry, Lost};
use crate::http::Post;
use ematix_flow_core::declare::environment::Environment;
use ematix_flow_core::report::RunReport;
use ematix_flow_run::execute::Request;
use metrics::{Metrics, Point};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::{logs::v1::LogRecord, trace::v1::Span};
use prost::Message;
use serde::Serialize;
use settings::{Exporter, Settings};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The exporters of the three signals, as far as they are wanted.
pub struct Otel {
    parent: Option<settings::Parent>,
    traces: Option<Courier<Span>>,
    metrics: Option<Courier<Point>>,
    logs: Option<Courier<LogRecord>>,
}

impl Otel {
    /// What the variables say; nothing where they say nothing. Beside it what they say that cannot be done.
    pub fn from_environment(environment: &dyn Environment) -> (Option<Otel>, Vec<String>) {
        let (settings, warnings) = Settings::read(environment);
        let Some(settings) = settings else { return (None, warnings) };
        let resource = Arc::new(Resource {
            attributes: settings.resource.iter().map(|(name, value)| text(name, value)).collect(),
            ..Resource::default()
        });
        let sampled = settings.parent.as_ref().is_none_or(|parent| parent.sampled);
        let traces = settings.traces.filter(|_| sampled).map(|to| {
            let resource = Arc::clone(&resource);
            Courier::new(Box::new(move |spans, hurry| to.export(&traces::request(spans, &resource), hurry)))
        });
        let logs = settings.logs.map(|to| {
            let resource = Arc::clone(&resource);
            Courier::new(Box::new(move |records, hurry| to.export(&logs::request(records, &resource), hurry)))
        });
        let delta = settings.delta;
        let metrics = settings.metrics.map(|to| {
            let mut metrics = Metrics::new(delta);
            Courier::new(Box::new(move |points, hurry| to.export(&metrics.request(points, &resource), hurry)))
        });
        (Some(Otel { parent: settings.parent, traces, metrics, logs }), warnings)
    }

    /// Begins the trace of a run; ids are given out also where no span is sent, since log records name them.
    pub fn begin(&self) -> RunTrace {
        RunTrace::begin(self.parent.as_ref())
    }

    /// Hands over all that is to be told of a run.
    pub fn end(&self, trace: RunTrace, report: &RunReport, request: &Request) {
        let ids = trace.ids();
        if let Some(traces) = &self.traces {
            trace.spans(report, request).into_iter().for_each(|span| traces.hand(span));
        }
        // A dry-run leaves nothing behind that could be counted.
        if let Some(metrics) = self.metrics.as_ref().filter(|_| !report.dry_run) {
            metrics.hand(Point::of(report, request));
        }
        if let Some(logs) = &self.logs {
            logs::records(report, &ids).into_iter().for_each(|record| logs.hand(record));
        }
    }

    /// Counts a run that died.
    pub fn lost(&self, report: &RunReport) {
        self.metrics.iter().for_each(|metrics| metrics.hand(Point::lost(report)));
    }

    /// Asks for everything to be sent at once.
    pub fn hurry(&self) {
        self.traces.iter().for_each(Courier::hurry);
        self.metrics.iter().for_each(Courier::hurry);
        self.logs.iter().for_each(Courier::hurry);
    }

    /// Waits until everything is sent or the time has come; what did not arrive.
    pub fn wait_until(&self, deadline: Instant) -> Vec<String> {
        let traces = self.traces.as_ref().and_then(|courier| courier.wait_until(deadline));
        let metrics = self.metrics.as_ref().and_then(|courier| courier.wait_until(deadline));
        let logs = self.logs.as_ref().and_then(|courier| courier.wait_until(deadline));
        let missed = [("traces", traces), ("metrics", metrics), ("logs", logs)];
        let mut told: Vec<(String, Vec<&str>)> = Vec::new();
        for (signal, lost) in missed {
            let Some(Lost { why, .. }) = lost else { continue };
            match told.iter_mut().find(|(known, _)| *known == why) {
                Some((_, signals)) => signals.push(signal),
                None => told.push((why, vec![signal])),
            }
        }
        let words = |(why, signals): (String, Vec<&str>)| {
            format!("OpenTelemetry: {} did not arrive: {why}", signals.join(", "))
        };
        told.into_iter().map(words).collect()
    }
}

impl Exporter {
    fn export<R: Message + Serialize>(&self, request: &R, hurry: &Hurry<'_>) -> Result<(), String> {
        let (content_type, body) = match self.json {
            true => ("application/json", serde_json::to_vec(request).map_err(|error| error.to_string())?),
            false => ("application/x-protobuf", request.encode_to_vec()),
        };
        let certificate = self.certificate.as_deref();
        let post = Post { url: &self.url, headers: &self.headers, content_type, body: &body, certificate };
        post.send_within(self.timeout, hurry).map_err(|refusal| format!("{}: {refusal}", self.shown))
    }
}

/// Who says all of it.
fn scope() -> Option<InstrumentationScope> {
    Some(InstrumentationScope {
        name: "ematix-flow".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    })
}

/// The semantic conventions that names are taken from.
const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.36.0";

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// An instant of a report in nanoseconds since 1970.
fn nanoseconds(instant: &str) -> Option<u64> {
    let at: jiff::Timestamp = instant.parse().ok()?;
    u64::try_from(at.as_nanosecond()).ok()
}

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn text(key: &str, value: &str) -> KeyValue {
    pair(key, Value::StringValue(value.to_owned()))
}

fn number(key: &str, value: i64) -> KeyValue {
    pair(key, Value::IntValue(value))
}

fn truth(key: &str, value: bool) -> KeyValue {
    pair(key, Value::BoolValue(value))
}
