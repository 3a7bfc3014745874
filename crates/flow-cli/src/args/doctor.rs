//! `flow doctor` on the command line.

use super::SelectionArgs;
use clap::Args;

pub(super) const EXAMPLES: &str = "\
Looks at connections (the way, the server, its clock, its room, what dead runs
have left) and at pipelines (whether source and target are ready). Writes
nothing. Ends with 0 where nothing fails, warnings or not, else with 1.

Examples:
  flow doctor                           every connection, every pipeline
  flow doctor warehouse                 one connection
  flow doctor customers                 a pipeline and its connections
  flow doctor --all --output json
  flow doctor --grants customers        the least GRANTs, as SQL to paste
  flow doctor --grants customers --role loader";

/// Arguments of `doctor`.
#[derive(Clone, Debug, Args)]
pub struct DoctorArgs {
    /// The pipelines; names of connections are taken, too.
    #[command(flatten)]
    pub selection: SelectionArgs,
    /// Print the least GRANTs that the pipelines need, as SQL
    #[arg(long)]
    pub grants: bool,
    /// With --grants: the role that is granted them, instead of those of the connections
    #[arg(long, value_name = "ROLE", requires = "grants")]
    pub role: Option<String>,
}
