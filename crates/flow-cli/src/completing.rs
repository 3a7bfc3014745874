//! What a shell offers behind the words that are there: the names of the project's files. Nothing is opened but the
//! files, no module of Python is imported, and a mistake in them offers less, without a word.

use crate::workspace::DEFAULT_CONFIG;
use clap_complete::engine::CompletionCandidate;
use ematix_flow_core::declare::environment::ProcessEnvironment;
use ematix_flow_core::declare::variables::Chosen;
use ematix_flow_core::declare::{ProjectSpec, toml_file};
use ematix_flow_core::error::ErrorCode;
use std::ffi::OsStr;
use std::path::PathBuf;

/// The variable in which a shell says that it asks.
pub const VARIABLE: &str = "COMPLETE";

const KINDS: [&str; 3] = ["tag", "source", "target"];

/// Pipelines, and by which of their marks they may be meant.
pub fn selections(current: &OsStr) -> Vec<CompletionCandidate> {
    let (Some(project), Some(current)) = (project(), current.to_str()) else { return Vec::new() };
    let (before, last) = match current.rsplit_once(',') {
        Some((before, last)) => (format!("{before},"), last),
        None => (String::new(), current),
    };
    let (before, last) = match last.strip_prefix('+') {
        Some(last) => (format!("{before}+"), last),
        None => (before, last),
    };
    // Bash takes `tag:crm` for three words, and asks for the third.
    if let Some(kind) = kind_before() {
        return offered(values(&project, kind), last, "");
    }
    let all = match last.split_once(':').and_then(|(kind, _)| KINDS.into_iter().find(|known| *known == kind))
    {
        Some(kind) => values(&project, kind).into_iter().map(|value| format!("{kind}:{value}")).collect(),
        None => {
            let kinds = KINDS.into_iter().map(|kind| format!("{kind}:")).chain(["state:changed".to_owned()]);
            let meant = kinds.filter(|kind| !last.is_empty() && kind.starts_with(last));
            project.pipelines.keys().cloned().chain(meant).collect()
        }
    };
    offered(all, last, &before)
}

/// Pipelines.
pub fn pipelines(current: &OsStr) -> Vec<CompletionCandidate> {
    from_project(current, |project| project.pipelines.keys().cloned().collect())
}

/// Transforms.
pub fn transforms(current: &OsStr) -> Vec<CompletionCandidate> {
    from_project(current, |project| project.transforms.keys().cloned().collect())
}

/// Feature views.
pub fn features(current: &OsStr) -> Vec<CompletionCandidate> {
    from_project(current, |project| project.features().map(|(key, ..)| key.to_owned()).collect())
}

/// Connections.
pub fn connections(current: &OsStr) -> Vec<CompletionCandidate> {
    from_project(current, |project| project.connections.keys().cloned().collect())
}

/// Codes of errors.
pub fn codes(current: &OsStr) -> Vec<CompletionCandidate> {
    let codes = ErrorCode::ALL.iter().map(|code| code.name().to_owned()).collect();
    current.to_str().map(|current| offered(codes, current, "")).unwrap_or_default()
}

fn from_project(
    current: &OsStr,
    names: impl FnOnce(&ProjectSpec) -> Vec<String>,
) -> Vec<CompletionCandidate> {
    match (project(), current.to_str()) {
        (Some(project), Some(current)) => offered(names(&project), current, ""),
        _ => Vec::new(),
    }
}

/// What there is of a kind, each once.
fn values(project: &ProjectSpec, kind: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for spec in project.pipelines.values() {
        match kind {
            "tag" => found.extend(spec.options.tags.iter().flatten().cloned()),
            "source" => found.push(spec.source.place().to_owned()),
            _ => found.push(spec.target.clone()),
        }
    }
    found.sort();
    found.dedup();
    found
}

fn offered(names: Vec<String>, current: &str, before: &str) -> Vec<CompletionCandidate> {
    let fitting = names.into_iter().filter(|name| name.starts_with(current) && is_one_word(name));
    fitting.map(|name| CompletionCandidate::new(format!("{before}{name}"))).collect()
}

/// Whether a shell takes it for one word that means itself. Names may come from tables that others made, and what is
/// offered is put on the command line as it is.
fn is_one_word(name: &str) -> bool {
    name.chars().all(|sign| sign.is_alphanumeric() || "_-.:,/@+=%".contains(sign))
}

/// The words that stand behind `--` where a shell asks.
fn words() -> Vec<String> {
    let words = std::env::args_os().skip_while(|word| word != "--").skip(1);
    words.map(|word| word.to_string_lossy().into_owned()).collect()
}

/// The kind of which Bash wants a value: it stands before a colon, or before what was a colon.
fn kind_before() -> Option<&'static str> {
    let index: usize = std::env::var("_CLAP_COMPLETE_INDEX").ok()?.parse().ok()?;
    let words = words();
    let at = |back: usize| index.checked_sub(back).and_then(|index| words.get(index)).map(String::as_str);
    let word = match (at(1)?, at(0)) {
        (":", _) => at(2)?,
        (word, Some("")) => word,
        _ => return None,
    };
    KINDS.into_iter().find(|kind| *kind == word)
}

/// The project that the words before are about.
fn project() -> Option<ProjectSpec> {
    let words = words();
    let option = |name: &str| {
        let place = words.iter().position(|word| word == name);
        let joined = words.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        place.and_then(|place| words.get(place + 1).map(String::as_str)).or(joined)
    };
    let said = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let config = option("--config").map(str::to_owned).or_else(|| said("EMATIX_FLOW_CONFIG"));
    let config = config.map_or_else(|| PathBuf::from(DEFAULT_CONFIG), PathBuf::from);
    let environment = option("--env").map(str::to_owned).or_else(|| said("EMATIX_FLOW_ENV"));
    let read = |environment: Option<String>| {
        let chosen = Chosen { environment, ..Chosen::default() };
        toml_file::read_sound(&config, &chosen, &ProcessEnvironment).ok().map(|(project, _)| project)
    };
    // One that is still being typed is none yet.
    read(environment).or_else(|| read(None))
}
