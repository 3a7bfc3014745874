//! Arguments of `daemon`.

use super::SelectionArgs;
use clap::Args;
use ematix_flow_core::duration::Duration;
use std::num::NonZeroUsize;
use std::path::PathBuf;

pub(super) const EXAMPLES: &str = "\
It serves the slots of the schedules as they come, by the same claims as
run-due: several daemons and calls of run-due never run a slot twice. SIGTERM
begins nothing more, gives running loads --grace, and ends with 0. SIGHUP, or a
changed file, reads the definitions again; faulty ones leave the last in force.

/livez, /readyz and /metrics answer at --listen, and / shows the status page.
Elsewhere than on loopback, / and /metrics need the token of --token-file.

Examples:
  flow daemon --jobs 4
  flow daemon --listen 0.0.0.0:8686 --token-file /run/secrets/flow";

/// Where the daemon answers when nothing is said.
const LISTEN: &str = "127.0.0.1:8686";

/// Arguments of `daemon`.
#[derive(Clone, Debug, Args)]
pub struct DaemonArgs {
    /// The pipelines.
    #[command(flatten)]
    pub selection: SelectionArgs,
    /// How many pipelines run at once
    #[arg(long, value_name = "N", default_value = "4")]
    pub jobs: NonZeroUsize,
    /// How long running loads may go on after SIGTERM
    #[arg(long, value_name = "LENGTH", default_value = "30s", value_parser = length)]
    pub grace: Duration,
    /// Where to answer: ADDRESS:PORT, or off
    #[arg(long, value_name = "ADDRESS", default_value = LISTEN)]
    pub listen: String,
    /// The token that / and /metrics ask for
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub token_file: Option<PathBuf>,
}

fn length(text: &str) -> Result<Duration, String> {
    Duration::parse(text).map_err(|error| error.hint.map_or(error.message, |hint| hint))
}
