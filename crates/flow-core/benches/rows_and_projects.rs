//! The row hash, projects of 10,000 pipelines, and plans: `cargo bench -p ematix-flow-core`.

#[path = "../tests/support/planning.rs"]
#[allow(dead_code)] // the tests use the rest
mod planning;

use divan::{Bencher, black_box, counter::ItemsCount};
use ematix_flow_core::declare::environment::ProcessEnvironment;
use ematix_flow_core::declare::toml_file::read_text;
use ematix_flow_core::engine::POSTGRES;
use ematix_flow_core::hash::{CopyColumn, Normal, RowHasher, SentType};
use planning::Scene;
use std::fmt::Write;

const ROWS: usize = 10_000;
const PIPELINES: usize = 10_000;
const DATE: u32 = 1082;

fn main() {
    divan::main();
}

/// What scd2 compares of the bench's `customers`.
fn hasher() -> RowHasher {
    let date = Normal::AsSent(SentType::by_oid(DATE).expect("a type of Postgres"));
    let kinds = [
        ("email", Normal::Text),
        ("name", Normal::Text),
        ("status", Normal::Text),
        ("age", Normal::Int8),
        ("balance", Normal::Numeric),
        ("is_vip", Normal::Bool),
        ("signup_date", date),
        ("attrs", Normal::Json),
    ];
    let columns = kinds.into_iter().enumerate();
    RowHasher::new(
        columns.map(|(field, (name, normal))| CopyColumn { name: name.to_owned(), normal, field }).collect(),
    )
}

#[divan::bench]
fn row_hash(bencher: Bencher) {
    let rows: Vec<[Vec<u8>; 8]> = (0..ROWS as i32)
        .map(|row| {
            [
                format!("user{row}@example{}.com", row % 97).into_bytes(),
                format!("First{} Last{}", row % 1000, row % 7919).into_bytes(),
                b"inactive".to_vec(),
                (row % 120).to_be_bytes().to_vec(),
                // numeric_send: two groups of four digits from weight 0, a scale of 2.
                [2_u16, 0, 0, 2, 1234, 5600].iter().flat_map(|part| part.to_be_bytes()).collect(),
                vec![u8::from(row % 3 == 0)],
                (row % 2000).to_be_bytes().to_vec(),
                format!("{{\"k\": {}, \"t\": \"v{}\"}}", row % 100, row % 13).into_bytes(),
            ]
        })
        .collect();
    let mut hasher = hasher();
    bencher.counter(ItemsCount::new(ROWS)).bench_local(|| {
        for row in black_box(&rows) {
            let fields = row.each_ref().map(|field| Some(&field[..]));
            black_box(hasher.hash(&fields).expect("values of Postgres"));
        }
    });
}

#[divan::bench(sample_count = 10)]
fn project_of_ten_thousand_pipelines(bencher: Bencher) {
    let mut text = "[connections.crm]\ndsn = \"postgresql:///crm\"\n\
                    [connections.warehouse]\ndsn = \"postgresql:///warehouse\"\n\
                    [defaults]\ntarget_connection = \"warehouse\"\n"
        .to_owned();
    for number in 0..PIPELINES {
        let mode = ["scd2", "merge", "append", "truncate"][number % 4];
        writeln!(
            text,
            "[tables.t{number}]\nschema = \"analytics\"\nprimary_key = \"id\"\n\
             columns = {{ id = \"bigint\", name = \"text?\", balance = \"numeric(12,2)?\", updated_at = \"timestamptz\" }}\n\
             [pipelines.p{number}]\nsource = {{ connection = \"crm\", query = \"SELECT * FROM app.t{number}\" }}\n\
             target = \"t{number}\"\nmode = \"{mode}\"\nschedule = \"{} {} * * *\"",
            number % 60,
            number / 60 % 24,
        )
        .expect("a String takes everything");
    }
    bencher.counter(ItemsCount::new(PIPELINES)).bench_local(|| {
        read_text(black_box(&text), "pipelines.toml", &ProcessEnvironment).expect("the project can be read")
    });
}

#[divan::bench(args = ["append", "truncate", "merge", "scd2"])]
fn plan(bencher: Bencher, mode: &str) {
    let scene = Scene::new(&POSTGRES, &format!("mode = '{mode}'")).existing();
    bencher.bench_local(|| black_box(&scene).plan().expect("a plan"));
}
