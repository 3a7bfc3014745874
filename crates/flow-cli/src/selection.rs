//! Which pipelines a command is about. A space adds, a comma narrows, `--exclude` removes, `+` takes what lies before or
//! behind; the answer stands in the order of the declarations.

use crate::args::SelectionArgs;
use crate::changed::{self, CHANGED};
use crate::project;
use ematix_flow_core::declare::glob::covers;
use ematix_flow_core::declare::{PipelineSpec, ProjectSpec};
use ematix_flow_core::error::{ErrorCode, FlowError, Result, did_you_mean};
use ematix_flow_core::graph::Graph;
use std::cell::OnceCell;

/// Pipelines by name, and whether one was named exactly: then a command answers with one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// The names, in the order of the declarations.
    pub names: Vec<String>,
    /// Whether exactly one pipeline was asked for by its name.
    pub single: bool,
}

/// What was asked for, as it was said.
pub fn said(args: &SelectionArgs) -> Vec<String> {
    args.names.iter().chain(&args.select).cloned().collect()
}

/// The pipelines that were asked for; all of them where nothing was said.
///
/// # Errors
/// `unknown_pipeline` for a name, glob, tag, source or target that matches nothing.
pub fn choose(project: &ProjectSpec, args: &SelectionArgs) -> Result<Selection> {
    let wanted: Vec<&String> = args.names.iter().chain(&args.select).collect();
    let by_state =
        |selector: &&String| selector.split(',').any(|part| Part::of(project, part.trim()).inner == CHANGED);
    let asks_state = wanted.iter().copied().chain(&args.exclude).any(|selector| by_state(&selector));
    let changed = changed::since(project, args.against.as_deref(), asks_state)?;
    let of = Of { project, changed, graph: OnceCell::new() };
    let mut chosen = vec![wanted.is_empty(); project.pipelines.len()];
    for selector in &wanted {
        of.mark(selector, &mut chosen, true)?;
    }
    for selector in &args.exclude {
        of.mark(selector, &mut chosen, false)?;
    }
    let names: Vec<String> = project
        .pipelines
        .keys()
        .zip(&chosen)
        .filter(|(_, chosen)| **chosen)
        .map(|(name, _)| name.clone())
        .collect();
    // That nothing has changed is an answer.
    if names.is_empty() && !project.pipelines.is_empty() && !asks_state {
        return Err(FlowError::new(ErrorCode::UnknownPipeline, "--exclude leaves no pipeline"));
    }
    let single = matches!(wanted.as_slice(), [only] if project.pipelines.contains_key(only.as_str()));
    Ok(Selection { names, single })
}

/// The pipelines that were asked for, where something must be said.
///
/// # Errors
/// `missing_option` with the names of the pipelines, and those of [`choose`].
pub fn choose_some(project: &ProjectSpec, args: &SelectionArgs, command: &str) -> Result<Selection> {
    if is_nothing(args) {
        let mut error = FlowError::new(
            ErrorCode::MissingOption,
            format!("`flow {command}` needs the name of a pipeline, or --all"),
        );
        if !project.pipelines.is_empty() {
            error = error.detail(format!("pipelines: {}", names_of(project)));
        }
        let example = project.pipelines.keys().next().map_or("NAME", String::as_str);
        return Err(error.hint(format!(
            "flow {command} {}, flow {command} tag:NAME, flow {command} --all",
            quoted(example)
        )));
    }
    choose(project, args)
}

/// Whether no pipeline was asked for, nor all of them.
pub fn is_nothing(args: &SelectionArgs) -> bool {
    args.names.is_empty() && args.select.is_empty() && !args.all
}

/// One pipeline by its exact name.
///
/// # Errors
/// `unknown_pipeline`.
pub fn one<'a>(project: &'a ProjectSpec, name: &str) -> Result<&'a PipelineSpec> {
    project.pipelines.get(name).ok_or_else(|| {
        let of = Of { project, changed: Vec::new(), graph: OnceCell::new() };
        let found = project.pipelines.iter().filter(|(each, spec)| of.matches(each, spec, name));
        let found: Vec<&str> = found.map(|(each, _)| each.as_str()).collect();
        match found.as_slice() {
            [] => unknown(project, name),
            found => FlowError::new(
                ErrorCode::UnknownPipeline,
                format!("`{name}` is no name of a pipeline: this command is about one alone"),
            )
            .hint(format!("it matches {}: name one of them", found.join(", "))),
        }
    })
}

/// A part of a selector between commas.
struct Part<'s> {
    /// Without the signs around it.
    inner: &'s str,
    /// Whether what lies before it is meant, too: `+NAME`.
    upstream: bool,
    /// Whether what lies behind it is meant, too: `NAME+`.
    downstream: bool,
}

impl<'s> Part<'s> {
    /// A part as it is written; the sign may belong to a name.
    fn of(project: &ProjectSpec, written: &'s str) -> Part<'s> {
        if project.pipelines.contains_key(written) {
            return Part { inner: written, upstream: false, downstream: false };
        }
        let (upstream, rest) = written.strip_prefix('+').map_or((false, written), |rest| (true, rest));
        let (downstream, inner) = rest.strip_suffix('+').map_or((false, rest), |inner| (true, inner));
        Part { inner, upstream, downstream }
    }
}

/// What selectors are about.
struct Of<'a> {
    project: &'a ProjectSpec,
    /// The pipelines that are declared otherwise than in the state that was given.
    changed: Vec<String>,
    /// Made when it is first asked.
    graph: OnceCell<Graph>,
}

impl Of<'_> {
    fn mark(&self, selector: &str, chosen: &mut [bool], to: bool) -> Result<()> {
        let project = self.project;
        if let Some(index) = project.pipelines.get_index_of(selector) {
            chosen[index] = to;
            return Ok(());
        }
        let parts: Vec<&str> = selector.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
        let mut meant = vec![!parts.is_empty(); project.pipelines.len()];
        let mut found = false;
        for written in &parts {
            let part = Part::of(project, written);
            let by_part = self.meant(&part);
            // Each part must mean something by itself, so that a slip in one of them is named.
            if !by_part.contains(&true) && part.inner != CHANGED {
                return Err(matches_nothing(project, part.inner));
            }
            found |= part.inner == CHANGED;
            for (meant, by_part) in meant.iter_mut().zip(by_part) {
                *meant &= by_part;
            }
        }
        for (chosen, _) in chosen.iter_mut().zip(&meant).filter(|(_, meant)| **meant) {
            *chosen = to;
            found = true;
        }
        if found {
            Ok(())
        } else {
            Err(FlowError::new(ErrorCode::UnknownPipeline, format!("no pipeline matches `{selector}`")))
        }
    }

    /// The pipelines that a part means, in the order of the declarations.
    fn meant(&self, part: &Part<'_>) -> Vec<bool> {
        let all = || self.project.pipelines.iter();
        let own: Vec<bool> = all().map(|(name, spec)| self.matches(name, spec, part.inner)).collect();
        if !part.upstream && !part.downstream {
            return own;
        }
        let graph = self.graph.get_or_init(|| Graph::of(self.project));
        let names = || all().zip(&own).filter(|(_, own)| **own).map(|((name, _), _)| name.as_str());
        let mut meant = own.clone();
        let before = part.upstream.then(|| graph.with_all_upstream(names()));
        let behind = part.downstream.then(|| graph.with_all_downstream(names()));
        for name in before.into_iter().chain(behind).flatten() {
            if let Some(index) = self.project.pipelines.get_index_of(name) {
                meant[index] = true;
            }
        }
        meant
    }

    fn matches(&self, name: &str, spec: &PipelineSpec, part: &str) -> bool {
        let project = self.project;
        match part.split_once(':') {
            _ if part == CHANGED => self.changed.iter().any(|changed| changed == name),
            Some(("tag", tag)) => spec.options.tags.iter().flatten().any(|have| covers(tag, have)),
            Some(("source", source)) => covers(source, project::source_connection(spec)),
            Some(("target", target)) => {
                project.target_names(name, spec).iter().any(|own| covers(target, own))
                    || covers(target, &spec.target)
            }
            _ => covers(part, name) || project.members.get(name).is_some_and(|member| member.of == part),
        }
    }
}

fn matches_nothing(project: &ProjectSpec, part: &str) -> FlowError {
    let distinct = |names: Vec<String>| {
        let mut seen: Vec<String> = Vec::new();
        for name in names {
            if !seen.contains(&name) {
                seen.push(name);
            }
        }
        seen
    };
    let specs = || project.pipelines.values();
    let (kind, word, known) = match part.split_once(':') {
        Some(("tag", word)) => {
            ("tag", word, specs().flat_map(|spec| spec.options.tags.clone().unwrap_or_default()).collect())
        }
        Some(("source", word)) => {
            ("source", word, specs().map(|spec| project::source_connection(spec).to_owned()).collect())
        }
        Some(("target", word)) => ("target", word, specs().map(|spec| project.target_name(spec)).collect()),
        Some(("state", word)) => {
            return FlowError::new(
                ErrorCode::InvalidValue,
                format!("there is no state `{word}` to select by"),
            )
            .hint(format!("{CHANGED} takes what is declared otherwise than in --against FILE"));
        }
        _ => return unknown(project, part),
    };
    let known = distinct(known);
    let error = FlowError::new(ErrorCode::UnknownPipeline, format!("no pipeline has the {kind} `{word}`"));
    match did_you_mean(word, known.iter().map(String::as_str)) {
        Some(near) => error.hint(format!("did you mean `{kind}:{near}`?")),
        None if known.is_empty() => error.hint(format!("no pipeline has a {kind}")),
        None => error.hint(format!("{kind}s: {}", known.join(", "))),
    }
}

fn unknown(project: &ProjectSpec, name: &str) -> FlowError {
    if project.pipelines.is_empty() {
        return FlowError::new(
            ErrorCode::UnknownPipeline,
            format!("there is no pipeline `{name}`: the project declares none"),
        );
    }
    let is_glob = name.contains(['*', '?']);
    let message = if is_glob {
        format!("no pipeline matches `{name}`")
    } else {
        format!("there is no pipeline `{name}`")
    };
    let error = FlowError::new(ErrorCode::UnknownPipeline, message);
    match did_you_mean(name, project.pipelines.keys().map(String::as_str)) {
        Some(near) if !is_glob => error.hint(format!("did you mean `{near}`?")),
        _ => error.hint(format!("pipelines: {}", names_of(project))),
    }
}

fn names_of(project: &ProjectSpec) -> String {
    const SHOWN: usize = 12;
    let mut names: Vec<&str> = project.pipelines.keys().map(String::as_str).take(SHOWN).collect();
    let more = project.pipelines.len().saturating_sub(SHOWN);
    let rest = format!("… and {more} more");
    if more > 0 {
        names.push(&rest);
    }
    names.join(", ")
}

/// A name as a shell takes it.
fn quoted(name: &str) -> String {
    if name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.')) {
        name.to_owned()
    } else {
        format!("'{name}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ematix_flow_core::declare::{Names, PipelineOptions, SourceSpec, TableSpec};

    fn project() -> ProjectSpec {
        let pipeline = |source: &str, target: &str, tags: &[&str]| PipelineSpec {
            source: SourceSpec { connection: Some(source.into()), ..SourceSpec::default() },
            target: target.into(),
            options: PipelineOptions {
                tags: Some(tags.iter().map(|tag| (*tag).to_owned()).collect()),
                ..PipelineOptions::default()
            },
        };
        let mut project = ProjectSpec::default();
        project.tables.insert(
            "dim_customers".into(),
            TableSpec { schema: Some("analytics".into()), ..TableSpec::default() },
        );
        project.pipelines.insert("customers".into(), pipeline("crm", "dim_customers", &["crm", "daily"]));
        project.pipelines.insert("mirror_a".into(), pipeline("crm", "mirror.a", &["crm"]));
        project.pipelines.insert("mirror_b".into(), pipeline("shop", "mirror.b", &[]));
        // a → b → customers
        let after = |name: &str| Some(Names::One(name.to_owned()));
        project.pipelines["mirror_b"].options.after = after("mirror_a");
        project.pipelines["customers"].options.after = after("mirror_b");
        project
    }

    fn chosen(names: &[&str], exclude: &[&str]) -> Result<Vec<String>> {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let args = SelectionArgs { names: own(names), exclude: own(exclude), ..SelectionArgs::default() };
        choose(&project(), &args).map(|selection| selection.names)
    }

    #[test]
    fn a_space_adds_a_comma_narrows_and_exclude_removes() {
        assert_eq!(chosen(&[], &[]).unwrap(), ["customers", "mirror_a", "mirror_b"]);
        assert_eq!(chosen(&["mirror_*"], &[]).unwrap(), ["mirror_a", "mirror_b"]);
        assert_eq!(chosen(&["tag:crm,mirror_*"], &[]).unwrap(), ["mirror_a"]);
        assert_eq!(chosen(&["source:shop", "customers"], &[]).unwrap(), ["customers", "mirror_b"]);
        assert_eq!(chosen(&["target:analytics.*"], &[]).unwrap(), ["customers"]);
        assert_eq!(chosen(&["tag:crm"], &["customers"]).unwrap(), ["mirror_a"]);
    }

    #[test]
    fn a_plus_takes_what_lies_before_or_behind() {
        assert_eq!(chosen(&["+mirror_b"], &[]).unwrap(), ["mirror_a", "mirror_b"]);
        assert_eq!(chosen(&["mirror_b+"], &[]).unwrap(), ["customers", "mirror_b"]);
        assert_eq!(chosen(&["+mirror_b+"], &[]).unwrap(), ["customers", "mirror_a", "mirror_b"]);
        assert_eq!(chosen(&["+tag:daily"], &[]).unwrap(), ["customers", "mirror_a", "mirror_b"]);
        assert_eq!(chosen(&["*_a+"], &["mirror_b+"]).unwrap(), ["mirror_a"]);
        assert_eq!(chosen(&["source:shop+,tag:crm"], &[]).unwrap(), ["customers"]);
        assert_eq!(chosen(&[], &["+mirror_b"]).unwrap(), ["customers"]);
        assert_eq!(
            chosen(&["+mirror_bb"], &[]).unwrap_err().hint.unwrap(),
            "did you mean `mirror_b`?",
            "the name is meant, without its sign"
        );
        assert!(chosen(&["+"], &[]).is_err());
    }

    #[test]
    fn a_name_may_have_the_sign_itself() {
        let mut project = project();
        let odd = project.pipelines["mirror_b"].clone();
        project.pipelines.insert("c+".into(), odd);
        let names = |selector: &str| {
            let args = SelectionArgs { names: vec![selector.into()], ..SelectionArgs::default() };
            choose(&project, &args).unwrap().names
        };
        assert_eq!(names("c+"), ["c+"]);
        assert_eq!(names("+c++"), ["mirror_a", "c+"]);
    }

    #[test]
    fn what_matches_nothing_is_an_error_with_the_nearest_name() {
        let hint = |names: &[&str]| chosen(names, &[]).map_err(|error| (error.message, error.hint.unwrap()));
        assert_eq!(
            hint(&["custmers"]),
            Err(("there is no pipeline `custmers`".into(), "did you mean `customers`?".into()))
        );
        assert_eq!(
            hint(&["x*"]),
            Err(("no pipeline matches `x*`".into(), "pipelines: customers, mirror_a, mirror_b".into()))
        );
        assert_eq!(
            hint(&["tag:dialy"]),
            Err(("no pipeline has the tag `dialy`".into(), "did you mean `tag:daily`?".into()))
        );
    }

    #[test]
    fn one_exact_name_is_single_and_a_glob_with_one_match_is_not() {
        let single = |name: &str| {
            let args = SelectionArgs { names: vec![name.into()], ..SelectionArgs::default() };
            choose(&project(), &args).unwrap().single
        };
        assert!(single("customers"));
        assert!(!single("cust*"));
    }
}
