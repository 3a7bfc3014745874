//! Many entries are judged on every core; what is said of them is what is said of each alone.

use ematix_flow_core::declare::environment::ProcessEnvironment;
use ematix_flow_core::declare::toml::read_text;
use ematix_flow_core::error::FlowError;

const MANY: usize = 1_200;

fn entry(n: usize, mistake: &str) -> String {
    let (schema, kind, option, query) = match mistake {
        "a schema" => ("5", "bigint", "", "SELECT 1"),
        "a type" => ("\"s\"", "bigintt", "", "SELECT 1"),
        "an option" => ("\"s\"", "bigint", "modus = \"merge\"", "SELECT 1"),
        "a variable" => ("\"s\"", "bigint", "", "SELECT {nobody}"),
        _ => ("\"s\"", "bigint", "tags = [\"x\"]", "SELECT 1"),
    };
    format!(
        "[tables.t{n}]\nschema = {schema}\nprimary_key = \"id\"\ncolumns = {{ id = \"{kind}\", at = {{ type = \"date?\" }} }}\n\
         [pipelines.p{n}]\nsource = {{ query = \"{query}\" }}\ntarget = \"t{n}\"\nmode = \"merge\"\n{option}\n"
    )
}

#[test]
fn many_entries_are_read_as_each_is_alone() {
    let whole: String = (0..MANY).map(|n| entry(n, "")).collect();
    let project = read_text(&whole, "pipelines.toml", &ProcessEnvironment).unwrap();
    assert_eq!((project.tables.len(), project.pipelines.len()), (MANY, MANY));
    for n in [0, MANY / 2 - 1, MANY / 2, MANY - 1] {
        let alone = read_text(&entry(n, ""), "pipelines.toml", &ProcessEnvironment).unwrap();
        let (table, pipeline) = (format!("t{n}"), format!("p{n}"));
        assert_eq!(project.tables.get_index(n), alone.tables.get_index(0));
        assert_eq!(project.pipelines.get_index(n), alone.pipelines.get_index(0));
        for path in [format!("tables.{table}.columns.at"), format!("pipelines.{pipeline}.tags")] {
            let here = project.places.get(&path).unwrap();
            let there = alone.places.get(&path).unwrap();
            assert_eq!(
                (here.line - 9 * n, &here.section, &here.excerpt),
                (there.line, &there.section, &there.excerpt)
            );
        }
    }
}

#[test]
fn mistakes_of_many_entries_stand_in_the_order_of_the_file() {
    let mistakes = ["", "a schema", "", "a type", "an option", "", "a variable"];
    let texts: Vec<String> = (0..MANY).map(|n| entry(n, mistakes[n % mistakes.len()])).collect();
    let mut expected: Vec<FlowError> = Vec::new();
    for (n, text) in texts.iter().enumerate() {
        let alone = read_text(text, "pipelines.toml", &ProcessEnvironment).err().unwrap_or_default();
        expected.extend(alone.into_iter().map(|mut error| {
            error.location.as_mut().unwrap().line += 9 * n;
            error
        }));
    }
    assert!(expected.len() > MANY / 2);
    let found = read_text(&texts.concat(), "pipelines.toml", &ProcessEnvironment).unwrap_err();
    assert_eq!(found, expected);
}
