//! The trace of a run: a span for it, and below it one for each step and for each transform after the load, by the
//! semantic conventions for databases (https://opentelemetry.io/docs/specs/semconv/database/postgresql/). No statement
//! is sent: it may hold values.

use super::settings::Parent;
use super::{SCHEMA_URL, nanoseconds, now, number, scope, text, truth};
use crate::address::Address;
use ematix_flow_core::error::FlowError;
use ematix_flow_core::plan::{Action, Plan, Step, StepKind};
use ematix_flow_core::report::{RunReport, Status as Ended, StepReport, TransformReport};
use ematix_flow_run::execute::Request;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use std::sync::{Mutex, MutexGuard, PoisonError};
use uuid::Uuid;

/// The flag of the W3C that a span is kept; and OTLP's two: that it is known whether the parent is another process's, and
/// that it is.
const SAMPLED: u32 = 1;
const KNOWN: u32 = 0x100;
const REMOTE: u32 = 0x200;

/// A run under way, as spans.
pub struct RunTrace {
    ids: Ids,
    parent: Vec<u8>,
    state: String,
    begun: u64,
    seen: Mutex<Seen>,
}

/// What names a span.
#[derive(Clone)]
pub struct Ids {
    /// The trace.
    pub trace: Vec<u8>,
    /// The span of the run.
    pub span: Vec<u8>,
}

#[derive(Default)]
struct Seen {
    /// Where the target is.
    target: Option<Address>,
    /// The tables that are loaded, by the parts of the plan.
    tables: Vec<String>,
    open: Option<Span>,
    done: Vec<Span>,
    waited: Option<u64>,
}

impl RunTrace {
    /// Begins it, below somebody else's span where there is one.
    pub fn begin(parent: Option<&Parent>) -> RunTrace {
        let trace = parent.map_or_else(|| Uuid::new_v4().into_bytes(), |parent| parent.trace_id);
        RunTrace {
            ids: Ids { trace: trace.to_vec(), span: new_span_id() },
            parent: parent.map(|parent| parent.span_id.to_vec()).unwrap_or_default(),
            state: parent.map(|parent| parent.state.clone()).unwrap_or_default(),
            begun: now(),
            seen: Mutex::default(),
        }
    }

    /// What names the span of the run.
    pub fn ids(&self) -> Ids {
        self.ids.clone()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the target is.
    pub fn leads_to(&self, target: Option<Address>) {
        self.seen().target = target;
    }

    /// What is loaded.
    pub fn planned(&self, plan: &Plan) {
        self.seen().tables = plan.parts.iter().map(|part| part.target.to_string()).collect();
    }

    /// The run waits for another.
    pub fn waiting(&self) {
        self.seen().waited.get_or_insert_with(now);
    }

    /// A step begins.
    pub fn step_started(&self, step: &Step) {
        let mut seen = self.seen();
        let operation = operation(step);
        let writes = matches!(
            step.kind,
            StepKind::Update | StepKind::Delete | StepKind::Close | StepKind::Truncate | StepKind::Insert
        );
        let table = step.part.filter(|_| writes).and_then(|part| seen.tables.get(part)).cloned();
        let mut attributes = seen.target.as_ref().map(of_database).unwrap_or_default();
        attributes.push(text("db.operation.name", &operation));
        attributes.extend(table.iter().map(|table| text("db.collection.name", table)));
        attributes.extend([
            number("ematix.step.number", step.n as i64),
            text("ematix.step.kind", step.kind.name()),
            text("ematix.step.purpose", &step.purpose),
        ]);
        let name = match &table {
            Some(table) => format!("{operation} {table}"),
            None => format!("{operation} {}", step.kind.name()),
        };
        seen.open = Some(self.child(name, SpanKind::Client, attributes));
    }

    /// A step is done.
    pub fn step_finished(&self, step: &StepReport) {
        self.close(|span| {
            span.attributes.extend(step.rows.map(|rows| number("ematix.rows", rows)));
            span.attributes.extend(step.bytes.map(|bytes| number("ematix.bytes", bytes as i64)));
        });
    }

    /// A step ends the run.
    pub fn step_failed(&self, error: &FlowError) {
        self.close(|span| fail(span, error));
    }

    /// A transform begins.
    pub fn transform_started(&self, name: &str) {
        let mut seen = self.seen();
        let attributes = vec![text("ematix.transform", name)];
        seen.open = Some(self.child(format!("transform {name}"), SpanKind::Internal, attributes));
    }

    /// A transform is done.
    pub fn transform_finished(&self, transform: &TransformReport) {
        self.close(|span| {
            span.attributes.push(text("ematix.status", transform.status.name()));
            span.attributes.extend(transform.run_id.as_deref().map(|run_id| text("ematix.run_id", run_id)));
            if let Some(error) = &transform.error {
                fail(span, error);
            }
        });
    }

    fn close(&self, complete: impl FnOnce(&mut Span)) {
        let mut seen = self.seen();
        let Some(mut span) = seen.open.take() else { return };
        span.end_time_unix_nano = now();
        complete(&mut span);
        seen.done.push(span);
    }

    fn child(&self, name: String, kind: SpanKind, attributes: Vec<KeyValue>) -> Span {
        Span {
            span_id: new_span_id(),
            parent_span_id: self.ids.span.clone(),
            kind: kind.into(),
            start_time_unix_nano: now(),
            attributes,
            ..self.span(name)
        }
    }

    fn span(&self, name: String) -> Span {
        Span {
            trace_id: self.ids.trace.clone(),
            trace_state: self.state.clone(),
            flags: SAMPLED | KNOWN,
            name,
            ..Span::default()
        }
    }

    /// Every span of the run, its own last.
    pub fn spans(self, report: &RunReport, request: &Request) -> Vec<Span> {
        // A step that was cancelled has no other end.
        self.close(|span| {
            if let Some(error) = &report.error {
                fail(span, error);
            }
        });
        let mut spans = std::mem::take(&mut self.seen().done);
        let mut root = Span {
            span_id: self.ids.span.clone(),
            parent_span_id: self.parent.clone(),
            kind: SpanKind::Internal.into(),
            start_time_unix_nano: self.begun,
            end_time_unix_nano: nanoseconds(&report.ended_at).map_or_else(now, |end| end.max(self.begun)),
            attributes: of_run(report, request),
            ..self.span(format!("run {}", report.pipeline))
        };
        root.flags = if root.parent_span_id.is_empty() { SAMPLED | KNOWN } else { SAMPLED | KNOWN | REMOTE };
        root.events.extend(self.seen().waited.map(|at| Event {
            time_unix_nano: at,
            name: "ematix.waiting".to_owned(),
            ..Event::default()
        }));
        if let Some(error) = &report.error {
            fail(&mut root, error);
        }
        spans.push(root);
        spans
    }
}

/// What every signal says of a run.
fn of_run(report: &RunReport, request: &Request) -> Vec<KeyValue> {
    let mut attributes = vec![
        text("ematix.pipeline", &report.pipeline),
        text("ematix.run_id", &report.run_id),
        text("ematix.status", report.status.name()),
        text("ematix.mode", &report.mode),
        truth("ematix.committed", report.committed),
        truth("ematix.dry_run", report.dry_run),
        text("ematix.started_by", &request.started_by),
    ];
    let said = |name: &str, value: &str| (!value.is_empty()).then(|| text(name, value));
    attributes.extend(said("ematix.target", &report.target));
    attributes.extend(said("ematix.source.connection", &report.source_connection));
    attributes.extend(said("ematix.target.connection", &report.target_connection));
    attributes.extend(report.path.map(|path| text("ematix.path", path.name())));
    attributes.extend(request.slot.map(|slot| text("ematix.slot", &slot.to_string())));
    if report.status != Ended::Skipped {
        let rows = crate::rows::of(report);
        attributes.extend(rows.iter().map(|(kind, rows)| number(&format!("ematix.rows.{kind}"), *rows)));
    }
    attributes
}

fn of_database(at: &Address) -> Vec<KeyValue> {
    let mut attributes = vec![text("db.system.name", at.system), text("db.namespace", &at.database)];
    attributes.extend(at.host.as_deref().map(|host| text("server.address", host)));
    attributes.extend(at.port.map(|port| number("server.port", i64::from(port))));
    attributes
}

fn fail(span: &mut Span, error: &FlowError) {
    span.status = Some(Status {
        code: StatusCode::Error.into(),
        message: format!("{}: {}", error.code, error.message),
    });
    span.attributes.push(text("error.type", error.code.name()));
    let state = error.sqlstate.as_deref().map(|state| text("db.response.status_code", state));
    span.attributes.extend(state);
}

/// The command that a step is for: its statements may have others around it.
fn operation(step: &Step) -> String {
    let said = match (&step.action, step.kind) {
        (Action::Copy(_) | Action::Compare(_), _) => "COPY",
        (_, StepKind::Lock) => "LOCK",
        (_, StepKind::Guard) => "SELECT",
        (_, StepKind::Update | StepKind::Close) => "UPDATE",
        (_, StepKind::Delete) => "DELETE",
        (_, StepKind::Truncate) => "TRUNCATE",
        (Action::Execute(statement), StepKind::Ddl) => return ddl_command(&statement.to_string()),
        _ => "INSERT",
    };
    said.to_owned()
}

/// The command of a definition; what asks before it creates creates.
fn ddl_command(statement: &str) -> String {
    let words = statement.lines().map(str::trim_start).filter(|line| !line.starts_with("--"));
    let first = words.flat_map(str::split_whitespace).next().unwrap_or_default();
    let known = ["CREATE", "ALTER", "DROP", "ANALYZE", "COMMENT"];
    known.into_iter().find(|word| first.eq_ignore_ascii_case(word)).unwrap_or("CREATE").to_owned()
}

fn new_span_id() -> Vec<u8> {
    // The first bytes: the others have the version of the UUID in them.
    Uuid::new_v4().as_bytes()[..6].iter().chain(&Uuid::new_v4().as_bytes()[..2]).copied().collect()
}

/// What is sent.
pub fn request(spans: Vec<Span>, resource: &Resource) -> ExportTraceServiceRequest {
    let spans = ScopeSpans { scope: scope(), spans, schema_url: SCHEMA_URL.to_owned() };
    let resource = Some(resource.clone());
    let spans = ResourceSpans { resource, scope_spans: vec![spans], schema_url: SCHEMA_URL.to_owned() };
    ExportTraceServiceRequest { resource_spans: vec![spans] }
}
