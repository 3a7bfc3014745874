//! Values of every type out of a real Postgres, through Arrow, and back into a table of it.

#[path = "../../flow-core/tests/hash_property/server.rs"]
#[allow(dead_code)] // that of the row hash, of which this file uses a part
mod server;

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Decimal128Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use bytes::Bytes;
use ematix_flow_arrow::{BatchSize, Column, CopyType, Decoder, Encoder};
use ematix_flow_core::copy_rows::RowReader;
use ematix_flow_core::error::FlowError;
use futures_util::{SinkExt, StreamExt, pin_mut};
use server::with_database;
use tokio_postgres::Client;

/// Columns: name, type in the table, type of the stream, and the values beside NULL.
fn table() -> Vec<(&'static str, &'static str, CopyType, Vec<&'static str>)> {
    let array = |element: CopyType, oid| CopyType::Array(Box::new(element), oid);
    vec![
        ("truth", "boolean", CopyType::Bool, vec!["true", "false"]),
        ("small", "smallint", CopyType::Int2, vec!["-32768", "32767"]),
        ("number", "integer", CopyType::Int4, vec!["-2147483648", "2147483647"]),
        ("large", "bigint", CopyType::Int8, vec!["-9223372036854775808", "9223372036854775807"]),
        ("ratio", "real", CopyType::Float4, vec!["NaN", "-Infinity", "-0", "1e-45", "3.4028235e38"]),
        ("score", "float8", CopyType::Float8, vec!["NaN", "Infinity", "-0", "5e-324", "0.1"]),
        (
            "price",
            "numeric(12,2)",
            CopyType::Numeric(12, 2),
            vec!["0", "-0.01", "1", "10000", "99999999.99", "-9999999999.99", "1234.5", "100000000"],
        ),
        (
            "share",
            "numeric(38,38)",
            CopyType::Numeric(38, 38),
            vec![
                "0.00000000000000000000000000000000000001",
                "-0.99999999999999999999999999999999999999",
                "0.5",
            ],
        ),
        (
            "count",
            "numeric(38,0)",
            CopyType::Numeric(38, 0),
            vec!["99999999999999999999999999999999999999", "-1"],
        ),
        (
            "long",
            "numeric(76,30)",
            CopyType::Numeric(76, 30),
            vec!["9999999999999999999999999999999999999999999999.999999999999999999999999999999", "-1e-30"],
        ),
        ("hundreds", "numeric(3,-2)", CopyType::Numeric(5, 0), vec!["-12300", "99900"]),
        (
            "any_number",
            "numeric",
            CopyType::NumericText,
            vec!["NaN", "Infinity", "-Infinity", "1e300", "-1e-300", "0.000", "12345.67890", "1e131071"],
        ),
        ("note", "text", CopyType::Text, vec!["", "é数𐀀", "a\tb\\N"]),
        ("code", "varchar(5)", CopyType::Text, vec!["abc"]),
        ("padded", "char(5)", CopyType::Text, vec!["ab"]),
        ("mood", "mood", CopyType::Text, vec!["ok", "été"]),
        ("raw", "json", CopyType::Json, vec!["{\"a\" : [1, 2.0]}", "null"]),
        ("tree", "jsonb", CopyType::Jsonb, vec!["{\"b\": null, \"a\": \"é\"}"]),
        ("blob", "bytea", CopyType::Bytea, vec!["\\x", "\\x00ff"]),
        ("token", "uuid", CopyType::Uuid, vec!["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]),
        ("day", "date", CopyType::Date, vec!["1970-01-01", "4713-01-01 BC", "5874897-12-31", "1999-12-31"]),
        ("clock", "time", CopyType::Time, vec!["00:00:00", "23:59:59.999999"]),
        (
            "seen",
            "timestamp",
            CopyType::Timestamp,
            vec!["1970-01-01 00:00:01", "4713-01-01 00:00:00 BC", "294246-12-31 23:59:59.999999"],
        ),
        (
            "made",
            "timestamptz",
            CopyType::TimestampTz,
            vec!["2026-01-02 03:04:05.678901+05:30", "0044-03-15 BC"],
        ),
        (
            "span",
            "interval",
            CopyType::Interval,
            vec!["-1 year 3 days -04:05:06.789012", "178000000 years", "0"],
        ),
        ("numbers", "integer[]", array(CopyType::Int4, 23), vec!["{}", "{1,NULL,-3}"]),
        ("words", "text[]", array(CopyType::Text, 25), vec!["{\"\",NULL,é}"]),
        ("codes", "varchar(4)[]", array(CopyType::Text, 1043), vec!["{ab}"]),
        ("prices", "numeric(12,2)[]", array(CopyType::Numeric(12, 2), 1700), vec!["{1,-0.01,NULL}"]),
        ("trees", "jsonb[]", array(CopyType::Jsonb, 3802), vec!["{null,\"{\\\"a\\\": 1}\"}"]),
        ("days", "date[]", array(CopyType::Date, 1082), vec!["{2000-01-01}"]),
        ("moments", "timestamptz[]", array(CopyType::TimestampTz, 1184), vec!["{2000-01-01 00:00:00+00}"]),
        ("tokens", "uuid[]", array(CopyType::Uuid, 2950), vec!["{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}"]),
        ("truths", "boolean[]", array(CopyType::Bool, 16), vec!["{t,f,NULL}"]),
        ("blobs", "bytea[]", array(CopyType::Bytea, 17), vec!["{\"\\\\x00\"}"]),
        ("spans", "interval[]", array(CopyType::Interval, 1186), vec!["{1 day}"]),
        ("ratios", "real[]", array(CopyType::Float4, 700), vec!["{NaN,0.1}"]),
    ]
}

async fn fill(client: &Client) {
    client.batch_execute("CREATE TYPE mood AS ENUM ('ok', 'été')").await.expect("a type");
    let columns: Vec<String> = table().iter().map(|(name, sql, ..)| format!("{name} {sql}")).collect();
    for name in ["source", "target"] {
        let columns = columns.join(", ");
        client
            .batch_execute(&format!("CREATE TABLE {name} (row integer, {columns})"))
            .await
            .expect("a table");
    }
    // The first row is NULL but for its number, each value stands in a row of its own and all first values in one.
    let firsts: Vec<String> =
        table().iter().map(|(_, _, _, values)| format!("'{}'", values[0].replace('\'', "''"))).collect();
    client.batch_execute("INSERT INTO source (row) VALUES (0)").await.expect("a row");
    client
        .batch_execute(&format!("INSERT INTO source VALUES (1, {})", firsts.join(", ")))
        .await
        .expect("a row");
    for (name, sql, _, values) in table() {
        for value in values {
            let insert = format!(
                "INSERT INTO source (row, {name}) VALUES (2, '{}'::{sql})",
                value.replace('\'', "''")
            );
            client.batch_execute(&insert).await.unwrap_or_else(|error| panic!("{name} {value}: {error}"));
        }
    }
}

async fn copied_out(client: &Client, query: &str) -> Vec<Bytes> {
    let stream =
        client.copy_out(&format!("COPY ({query}) TO STDOUT (FORMAT binary)")).await.expect("COPY starts");
    pin_mut!(stream);
    let mut chunks = Vec::new();
    while let Some(chunk) = stream.next().await {
        chunks.push(chunk.expect("COPY goes on"));
    }
    chunks
}

fn decoded(columns: &[Column], chunks: &[Bytes], size: BatchSize) -> Vec<RecordBatch> {
    let mut decoder = Decoder::new(columns.to_vec(), size);
    let mut batches = Vec::new();
    for chunk in chunks {
        batches.extend(decoder.decode(chunk).expect("the server sends well-formed values"));
    }
    batches.extend(decoder.finish().expect("the stream is complete"));
    batches
}

/// The fields of each row in hexadecimal digits, under their columns' names where they are not NULL.
fn rows_of(bytes: &[u8]) -> Vec<String> {
    let mut rows = Vec::new();
    let mut reader = RowReader::default();
    reader
        .read(bytes, |row| {
            let names = ["row"].into_iter().chain(table().into_iter().map(|(name, ..)| name));
            let fields = names.zip(row.fields).filter_map(|(name, field)| {
                let hex: String = field.as_ref()?.iter().map(|byte| format!("{byte:02x}")).collect();
                Some(format!("{name} {hex}"))
            });
            rows.push(fields.collect::<Vec<_>>().join(", "));
            Ok::<(), FlowError>(())
        })
        .expect("a stream");
    reader.finish().expect("a whole stream");
    rows
}

#[tokio::test]
async fn values_of_every_type_go_through_arrow_and_back() {
    with_database(|database| async move {
        let client = database.connect().await;
        fill(&client).await;
        let mut columns = vec![Column::new("row", CopyType::Int4)];
        columns.extend(table().into_iter().map(|(name, _, data_type, _)| Column::new(name, data_type)));

        let chunks = copied_out(&client, "SELECT * FROM source").await;
        let batches = decoded(&columns, &chunks, BatchSize { rows: 3, bytes: 1 << 20 });
        let mut encoder = Encoder::new(columns, &batches[0].schema()).expect("what arrives can be sent");
        let mut bytes = Vec::new();
        for batch in &batches {
            encoder.encode(batch, &mut bytes).expect("every value is one of Postgres");
        }
        encoder.finish(&mut bytes);
        assert_eq!(rows_of(&bytes), rows_of(&chunks.concat()), "the server's own bytes");

        let sink = client.copy_in("COPY target FROM STDIN (FORMAT binary)").await.expect("COPY starts");
        pin_mut!(sink);
        sink.send(Bytes::from(bytes)).await.expect("COPY goes on");
        let rows = sink.finish().await.expect("the server takes every value");
        assert_eq!(rows as usize, 2 + table().iter().map(|(.., values)| values.len()).sum::<usize>());
        // By their text, which also tells -0 from 0 and 1.0 from 1.00.
        let differing = "SELECT count(*) FROM ((SELECT s::text FROM source AS s EXCEPT ALL SELECT t::text FROM target AS t)
             UNION ALL (SELECT t::text FROM target AS t EXCEPT ALL SELECT s::text FROM source AS s)) AS d";
        let differing: i64 = client.query_one(differing, &[]).await.expect("a count").get(0);
        assert_eq!(differing, 0);
    })
    .await;
}

#[tokio::test]
async fn values_are_those_that_arrow_means() {
    with_database(|database| async move {
        let client = database.connect().await;
        let query = "SELECT date '1970-01-02', timestamptz '1970-01-01 01:00:00.5+01', numeric(10,3) '-12.5'";
        let columns = vec![
            Column::new("day", CopyType::Date),
            Column::new("moment", CopyType::TimestampTz),
            Column::new("number", CopyType::Numeric(10, 3)),
        ];
        let chunks = copied_out(&client, query).await;
        let batch = decoded(&columns, &chunks, BatchSize::default()).remove(0);
        assert_eq!(batch.column(0).as_primitive::<Date32Type>().value(0), 1);
        assert_eq!(batch.column(1).as_primitive::<TimestampMicrosecondType>().value(0), 500_000);
        assert_eq!(batch.column(2).as_primitive::<Decimal128Type>().value(0), -12_500);
        assert_eq!(batch.column(2).as_primitive::<Decimal128Type>().scale(), 3);
        assert_eq!(batch.column(1).null_count(), 0);
    })
    .await;
}
