//! Rows by a pipe: all of them, or an error.

use arrow_array::{ArrayRef, Int32Array, Int64Array, RecordBatch, RecordBatchIterator, StringViewArray};
use ematix_flow_arrow::{BatchSource, Column, CopyType};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_files::{BatchParts, Giver, Incoming, PipedSource, end_part, failed_part, page_parts};
use futures_util::TryStreamExt;
use std::io::Cursor;
use std::sync::Arc;

#[derive(Debug)]
struct Gone;

impl Giver for Gone {
    fn begin(&self) -> Result<()> {
        Ok(())
    }

    fn ended(&self) -> FlowError {
        FlowError::new(ErrorCode::SourceFailed, "broken off")
    }
}

fn source(parts: Vec<u8>) -> PipedSource {
    PipedSource::new("the rows".to_owned(), Incoming::new(Box::new(Cursor::new(parts)), Arc::new(Gone)))
}

fn batch(rows: i64) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
    let words = |id| format!("a text of more than a view: {id}");
    let texts: ArrayRef = Arc::new(StringViewArray::from_iter_values((0..rows).map(words)));
    RecordBatch::try_from_iter([("id", ids), ("text", texts)]).unwrap()
}

fn parts(rows: i64) -> Vec<Vec<u8>> {
    let batch = batch(rows);
    let reader = RecordBatchIterator::new([Ok(batch.clone())], batch.schema());
    BatchParts::new(Box::new(reader)).unwrap().map(std::result::Result::unwrap).collect()
}

async fn read(source: &PipedSource) -> Result<Vec<RecordBatch>> {
    source.schema(&[]).await?;
    source.batches().await?.try_collect().await
}

fn ids(batches: &[RecordBatch]) -> Vec<i64> {
    let column = |batch: &RecordBatch| {
        let column = batch.column(0).as_any();
        column.downcast_ref::<Int64Array>().unwrap().values().to_vec()
    };
    batches.iter().flat_map(column).collect()
}

#[tokio::test]
async fn a_large_batch_comes_in_parts_without_what_others_lead_to() {
    let mut sent = parts(200_000);
    assert_eq!(sent.len(), 5);
    // A row has about 60 bytes: a part has its own, not all of the buffer.
    let sizes: Vec<usize> = sent.iter().map(Vec::len).collect();
    assert!(sizes.iter().all(|size| *size < 61_440 * 80), "{sizes:?}");
    sent.push(end_part());
    let batches = read(&source(sent.concat())).await.unwrap();
    let rows: Vec<usize> = batches.iter().map(RecordBatch::num_rows).collect();
    assert_eq!(rows, [61_440, 61_440, 61_440, 15_680]);
    assert_eq!(ids(&batches), (0..200_000).collect::<Vec<_>>());
    assert_eq!(batches[3].slice(15_679, 1), batch(200_000).slice(199_999, 1));
}

#[tokio::test]
async fn what_is_cut_off_anywhere_is_never_taken_for_the_whole() {
    let whole: Vec<u8> = [parts(3).concat(), end_part()].concat();
    for length in 0..whole.len() {
        let error = read(&source(whole[..length].to_vec())).await.unwrap_err();
        assert_eq!(error.message, "broken off", "{length} of {}", whole.len());
    }
    assert_eq!(ids(&read(&source(whole)).await.unwrap()), [0, 1, 2]);
    let pages: Vec<u8> = [page_parts(b"{\"id\": 1}\n{\"id\": 2}", &[]), end_part()].concat();
    for length in 0..pages.len() {
        assert_eq!(read(&source(pages[..length].to_vec())).await.unwrap_err().message, "broken off");
    }
    assert_eq!(ids(&read(&source(pages)).await.unwrap()), [1, 2]);
}

#[tokio::test]
async fn what_failed_is_told_behind_rows_and_behind_the_end_of_a_stream() {
    let told =
        failed_part(r#"{"code": "invalid_value", "message": "row 4 is an int", "hint": "give dicts"}"#);
    let stream = parts(3);
    for before in [Vec::new(), stream[..1].concat(), stream.concat()] {
        let error = read(&source([before, told.clone()].concat())).await.unwrap_err();
        assert_eq!((error.code, error.message.as_str()), (ErrorCode::InvalidValue, "row 4 is an int"));
    }
}

#[tokio::test]
async fn rows_begin_again_where_they_were_left() {
    let once: Vec<u8> = [parts(200_000).concat(), end_part()].concat();
    let source = source([once.clone(), once].concat());
    source.schema(&[]).await.unwrap();
    let mut begun = source.batches().await.unwrap();
    assert_eq!(begun.try_next().await.unwrap().unwrap().num_rows(), 61_440);
    drop(begun);
    assert_eq!(ids(&read(&source).await.unwrap()).len(), 200_000);
}

#[tokio::test]
async fn types_that_json_does_not_tell_come_beside_the_rows() {
    let types = [("fee".to_owned(), "numeric".to_owned()), ("day".to_owned(), "date".to_owned())];
    let page = page_parts(b"{\"id\": 1, \"fee\": \"19.90\", \"day\": \"2026-01-01\"}", &types);
    let source = source([page, end_part()].concat());
    let schema = source.schema(&[Column::new("id", CopyType::Int4)]).await.unwrap();
    let found: Vec<_> = schema.fields().iter().map(|field| CopyType::for_field(field).unwrap()).collect();
    assert_eq!(found, [CopyType::Int4, CopyType::NumericText, CopyType::Date]);
    let batches: Vec<RecordBatch> = source.batches().await.unwrap().try_collect().await.unwrap();
    assert_eq!(batches[0].column(0).as_ref(), &Int32Array::from(vec![1]) as &dyn arrow_array::Array);
}
