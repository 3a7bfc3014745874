//! Tables, sources, connections, and several targets.

use crate::{mistakes, read};
use ematix_flow_core::declare::options::Mode;

#[test]
fn tables_are_checked_name_by_name() {
    let long = "x".repeat(64);
    let text = format!(
        "[tables.{long}]\ncolumns = {{ a = 'text' }}\n[tables.short]\nname = '{long}'\nschema = ''\nprimary_key = ['a', '{long}']\n\
         unique = ['a', ['{long}']]\nindexes = ['{long}', {{ columns = '{long}' }}, {{ column = 'a' }}, 5]\n\
         options = {{ fillfactor = [1] }}\n[tables.short.columns]\n{long} = 'text'\na = {{ type = 'nume ric(1;2)' }}\nb = 5\nc = {{}}\n\
         d = {{ type = 'text', nullable = true }}\ne = {{ type = 'text', default = [1] }}\nf = 'text ?'\ng = '?'\n"
    );
    let cut = |line: &String| line.replace(&long, "LONG");
    assert_eq!(
        mistakes(&text).iter().map(cut).collect::<Vec<_>>(),
        [
            "name_too_long 1:1 the name `LONG` has 64 bytes; Postgres keeps 63",
            "name_too_long 4:8 the name `LONG` has 64 bytes; Postgres keeps 63",
            "invalid_value 5:10 a name is empty",
            "name_too_long 6:21 the name `LONG` has 64 bytes; Postgres keeps 63",
            "name_too_long 7:17 the name `LONG` has 64 bytes; Postgres keeps 63",
            "name_too_long 8:12 the name `LONG` has 64 bytes; Postgres keeps 63",
            "name_too_long 8:92 the name `LONG` has 64 bytes; Postgres keeps 63",
            "unknown_option 8:164 unknown option `column` in an entry of `indexes` of table `short` | did you mean `columns`?",
            "invalid_value 8:180 an entry of `indexes` of table `short` must be a string, a list of strings or a table, not a whole number",
            "invalid_value 9:26 `fillfactor` of `options` of table `short` must be true or false, a whole number, a number or a string, not a list",
            "name_too_long 11:1 the name `LONG` has 64 bytes; Postgres keeps 63",
            "unknown_type 12:14 `nume ric(1;2)` is not a column type",
            "invalid_value 13:5 column `b` of table `short` must be a string or a table, not a whole number",
            "missing_option 14:5 column `c` of table `short` has no `type`",
            "unknown_option 15:22 unknown option `nullable` in column `d` of table `short` | columns are NOT NULL; write \"text?\" for one that may be NULL",
            "invalid_value 16:32 `default` of column `e` of table `short` must be a table, true or false, a whole number, a number or a string, not a list",
            "unknown_type 18:5 `` is not a column type",
        ]
    );
}

#[test]
fn sources_name_their_rows_once() {
    let source =
        |source: &str| format!("[pipelines.p]\ntarget = 'c.d'\nmode = 'append'\nsource = {source}\n");
    let cases = [
        ("{}", "missing_option 4:10 `source` of pipeline `p` names no rows"),
        ("{ connection = 'x' }", "missing_option 4:10 `source` of pipeline `p` names no rows"),
        (
            "{ query = 'a', query_file = 'b' }",
            "conflicting_options 4:25 `query` and `query_file` of `source` of pipeline `p` exclude each other",
        ),
        (
            "{ sql = 'a' }",
            "unknown_option 4:12 unknown option `sql` in `source` of pipeline `p` | did you mean `query`?",
        ),
        (
            "{ query = 5 }",
            "invalid_value 4:20 `query` of `source` of pipeline `p` must be a string, not a whole number",
        ),
        (
            "{ python = 'm:f' }",
            "not_yet_supported 4:12 `python` in `source` of pipeline `p` is not supported yet",
        ),
        (
            "{ query_file = 'no.sql' }",
            "invalid_value 4:25 the query file `no.sql` cannot be read: there is no such file",
        ),
        ("'SELECT 1'", "invalid_value 4:10 `source` of pipeline `p` must be a table, not a string"),
        ("{ table = 'a.b.c' }", "invalid_value 4:20 `a.b.c` has more than one dot"),
    ];
    for (written, expected) in cases {
        assert_eq!(mistakes(&source(written)), [expected], "{written}");
    }
    let project = read(&source("{ query = 'SELECT ${x}, b[1:y], \":z\"' }"));
    assert_eq!(project.pipelines["p"].source.query.as_deref(), Some("SELECT ${x}, b[1:y], \":z\""));
}

#[test]
fn connections_are_checked_without_being_resolved() {
    let project = read(
        "[connections.x]\nport = '${env:PORT}'\nhost = '${env:HOST:-h}'\nuser = '$${plain}'\nsession = { timezone = 'UTC' }\n",
    );
    assert_eq!(project.connections["x"].port.as_ref().unwrap().to_string(), "${env:PORT}");
    assert_eq!(
        mistakes(
            "[connections.x]\nuser = 'a ${env:B} ${B}'\nport = 'x'\nsslmode = 'maybe'\ntarget_session_attrs = 'master'\nrequire_auth = 'md5,md5'\ngssencmode = 'disable'\ngsslib = 'x'\nsession = { a = '${' }\n[connections.y]\ndsn = 'host=h gsslib=x'\n"
        ),
        [
            "invalid_value 2:20 `${B}` does not say where its value comes from",
            "invalid_value 3:8 `port` of connection `x` must be a number from 1 to 65535",
            "invalid_value 4:11 `sslmode` of connection `x` must be one of disable, allow, prefer, require, verify-ca, verify-full",
            "invalid_value 5:24 `target_session_attrs` of connection `x` must be one of any, read-write, read-only, primary, standby, prefer-standby",
            "invalid_value 6:16 `require_auth` of connection `x` names a method twice",
            "not_yet_supported 8:1 `gsslib` in connection `x` is not supported yet",
            "invalid_value 9:18 `${` is not closed by `}`",
            "not_yet_supported 11:7 `gsslib` of connection `y` is not supported yet",
        ]
    );
}

/// A pipeline of several targets, with further lines of its own and the list.
fn several(lines: &str, targets: &str) -> String {
    format!("[pipelines.both]\nsource = {{ table = 'a.b' }}\n{lines}targets = [\n{targets}]\n")
}

#[test]
fn several_targets_are_pipelines_of_their_own_with_what_the_pipeline_says() {
    let text = several(
        "keys = 'id'\nschedule = '@hourly'\nlock_timeout = '5s'\n",
        "  { target = 'c.latest', mode = 'merge' },\n  { target = 'c.history', mode = 'scd2', lock_timeout = '1s' },\n",
    );
    let project = read(&text);
    assert_eq!(project.pipelines.keys().collect::<Vec<_>>(), ["both"]);
    let whole = &project.pipelines["both"];
    assert_eq!((whole.target.as_str(), whole.options.mode), ("c.latest", Some(Mode::Merge)));
    assert_eq!(whole.options.schedule.as_deref(), Some("@hourly"));
    let parts = &project.together["both"];
    assert_eq!(parts.keys().collect::<Vec<_>>(), ["both/c.latest", "both/c.history"]);
    let told: Vec<_> = parts
        .values()
        .map(|part| {
            let options = &part.options;
            let limit = options.lock_timeout.as_ref().map(ToString::to_string);
            (part.target.as_str(), options.mode, options.keys.is_some(), limit, options.schedule.is_none())
        })
        .collect();
    assert_eq!(
        told,
        [
            ("c.latest", Some(Mode::Merge), true, Some("5s".to_owned()), true),
            ("c.history", Some(Mode::Scd2), true, Some("1s".to_owned()), true),
        ]
    );
    assert_eq!(parts["both/c.history"].source, whole.source);
}

#[test]
fn what_is_wrong_with_several_targets_is_told_once_at_its_place() {
    let one = "  { target = 'c.d', mode = 'merge' },\n";
    for (text, expected) in [
        (
            several("", ""),
            vec![
                "invalid_value 3:11 `targets` of pipeline `both` must be a list of tables, not an empty list",
            ],
        ),
        (
            several("target = 'c.d'\n", one),
            vec!["conflicting_options 4:1 `target` and `targets` of pipeline `both` exclude each other"],
        ),
        (
            several("", "  { mode = 'merge' },\n"),
            vec!["invalid_value 4:3 each of the `targets` of pipeline `both` is a table with a `target`"],
        ),
        (
            several(
                "kyes = 'id'\n",
                &format!("{one}  {{ target = 'c.e', mode = 'scd2', compare_colums = ['x'] }},\n"),
            ),
            vec![
                "unknown_option 3:1 unknown option `kyes` in pipeline `both` | did you mean `keys`?",
                "unknown_option 6:36 unknown option `compare_colums` in pipeline `both/c.e` | did you mean `compare_columns`?",
            ],
        ),
        (
            several("compare_columns = 'x'\n", one),
            vec![
                "option_not_for_mode 3:1 `compare_columns` has no meaning in mode `merge` of pipeline `both`",
            ],
        ),
    ] {
        assert_eq!(mistakes(&text), expected, "{text}");
    }
}
