//! Input that nobody would write, for every reader of the core: it has an answer, and what it has read means the same when
//! it is written and read again.

#[path = "../../../tests/fuzz/mod.rs"]
mod fuzz;
#[path = "support/memory.rs"]
mod memory;

use ematix_flow_core::connections::resolve;
use ematix_flow_core::copy_rows::RowReader;
use ematix_flow_core::declare::fingerprint::fingerprint;
use ematix_flow_core::declare::options::FirstRun;
use ematix_flow_core::declare::toml_file::read_text;
use ematix_flow_core::declare::{PipelineOptions, ProjectSpec};
use ematix_flow_core::dialect::duckdb::DuckDb;
use ematix_flow_core::dialect::postgres::Postgres;
use ematix_flow_core::error::FlowError;
use ematix_flow_core::hash::{CopyColumn, Normal, RowHasher, SentType};
use ematix_flow_core::libpq::{parse_dsn, print_dsn};
use ematix_flow_core::pipeline::Pipeline;
use ematix_flow_core::query::ReadQuery;
use ematix_flow_core::schedule::Schedule;
use ematix_flow_core::sql::{QualifiedName, Quote};
use fuzz::fuzz;
use jiff::Timestamp;
use memory::Memory;

fn text(input: &[u8]) -> String {
    String::from_utf8_lossy(input).into_owned()
}

#[test]
fn a_conninfo_is_read_or_refused_and_means_the_same_when_it_is_printed() {
    const WORDS: &[&str] = &[
        "postgresql://",
        "host=",
        "hostaddr=",
        "port=",
        "user=",
        "password=",
        "service=",
        "options=",
        "@",
        ":",
        "/",
        ",",
        "?",
        "&",
        "=",
        "'",
        "\\",
        "%00",
        "%40",
        "%zz",
        "[::1]",
        "\t",
        "\u{b}",
    ];
    fuzz("conninfo", WORDS, |input| {
        let dsn = text(input);
        if let Ok(parameters) = parse_dsn(&dsn)
            && !parameters.is_empty()
        {
            let printed = print_dsn(parameters.iter().map(|(name, value)| (name.as_str(), value.reveal())));
            assert_eq!(parse_dsn(printed.reveal()), Ok(parameters.clone()), "{}", printed.reveal());
        }
        let environment = Memory::new().variable("USER", "ann").variable("EMATIX_FLOW_DSN", &dsn);
        let _ = resolve("default", &ProjectSpec::default(), &environment);
    });
}

#[test]
fn a_file_is_a_project_of_pipelines_that_are_judged_or_mistakes_at_lines_that_it_has() {
    const WORDS: &[&str] = &[
        "[pipelines.a]\n",
        "[tables.t]\n",
        "[defaults]\n",
        "[connections.c]\n",
        "[transforms.x]\n",
        "[features.f]\n",
        "[vars]\n",
        "[environments.e]\n",
        "mode = \"scd2\"\n",
        "source = ",
        "target = ",
        "keys = ",
        "columns = ",
        "for_each = ",
        "targets = ",
        "expect = ",
        "normalize = ",
        "after = ",
        "schedule = ",
        "{",
        "}",
        "[",
        "]",
        "\"",
        "'''",
        "=",
        ".",
        "\n",
        "#",
        "1979-05-27",
        "nan",
        "0x1f",
        "${env:A}",
        "{name}",
        ":name",
        "\u{feff}",
        "\r",
    ];
    fuzz("toml", WORDS, |input| {
        let text = text(input);
        let environment = Memory::new().variable("A", "a");
        match read_text(&text, "pipelines.toml", &environment) {
            Ok(project) => {
                for name in project.pipelines.keys() {
                    let _ = Pipeline::build(&project, name, &PipelineOptions::default());
                    assert_eq!(fingerprint(&project, name), fingerprint(&project.clone(), name));
                }
            }
            Err(errors) => {
                assert!(!errors.is_empty());
                let lines = text.matches('\n').count() + 1;
                for place in errors.iter().filter_map(|error| error.location.as_ref()) {
                    assert!((1..=lines).contains(&place.line), "{place:?}");
                }
            }
        }
    });
}

#[test]
fn a_cron_line_is_refused_or_its_next_slot_is_its_last_one_at_that_time() {
    const WORDS: &[&str] =
        &["*", "/", "-", ",", " ", "0", "5", "29", "31", "59", "60", "feb", "SUN", "7", "@daily", "@"];
    let now: Timestamp = "2026-03-29T00:30:00Z".parse().expect("an instant");
    fuzz("cron", WORDS, |input| {
        let line = text(input);
        for zone in ["UTC", "Europe/Berlin", "Australia/Lord_Howe"] {
            let Ok(schedule) = Schedule::cron(&line, zone, FirstRun::default()) else { continue };
            if let Some(next) = schedule.next_after(now) {
                assert!(next > now);
                assert_eq!(schedule.last_until(next), Some(next));
            }
        }
    });
}

#[test]
fn a_name_is_quoted_so_that_it_is_one_name_and_the_same() {
    const WORDS: &[&str] =
        &["\"", "\"\"", ".", "'", "\\", "--", "/*", "*/", ";", "$$", "é", "\u{0}", " ", "a.b"];
    let quoted_back = |dialect: &dyn Quote, name: &QualifiedName| {
        let query = ReadQuery::parse(&format!("SELECT * FROM {}", dialect.qualified(name)));
        let query = query.expect("a quoted name is one word of a query");
        assert_eq!(query.simple().expect("the rows of one table").relation, dialect.qualified(name));
    };
    fuzz("identifiers", WORDS, |input| {
        let Ok((Some(schema), name)) = QualifiedName::parse(&text(input)) else { return };
        let name = QualifiedName { schema, name };
        let again = QualifiedName::parse(&name.to_string());
        assert_eq!(again, Ok((Some(name.schema.clone()), name.name.clone())), "{name}");
        quoted_back(&Postgres, &name);
        quoted_back(&DuckDb, &name);
    });
}

#[test]
fn a_stream_of_copy_is_the_same_rows_however_it_is_cut() {
    type Rows = Vec<Vec<Option<Vec<u8>>>>;
    let read = |chunks: &mut dyn Iterator<Item = &[u8]>| -> (Rows, Result<(), FlowError>) {
        let (mut reader, mut rows) = (RowReader::default(), Rows::new());
        for chunk in chunks {
            let read = reader.read(chunk, |row| {
                rows.push(row.fields.iter().map(|field| field.map(<[u8]>::to_vec)).collect());
                Ok(())
            });
            if read.is_err() {
                return (rows, read);
            }
        }
        let ended = reader.finish();
        (rows, ended)
    };
    fuzz("copy_framing", &[], |input| {
        // The first byte says how long the pieces are.
        let Some((length, stream)) = input.split_first() else { return };
        let cut = read(&mut stream.chunks(usize::from(*length).max(1)));
        assert_eq!(cut, read(&mut std::iter::once(stream)));
    });
}

#[test]
fn a_row_has_one_hash_whatever_was_hashed_before() {
    let normals: Vec<Normal> = [
        Normal::Int8,
        Normal::Text,
        Normal::BlankPadded,
        Normal::Enum,
        Normal::Bool,
        Normal::Float8,
        Normal::Numeric,
        Normal::Json,
        Normal::Array { element: 23 },
        Normal::Opaque,
    ]
    .into_iter()
    .chain(SentType::ALL.iter().map(Normal::AsSent))
    .collect();
    fuzz("canonical", &[], |input| {
        let Some((kind, value)) = input.split_first() else { return };
        let normal = normals[usize::from(*kind) % normals.len()];
        let column = |name: &str, field| CopyColumn { name: name.to_owned(), normal, field };
        let hasher = || RowHasher::new(vec![column("b", 0), column("a", 1)]);
        let alone = hasher().hash(&[Some(value), None]);
        let mut used = hasher();
        let _ = used.hash(&[Some(&value[..value.len() / 2]), Some(value)]);
        assert_eq!(used.hash(&[Some(value), None]), alone);
        // NULL is no value, and no column is another's.
        if alone.is_ok() {
            assert_ne!(hasher().hash(&[None, None]), alone);
            assert_ne!(hasher().hash(&[None, Some(value)]), alone);
        }
    });
}
