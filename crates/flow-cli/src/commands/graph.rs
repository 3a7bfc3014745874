//! `flow graph`: which pipelines come after which, from the files alone.

use super::DONE;
use crate::args::{GraphArgs, GraphFormat};
use crate::project::{Outcome, Session};
use crate::render::graph::{self as render, Node};
use crate::selection;
use ematix_flow_core::declare::PipelineSpec;
use ematix_flow_core::error::{ErrorCode, FlowError};
use ematix_flow_core::graph::Graph;
use serde_json::json;
use std::collections::HashMap;

/// Draws the pipelines that were asked for.
pub fn graph(session: &Session, args: &GraphArgs) -> Outcome {
    let console = &session.console;
    if !console.is_human() && args.format != GraphFormat::Text {
        let error = FlowError::new(
            ErrorCode::ConflictingOptions,
            "--format draws a graph for people and tools; --output json has it as data",
        );
        return Err(error.hint("leave one of them out").into());
    }
    let project = session.project()?;
    let selection = selection::choose(&project, &args.selection)?;
    let whole = Graph::of(&project);
    let places: HashMap<&str, usize> =
        selection.names.iter().enumerate().map(|(place, name)| (name.as_str(), place)).collect();
    let edges: Vec<(usize, usize)> =
        whole.edges().filter_map(|(from, to)| Some((*places.get(from)?, *places.get(to)?))).collect();
    let nodes: Vec<Node> = selection.names.iter().map(|name| node(name, &project.pipelines[name])).collect();
    match args.format {
        _ if !console.is_human() => {
            let name = |place: usize| &selection.names[place];
            let edges: Vec<_> =
                edges.iter().map(|(from, to)| json!({ "from": name(*from), "to": name(*to) })).collect();
            console.json(&json!({ "schema": "ematix.graph.v1", "pipelines": nodes, "edges": edges }));
        }
        GraphFormat::Text => {
            console.out(&render::tree(&nodes, &edges));
            if edges.is_empty() && nodes.len() > 1 {
                console.tell("none of them comes after another: `after` says it\n");
            }
        }
        GraphFormat::Mermaid => console.out(&render::mermaid(&nodes, &edges)),
        GraphFormat::Dot => console.out(&render::dot(&nodes, &edges)),
    }
    DONE
}

fn node(name: &str, spec: &PipelineSpec) -> Node {
    let options = &spec.options;
    let every = options.every.as_ref().map(|every| format!("every {every}"));
    Node {
        name: name.to_owned(),
        mode: options.mode.map(|mode| mode.name().to_owned()),
        schedule: options.schedule.clone().or(every),
        timezone: options.timezone(),
        freshness: options.freshness.as_ref().map(ToString::to_string),
        tags: options.tags(),
        enabled: options.enabled(),
    }
}
