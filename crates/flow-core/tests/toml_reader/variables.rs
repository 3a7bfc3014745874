//! Variables and environments.

use super::{Memory, mistakes, read, told};
use ematix_flow_core::declare::ProjectSpec;
use ematix_flow_core::declare::toml_file::read_project;
use ematix_flow_core::declare::variables::Chosen;
use ematix_flow_core::sql::Literal;
use std::path::Path;

const PROJECT: &str = r#"
include = ["more.toml"]
[vars]
region = "EU"
schema = "analytics"
limit = 5
[defaults]
mode = "merge"
every = "15m"
[tables."dim_{region}"]
schema = "{schema}"
primary_key = ["id"]
columns = { id = "bigint" }
[environments.ci]
vars.schema = "ci_${env:USER}"
defaults.schedule = "0 * * * *"
defaults.tags = ["ci"]
"#;

const MORE: &str = r#"
[pipelines."orders_{region}"]
source = { query = "SELECT id, ':region' AS t FROM {schema}.orders WHERE n < :limit AND region = :region -- :x" }
target = "dim_{region}"
"#;

fn chosen(environment: Option<&str>, variables: &[(&str, &str)]) -> Result<ProjectSpec, Vec<String>> {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let chosen = Chosen {
        environment: environment.map(str::to_owned),
        variables: variables.iter().map(own).collect(),
        ..Chosen::default()
    };
    let files = Memory::new().variable("USER", "ann").file("pipelines.toml", PROJECT).file("more.toml", MORE);
    read_project(Path::new("pipelines.toml"), &chosen, &files)
        .map_err(|errors| errors.iter().map(|error| format!("{} {}", error.code, error.message)).collect())
}

#[test]
fn variables_reach_names_and_queries_of_every_file() {
    let project = chosen(None, &[]).unwrap();
    let pipeline = &project.pipelines["orders_EU"];
    assert_eq!(pipeline.target, "dim_EU");
    assert_eq!(
        pipeline.source.query.as_deref(),
        Some("SELECT id, ':region' AS t FROM \"analytics\".orders WHERE n < 5 AND region = 'EU' -- :x")
    );
    assert_eq!(project.tables["dim_EU"].schema.as_deref(), Some("analytics"));
    assert_eq!(project.used_variables["orders_EU"], ["region", "schema", "limit"]);
}

#[test]
fn an_environment_lies_over_the_files_and_a_flag_over_both() {
    let project = chosen(Some("ci"), &[("region", "US"), ("limit", "7"), ("unused", "x")]).unwrap();
    let pipeline = &project.pipelines["orders_US"];
    assert_eq!(
        pipeline.source.query.as_deref(),
        Some("SELECT id, ':region' AS t FROM \"ci_ann\".orders WHERE n < 7 AND region = 'US' -- :x")
    );
    // Of two that exclude each other the environment's is meant.
    assert_eq!((pipeline.options.schedule.as_deref(), &pipeline.options.every), (Some("0 * * * *"), &None));
    assert_eq!(pipeline.options.tags.as_deref(), Some(&["ci".to_owned()][..]));
    assert_eq!(project.variables["limit"].value, Literal::Integer(7));
    let place = project.places.find("pipelines.orders_US.tags").unwrap();
    assert_eq!((place.line, place.section.as_deref()), (17, Some("[environments.ci]")));
}

#[test]
fn what_a_command_says_wrong_is_told_with_what_there_is() {
    assert_eq!(chosen(Some("cii"), &[]).unwrap_err()[0], "invalid_value there is no environment `cii`");
    assert_eq!(
        chosen(None, &[("limit", "many")]).unwrap_err(),
        ["invalid_value `--var limit=many`: the variable is a whole number"]
    );
}

#[test]
fn every_mistake_with_variables_stands_at_its_place() {
    let found = mistakes(
        "[vars]\nregion = 'EU'\n'a b' = 1\nlist = [1]\nhome = '${env:HOME}'\n\
         [pipelines.p]\nsource = { query = '''\nSELECT 1\nFROM {regoin}.t WHERE a = :other''' }\ntarget = 'a.{nothing}'\nmode = 'append'\n\
         tags = ['{']\n[environments.x]\npipelines = {}\nvars.y = '${Y}'\nvars.z = '${file:/etc/passwd}'\ndefaults.modus = 'merge'\nconnections.c.dns = 'x'\n",
    );
    assert_eq!(
        found,
        [
            "invalid_value 3:1 `a b` cannot be the name of a variable",
            "invalid_value 4:8 the variable `list` must be text, a number, true or false, not a list",
            "invalid_value 5:9 the variable `home` cannot take `${…}`",
            "unknown_variable 9:6 `{regoin}` refers to nothing | did you mean `{region}`?",
            "unknown_variable 10:13 `{nothing}` refers to nothing",
            "invalid_value 12:10 `{` in a name begins or ends no variable",
            "unknown_option 14:1 environment `x` cannot hold `pipelines`",
            "invalid_value 15:11 `${Y}` does not say where its value comes from",
            "invalid_value 16:11 the variable `z` cannot take the text of a file",
            "unknown_option 17:10 unknown option `modus` in the defaults of environment `x` | did you mean `mode`?",
            "unknown_option 18:15 unknown option `dns` in connection `c` of environment `x` | did you mean `dsn`?",
        ]
    );
}

#[test]
fn a_variable_of_a_query_file_is_told_at_its_line_there() {
    let files = Memory::new().file("sql/a.sql", "SELECT *\nFROM t WHERE a = :nothing\n").file(
        "pipelines.toml",
        "[pipelines.p]\nsource = { query_file = 'sql/a.sql' }\ntarget = 'a.b'\nmode = 'append'\n",
    );
    let errors = read_project(Path::new("pipelines.toml"), &Chosen::default(), &files).unwrap_err();
    assert_eq!(told(&errors), ["unknown_variable sql/a.sql:2:18 `:nothing` refers to nothing"]);
}

#[test]
fn two_names_that_become_one_are_refused() {
    let found = mistakes(
        "[vars]\na = 'x'\nb = 'x'\n[tables.'{a}']\ncolumns = { i = 'bigint' }\n[tables.'{b}']\ncolumns = { i = 'bigint' }\n",
    );
    assert_eq!(found, ["duplicate_name 6:1 two tables are called `x` once their variables are filled in"]);
}

#[test]
fn secrets_of_an_environment_are_in_no_excerpt() {
    let text =
        "[environments.ci]\nconnections.crm.dsn = 'postgresql://u:s3cret@h:x/d'\n[connections.a]\nb = 1\n";
    let errors = ematix_flow_core::declare::toml_file::read_text(text, "p.toml", &Memory::new()).unwrap_err();
    assert!(!format!("{errors:?}").contains("s3cret"), "{errors:?}");
    assert_eq!(errors.len(), 2);
}

#[test]
fn braces_of_a_file_without_variables_are_doubled() {
    let project = read("[pipelines.'{{p}}']\nsource = { table = 'a.b' }\ntarget = 'c.d'\nmode = 'append'\n");
    assert!(project.pipelines.contains_key("{p}"));
}
