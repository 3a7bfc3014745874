//! The end of a run as a log record, and its warnings, each with the ids of the run's span.

use super::traces::Ids;
use super::{SCHEMA_URL, nanoseconds, now, number, scope, text};
use ematix_flow_core::report::RunReport;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use opentelemetry_proto::tonic::resource::v1::Resource;

/// The records of a run.
pub fn records(report: &RunReport, ids: &Ids) -> Vec<LogRecord> {
    let at = nanoseconds(&report.ended_at).unwrap_or_else(now);
    let record = |severity: SeverityNumber, name: &str, words: String| LogRecord {
        time_unix_nano: at,
        observed_time_unix_nano: now(),
        severity_number: severity.into(),
        severity_text: name.to_owned(),
        body: Some(AnyValue { value: Some(Value::StringValue(words)) }),
        attributes: vec![
            text("ematix.pipeline", &report.pipeline),
            text("ematix.run_id", &report.run_id),
            text("ematix.status", report.status.name()),
        ],
        // As the span is.
        flags: 1,
        trace_id: ids.trace.clone(),
        span_id: ids.span.clone(),
        ..LogRecord::default()
    };
    let warnings = report.warnings.iter();
    let mut records: Vec<LogRecord> =
        warnings.map(|words| record(SeverityNumber::Warn, "WARN", words.clone())).collect();
    let (name, status) = (&report.pipeline, report.status.name());
    let mut end = match &report.error {
        Some(error) => {
            let words = format!("{name} {status}: {}: {}", error.code, error.message);
            let mut record = record(SeverityNumber::Error, "ERROR", words);
            record.attributes.push(text("error.type", error.code.name()));
            record
        }
        None => record(SeverityNumber::Info, "INFO", format!("{name} {status}")),
    };
    end.event_name = "ematix.run".to_owned();
    end.attributes.push(number("ematix.duration_ms", report.duration_ms as i64));
    records.push(end);
    records
}

/// What is sent.
pub fn request(log_records: Vec<LogRecord>, resource: &Resource) -> ExportLogsServiceRequest {
    let records = ScopeLogs { scope: scope(), log_records, schema_url: SCHEMA_URL.to_owned() };
    let resource = Some(resource.clone());
    let logs = ResourceLogs { resource, scope_logs: vec![records], schema_url: SCHEMA_URL.to_owned() };
    ExportLogsServiceRequest { resource_logs: vec![logs] }
}
