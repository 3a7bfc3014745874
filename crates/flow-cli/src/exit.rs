//! What a process ends with, from what its runs ended with.

use ematix_flow_core::error::{ErrorCode, ExitCode, FlowError};
use ematix_flow_core::report::{RunReport, RunRow, Status, TransformReport};
use ematix_flow_run::execute::Stop;

/// The exit code of one run.
pub fn of_report(report: &RunReport, stop: Stop) -> ExitCode {
    of_end(report.status, report.error.as_ref(), stop)
}

/// The exit code of a transform that ran by itself.
pub fn of_transform(report: &TransformReport, stop: Stop) -> ExitCode {
    of_end(report.status, report.error.as_ref(), stop)
}

/// The exit code with which a run of the history ended, as far as its row tells.
pub fn of_row(run: &RunRow) -> ExitCode {
    let code = run.error_code.as_deref().and_then(ErrorCode::from_name);
    let own = match run.status.as_str() {
        "success" | "skipped" | "running" => ExitCode::Success,
        "refused" => ExitCode::Refused,
        "locked" => ExitCode::Locked,
        "cancelled" => ExitCode::Interrupted,
        _ => of_failure(code),
    };
    let after = run.transforms.iter().any(|transform| transform.error_code.is_some());
    if own == ExitCode::Success && after { ExitCode::Failed } else { own }
}

fn of_failure(code: Option<ErrorCode>) -> ExitCode {
    match code.map(ErrorCode::exit) {
        Some(code @ (ExitCode::Unreachable | ExitCode::Usage)) => code,
        _ => ExitCode::Failed,
    }
}

fn of_end(status: Status, error: Option<&FlowError>, stop: Stop) -> ExitCode {
    match status {
        Status::Success | Status::Skipped | Status::Running => ExitCode::Success,
        Status::Refused => ExitCode::Refused,
        Status::Locked => ExitCode::Locked,
        Status::Cancelled if stop == Stop::Terminate => ExitCode::Terminated,
        Status::Cancelled => ExitCode::Interrupted,
        Status::Failed | Status::Lost => of_failure(error.map(|error| error.code)),
    }
}

/// The exit code of a command that was asked to stop before all of its runs had begun; success where none is left.
pub fn of_rest(left: usize, stop: Stop) -> ExitCode {
    match stop {
        Stop::Terminate if left > 0 => ExitCode::Terminated,
        Stop::Interrupt if left > 0 => ExitCode::Interrupted,
        _ => ExitCode::Success,
    }
}

/// The exit code of some errors that kept a command from its work.
pub fn of_errors(errors: &[FlowError]) -> ExitCode {
    shared(errors.iter().map(of_error))
}

/// The exit code of one of them.
pub fn of_error(error: &FlowError) -> ExitCode {
    match error.context.get("signal").and_then(|signal| signal.as_str()) {
        Some("SIGTERM") => ExitCode::Terminated,
        _ => error.code.exit(),
    }
}

/// Of several: success if all are, else the code that the failures share, else 1.
pub fn shared(codes: impl IntoIterator<Item = ExitCode>) -> ExitCode {
    let mut failures = codes.into_iter().filter(|code| *code != ExitCode::Success);
    match failures.next() {
        None => ExitCode::Success,
        Some(first) if failures.all(|code| code == first) => first,
        Some(_) => ExitCode::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_that_leaves_runs_undone_is_no_success() {
        assert_eq!(of_rest(1, Stop::Terminate), ExitCode::Terminated);
        assert_eq!(of_rest(2, Stop::Interrupt), ExitCode::Interrupted);
        assert_eq!(of_rest(1, Stop::No), ExitCode::Success);
        assert_eq!(of_rest(0, Stop::Terminate), ExitCode::Success, "all have run");
    }

    #[test]
    fn several_failures_end_with_the_code_they_share_else_with_1() {
        use ExitCode::*;
        assert_eq!(shared([]), Success);
        assert_eq!(shared([Success, Success]), Success);
        assert_eq!(shared([Success, Refused, Success, Refused]), Refused);
        assert_eq!(shared([Refused, Locked]), Failed);
        assert_eq!(shared([Unreachable]), Unreachable);
    }
}
