//! Bytes that no server would send: they are batches that can be walked and sent again, or an error.

#[path = "../../../tests/fuzz/mod.rs"]
mod fuzz;
#[allow(dead_code)] // each test file uses a part
mod support;

use arrow_array::{Array, RecordBatch};
use ematix_flow_arrow::{BatchSize, Column, Decoder, Encoder};
use ematix_flow_core::error::Result;
use fuzz::fuzz;
use support::{columns, stream};

fn decoded(columns: &[Column], bytes: &[u8]) -> Result<Vec<RecordBatch>> {
    let mut decoder = Decoder::new(columns.to_vec(), BatchSize::default());
    let mut batches = decoder.decode(bytes)?;
    batches.extend(decoder.finish()?);
    Ok(batches)
}

#[test]
fn what_is_decoded_is_whole_and_is_sent_as_it_came() {
    let columns = columns();
    fuzz("arrow", &[], |input| {
        // The first byte says of which type the column is.
        let Some((kind, value)) = input.split_first() else { return };
        let column = vec![columns[usize::from(*kind) % columns.len()].clone()];
        let Ok(batches) = decoded(&column, &stream(&[vec![Some(value.to_vec())]])) else { return };
        let schema = Decoder::new(column.clone(), BatchSize::default()).schema();
        let mut encoder = Encoder::new(column.clone(), &schema).expect("what arrives can be sent");
        let mut sent = Vec::new();
        for batch in &batches {
            batch.column(0).to_data().validate_full().expect("an array that can be walked");
            // A text with a zero byte is none of Postgres: it is refused where it would be sent.
            if encoder.encode(batch, &mut sent).is_err() {
                return;
            }
        }
        encoder.finish(&mut sent);
        // Not always the same bytes, for a server sends one form of a number; but the same values.
        assert_eq!(decoded(&column, &sent), Ok(batches));
    });
}
