//! Holds `after` against the pipelines that there are: every name is one, nobody waits for himself, and it is known
//! which run of an upstream is meant.

use super::Graph;
use crate::declare::for_each::name_glob;
use crate::declare::glob::covers;
use crate::declare::{PipelineSpec, Places, ProjectSpec};
use crate::error::{ErrorCode, FlowError, Location, did_you_mean};

/// What a name in `after` leads to.
enum Meant {
    /// Pipelines, by their places. Several where one that stands for many names others by its variables.
    Pipelines(Vec<usize>),
    /// What only a database knows, which was not asked.
    Elsewhere,
    /// A pipeline that was left out for its mistakes.
    LeftOut,
    /// Nothing.
    Nothing,
}

/// A mistake, and the pipelines that cannot run for it.
struct Fault {
    /// The place of the first of them.
    of: usize,
    error: FlowError,
}

/// What is wrong with the `after` of a whole project, in the order of the files.
pub fn faults(project: &ProjectSpec) -> Vec<FlowError> {
    found(project).into_iter().map(|fault| fault.error).collect()
}

/// Takes the pipelines out whose `after` is wrong, and those that come after one that is not there; what is wrong.
pub fn keep_sound(project: &mut ProjectSpec) -> Vec<FlowError> {
    let graph = Graph::of(project);
    let mut out = vec![false; project.pipelines.len()];
    let mut errors = Vec::new();
    for fault in found(project) {
        out[fault.of] = true;
        errors.push(fault.error);
    }
    let mut open: Vec<usize> = (0..out.len()).filter(|place| out[*place]).collect();
    for (place, (name, spec)) in project.pipelines.iter().enumerate() {
        let gone = spec.options.after();
        let gone = gone.iter().find(|before| matches!(meant(project, name, before), Meant::LeftOut));
        if let Some(before) = gone.filter(|_| !std::mem::replace(&mut out[place], true)) {
            errors.push(left_out(project, name, before));
            open.push(place);
        }
    }
    while let Some(place) = open.pop() {
        for after in graph.downstream[place].iter().copied() {
            if !std::mem::replace(&mut out[after], true) {
                errors.push(left_out(project, graph.name(after), graph.name(place)));
                open.push(after);
            }
        }
    }
    if !errors.is_empty() {
        let mut out = out.into_iter();
        project.pipelines.retain(|_, _| !out.next().unwrap_or_default());
        let left = &project.pipelines;
        project.together.retain(|name, _| left.contains_key(name));
    }
    errors
}

/// Every edge between pipelines that there are.
pub(super) fn edges(project: &ProjectSpec) -> Vec<(usize, usize)> {
    let mut edges = Vec::new();
    for (place, (name, spec)) in project.pipelines.iter().enumerate() {
        for before in spec.options.after.iter().flat_map(|after| after.iter()) {
            if let Meant::Pipelines(places) = meant(project, name, before) {
                edges.extend(places.into_iter().map(|before| (before, place)));
            }
        }
    }
    edges
}

fn meant(project: &ProjectSpec, of: &str, name: &str) -> Meant {
    if let Some(place) = project.pipelines.get_index_of(name) {
        return Meant::Pipelines(vec![place]);
    }
    let places_of = |means: &dyn Fn(&str) -> bool| -> Vec<usize> {
        let all = project.pipelines.keys().enumerate();
        all.filter(|(_, name)| means(name)).map(|(place, _)| place).collect()
    };
    let of_many = places_of(&|known| project.each.contains_key(known) && covers(&name_glob(known), name));
    if !of_many.is_empty() {
        return Meant::Pipelines(of_many);
    }
    if name.contains('{') && project.each.contains_key(of) {
        let glob = name_glob(name);
        return Meant::Pipelines(places_of(&|known| covers(&glob, known)));
    }
    if project.unasked.iter().any(|glob| covers(glob, name)) {
        Meant::Elsewhere
    } else if project.places.at(&Places::path("pipelines", name)).is_some() {
        Meant::LeftOut
    } else {
        Meant::Nothing
    }
}

fn found(project: &ProjectSpec) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (place, (name, spec)) in project.pipelines.iter().enumerate() {
        let Some(after) = &spec.options.after else { continue };
        for (number, before) in after.iter().enumerate() {
            let error = match meant(project, name, before) {
                Meant::Nothing => unknown(project, name, number, before),
                Meant::Pipelines(places) => match places.first() {
                    Some(first) if needs_freshness(spec, &project.pipelines[*first]) => {
                        without_freshness(project, name, number, before)
                    }
                    _ => continue,
                },
                Meant::Elsewhere | Meant::LeftOut => continue,
            };
            faults.push(Fault { of: place, error });
        }
    }
    for circle in Graph::of(project).circles() {
        let of = project.pipelines.get_index_of(circle[0]).expect("a circle is of pipelines");
        faults.push(Fault { of, error: in_a_circle(project, &circle) });
    }
    faults.sort_by_key(|fault| fault.of);
    faults
}

fn is_scheduled(spec: &PipelineSpec) -> bool {
    spec.options.schedule.is_some() || spec.options.every.is_some()
}

fn needs_freshness(spec: &PipelineSpec, before: &PipelineSpec) -> bool {
    is_scheduled(spec) && !is_scheduled(before) && spec.options.freshness.is_none()
}

/// Where a name stands in the `after` of a pipeline.
fn place(project: &ProjectSpec, name: &str, number: usize) -> Option<Location> {
    project.places.find(&format!("{}.after.{number}", Places::path("pipelines", name)))
}

fn located(error: FlowError, place: Option<Location>) -> FlowError {
    match place {
        Some(place) => error.at(place),
        None => error,
    }
}

fn unknown(project: &ProjectSpec, name: &str, number: usize, before: &str) -> FlowError {
    let error = FlowError::new(
        ErrorCode::UnknownPipeline,
        format!("`{name}` comes after `{before}`, and there is no such pipeline"),
    );
    let near = did_you_mean(before, project.pipelines.keys().map(String::as_str));
    let label = near.map(|near| format!("did you mean `{near}`?"));
    let mut place = place(project, name, number);
    let error = match (label, place.as_mut().and_then(|place| place.excerpt.as_mut())) {
        (Some(label), Some(excerpt)) => {
            excerpt.label = Some(label);
            error
        }
        (Some(label), None) => error.hint(label),
        (None, _) => error.hint("`after` takes whole names of pipelines, no globs; `flow list` shows all"),
    };
    located(error, place)
}

fn without_freshness(project: &ProjectSpec, name: &str, number: usize, before: &str) -> FlowError {
    let error = FlowError::new(
        ErrorCode::MissingOption,
        format!("`{name}` has a schedule and comes after `{before}`, which has none: `freshness` is missing"),
    )
    .hint(format!(
        "say how long ago `{before}` may have succeeded: freshness = \"1d\"; or give `{before}` a schedule, too"
    ));
    located(error, place(project, name, number))
}

fn in_a_circle(project: &ProjectSpec, circle: &[&str]) -> FlowError {
    let whole = circle.iter().chain(&circle[..1]).copied().collect::<Vec<_>>().join(" → ");
    let message = match circle {
        [own] => format!("`{own}` comes after itself: {whole}"),
        _ => format!("pipelines wait for each other: {whole}"),
    };
    let last = circle.last().expect("a circle has pipelines");
    let number = project.pipelines[circle[0]].options.after().iter().position(|before| before == *last);
    located(
        FlowError::new(ErrorCode::DependencyCycle, message).hint("remove one `after` of the circle"),
        place(project, circle[0], number.unwrap_or_default()),
    )
}

fn left_out(project: &ProjectSpec, name: &str, before: &str) -> FlowError {
    let error = FlowError::new(
        ErrorCode::UpstreamFailed,
        format!("`{name}` is left out: it comes after `{before}`, which is left out for mistakes"),
    );
    located(error, project.places.pipeline(name))
}
