//! Runs by status, how long they took, their rows by kind, and how late they were: summed up here, so that what is sent
//! again says the same.

use super::{SCHEMA_URL, now, scope, text};
use ematix_flow_core::report::RunReport;
use ematix_flow_run::execute::Request;
use indexmap::IndexMap;
use jiff::Timestamp;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;

/// The upper bounds of the classes of durations, in seconds: from a merge that finds nothing to a night's load.
const BOUNDS: &[f64] = &[0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0];

/// What is counted of one run.
pub struct Point {
    pipeline: String,
    status: &'static str,
    seconds: Option<f64>,
    rows: Vec<(&'static str, i64)>,
    lag: Option<f64>,
}

impl Point {
    /// Of its report.
    pub fn of(report: &RunReport, request: &Request) -> Point {
        let slot = request.slot;
        let ended: Option<Timestamp> = report.ended_at.parse().ok();
        Point {
            pipeline: report.pipeline.clone(),
            status: report.status.name(),
            seconds: Some(report.duration_ms as f64 / 1000.0),
            rows: crate::rows::of(report).to_vec(),
            lag: slot.zip(ended).map(|(slot, ended)| ended.duration_since(slot).as_secs_f64()),
        }
    }
}

impl Point {
    /// Of a run that died: nobody knows when, nor how far it had come.
    pub fn lost(report: &RunReport) -> Point {
        let (pipeline, status) = (report.pipeline.clone(), report.status.name());
        Point { pipeline, status, seconds: None, rows: Vec::new(), lag: None }
    }
}

/// What has been counted so far.
pub struct Metrics {
    delta: bool,
    since: u64,
    runs: IndexMap<(String, &'static str), i64>,
    seconds: IndexMap<(String, &'static str), Classes>,
    rows: IndexMap<(String, &'static str), i64>,
    lag: IndexMap<String, f64>,
}

/// Durations by classes.
#[derive(Clone, Default)]
struct Classes {
    counts: Vec<u64>,
    sum: f64,
    least: f64,
    most: f64,
}

impl Classes {
    fn add(&mut self, seconds: f64) {
        self.counts.resize(BOUNDS.len() + 1, 0);
        let empty = self.counts.iter().all(|count| *count == 0);
        self.counts[BOUNDS.partition_point(|bound| *bound < seconds)] += 1;
        self.sum += seconds;
        self.least = if empty { seconds } else { self.least.min(seconds) };
        self.most = self.most.max(seconds);
    }
}

impl Metrics {
    /// Nothing counted; `delta`: what was sent is forgotten.
    pub fn new(delta: bool) -> Metrics {
        Metrics {
            delta,
            since: now(),
            runs: IndexMap::new(),
            seconds: IndexMap::new(),
            rows: IndexMap::new(),
            lag: IndexMap::new(),
        }
    }

    fn add(&mut self, point: Point) {
        let key = (point.pipeline.clone(), point.status);
        *self.runs.entry(key.clone()).or_default() += 1;
        if let Some(seconds) = point.seconds {
            self.seconds.entry(key).or_default().add(seconds);
        }
        for (kind, rows) in point.rows {
            *self.rows.entry((point.pipeline.clone(), kind)).or_default() += rows;
        }
        if let Some(lag) = point.lag {
            self.lag.insert(point.pipeline, lag);
        }
    }

    /// What is sent after these runs.
    pub fn request(&mut self, points: Vec<Point>, resource: &Resource) -> ExportMetricsServiceRequest {
        points.into_iter().for_each(|point| self.add(point));
        let until = now();
        let metrics = self.metrics(until);
        if self.delta {
            *self = Metrics { since: until, ..Metrics::new(true) };
        }
        let metrics = ScopeMetrics { scope: scope(), metrics, schema_url: SCHEMA_URL.to_owned() };
        let resource = Some(resource.clone());
        let metrics =
            ResourceMetrics { resource, scope_metrics: vec![metrics], schema_url: SCHEMA_URL.to_owned() };
        ExportMetricsServiceRequest { resource_metrics: vec![metrics] }
    }

    fn metrics(&self, until: u64) -> Vec<Metric> {
        let temporality = match self.delta {
            true => AggregationTemporality::Delta,
            false => AggregationTemporality::Cumulative,
        };
        let point = |attributes: Vec<KeyValue>, value: Value| NumberDataPoint {
            attributes,
            start_time_unix_nano: self.since,
            time_unix_nano: until,
            value: Some(value),
            ..NumberDataPoint::default()
        };
        let sum = |data_points: Vec<NumberDataPoint>| {
            Data::Sum(Sum { data_points, aggregation_temporality: temporality.into(), is_monotonic: true })
        };
        let runs = self.runs.iter().map(|((pipeline, status), count)| {
            point(by(pipeline, "ematix.status", status), Value::AsInt(*count))
        });
        let rows = self.rows.iter().map(|((pipeline, kind), count)| {
            point(by(pipeline, "ematix.rows.kind", kind), Value::AsInt(*count))
        });
        let seconds = self.seconds.iter().map(|((pipeline, status), classes)| HistogramDataPoint {
            attributes: by(pipeline, "ematix.status", status),
            start_time_unix_nano: self.since,
            time_unix_nano: until,
            count: classes.counts.iter().sum(),
            sum: Some(classes.sum),
            bucket_counts: classes.counts.clone(),
            explicit_bounds: BOUNDS.to_vec(),
            min: Some(classes.least),
            max: Some(classes.most),
            ..HistogramDataPoint::default()
        });
        let histogram = Data::Histogram(Histogram {
            data_points: seconds.collect(),
            aggregation_temporality: temporality.into(),
        });
        let lag = self
            .lag
            .iter()
            .map(|(pipeline, lag)| point(vec![text("ematix.pipeline", pipeline)], Value::AsDouble(*lag)));
        let lag: Vec<NumberDataPoint> = lag.collect();
        let mut metrics = vec![
            metric("ematix.runs", "{run}", "Runs that have ended.", sum(runs.collect())),
            metric("ematix.run.duration", "s", "How long runs took.", histogram),
            metric("ematix.rows", "{row}", "Rows by what became of them.", sum(rows.collect())),
        ];
        if !lag.is_empty() {
            let about = "From the slot that the last run served to its end.";
            metrics.push(metric("ematix.lag", "s", about, Data::Gauge(Gauge { data_points: lag })));
        }
        metrics
    }
}

fn by(pipeline: &str, name: &str, value: &str) -> Vec<KeyValue> {
    vec![text("ematix.pipeline", pipeline), text(name, value)]
}

fn metric(name: &str, unit: &str, about: &str, data: Data) -> Metric {
    Metric {
        name: name.to_owned(),
        description: about.to_owned(),
        unit: unit.to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}
