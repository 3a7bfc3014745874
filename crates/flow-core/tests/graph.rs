//! Which pipelines come after which: order, what lies before and behind, circles; and what is wrong with `after`.

use ematix_flow_core::declare::ProjectSpec;
use ematix_flow_core::declare::environment::ProcessEnvironment;
use ematix_flow_core::declare::toml::read_text;
use ematix_flow_core::error::ErrorCode;
use ematix_flow_core::graph::{self, Graph};
use proptest::prelude::*;
use std::time::Instant;

type Edges = Vec<(usize, usize)>;

fn graph(size: usize, edges: &Edges) -> Graph {
    Graph::new((0..size).map(|place| format!("p{place:02}")), edges.iter().copied())
}

fn place(name: &str) -> usize {
    name[1..].parse().expect("a place")
}

fn places<'n>(names: impl IntoIterator<Item = &'n str>) -> Vec<usize> {
    names.into_iter().map(place).collect()
}

/// `[a][b]`: whether a way leads from a to b, by one edge or more.
fn ways(size: usize, edges: &Edges) -> Vec<Vec<bool>> {
    let mut ways = vec![vec![false; size]; size];
    for (before, after) in edges {
        ways[*before][*after] = true;
    }
    for over in 0..size {
        for from in 0..size {
            for to in 0..size {
                ways[from][to] |= ways[from][over] && ways[over][to];
            }
        }
    }
    ways
}

fn any_edges() -> impl Strategy<Value = (usize, Edges)> {
    (1..10_usize)
        .prop_flat_map(|size| (Just(size), proptest::collection::vec((0..size, 0..size), 0..size * 2)))
}

/// Edges without a circle: along a shuffled row.
fn orderly_edges() -> impl Strategy<Value = (usize, Edges)> {
    any_edges().prop_flat_map(|(size, edges)| {
        let row = Just((0..size).collect::<Vec<_>>()).prop_shuffle();
        row.prop_map(move |row| {
            let along = edges.iter().filter(|(a, b)| a != b);
            let edges = along.map(|(a, b)| (row[*a.min(b)], row[*a.max(b)])).collect();
            (size, edges)
        })
    })
}

proptest! {
    /// Step by step the first of the files whose upstreams have all been.
    #[test]
    fn the_order_is_that_of_the_files_as_far_as_the_edges_allow((size, edges) in orderly_edges()) {
        let mut expected: Vec<usize> = Vec::new();
        while expected.len() < size {
            let is_next = |place: &usize| {
                !expected.contains(place)
                    && edges.iter().all(|(before, after)| after != place || expected.contains(before))
            };
            expected.push((0..size).find(is_next).expect("there is no circle"));
        }
        prop_assert_eq!(places(graph(size, &edges).order()), expected);
    }

    #[test]
    fn what_lies_before_and_behind_is_where_ways_lead((size, edges) in any_edges()) {
        let (graph, leads) = (graph(size, &edges), ways(size, &edges));
        for (own, ways) in leads.iter().enumerate() {
            let name = format!("p{own:02}");
            let all = |lies: &dyn Fn(usize) -> bool| (0..size).filter(|place| lies(*place)).collect::<Vec<_>>();
            prop_assert_eq!(places(graph.upstream(&name)), all(&|place| edges.contains(&(place, own))));
            prop_assert_eq!(places(graph.downstream(&name)), all(&|place| edges.contains(&(own, place))));
            let before = places(graph.with_all_upstream([name.as_str()]));
            prop_assert_eq!(before, all(&|place| place == own || leads[place][own]));
            let behind = places(graph.with_all_downstream([name.as_str()]));
            prop_assert_eq!(behind, all(&|place| place == own || ways[place]));
        }
    }

    #[test]
    fn circles_are_found_where_there_are_any_and_each_is_one((size, edges) in any_edges()) {
        let (graph, ways) = (graph(size, &edges), ways(size, &edges));
        let circles: Vec<Vec<usize>> = graph.circles().into_iter().map(places).collect();
        for circle in &circles {
            for (place, before) in circle.iter().enumerate() {
                let after = circle[(place + 1) % circle.len()];
                prop_assert!(edges.contains(&(*before, after)), "{circle:?}");
            }
            prop_assert_eq!(circle.iter().min(), circle.first());
        }
        // Each pipeline on a circle is in a knot, of which one circle is told.
        for own in (0..size).filter(|own| ways[*own][*own]) {
            let told = circles.iter().filter(|circle| ways[own][circle[0]] && ways[circle[0]][own]);
            prop_assert_eq!(told.count(), 1, "{} {:?}", own, circles);
        }
        let mut all = places(graph.order());
        all.sort_unstable();
        prop_assert_eq!(all, (0..size).collect::<Vec<_>>());
    }

    /// A pipeline waits for what a way leads from, over pipelines that were not chosen.
    #[test]
    fn the_chosen_wait_for_the_chosen((size, edges) in orderly_edges(), chosen in any::<u16>()) {
        let is_chosen = |place: usize| chosen >> place & 1 == 1;
        let inner: Edges = edges.clone();
        let graph = graph(size, &edges);
        let names: Vec<String> =
            (0..size).filter(|place| is_chosen(*place)).map(|place| format!("p{place:02}")).collect();
        let waiting = graph.waiting(&names);
        let order: Vec<usize> = places(graph.order()).into_iter().filter(|place| is_chosen(*place)).collect();
        prop_assert_eq!(waiting.iter().map(|(name, _)| place(name)).collect::<Vec<_>>(), order.clone());
        for (own, (name, before)) in waiting.iter().enumerate() {
            let mut expected = Vec::new();
            let mut open = vec![place(name)];
            while let Some(at) = open.pop() {
                for (before, _) in inner.iter().filter(|(_, after)| *after == at) {
                    match is_chosen(*before) {
                        true => expected.push(order.iter().position(|place| place == before).expect("chosen")),
                        false => open.push(*before),
                    }
                }
            }
            expected.sort_unstable();
            expected.dedup();
            prop_assert_eq!(before, &expected);
            prop_assert!(before.iter().all(|earlier| *earlier < own));
        }
    }
}

#[test]
fn many_pipelines_take_no_time() {
    let begun = Instant::now();
    let many = 50_000;
    let chain: Edges = (1..many).map(|place| (place - 1, place)).collect();
    let long = Graph::new((0..many).map(|place| place.to_string()), chain.iter().copied());
    assert!(long.circles().is_empty());
    assert_eq!(long.order().count(), many);
    let names: Vec<String> = (0..many).step_by(2).map(|place| place.to_string()).collect();
    assert_eq!(long.waiting(&names)[1], ("2".to_owned(), vec![0]));
    let round =
        Graph::new((0..many).map(|place| place.to_string()), chain.into_iter().chain([(many - 1, 0)]));
    assert_eq!(round.circles()[0].len(), many);
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
}

fn project(pipelines: &[(&str, &str)]) -> ProjectSpec {
    let text: String = pipelines
        .iter()
        .map(|(name, rest)| {
            format!("[pipelines.{name}]\nsource = {{ query = 'SELECT 1 AS id' }}\ntarget = 'public.t'\nmode = 'append'\n{rest}\n")
        })
        .collect();
    read_text(&text, "pipelines.toml", &ProcessEnvironment).unwrap_or_else(|errors| panic!("{errors:?}"))
}

/// Code, message, line and column, and what stands beside the mark or in the hint.
fn told(pipelines: &[(&str, &str)]) -> Vec<(&'static str, String, usize, usize)> {
    let errors = graph::faults(&project(pipelines));
    let told = errors.into_iter().map(|error| {
        let place = error.location.as_ref().expect("a place");
        let words = format!("{}; {}", error.message, error.whole_hint().unwrap_or_default());
        (error.code.name(), words, place.line, place.column)
    });
    told.collect()
}

#[test]
fn a_name_that_is_no_pipeline_is_told_at_its_place() {
    let errors = told(&[("load", ""), ("report", "after = ['load', 'laod']"), ("last", "after = 'x*'")]);
    let unknown = |words: &str, line, column| ("unknown_pipeline", words.to_owned(), line, column);
    assert_eq!(
        errors,
        [
            unknown(
                "`report` comes after `laod`, and there is no such pipeline; did you mean `load`?",
                10,
                18
            ),
            unknown(
                "`last` comes after `x*`, and there is no such pipeline; `after` takes whole names of pipelines, \
                 no globs; `flow list` shows all",
                15,
                1
            ),
        ]
    );
}

#[test]
fn a_circle_is_told_whole_and_once() {
    let errors = told(&[
        ("a", "after = 'c'"),
        ("b", "after = ['a']"),
        ("c", "after = ['b']"),
        ("own", "after = 'own'"),
    ]);
    let hint = "remove one `after` of the circle";
    assert_eq!(
        errors,
        [
            ("dependency_cycle", format!("pipelines wait for each other: a → b → c → a; {hint}"), 5, 1),
            ("dependency_cycle", format!("`own` comes after itself: own → own; {hint}"), 20, 1),
        ]
    );
}

#[test]
fn a_schedule_behind_none_needs_freshness() {
    let errors = told(&[("a", ""), ("b", "after = 'a'\nevery = '1h'")]);
    assert_eq!(
        errors,
        [(
            "missing_option",
            "`b` has a schedule and comes after `a`, which has none: `freshness` is missing; say how long ago `a` \
             may have succeeded: freshness = \"1d\"; or give `a` a schedule, too"
                .to_owned(),
            10,
            1
        )]
    );
    for whole in [
        [("a", ""), ("b", "after = 'a'\nevery = '1h'\nfreshness = '1d'")],
        [("a", "every = '1h'"), ("b", "after = 'a'\nschedule = '5 * * * *'")],
        [("a", "every = '1h'"), ("b", "after = 'a'")],
        [("a", ""), ("b", "after = 'a'")],
        [("a", ""), ("b", "after = []\nevery = '1h'")],
    ] {
        assert_eq!(told(&whole), []);
    }
}

#[test]
fn what_comes_after_a_faulty_pipeline_is_left_out_with_it() {
    let mut left = project(&[
        ("sound", ""),
        ("a", "after = 'b'"),
        ("b", "after = 'a'"),
        ("c", "after = ['sound', 'b']"),
        ("d", "after = 'c'"),
        ("e", "after = 'sound'"),
        ("f", "after = 'nobody'"),
    ]);
    let errors = graph::keep_sound(&mut left);
    assert_eq!(left.pipelines.keys().collect::<Vec<_>>(), ["sound", "e"]);
    let codes: Vec<&str> = errors.iter().map(|error| error.code.name()).collect();
    assert_eq!(codes[..2], ["dependency_cycle", "unknown_pipeline"]);
    assert_eq!(codes[2..], ["upstream_failed"; 3]);
    assert!(
        errors[2..].iter().all(|error| error.code == ErrorCode::UpstreamFailed && error.location.is_some())
    );
}

#[test]
fn members_come_after_members_and_a_pipeline_that_stands_for_many_after_others_like_it() {
    let source = "source = { connection = 'crm', query = 'SELECT 1 AS id' }\nmode = 'append'\n";
    let text = format!(
        "[pipelines.'load_{{tenant}}']\nfor_each = {{ tenant = ['acme', 'globex'] }}\ntarget = 'lake.l_{{tenant}}'\n{source}
         [pipelines.'sum_{{tenant}}']\nfor_each = {{ tenant = ['acme', 'globex'] }}\ntarget = 'lake.s_{{tenant}}'\n{source}
         after = ['load_{{tenant}}']\n
         [pipelines.'mirror_{{table}}']\nfor_each = {{ connection = 'crm', tables = ['app.*'] }}\n
         target = 'lake.{{table}}'\n{source}
         [pipelines.'check_{{table}}']\nfor_each = {{ connection = 'crm', tables = ['app.*'] }}\n
         target = 'lake.{{table}}_check'\n{source}\nafter = 'mirror_{{table}}'\n
         [pipelines.last]\ntarget = 'lake.last'\n{source}\nafter = ['mirror_orders', 'sum_acme']"
    );
    let project =
        read_text(&text, "pipelines.toml", &ProcessEnvironment).unwrap_or_else(|errors| panic!("{errors:?}"));
    assert_eq!(graph::faults(&project), []);
    let graph = Graph::of(&project);
    assert_eq!(
        graph.edges().collect::<Vec<_>>(),
        [
            ("load_acme", "sum_acme"),
            ("load_globex", "sum_globex"),
            ("mirror_{table}", "check_{table}"),
            ("sum_acme", "last"),
            ("mirror_{table}", "last"),
        ]
    );
}

#[test]
fn what_only_a_database_names_and_nobody_asked_for_is_not_judged() {
    let mut project = project(&[("report", "after = ['mirror_orders', 'mirorr_orders']")]);
    project.unasked.push("mirror_*".to_owned());
    let errors = graph::faults(&project);
    assert_eq!(errors.len(), 1);
    assert!(errors[0].message.contains("mirorr_orders"));
}
