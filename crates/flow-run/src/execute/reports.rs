//! What a run reports, from what it has come to.

use super::run::{PartProgress, Progress};
use super::targets::Targets;
use super::{About, Engine, Request};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::pipeline::Pipeline;
use ematix_flow_core::report::{RunReport, Status, TransformReport};
use ematix_flow_core::run_value::RunValue;
use serde_json::json;

impl Engine {
    /// The report of a run of several targets, with those of its parts.
    pub(super) fn report_of_several(
        &self,
        targets: &Targets,
        about: &About,
        progress: &Progress,
        outcome: Result<()>,
        request: &Request,
    ) -> RunReport {
        let mut reports = Vec::new();
        for (place, target) in targets.each.iter().enumerate() {
            let pipeline = &target.pipeline;
            let own = About { run_id: target.run_id.clone(), ..about.clone() };
            let mut report = self.report(&pipeline.name, &own, Some(pipeline), progress, &outcome, request);
            let part = &progress.parts[place];
            let planned = progress.plan.as_ref().map(|plan| &plan.parts[place]);
            report.path = planned.map(|part| part.path).or(report.path);
            report.warnings = planned.map(|part| part.warnings.clone()).unwrap_or_default();
            count(&mut report, part.clone(), request);
            reports.push(report);
        }
        let whole = &targets.whole;
        let mut report = self.report(&whole.name, about, Some(whole), progress, &outcome, request);
        let all =
            PartProgress { values: progress.total(), steps: progress.all_steps(), ..PartProgress::default() };
        count(&mut report, all, request);
        report.watermark_after = None;
        report.target = reports.iter().map(|part| part.target.as_str()).collect::<Vec<_>>().join(", ");
        report.warnings = reports.iter().flat_map(|part| part.warnings.clone()).collect();
        report.targets = reports;
        report
    }

    /// The report of a pipeline that is not run, since others that come before it did not end in success.
    pub fn kept(&self, pipeline: &str, by: &[&str], request: &Request) -> RunReport {
        let named = by.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let mut error = FlowError::new(
            ErrorCode::UpstreamFailed,
            format!("it comes after {named}, which did not end in success"),
        );
        error.context.insert("upstream".to_owned(), json!(by));
        let now = format!("{:.6}", jiff::Timestamp::now());
        let built = Pipeline::build(&self.project, pipeline, &request.overrides).ok();
        let declared = self.project.pipelines.get(pipeline).and_then(|spec| spec.options.mode);
        let of_built = |text: fn(&Pipeline) -> String| built.as_ref().map(text).unwrap_or_default();
        RunReport {
            status: Status::Skipped,
            mode: declared.map_or("", |mode| mode.name()).to_owned(),
            dry_run: request.dry_run,
            source_connection: of_built(|built| built.source.place().to_owned()),
            target_connection: of_built(|built| built.target_connection.clone()),
            target: of_built(|built| built.target.name().to_string()),
            started_at: now.clone(),
            ended_at: now,
            error: Some(error),
            ..RunReport::of(pipeline)
        }
    }

    /// What a report says but for what was counted.
    pub(super) fn report(
        &self,
        pipeline: &str,
        about: &About,
        built: Option<&Pipeline>,
        progress: &Progress,
        outcome: &Result<()>,
        request: &Request,
    ) -> RunReport {
        let spec = self.project.pipelines.get(pipeline);
        let declared = spec.and_then(|spec| spec.options.mode);
        let mode = built.map(|built| built.strategy.mode()).or(declared);
        let of_built = |text: fn(&Pipeline) -> String| built.map(text).unwrap_or_default();
        RunReport {
            run_id: about.run_id.clone(),
            status: match outcome {
                Ok(()) if progress.slot_taken => Status::Skipped,
                Ok(()) => Status::Success,
                Err(error) => Status::of_error(error),
            },
            committed: outcome.is_ok() && !request.dry_run && !progress.slot_taken,
            mode: request.instead().or(mode.map(|mode| mode.name())).unwrap_or_default().to_owned(),
            path: progress.path.as_ref().map(|path| path.path),
            path_reason: progress.path.as_ref().map(|path| path.reason.clone()),
            dry_run: request.dry_run,
            source_connection: of_built(|built| built.source.place().to_owned()),
            target_connection: of_built(|built| built.target_connection.clone()),
            target: of_built(|built| built.target.name().to_string()),
            started_at: format!("{:.6}", about.started_at),
            ended_at: format!("{:.6}", jiff::Timestamp::now()),
            duration_ms: about.started.elapsed().as_millis() as u64,
            error: outcome.as_ref().err().cloned(),
            ..RunReport::of(pipeline)
        }
    }
}

impl About {
    /// Enters how what follows the commit has ended: the load stands, whatever became of it.
    pub(super) fn ended(
        &self,
        report: &mut RunReport,
        transforms: Vec<TransformReport>,
        failed: Option<FlowError>,
    ) {
        report.transforms = transforms;
        if let Some(error) = failed {
            report.status = Status::of_error(&error);
            report.error = Some(error);
        }
        report.ended_at = format!("{:.6}", jiff::Timestamp::now());
        report.duration_ms = self.started.elapsed().as_millis() as u64;
    }
}

/// Enters what was counted.
pub fn count(report: &mut RunReport, part: PartProgress, request: &Request) {
    report.count(&part.values);
    report.watermark_before = part.watermark_before;
    report.watermark_after = part.values.text(RunValue::Watermark).map(str::to_owned);
    report.warnings.extend(part.warnings);
    report.sample = (request.sample > 0).then_some(part.sample);
    report.steps = part.steps;
}
