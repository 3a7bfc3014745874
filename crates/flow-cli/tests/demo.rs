//! The demonstration on a real server, and what can be done with it afterwards. Needs a Postgres on this
//! machine and fails where there is none.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// The binary in a directory of its own, whose server goes when the test ends.
struct Home {
    directory: PathBuf,
}

impl Home {
    fn new(name: &str) -> Home {
        Home { directory: PathBuf::from(format!("/tmp/ematix-flow-{name}-{}", std::process::id())) }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flow"));
        command
            .args(arguments)
            .env("EMATIX_FLOW_DEV_DIR", &self.directory)
            .env("EMATIX_FLOW_CONFIG", self.directory.join("demo.toml"))
            .env("COLUMNS", "100")
            .env("TZ", "UTC")
            .stdin(Stdio::null());
        command
    }

    fn flow(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        read(self.command(arguments).output().unwrap())
    }

    /// As after the demo's own advice.
    fn with_dsn(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let (_, url, _) = self.flow(&["dev", "url"]);
        let dsn = url.trim().replacen("/postgres?", "/ematix_demo?", 1);
        read(self.command(arguments).env("EMATIX_FLOW_DEMO_DSN", dsn).output().unwrap())
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        self.flow(&["dev", "reset"]);
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn read(output: Output) -> (Option<i32>, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Pipeline, inserted, updated, closed out, deleted: what each run did.
fn counts(document: &str) -> Vec<(String, [i64; 4])> {
    let document: serde_json::Value = serde_json::from_str(document).unwrap();
    let runs = document["runs"].as_array().unwrap();
    let number = |run: &serde_json::Value, name: &str| run[name].as_i64().unwrap();
    runs.iter()
        .map(|run| {
            assert_eq!(run["status"], "success", "{run}");
            let names = ["rows_inserted", "rows_updated", "rows_closed_out", "rows_deleted"];
            (run["pipeline"].as_str().unwrap().to_owned(), names.map(|name| number(run, name)))
        })
        .collect()
}

#[test]
fn the_demo_tells_the_same_story_twice_and_one_can_go_on_with_it() {
    let home = Home::new("demo");
    let (code, first, told) = home.flow(&["demo", "--output", "json"]);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("customer_id = 17   4 versions"), "{told}");
    let first = counts(&first);
    // Three pipelines, on day 0, on three days, and once more.
    assert_eq!(first.len(), 15);
    // The first lines of sample/day1.sql: 50 changed, 15 new, 5 deleted.
    assert_eq!(first[3], ("customers".to_owned(), [65, 0, 55, 5]));
    assert!(first[12..].iter().all(|(_, counts)| *counts == [0; 4]), "{first:?}");

    let (code, story, _) = home.flow(&["demo"]);
    assert_eq!(code, Some(0));
    assert!(story.contains("\nDay 3\n") && story.contains("export EMATIX_FLOW_DEMO_DSN="), "{story}");
    let (_, again, _) = home.flow(&["demo", "--output", "json", "-q"]);
    assert_eq!(counts(&again), first);

    go_on(&home);
}

fn go_on(home: &Home) {
    let (code, picture, _) = home.with_dsn(&["history", "customers", "--key", "42"]);
    assert_eq!(code, Some(0));
    let lines: Vec<&str> = picture.lines().collect();
    assert!(lines[0].starts_with("customer_id = 42   2 versions"), "{picture}");
    assert!(
        lines[1].contains("London") && lines[1].contains("(deleted ") && lines[2].ends_with('▶'),
        "{picture}"
    );

    // One exact name: one object; the human's line is the only one on stderr.
    let (code, report, told) = home.with_dsn(&["run", "customers", "--output", "json"]);
    assert_eq!(code, Some(0));
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!((&report["schema"], &report["rows_in"]), (&"ematix.run.v1".into(), &2505.into()));
    assert!(
        told.starts_with("success  customers  2,505 in  0 inserted  0 closed out  2,505 unchanged  "),
        "{told}"
    );
    assert_eq!(told.lines().count(), 1, "{told}");

    let (code, out, told) = home.with_dsn(&["run", "--all", "-q"]);
    assert_eq!((code, out.as_str(), told.as_str()), (Some(0), "", ""));
    let (code, out, told) = home.with_dsn(&["run-due"]);
    assert_eq!(
        (code, out.as_str(), told.as_str()),
        (Some(0), "", "nothing due: no pipeline has a schedule\n")
    );
    let (code, out, _) = home.with_dsn(&["plan", "--exit-code"]);
    assert_eq!(code, Some(0), "{out}");
    assert!(out.ends_with("Plan: 0 to create, 0 to change, 0 drifted\n"), "{out}");
    let (code, out, _) = home.with_dsn(&["check", "--all", "--output", "json"]);
    assert_eq!(
        (code, out.as_str()),
        (Some(0), "{\"schema\":\"ematix.check.v1\",\"ok\":true,\"violations\":[]}\n")
    );
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_flow"))
        .arg("schema")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let (code, _, told) = read(child.wait_with_output().unwrap());
    assert_eq!((code, told.as_str()), (Some(0), ""));
}
