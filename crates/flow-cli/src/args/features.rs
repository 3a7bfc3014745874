//! Arguments of `features`.

use crate::completing;
use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCompleter;
use std::num::NonZeroUsize;

pub(super) const EXAMPLES: &str = "\
A NAME is a key of [features], a view, or the table of one of its versions.

Examples:
  flow features list
  flow features show user_features
  flow features materialize user_features
  flow features freshness --output json";

/// What to do with feature views.
#[derive(Clone, Debug, Subcommand)]
pub enum FeaturesCommand {
    /// List the feature views with their entities and versions
    #[command(after_help = "\
Examples:
  flow features list
  flow features list --output json")]
    List,
    /// Show how a feature view is declared, and what fills it
    #[command(after_help = "\
Of a view with several versions it shows the one that the view shows.

Examples:
  flow features show user_features
  flow features show features.user_features_v1")]
    Show {
        /// The feature view
        #[arg(value_name = "NAME", add = ArgValueCompleter::new(completing::features))]
        name: String,
    },
    /// Run the pipelines that fill feature views
    #[command(after_help = "\
What is served is kept or refreshed by the same runs. Without NAME: all views.

Examples:
  flow features materialize user_features
  flow features materialize --jobs 4")]
    Materialize(MaterializeArgs),
    /// Tell how old what is served is; exit 1 where it is too old
    #[command(after_help = "\
Counted from the begin of the last load that is served: where a materialised
view is, that is the last one whose refresh succeeded. A view with
freshness = \"1h\" that is older, or was never loaded, is stale.

Examples:
  flow features freshness
  flow features freshness user_features --output json")]
    Freshness {
        /// Feature views; all where none is named
        #[arg(value_name = "NAME", add = ArgValueCompleter::new(completing::features))]
        names: Vec<String>,
    },
}

/// Arguments of `features materialize`.
#[derive(Clone, Debug, Args)]
pub struct MaterializeArgs {
    /// Feature views; all where none is named
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(completing::features))]
    pub names: Vec<String>,
    /// How many pipelines run at once
    #[arg(long, value_name = "N", default_value = "1", hide_default_value = true)]
    pub jobs: NonZeroUsize,
}
