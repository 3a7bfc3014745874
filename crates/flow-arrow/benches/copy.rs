//! Rows of the bench's `customers` between binary COPY and Arrow: `cargo bench -p ematix-flow-arrow`.

use divan::{Bencher, black_box, counter::ItemsCount};
use ematix_flow_arrow::{BatchSize, Column, CopyType, Decoder, Encoder};

const ROWS: usize = 10_000;

fn main() {
    divan::main();
}

fn columns() -> Vec<Column> {
    let types = [
        CopyType::Int8,
        CopyType::Text,
        CopyType::Text,
        CopyType::Text,
        CopyType::Int4,
        CopyType::Numeric(12, 2),
        CopyType::Bool,
        CopyType::Date,
        CopyType::TimestampTz,
        CopyType::Jsonb,
    ];
    types
        .into_iter()
        .enumerate()
        .map(|(index, data_type)| Column::new(format!("c{index}"), data_type))
        .collect()
}

/// What a server sends of them.
fn stream() -> Vec<u8> {
    let mut out = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    for row in 0..ROWS as i64 {
        let fields: [Vec<u8>; 10] = [
            row.to_be_bytes().to_vec(),
            format!("user{row}@example{}.com", row % 97).into_bytes(),
            format!("First{} Last{}", row % 1000, row % 7919).into_bytes(),
            b"inactive".to_vec(),
            (row as i32 % 120).to_be_bytes().to_vec(),
            // Two groups of four digits from weight 0, a scale of 2: 1234.56.
            [2_u16, 0, 0, 2, 1234, 5600].iter().flat_map(|part| part.to_be_bytes()).collect(),
            vec![u8::from(row % 3 == 0)],
            (row as i32 % 2000).to_be_bytes().to_vec(),
            (row * 1_000_000).to_be_bytes().to_vec(),
            [&b"\x01"[..], format!("{{\"k\": {}, \"t\": \"v{}\"}}", row % 100, row % 13).as_bytes()].concat(),
        ];
        out.extend((fields.len() as i16).to_be_bytes());
        for field in fields {
            out.extend((field.len() as i32).to_be_bytes());
            out.extend(field);
        }
    }
    out.extend([0xff, 0xff]);
    out
}

fn decoded(stream: &[u8]) -> Vec<arrow_array::RecordBatch> {
    let mut decoder = Decoder::new(columns(), BatchSize::default());
    let mut batches = decoder.decode(stream).expect("rows of COPY");
    batches.extend(decoder.finish().expect("the end of them"));
    batches
}

#[divan::bench]
fn decode(bencher: Bencher) {
    let stream = stream();
    bencher.counter(ItemsCount::new(ROWS)).bench_local(|| decoded(black_box(&stream)));
}

#[divan::bench]
fn encode(bencher: Bencher) {
    let batches = decoded(&stream());
    let schema = Decoder::new(columns(), BatchSize::default()).schema();
    bencher.counter(ItemsCount::new(ROWS)).bench_local(|| {
        let mut encoder = Encoder::new(columns(), &schema).expect("what was decoded can be sent");
        let mut out = Vec::new();
        for batch in black_box(&batches) {
            encoder.encode(batch, &mut out).expect("values of Postgres");
        }
        encoder.finish(&mut out);
        out
    });
}
