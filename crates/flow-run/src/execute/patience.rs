//! How long a run waits: for what another one holds, asking again and again until `lock_timeout`, and for a server that
//! is away for a moment.

use ematix_flow_core::error::{ErrorCode, FlowError};
use ematix_flow_core::pipeline::Pipeline;
use std::time::{Duration, Instant};

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// What is left of the time that a run may wait.
pub(super) struct Patience {
    began: Instant,
    limit: Duration,
    pause: Duration,
    jitter: Duration,
    tried: bool,
}

impl Patience {
    /// The patience of a pipeline's run; `id` keeps runs that wait from stepping on each other's feet.
    pub fn of(pipeline: &Pipeline, id: &str) -> Patience {
        // Those of several processes, too, which may have begun at the same instant by one clock.
        let jitter = (u64::from(id.bytes().last().unwrap_or(0)) + u64::from(std::process::id())) % 17;
        Patience {
            began: Instant::now(),
            limit: pipeline.limits.lock_timeout.as_std(),
            pause: Duration::from_millis(20),
            jitter: Duration::from_millis(jitter),
            tried: false,
        }
    }

    /// Whether another attempt comes in time.
    pub fn lasts(&self) -> bool {
        self.began.elapsed() < self.limit
    }

    /// Sleeps until the next attempt; `told` is called before the first time.
    pub async fn wait(&mut self, told: impl FnOnce()) {
        if !std::mem::replace(&mut self.tried, true) {
            told();
        }
        let left = self.limit.saturating_sub(self.began.elapsed());
        tokio::time::sleep(self.pause.min(left) + self.jitter).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    /// An error that says how long was waited.
    pub fn ended(&self, error: FlowError) -> FlowError {
        error.detail(format!("waited {} s (lock_timeout)", self.limit.as_millis() as f64 / 1000.0))
    }
}

/// The pauses after which a server that cannot be reached is tried again: three seconds, in which one that restarts may
/// be back. Nothing has begun yet, so nothing is done twice.
pub(super) const COMEBACKS: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_millis(600),
    Duration::from_secs(1),
    Duration::from_secs(1),
];

/// Whether a server that gave this answer may give another in a moment. One that took all its time to connect has had it.
pub(super) fn may_come_back(error: &FlowError) -> bool {
    match (error.code, error.sqlstate.as_deref()) {
        // A file that cannot be read will not be read in a moment.
        (ErrorCode::ConnectFailed, None) => !error.context.contains_key("class"),
        (ErrorCode::ConnectionLost, _) => true,
        // It has no connection left, or it starts or shuts down.
        (ErrorCode::ConnectFailed, Some(state)) => matches!(state, "53300" | "57P03"),
        _ => false,
    }
}
