//! Which files are meant, the columns of their paths, and files that change.

mod support;

use ematix_flow_arrow::source::BatchSource;
use ematix_flow_arrow::{Column, CopyType};
use ematix_flow_files::{Files, FilesSource, Format, IfNone};
use futures_util::TryStreamExt;
use support::{Folder, read, refused, told};

async fn listed(files: &Files) -> Vec<String> {
    files.list().await.unwrap().into_iter().map(|version| version.path).collect()
}

#[tokio::test]
async fn a_pattern_means_the_files_that_match_in_the_order_of_their_paths() {
    let folder = Folder::default();
    for path in [
        "b.csv",
        "a.csv",
        "x/c.csv",
        "x/y/d.csv.gz",
        "_tmp/e.csv",
        ".f.csv",
        "x/_SUCCESS",
        "g.json",
        "h[1].csv",
    ] {
        folder.put(path, "a\n1\n");
    }
    let cases: [(&str, &[&str]); 10] = [
        ("*.csv", &["a.csv", "b.csv", "h[1].csv"]),
        ("**/*.csv", &["a.csv", "b.csv", "h[1].csv", "x/c.csv"]),
        ("**/*.csv*", &["a.csv", "b.csv", "h[1].csv", "x/c.csv", "x/y/d.csv.gz"]),
        ("x/**", &["x/c.csv", "x/y/d.csv.gz"]),
        ("x", &["x/c.csv", "x/y/d.csv.gz"]),
        ("x/", &["x/c.csv", "x/y/d.csv.gz"]),
        ("{b,a,none}.csv", &["a.csv", "b.csv"]),
        ("[bc].csv", &["b.csv"]),
        ("_tmp/*", &["_tmp/e.csv"]),
        ("h[1].csv", &["h[1].csv"]),
    ];
    for (pattern, expected) in cases {
        assert_eq!(listed(&folder.files(pattern)).await, expected, "{pattern}");
    }
    let whole = folder.0.join("?.csv").display().to_string();
    let found = listed(&Files { pattern: whole, ..Files::default() }).await;
    assert_eq!(
        found,
        [folder.0.join("a.csv"), folder.0.join("b.csv")].map(|path| path.display().to_string())
    );
    let here = Files { pattern: "Cargo.t?ml".to_owned(), ..Files::default() };
    assert_eq!(listed(&here).await, ["Cargo.toml"]);
    let json = Files { format: Some(Format::Json), ..folder.files(".") };
    assert_eq!(listed(&json).await, ["./g.json"]);
}

#[tokio::test]
async fn a_link_to_a_folder_above_ends() {
    let folder = Folder::default();
    folder.put("x/a.csv", "a\n1\n");
    std::os::unix::fs::symlink(&folder.0, folder.0.join("x/up")).unwrap();
    std::os::unix::fs::symlink("nowhere", folder.0.join("x/lost.csv")).unwrap();
    assert_eq!(listed(&folder.files("**/*.csv")).await, ["x/a.csv"]);
}

#[tokio::test]
async fn no_file_is_an_error_unless_it_may_be() {
    let folder = Folder::default();
    let files = folder.files("landing/*.csv");
    assert_eq!(refused(&files, &[]).await, "source_failed: no file matches landing/*.csv");
    let empty = Files { if_none: IfNone::Empty, ..files };
    let found = read(&empty, &[Column::new("id", CopyType::Int4)]).await.unwrap();
    assert_eq!((found.columns, found.rows), (vec!["id Int32".to_owned()], Vec::new()));
}

#[tokio::test]
async fn files_of_one_source_are_of_one_format() {
    let folder = Folder::default();
    folder.put("a.csv", "a\n1\n").put("b.json", "{}").put("c.dat", "a\n1\n");
    assert_eq!(
        refused(&folder.files("{a.csv,b.json}"), &[]).await,
        "invalid_value: a.csv is csv and b.json is json"
    );
    assert_eq!(
        refused(&folder.files("c.dat"), &[]).await,
        "invalid_value: the ending of c.dat does not say what the file is"
    );
    let said = Files { format: Some(Format::Csv), ..folder.files("c.dat") };
    assert_eq!(read(&said, &[]).await.unwrap().rows, ["1"]);
}

#[tokio::test]
async fn what_stands_in_paths_are_columns() {
    let folder = Folder::default();
    folder
        .put("year=2026/city=S%C3%A3o/a.csv", "id\n1\n2\n")
        .put("year=2025/city=__HIVE_DEFAULT_PARTITION__/a.csv", "id\n3\n");
    let files = folder.files("**/*.csv");
    let wanted = [Column::new("year", CopyType::Int4)];
    let found = read(&files, &wanted).await.unwrap();
    assert_eq!(found.columns, ["id Utf8", "year Int32", "city Utf8"]);
    assert_eq!(found.rows, ["3|2025|NULL", "1|2026|São", "2|2026|São"]);
    let without = Files { hive: false, ..files.clone() };
    assert_eq!(read(&without, &wanted).await.unwrap().columns, ["id Utf8"]);

    assert_eq!(
        refused(&files, &[Column::new("city", CopyType::Int4)]).await,
        "cast_failed: year=2026/city=S%C3%A3o/a.csv, column `city` of its path: \"São\" is no integer"
    );
    folder.put("year=2024/city=x/a.csv", "id,year\n1,2\n");
    assert_eq!(
        refused(&files, &wanted).await,
        "duplicate_name: the column `year` of the path year=2024/city=x/a.csv is in the files, too"
    );
}

#[tokio::test]
async fn files_of_text_that_differ_go_together_by_name() {
    let folder = Folder::default();
    folder.put("1.csv", "id,name\n1,x\n").put("2.csv", "more,id\ny,2\n").put("3.csv", "id\n");
    let found = read(&folder.files("*.csv"), &[]).await.unwrap();
    assert_eq!(found.columns, ["id Utf8", "name Utf8", "more Utf8"]);
    assert_eq!(found.rows, ["1|x|NULL", "2|NULL|y"]);
    assert_eq!(
        found.notes,
        [
            "column `name` is not in 2 files, as 2.csv: it is NULL there",
            "column `more` is not in 2 files, as 1.csv: it is NULL there",
        ]
    );
    folder.put("1.json", "{\"a\": 1}").put("2.json", "{\"a\": \"x\"}");
    let found = read(&folder.files("*.json"), &[]).await.unwrap();
    assert_eq!(
        (found.columns, found.rows),
        (vec!["a Utf8".to_owned()], vec!["1".to_owned(), "x".to_owned()])
    );
    assert_eq!(found.notes[0], "column `a` is texts in 2.json and whole numbers before: it is read as text");
}

#[tokio::test]
async fn a_file_that_changes_after_it_was_listed_is_an_error() {
    let folder = Folder::default();
    folder.put("a.csv", "id\n1\n");
    let files = folder.files("a.csv");
    let versions = files.list().await.unwrap();
    let source = FilesSource::new(files.clone(), versions.clone());
    source.schema(&[]).await.unwrap();
    folder.put("a.csv", "id\n1\n2\n");
    let error = source.batches().await.unwrap().try_collect::<Vec<_>>().await.unwrap_err();
    assert_eq!(told(&error), "source_failed: a.csv was changed while it was read");
    let again = files.list().await.unwrap();
    assert_eq!(again[0].path, versions[0].path);
    assert_ne!(again[0].etag, versions[0].etag);
    std::fs::remove_file(folder.0.join("a.csv")).unwrap();
    let error = FilesSource::new(files, again).schema(&[]).await.unwrap_err();
    assert_eq!(told(&error), "source_failed: a.csv: there is no such file");
}

#[tokio::test]
async fn a_file_that_grows_while_it_is_read_is_an_error() {
    let folder = Folder::default();
    let rows: String = (0..400_000).map(|row| format!("{row}\n")).collect();
    folder.put("a.csv", format!("id\n{rows}"));
    let files = folder.files("a.csv");
    let source = FilesSource::new(files.clone(), files.list().await.unwrap());
    let mut batches = source.batches().await.unwrap();
    batches.try_next().await.unwrap().expect("a batch");
    let mut open = std::fs::OpenOptions::new().append(true).open(folder.0.join("a.csv")).unwrap();
    std::io::Write::write_all(&mut open, b"x\n").unwrap();
    let error = batches.try_collect::<Vec<_>>().await.unwrap_err();
    assert_eq!(told(&error), "source_failed: a.csv was changed while it was read");
}

#[test]
fn who_takes_no_more_rows_ends_the_reading() {
    let folder = Folder::default();
    let rows: String = (0..1_000_000).map(|row| format!("{row}\n")).collect();
    folder.put("a.csv", format!("id\n{rows}"));
    let files = folder.files("a.csv");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let source = runtime.block_on(async {
        let source = FilesSource::new(files.clone(), files.list().await.unwrap());
        let mut batches = source.batches().await.unwrap();
        batches.try_next().await.unwrap().expect("a batch");
        source
    });
    // Waits for the thread.
    drop(runtime);
    let read = (1..).step_by(61_440).take_while(|row| source.place_of(*row).is_some()).count();
    assert!((1..=5).contains(&read), "{read} batches were read");
}

#[tokio::test]
async fn a_row_that_is_refused_later_has_its_place() {
    let folder = Folder::default();
    folder.put("1.csv", "id\n1\n2\n").put("2.csv", "id\n").put("3.csv", "id\n3\n");
    let files = folder.files("*.csv");
    let source = FilesSource::new(files.clone(), files.list().await.unwrap());
    source.batches().await.unwrap().try_collect::<Vec<_>>().await.unwrap();
    let place = |row| source.place_of(row);
    assert_eq!(place(2), Some(("1.csv".to_owned(), 2)));
    assert_eq!(place(3), Some(("3.csv".to_owned(), 1)));
    assert_eq!((place(0), place(4)), (None, None));
}

#[tokio::test]
async fn files_are_plain_data() {
    let said =
        serde_json::json!({"pattern": "s3://lake/*.csv", "csv": {"delimiter": ";"}, "if_none": "empty"});
    let files: Files = serde_json::from_value(said).unwrap();
    assert_eq!((files.csv.delimiter, files.csv.header, files.if_none), (Some(';'), true, IfNone::Empty));
    let again: Files = serde_json::from_value(serde_json::to_value(&files).unwrap()).unwrap();
    assert_eq!(again, files);
    assert!(serde_json::from_value::<Files>(serde_json::json!({"patern": "x"})).is_err());
}
