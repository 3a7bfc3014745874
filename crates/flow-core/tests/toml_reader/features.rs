//! Feature views: tables with a part of their own, which pipelines name as they name a table.

use crate::{mistakes, read};
use ematix_flow_core::declare::OnlineKind;
use ematix_flow_core::declare::options::{Mode, PipelineOptions};
use ematix_flow_core::pipeline::Pipeline;

const VIEW: &str = "[features.user_features]\nschema = 'features'\nevent_timestamp_column = 'seen'\nttl = '30d'\n\
    online = true\nprimary_key = 'user_id'\ncolumns = { user_id = 'bigint', seen = 'timestamptz', at = 'timestamptz' }\n";

fn fills(lines: &str) -> String {
    format!("{VIEW}[pipelines.p]\nsource = {{ table = 'a.b' }}\n{lines}")
}

#[test]
fn a_feature_view_is_a_table_whose_name_has_the_version() {
    let project = read(&format!("{VIEW}feature_version = 'v2'\n").replace("ttl = '30d'\n", ""));
    let (key, table, view) = project.features().next().expect("there is one");
    assert_eq!((key, table.name.as_deref()), ("user_features", Some("user_features_v2")));
    assert_eq!((view.view.as_str(), view.feature_version.as_str()), ("user_features", "v2"));
    assert_eq!((view.online.kind(), view.ttl.is_none()), (Some(OnlineKind::View), true));
    assert!(project.declared_target("features.user_features_v2").is_some());
}

#[test]
fn the_pipeline_that_fills_a_view_has_its_options_whatever_the_defaults_say() {
    let defaults = "[defaults]\nmode = 'merge'\nttl = '1d'\n";
    for target in ["user_features", "features.user_features_v1"] {
        let project = read(&format!("{defaults}{}", fills(&format!("target = '{target}'\n"))));
        let options = &project.pipelines["p"].options;
        assert_eq!(options.mode, Some(Mode::Scd2));
        assert_eq!(options.event_timestamp_column.as_deref(), Some("seen"));
        assert_eq!(options.ttl.as_ref().map(ToString::to_string).as_deref(), Some("30d"));
    }
    let endless = fills("target = 'user_features'\n").replace("ttl = '30d'\n", "");
    assert_eq!(read(&format!("{defaults}{endless}")).pipelines["p"].options.ttl, None);
}

#[test]
fn what_a_pipeline_says_otherwise_than_its_view_is_refused() {
    let refused = |lines: &str| -> Vec<String> {
        let project = read(&fills(lines));
        let errors = Pipeline::build(&project, "p", &PipelineOptions::default()).expect_err("it is refused");
        errors.into_iter().map(|error| format!("{} {}", error.code, error.message)).collect()
    };
    let target = "target = 'user_features'\n";
    assert_eq!(
        refused(&format!("{target}mode = 'merge'\n")),
        [
            "conflicting_options `mode = \"merge\"` keeps no history by event time, which the feature view `user_features` is"
        ]
    );
    assert_eq!(
        refused(&format!("{target}event_timestamp_column = 'at'\nttl = '31d'\n")),
        [
            "conflicting_options `event_timestamp_column` is `at` here, and the feature view `user_features` that it fills says `seen`",
            "conflicting_options `ttl` is \"31d\" here, and the feature view `user_features` that it fills says \"30d\"",
        ]
    );
    assert_eq!(
        refused(&format!("{target}keys = ['user_id', 'at']\n")),
        ["conflicting_options `keys` are user_id, at, and the entity of `features.user_features` is user_id"]
    );
    assert_eq!(
        refused("target = 'features.user_features'\nmode = 'merge'\nkeys = 'user_id'\n"),
        [
            "invalid_value the target `features.user_features` is a feature view, which shows the version that is declared last"
        ]
    );
    let same = read(&fills(&format!("{target}mode = 'scd2'\nttl = '720h'\nkeys = 'user_id'\n")));
    assert!(Pipeline::build(&same, "p", &PipelineOptions::default()).is_ok());
}

#[test]
fn the_view_shows_the_version_that_is_declared_last() {
    let second = VIEW.replace("[features.user_features]", "[features.second]\nname = 'user_features'")
        + "feature_version = 'v2'\n";
    let pipelines = "[pipelines.one]\nsource = { table = 'a.b' }\ntarget = 'user_features'\n\
        [pipelines.two]\nsource = { table = 'a.b' }\ntarget = 'second'\n";
    let project = read(&format!("{VIEW}{second}{pipelines}"));
    let view = |name: &str| {
        let built = Pipeline::build(&project, name, &PipelineOptions::default());
        let view = built.expect("it is right").feature.expect("it fills a view");
        (view.name.to_string(), view.version, view.is_last)
    };
    assert_eq!(view("one"), ("features.user_features".to_owned(), "v1".to_owned(), false));
    assert_eq!(view("two"), ("features.user_features".to_owned(), "v2".to_owned(), true));
}

#[test]
fn what_is_wrong_with_a_view_is_told_at_its_place() {
    let long = "x".repeat(60);
    let cases = [
        (
            "[features.f]\nprimary_key = 'id'\ncolumns = { id = 'bigint' }".to_owned(),
            "missing_option 1:1 feature view `f` has no `event_timestamp_column`".to_owned(),
        ),
        (
            "[features.f]\nevent_timestamp_column = 'at'\nversion = 'v1'".to_owned(),
            "unknown_option 3:1 unknown option `version` in feature view `f` | did you mean `feature_version`?".to_owned(),
        ),
        (
            "[features.f]\nevent_timestamp_column = 'at'\nonline = 'tables'".to_owned(),
            "invalid_value 3:10 `online` of feature view `f` cannot be `tables` | did you mean `table`?".to_owned(),
        ),
        (
            "[features.f]\nevent_timestamp_column = 'at'\nttl = '5 days'".to_owned(),
            "invalid_value 3:7 `ttl` of feature view `f`: `5 days` is not a duration".to_owned(),
        ),
        (
            "[features.f]\nevent_timestamp_column = 'at'\nfeature_version = ''".to_owned(),
            "invalid_value 3:19 `feature_version` of feature view `f` is empty".to_owned(),
        ),
        (
            format!("[features.{long}]\nevent_timestamp_column = 'at'\nfeature_version = 'v100'"),
            format!("name_too_long 3:19 the name `{long}_v100` has 65 bytes; Postgres keeps 63"),
        ),
        (
            "[features.f]\nevent_timestamp_column = 'at'\n[features.g]\nname = 'f'\nevent_timestamp_column = 'at'".to_owned(),
            "duplicate_name 3:1 feature view `g` has the table `public.f_v1`, which is that of `f`".to_owned(),
        ),
        (
            "[features.f]\nevent_timestamp_column = 'at'\n[tables.f]\ncolumns = { a = 'text' }".to_owned(),
            "duplicate_name 3:1 `f` is declared as a table and as a feature view".to_owned(),
        ),
        (
            "[tables.f]\ncolumns = { a = 'text' }\nonline = true".to_owned(),
            "unknown_option 3:1 unknown option `online` in table `f` | belongs to a feature view: declare it in [features.NAME]".to_owned(),
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(mistakes(&text), [expected], "{text}");
    }
}
