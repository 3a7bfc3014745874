//! What was sent is what is sent back, byte for byte; bytes of any kind are values or errors.

#[allow(dead_code)] // each test file uses a part
mod support;

use arrow_array::RecordBatch;
use ematix_flow_arrow::{BatchSize, Column, Decoder, Encoder};
use ematix_flow_core::error::Result;
use proptest::prelude::*;
use support::{Field, columns, stream, value};

fn decode(columns: &[Column], bytes: &[u8], cuts: &[usize], size: BatchSize) -> Result<Vec<RecordBatch>> {
    let mut decoder = Decoder::new(columns.to_vec(), size);
    let mut batches = Vec::new();
    let mut from = 0;
    for cut in cuts.iter().copied().chain([bytes.len()]) {
        let cut = cut.clamp(from, bytes.len());
        batches.extend(decoder.decode(&bytes[from..cut])?);
        from = cut;
    }
    batches.extend(decoder.finish()?);
    Ok(batches)
}

fn encode(columns: &[Column], batches: &[RecordBatch]) -> Vec<u8> {
    let schema = Decoder::new(columns.to_vec(), BatchSize::default()).schema();
    let mut encoder = Encoder::new(columns.to_vec(), &schema).expect("what arrives can be sent");
    let mut out = Vec::new();
    for batch in batches {
        encoder.encode(batch, &mut out).expect("every value is one of Postgres");
    }
    encoder.finish(&mut out);
    out
}

fn rows() -> impl Strategy<Value = Vec<Vec<Field>>> {
    let row: Vec<_> =
        columns().iter().map(|column| prop::option::weighted(0.8, value(&column.data_type))).collect();
    prop::collection::vec(row, 0..7)
}

proptest! {
    #[test]
    fn rows_come_back_byte_for_byte_however_stream_and_batches_are_cut(
        rows in rows(),
        mut cuts in prop::collection::vec(0_usize..4000, 0..6),
        batch_rows in 1_usize..5,
        bytes in 1_usize..4000,
    ) {
        cuts.sort_unstable();
        let sent = stream(&rows);
        let size = BatchSize { rows: batch_rows, bytes };
        let batches = decode(&columns(), &sent, &cuts, size).expect("every value has its place in Arrow");
        prop_assert!(batches.iter().all(|batch| (1..=batch_rows).contains(&batch.num_rows())));
        prop_assert_eq!(encode(&columns(), &batches), sent);
        // Once more over the parts of one batch.
        let whole = decode(&columns(), &stream(&rows), &[], BatchSize::default()).expect("as before");
        let parts: Vec<RecordBatch> = whole
            .iter()
            .flat_map(|batch| (0..batch.num_rows()).map(|row| batch.slice(row, 1)))
            .collect();
        prop_assert_eq!(encode(&columns(), &parts), stream(&rows));
    }

    #[test]
    fn fields_of_any_bytes_are_values_or_errors(
        index in 0..columns().len(),
        field in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let column = vec![columns()[index].clone()];
        if let Ok(batches) = decode(&column, &stream(&[vec![Some(field)]]), &[], BatchSize::default()) {
            for batch in batches {
                // What Arrow has been given is whole: every array can be walked.
                prop_assert!(batch.column(0).to_data().validate_full().is_ok());
            }
        }
    }

    #[test]
    fn a_value_with_a_changed_byte_is_a_value_or_an_error(
        (index, mut field) in (0..columns().len()).prop_flat_map(|index| {
            (Just(index), value(&columns()[index].data_type).prop_filter("a byte", |value| !value.is_empty()))
        }),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let at = at.index(field.len());
        field[at] = byte;
        let column = vec![columns()[index].clone()];
        if let Ok(batches) = decode(&column, &stream(&[vec![Some(field)]]), &[], BatchSize::default()) {
            for batch in batches {
                prop_assert!(batch.column(0).to_data().validate_full().is_ok());
            }
        }
    }
}

#[test]
fn a_long_row_is_a_batch_of_its_own() {
    let columns = vec![Column::new("a", ematix_flow_arrow::CopyType::Bytea)];
    let row = |length| vec![Some(vec![7; length])];
    let sent = stream(&[row(10), row(10), row(500), row(10)]);
    let size = BatchSize { rows: 100, bytes: 100 };
    let batches = decode(&columns, &sent, &[], size).expect("bytes");
    let rows: Vec<usize> = batches.iter().map(RecordBatch::num_rows).collect();
    assert_eq!(rows, [2, 1, 1]);
}

#[test]
fn rows_without_columns_are_counted() {
    let batches = decode(&[], &stream(&[vec![], vec![]]), &[], BatchSize::default()).expect("two rows");
    assert_eq!(batches.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [2]);
    assert_eq!(encode(&[], &batches), stream(&[vec![], vec![]]));
}
