//! What is said of whole files: every mistake at once, each at its place.

use crate::memory::Memory;
use crate::{mistakes, pipeline, read, told};
use ematix_flow_core::declare::options::{HandleDeletes, Lookback, Mode, NameOrOff};
use ematix_flow_core::declare::toml_file::{read_project, read_text};
use ematix_flow_core::declare::variables::Chosen;
use ematix_flow_core::declare::{ColumnSpec, DefaultSpec, Names, ScalarSpec};
use std::path::Path;

#[test]
fn all_mistakes_of_a_file_are_told_at_once_each_at_its_place() {
    let text = r#"incldue = ["more/*.toml"]
[connection.crm]
host = "x"
[connections.crm]
hots = "crm-db"
port = 70000
password = "${evn:CRM}"
[connections.lake]
dsn = "${env:LAKE}"
user = "u"
gsslib = "gssapi"
[defaults]
schdule = "0 * * * *"
[tables.dim]
columns = { id = "bigint", price = "numeric(10", extra = { typ = "text" } }
primary_key = 5
[pipelines.one]
source = { connection = "crm", query = "SELECT 1", table = "a.b" }
target = "dim"
mode = "upsert"
unique_key = "id"
[pipelines.two]
target = "dim"
mode = "append"
lock_timeout = 60
  lookback = "5 minutes"
compare_columns = ["id"]
[pipelines.three]
source = { path = "a.parquet" }
target = "a.b.c.d"
mode = "scd2"
handle_deletes = "Soft"
transforms_pre = [5]
max_delete_fraction = 2
[features]
region = "EU"
"#;
    assert_eq!(
        mistakes(text),
        [
            "unknown_option 1:1 unknown option `incldue` at the top of the file | did you mean `include`?",
            "unknown_option 2:2 unknown section [connection] | did you mean `[connections]`?",
            "unknown_option 5:1 unknown option `hots` in connection `crm` | did you mean `host`?",
            "invalid_value 6:8 `port` of connection `crm` must lie between 1 and 65535",
            "invalid_value 7:13 `${…}` has a form that is not known",
            "conflicting_options 10:1 `user` and `dsn` of connection `lake` exclude each other",
            "not_yet_supported 11:1 `gsslib` in connection `lake` is not supported yet",
            "unknown_option 13:1 unknown option `schdule` in [defaults] | did you mean `schedule`?",
            "unknown_type 15:36 `numeric(10` is not a column type",
            "unknown_option 15:60 unknown option `typ` in column `extra` of table `dim` | did you mean `type`?",
            "invalid_value 16:15 `primary_key` of table `dim` must be a string or a list of strings, not a whole number",
            "conflicting_options 18:52 `query` and `table` of `source` of pipeline `one` exclude each other",
            "invalid_value 20:8 unknown mode `upsert` in pipeline `one` | did you mean `merge`?",
            "unknown_option 21:1 unknown option `unique_key` in pipeline `one` | did you mean `keys`?",
            "missing_option 22:1 pipeline `two` has no `source`",
            "invalid_value 25:16 `lock_timeout` of pipeline `two` must be a duration, not a whole number",
            "invalid_value 26:14 `lookback` of pipeline `two`: `5 minutes` is not a duration",
            "option_not_for_mode 27:1 `compare_columns` has no meaning in mode `append` of pipeline `two`",
            "not_yet_supported 29:12 `path` in `source` of pipeline `three` is not supported yet",
            "invalid_value 30:10 `a.b.c.d` has more than one dot",
            "invalid_value 32:18 `handle_deletes` of pipeline `three` cannot be `Soft` | did you mean `soft`?",
            "invalid_value 33:19 an entry of `transforms_pre` of pipeline `three` must be a table, not a whole number",
            "invalid_value 34:23 `max_delete_fraction` of pipeline `three` must lie between 0 and 1",
            "invalid_value 36:10 feature `region` must be a table, not a string",
        ]
    );
}

#[test]
fn an_excerpt_marks_what_is_meant() {
    let errors = read_text("[pipelines.customers]\ncompare_colums = [\"email\"]\n", "f.toml", &Memory::new())
        .unwrap_err();
    let place = errors[1].location.as_deref().unwrap().clone();
    let error = errors.into_iter().find(|error| error.code.name() == "unknown_option").unwrap();
    let found = error.location.as_deref().unwrap();
    let excerpt = found.excerpt.as_ref().unwrap();
    assert_eq!((found.line, found.column, found.section.as_deref()), (2, 1, Some("[pipelines.customers]")));
    assert_eq!((excerpt.line.as_str(), excerpt.length), ("compare_colums = [\"email\"]", 14));
    assert_eq!(excerpt.label.as_deref(), Some("did you mean `compare_columns`?"));
    assert_eq!(
        (place.line, place.column, place.excerpt.unwrap().length),
        (1, 1, "[pipelines.customers]".len())
    );
}

#[test]
fn what_is_not_toml_is_told_and_hides_no_other_mistake() {
    let cases: [(&str, &[&str]); 7] = [
        (
            "a = 1\na = 2\n",
            &[
                "unknown_option 1:1 unknown option `a` at the top of the file",
                "invalid_toml 2:1 a is written twice",
            ],
        ),
        (&format!("{}mode = 'append'", pipeline("append", "")), &["invalid_toml 5:1 mode is written twice"]),
        ("[tables.x]\n[tables.x]\n", &["invalid_toml 2:9 x is written twice"]),
        (
            "[pipelines.p]\nmode = scd2\nkesy = 'id'\n",
            &[
                "invalid_toml 2:8 a string needs quotes",
                "unknown_option 3:1 unknown option `kesy` in pipeline `p` | did you mean `keys`?",
            ],
        ),
        ("[pipelines.p\n", &["invalid_toml 1:13 unclosed table, expected `]`"]),
        ("\u{feff}x\n", &["invalid_toml 1:2 key with no value, expected `=`"]),
        ("[defaults]\r\nkeys = 'é\r\n", &["invalid_toml 2:10 a string is not closed on its line"]),
    ];
    for (text, expected) in cases {
        assert_eq!(mistakes(text), expected, "{text}");
    }
}

#[test]
fn secrets_are_in_no_mistake() {
    let text = "[connections.a]\npasword = 'hunter2'\npassword = 'hunter2 ${x}'\ndsn = \"\"\"\nhunter2 ${env:}\"\"\"\n\
                port = 'hunter2'\nsession = 'hunter2'\n[connections]\nb = 'postgresql://u:hunter2@h/d'\nc = { user = 5, key = ['hunter2'] }\n\
                password = 'hunter2\n";
    let errors = read_text(text, "pipelines.toml", &Memory::new()).unwrap_err();
    assert!(errors.len() >= 8, "{:#?}", told(&errors));
    for error in errors {
        let about_port = error.message.contains("`port`") || error.message.contains("`session`");
        assert!(about_port || !format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}

#[test]
fn the_file_of_the_manual_is_read() {
    let project = read_text(
        r#"#:schema ./schema/pipelines.schema.json
[connections.crm]
host = "crm-db.internal"
dbname = "crm"
user = "reader"
password = "${file:/run/secrets/crm}"
read_only = true
[connections.warehouse]
dsn = "${env:WAREHOUSE_DSN:-postgresql://localhost/warehouse}"
[defaults]
target_connection = "warehouse"
timezone = "Europe/Paris"
[tables.dim_customers]
schema = "analytics"
primary_key = ["customer_id"]
[tables.dim_customers.columns]
customer_id = "bigint"
email       = { type = "string(256)?", unique = true }
score       = { type = "numeric(10,2)?", default = 0 }
updated_at  = { type = "timestamptz", default = { sql = "now()" } }
[pipelines.customers]
source = { connection = "crm", query_file = "sql/c.sql" }
target = "dim_customers"
mode = "scd2"
keys = "customer_id"
compare_columns = ["email", "score"]
handle_deletes = "soft"
schedule = "0 * * * *"
lookback = "10m"
tags = ["crm"]
[pipelines."mirror events"]
source = { table = "app.events" }
target = 'mirror."events.v1"'
mode = "append"
batch_id_column = false
target_connection = "lake"
"#,
        "project/pipelines.toml",
        &Memory::new().file("project/sql/c.sql", "SELECT 1"),
    )
    .unwrap_or_else(|errors| panic!("{:#?}", told(&errors)));
    assert!(project.connections["crm"].read_only);
    assert_eq!(project.connections["crm"].password, Some("${file:/run/secrets/crm}".into()));
    let table = &project.tables["dim_customers"];
    assert_eq!(table.columns.keys().collect::<Vec<_>>(), ["customer_id", "email", "score", "updated_at"]);
    assert_eq!(table.columns["customer_id"], ColumnSpec::Type("bigint".to_owned()));
    let ColumnSpec::Full(score) = &table.columns["score"] else { panic!("a long form") };
    assert_eq!(score.default, Some(DefaultSpec::Value(ScalarSpec::Integer(0))));
    let ColumnSpec::Full(updated_at) = &table.columns["updated_at"] else { panic!("a long form") };
    assert_eq!(updated_at.default, Some(DefaultSpec::Sql { sql: "now()".to_owned() }));
    let customers = &project.pipelines["customers"];
    assert_eq!(customers.source.query.as_deref(), Some("SELECT 1"));
    assert_eq!(customers.options.mode, Some(Mode::Scd2));
    assert_eq!(customers.options.keys, Some(Names::One("customer_id".to_owned())));
    assert_eq!(customers.options.handle_deletes, Some(HandleDeletes::Soft));
    assert_eq!(customers.options.target_connection.as_deref(), Some("warehouse"));
    assert_eq!(customers.options.timezone.as_deref(), Some("Europe/Paris"));
    assert!(
        matches!(&customers.options.lookback, Some(Lookback::Duration(duration)) if duration.milliseconds() == 600_000)
    );
    let events = &project.pipelines["mirror events"];
    assert_eq!(events.options.target_connection.as_deref(), Some("lake"));
    assert_eq!(events.options.batch_id_column, Some(NameOrOff::Off(false)));
    assert_eq!(project.files, ["project/pipelines.toml"]);
}

#[test]
fn every_part_remembers_where_it_was_written() {
    let text = "[connections.crm]\nhost = 'h'\n[tables.dim]\ncolumns.id = 'bigint'\n[tables.dim.columns]\n\
                [pipelines.'a b']\n  keys = ['x',\n 'y']\nsource.table = 'a.b'\n\
                [defaults]\ntimezone = 'UTC'\n[pipelines]\nc = { mode = 'append', source = { table = 'a.b' }, target = 'c.d' }\n";
    // `columns` twice is not TOML: each place is still found by the tests below once it is mended.
    let text = text
        .replace("[tables.dim.columns]\n", "")
        .replace("[pipelines.'a b']\n", "[pipelines.'a b']\nmode = 'merge'\ntarget = 'c.d'\n");
    let text = text.replace(
        "[pipelines]\nc =",
        "[pipelines.c]\nmode = 'append'\nsource.table = 'a.b'\ntarget = 'c.d'\n#",
    );
    let project = read(&text);
    let place = |path: &str| {
        let place = project.places.find(path).unwrap_or_else(|| panic!("{path} has a place"));
        let length = place.excerpt.as_ref().unwrap().length;
        (place.line, place.column, length, place.section.clone().unwrap_or_default())
    };
    let expect = |line, column, length, section: &str| (line, column, length, section.to_owned());
    assert_eq!(place("connections.crm"), expect(1, 1, 17, "[connections.crm]"));
    assert_eq!(place("connections.crm.host"), expect(2, 1, 10, "[connections.crm]"));
    assert_eq!(place("connections.crm.port"), expect(1, 1, 17, "[connections.crm]"));
    assert_eq!(place("tables.dim"), expect(3, 1, 12, "[tables.dim]"));
    assert_eq!(place("tables.dim.columns.id"), expect(4, 9, 13, "[tables.dim.columns]"));
    assert_eq!(place("pipelines.a b"), expect(5, 1, 17, "[pipelines.\"a b\"]"));
    assert_eq!(place("pipelines.a b.keys"), expect(8, 3, 12, "[pipelines.\"a b\"]"));
    assert_eq!(place("pipelines.a b.keys.1"), expect(9, 2, 3, "[pipelines.\"a b\"]"));
    assert_eq!(place("pipelines.a b.source.table"), expect(10, 8, 13, "[pipelines.\"a b\"]"));
    assert_eq!(place("pipelines.a b.timezone"), expect(12, 1, 16, "[defaults]"));
    assert_eq!(place("pipelines.c.lease"), expect(13, 1, 13, "[pipelines.c]"));
}

#[test]
fn files_are_included_relative_to_the_file_they_stand_in() {
    let files = Memory::new()
        .file("etc/pipelines.toml", &format!("include = ['parts/*.toml']\n[defaults]\nlease = '30s'\n{}", pipeline("append", "")))
        .file("etc/parts/a.toml", "include = ['../shared.toml']\n[pipelines.a]\nsource = { query_file = 'a.sql' }\ntarget = 't'\nmode = 'merge'\n")
        .file("etc/parts/a.sql", "SELECT 2")
        .file("etc/parts/b.toml", "[tables.t]\nschema = 's'\n")
        .file("etc/shared.toml", "[connections.x]\nhost = 'h'\n");
    let project = read_project(Path::new("etc/pipelines.toml"), &Chosen::default(), &files)
        .unwrap_or_else(|errors| panic!("{:#?}", told(&errors)));
    assert_eq!(
        project.files,
        ["etc/pipelines.toml", "etc/parts/a.toml", "etc/parts/../shared.toml", "etc/parts/b.toml"]
    );
    assert_eq!(project.pipelines["a"].source.query.as_deref(), Some("SELECT 2"));
    assert_eq!(project.pipelines["a"].options.lease.as_ref().unwrap().to_string(), "30s");
    assert_eq!(project.places.find("pipelines.a.lease").unwrap().file, "etc/pipelines.toml");
    assert_eq!(project.places.find("tables.t").unwrap().file, "etc/parts/b.toml");
}

#[test]
fn mistakes_of_all_files_are_told_in_their_order() {
    let files = Memory::new()
        .file("pipelines.toml", "include = ['b.toml', 'a/*.toml', 'none.toml', 'b.toml', 5]\nx = 1\n[connections.c]\nhost = 'h'\n[defaults]\nlease = '1m'\n")
        .file("b.toml", "include = ['pipelines.toml', 'nothing/*.toml']\n[connections.c]\nhost = 'h'\n")
        .file("a/1.toml", "[tables.t]\n[defaults]\nlease = '2m'\ny = 1\n")
        .file("a/2.toml", "[tables.t]\n");
    let errors = read_project(Path::new("pipelines.toml"), &Chosen::default(), &files).unwrap_err();
    assert_eq!(
        told(&errors),
        [
            "invalid_value 1:57 an entry of `include` of the file must be a string, not a whole number",
            "unknown_option 2:1 unknown option `x` at the top of the file",
        ]
    );
    let files = files.file("pipelines.toml", "include = ['b.toml', 'a/*.toml', 'none.toml', 'b.toml']\n[connections.c]\nhost = 'h'\n[defaults]\nlease = '1m'\n");
    let errors = read_project(Path::new("pipelines.toml"), &Chosen::default(), &files).unwrap_err();
    assert_eq!(
        told(&errors),
        [
            "invalid_value 1:34 `none.toml` cannot be read: there is no such file",
            "invalid_value 1:47 `b.toml` is included twice",
            "invalid_value b.toml:1:12 `pipelines.toml` includes itself",
            "invalid_value b.toml:1:30 no file matches `nothing/*.toml`",
            "duplicate_name b.toml:2:1 connection `c` is declared twice",
            "duplicate_name a/1.toml:3:1 `lease` is set twice in [defaults]",
            "unknown_option a/1.toml:4:1 unknown option `y` in [defaults]",
            "duplicate_name a/2.toml:1:1 table `t` is declared twice",
        ]
    );
    let details: Vec<&str> =
        errors.iter().flat_map(|error| error.details.iter().map(String::as_str)).collect();
    assert_eq!(
        details,
        [
            "first at pipelines.toml:1:12",
            "pipelines.toml → b.toml → pipelines.toml",
            "first at pipelines.toml:2:1",
            "first at pipelines.toml:5:1",
            "first at a/1.toml:1:1",
        ]
    );
    let missing = read_project(Path::new("none.toml"), &Chosen::default(), &Memory::new()).unwrap_err();
    assert_eq!(missing[0].message, "`none.toml` cannot be read: there is no such file");
}
