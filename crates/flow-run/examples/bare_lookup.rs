//! The floor of `bench/features.py`: a prepared SELECT of one row by the driver alone, one after the other.
//!
//! `bare_lookup DSN SQL KEYS COUNT` prints the median in microseconds.

use std::time::Instant;
use tokio::runtime::Builder;
use tokio_postgres::NoTls;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [dsn, sql, keys, count] = &words[..] else { panic!("bare_lookup DSN SQL KEYS COUNT") };
    let number = |text: &String| text.parse::<i64>().expect("a number");
    let (keys, count) = (number(keys), number(count));
    // As the package has it: the connection is driven by another thread than the one that asks.
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("an event loop");
    let (client, connection) = runtime.block_on(tokio_postgres::connect(dsn, NoTls)).expect("a connection");
    runtime.spawn(connection);
    let statement = runtime.block_on(client.prepare(sql)).expect("a statement");
    let mut times: Vec<f64> = (0..count + 500)
        .map(|n| {
            let key = n * 7919 % keys;
            let started = Instant::now();
            let row = runtime.block_on(client.query_opt(&statement, &[&key])).expect("an answer");
            assert!(row.is_some(), "the key is there");
            started.elapsed().as_secs_f64() * 1e6
        })
        .skip(500)
        .collect();
    times.sort_by(f64::total_cmp);
    println!("{:.1}", times[times.len() / 2]);
}
