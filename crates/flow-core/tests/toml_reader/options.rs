//! The options of a pipeline: which mode knows them, what they may be, what stands for them.

use crate::{mistakes, pipeline, read};
use ematix_flow_core::declare::Names;
use ematix_flow_core::declare::options::{HandleDeletes, Mode};

#[test]
fn defaults_reach_the_pipelines_whose_mode_knows_them() {
    let project = read(
        "[defaults]\nmode = 'merge'\nhandle_deletes = 'soft'\nschedule = '0 * * * *'\nretries = 0\nkeys = 'id'\n\
         [pipelines.a]\nsource = { table = 'a.b' }\ntarget = 'c.d'\n\
         [pipelines.b]\nsource = { table = 'a.b' }\ntarget = 'c.d'\nmode = 'append'\nevery = '15m'\n\
         [pipelines.c]\nsource = { table = 'a.b' }\ntarget = 'c.d'\nmode = 'scd1'\nhandle_deletes = 'ignore'\nkeys = ['x', 'y']\n",
    );
    let of = |name: &str| {
        let options = &project.pipelines[name].options;
        (
            options.mode,
            options.handle_deletes,
            options.schedule.is_some(),
            options.every.is_some(),
            options.keys.clone(),
        )
    };
    let id = Some(Names::One("id".to_owned()));
    assert_eq!(of("a"), (Some(Mode::Merge), Some(HandleDeletes::Soft), true, false, id.clone()));
    assert_eq!(of("b"), (Some(Mode::Append), None, false, true, id));
    let both = Some(Names::Many(vec!["x".to_owned(), "y".to_owned()]));
    assert_eq!(of("c"), (Some(Mode::Merge), Some(HandleDeletes::Ignore), true, false, both));
}

#[test]
fn an_option_of_another_mode_is_wrong_unless_it_says_what_happens_anyway() {
    let harmless = "handle_deletes = 'ignore'\nopen_end = 'null'\nmax_delete_fraction = 0.5\noverwrite_columns = []\n\
                    deleted_flag = 'is_deleted'\ntransforms_pre = []\non_same_time = 'replace'\nparallel = 1\n";
    let project = read(&pipeline("append", harmless));
    assert_eq!(project.pipelines["p"].options.handle_deletes, None);
    let wrong =
        "handle_deletes = 'soft'\nopen_end = 'infinity'\non_same_time = 'keep'\nreplace_method = 'delete'\n";
    assert_eq!(
        mistakes(&pipeline("append", wrong)),
        [
            "option_not_for_mode 5:1 `handle_deletes` has no meaning in mode `append` of pipeline `p`",
            "option_not_for_mode 6:1 `open_end` has no meaning in mode `append` of pipeline `p`",
            "option_not_for_mode 7:1 `on_same_time` has no meaning in mode `append` of pipeline `p`",
            "option_not_for_mode 8:1 `replace_method` has no meaning in mode `append` of pipeline `p`",
        ]
    );
}

#[test]
fn what_a_later_version_will_have_is_refused_by_name() {
    let cases = [
        (
            "[transforms.t]\nsql = 'x'\nevery = '1h'",
            "not_yet_supported 3:1 `every` in transform `t` is not supported yet",
        ),
        ("[defaults]\nstrategy = 1", "not_yet_supported 2:1 `strategy` in [defaults] is not supported yet"),
    ];
    for (text, expected) in cases {
        assert_eq!(mistakes(text), [expected], "{text}");
    }
    read("[transforms]\n[features]\n");
}

#[test]
fn values_are_named_in_the_users_words() {
    let cases = [
        ("mode2 = 1", "unknown_option 5:1 unknown option `mode2` in pipeline `p` | did you mean `mode`?"),
        (
            "keys = 5",
            "invalid_value 5:8 `keys` of pipeline `p` must be a string or a list of strings, not a whole number",
        ),
        (
            "keys = ['a', 5]",
            "invalid_value 5:14 an entry of `keys` of pipeline `p` must be a string, not a whole number",
        ),
        ("tags = 'x'", "invalid_value 5:8 `tags` of pipeline `p` must be a list of strings, not a string"),
        (
            "enabled = 'yes'",
            "invalid_value 5:11 `enabled` of pipeline `p` must be true or false, not a string",
        ),
        (
            "lookback = 99999999999999999999",
            "invalid_value 5:12 `lookback` of pipeline `p` must fit into 64 bits",
        ),
        (
            "max_delete_fraction = nan",
            "invalid_value 5:23 `max_delete_fraction` of pipeline `p` must lie between 0 and 1",
        ),
        ("lease = 90", "invalid_value 5:9 `lease` of pipeline `p` must be a duration, not a whole number"),
        ("lease = ['90s']", "invalid_value 5:9 `lease` of pipeline `p` must be a duration, not a list"),
        (
            "lookback = true",
            "invalid_value 5:12 `lookback` of pipeline `p` must be a whole number or a duration such as \"10m\", not true",
        ),
        (
            "on_drift = 5",
            "invalid_value 5:12 `on_drift` of pipeline `p` must be a word in quotes, not a whole number",
        ),
        (
            "on_drift = 'fail'",
            "invalid_value 5:12 `on_drift` of pipeline `p` cannot be `fail` | did you mean `error`?",
        ),
        (
            "schedule = 2026-01-01",
            "invalid_value 5:12 `schedule` of pipeline `p` takes no date or time of TOML",
        ),
        (
            "cron = '* * * * *'",
            "unknown_option 5:1 unknown option `cron` in pipeline `p` | did you mean `schedule`?",
        ),
        (
            "query = 'SELECT 1'",
            "unknown_option 5:1 unknown option `query` in pipeline `p` | belongs into source = { connection = \"…\", query = \"…\" }",
        ),
        ("full_refresh = true", "unknown_option 5:1 unknown option `full_refresh` in pipeline `p`"),
        ("hash_column = ''", "invalid_value 5:15 a name is empty"),
    ];
    for (line, expected) in cases {
        assert_eq!(mistakes(&pipeline("scd2", line)), [expected], "{line}");
    }
    assert_eq!(
        mistakes(&pipeline("append", "loaded_at_column = true")),
        ["invalid_value 5:20 `loaded_at_column` of pipeline `p` must be a string or false, not true"]
    );
    for (theirs, ours) in [
        ("upsert", "merge"),
        ("incremental", "merge"),
        ("full-refresh", "truncate"),
        ("snapshot", "scd2"),
        ("apend", "append"),
    ] {
        let expected =
            format!("invalid_value 4:8 unknown mode `{theirs}` in pipeline `p` | did you mean `{ours}`?");
        assert_eq!(mistakes(&pipeline(theirs, "")), [expected]);
    }
}

#[test]
fn what_is_needed_is_missed_once() {
    assert_eq!(
        mistakes(
            "[pipelines.p]\n[pipelines.q]\nmdoe = 'append'\nsoruce = { table = 'a.b' }\ndestination = 'a.b'\n"
        ),
        [
            "missing_option 1:1 pipeline `p` has no `source`",
            "missing_option 1:1 pipeline `p` has no `target`",
            "missing_option 1:1 pipeline `p` has no `mode`",
            "unknown_option 3:1 unknown option `mdoe` in pipeline `q` | did you mean `mode`?",
            "unknown_option 4:1 unknown option `soruce` in pipeline `q` | did you mean `source`?",
            "unknown_option 5:1 unknown option `destination` in pipeline `q` | did you mean `target`?",
        ]
    );
    assert_eq!(
        mistakes("pipelines = 5\n[[tables]]\nx = 1\n[connections]\n'' = {}\n"),
        [
            "invalid_value 1:13 `pipelines` must hold pipelines by name, not be a whole number",
            "invalid_value 2:1 `tables` must hold tables by name, not be a list",
            "invalid_value 5:1 a connection has an empty name",
        ]
    );
}
