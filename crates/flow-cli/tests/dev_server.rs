//! Runs real servers in directories of their own, as the current user; root hands them to another.
//! Needs a Postgres on this machine and fails where there is none.

use ematix_flow_cli::dev_server::{DevServer, Started};
use ematix_flow_core::error::{ErrorCode, FlowError};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

/// A server in a directory that goes when the test ends.
struct TestServer {
    server: DevServer,
    base: PathBuf,
}

impl TestServer {
    fn new(name: &str) -> TestServer {
        let base = std::env::temp_dir().join(format!("ematix-flow-test-{name}-{}", std::process::id()));
        let server = DevServer::at(&base).unwrap_or_else(|error| panic!("{}", full_text(&error)));
        TestServer { server: server.disposable(), base }
    }

    fn start(&self) -> Started {
        self.server.start().unwrap_or_else(|error| panic!("{}", full_text(&error)))
    }

    fn data(&self) -> PathBuf {
        self.base.join("data")
    }

    fn pid(&self) -> Option<u32> {
        self.server.status().unwrap().pid
    }

    /// A command as the owner of the data.
    fn as_owner(&self, program: impl AsRef<Path>) -> Command {
        let owner = fs::metadata(self.data()).unwrap();
        let mut command = Command::new(program.as_ref());
        if fs::metadata("/proc/self").unwrap().uid() == 0 {
            command.uid(owner.uid()).gid(owner.gid());
        }
        command
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        let removed = self.server.remove();
        if !std::thread::panicking() {
            removed.unwrap();
            assert!(!self.base.exists(), "{} is left", self.base.display());
        }
    }
}

fn full_text(error: &FlowError) -> String {
    let hint = error.hint.as_deref().unwrap_or("none");
    format!("{}: {}\n{}\nhint: {hint}", error.code, error.message, error.details.join("\n"))
}

fn text(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn a_server_starts_answers_stops_and_is_reset() {
    let test = TestServer::new("life");
    let before = test.server.status().unwrap();
    assert_eq!((before.running, before.version, before.pid), (false, None, None));
    assert!(!test.base.exists(), "looking must not create anything");

    let started = test.start();
    assert!(!started.already_running);
    let status = test.server.status().unwrap();
    assert_eq!((status.running, status.version), (true, Some(started.version.clone())));
    assert_eq!((status.data_dir, status.socket_dir), (test.data(), test.base.join("socket")));
    assert!(Path::new(&format!("/proc/{}", status.pid.unwrap())).exists());
    for directory in ["data", "socket"] {
        let metadata = fs::metadata(test.base.join(directory)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o7777, 0o700, "{directory} is private");
        assert_ne!(metadata.uid(), 0, "{directory} is the server's");
    }
    assert_answers(&test, &started);

    let again = test.start();
    assert!(again.already_running);
    assert_eq!((again.url, again.binaries, again.user), (started.url, started.binaries, started.user));

    assert!(test.server.stop().unwrap());
    assert!(!test.server.stop().unwrap(), "a second stop finds nothing to stop");
    assert!(!test.server.status().unwrap().running);
    let error = test.server.psql_command().unwrap_err();
    assert_eq!(error.code, ErrorCode::ConnectFailed);
    assert_eq!(error.hint.as_deref(), Some("start it: flow dev start"));

    test.start();
    assert!(test.server.reset().unwrap(), "a running server is stopped and deleted");
    assert!(!test.data().exists());
    assert!(!test.server.reset().unwrap());
}

/// Asks the server by psql, or pg_ctl where there is no psql.
fn assert_answers(test: &TestServer, started: &Started) {
    const QUERY: &str = "SELECT concat_ws(' ', current_user, current_setting('server_encoding'), \
        current_setting('listen_addresses') = '', current_setting('dynamic_shared_memory_type'), \
        current_setting('fsync'), current_setting('TimeZone'))";
    match test.server.psql_command() {
        Ok(mut psql) => {
            let output = psql.env("PGPORT", "1").args(["-XAtc", QUERY]).output().unwrap();
            assert_eq!(text(&output), "postgres UTF8 t mmap off UTC");
        }
        Err(error) if error.code == ErrorCode::MissingOption => {
            let mut pg_ctl = test.as_owner(started.binaries.as_ref().unwrap().join("pg_ctl"));
            let output = pg_ctl.arg("-D").arg(test.data()).arg("status").output().unwrap();
            assert!(text(&output).contains("server is running"));
        }
        Err(error) => panic!("{}", full_text(&error)),
    }
}

#[test]
fn of_two_starts_at_once_one_starts_it_and_both_succeed() {
    let test = TestServer::new("twice");
    let results = std::thread::scope(|scope| {
        let threads = [(); 2].map(|()| scope.spawn(|| test.start().already_running));
        threads.map(|thread| thread.join().unwrap())
    });
    assert_ne!(results[0], results[1], "exactly one of them found it running");
    assert!(test.server.status().unwrap().running);
}

#[test]
fn a_server_that_was_killed_comes_up_again() {
    let test = TestServer::new("killed");
    test.start();
    let killed = test.pid().unwrap();
    let processes = with_children(killed);
    text(&Command::new("sh").args(["-c", &format!("kill -9 {killed}")]).output().unwrap());
    // Its children hold its shared memory until they have noticed.
    while processes.iter().copied().any(is_alive) {
        std::thread::sleep(Duration::from_millis(10));
    }
    let started = test.start();
    let message = format!("cleared the postmaster.pid of a server that is gone (process {killed})");
    assert!(started.messages.contains(&message), "{:?}", started.messages);
    assert_ne!(test.pid(), Some(killed));

    // After a restart of the machine another program of the same user may have the number.
    test.server.stop().unwrap();
    let mut other = test.as_owner("sleep").arg("60").spawn().unwrap();
    let pid_file = test.data().join("postmaster.pid");
    fs::write(&pid_file, format!("{}\n{}\n", other.id(), test.data().display())).unwrap();
    let owner = fs::metadata(test.data()).unwrap();
    chown(&pid_file, Some(owner.uid()), Some(owner.gid())).unwrap();
    assert!(!test.server.stop().unwrap(), "the other program is not stopped");
    assert!(!test.start().already_running);
    assert_eq!(other.try_wait().unwrap(), None);
    other.kill().unwrap();
    other.wait().unwrap();
}

/// A process and those that it started.
fn with_children(parent: u32) -> Vec<u32> {
    let started_by_it = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // proc_pid_stat(5): the name stands in parentheses, then the state, then the parent.
        let parent_field = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1));
        parent_field.and_then(|field| field.parse().ok()) == Some(parent)
    };
    let names = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().file_name());
    let pids = names.filter_map(|name| name.to_str()?.parse().ok()).filter(started_by_it);
    pids.chain([parent]).collect()
}

/// False for a zombie too, which has no command line any more.
fn is_alive(pid: u32) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|command_line| !command_line.is_empty())
}

#[test]
fn data_of_another_major_version_is_refused_until_it_is_reset() {
    let test = TestServer::new("major");
    let version = test.start().version;
    test.server.stop().unwrap();
    fs::write(test.data().join("PG_VERSION"), "9\n").unwrap();
    let error = test.server.start().unwrap_err();
    assert_eq!(error.code, ErrorCode::ConnectFailed);
    let beginning = format!(
        "the data directory {} was made by Postgres 9, found is Postgres {version}",
        test.data().display()
    );
    assert!(error.message.starts_with(&beginning), "{}", error.message);
    assert!(error.hint.unwrap().contains("`flow dev reset`"));
    assert!(test.server.reset().unwrap());
    assert!(!test.start().already_running);
}

#[test]
fn a_directory_with_other_things_is_refused_and_left_alone() {
    let base = std::env::temp_dir().join(format!("ematix-flow-test-other-{}", std::process::id()));
    fs::create_dir_all(base.join("data")).unwrap();
    fs::write(base.join("data/PG_VERSION"), "18\n").unwrap();
    let server = DevServer::at(&base).unwrap();
    let errors = [
        server.start().map(|_| ()).unwrap_err(),
        server.reset().map(|_| ()).unwrap_err(),
        server.remove().unwrap_err(),
        server.status().map(|_| ()).unwrap_err(),
    ];
    let expected = format!(
        "the development server's directory {} holds other things, and was not made by `flow dev`",
        base.display()
    );
    for error in errors {
        assert_eq!((error.code, error.message), (ErrorCode::InvalidValue, expected.clone()));
    }
    assert!(base.join("data/PG_VERSION").exists());
    fs::remove_dir_all(&base).unwrap();
}

#[test]
fn a_directory_of_somebody_else_is_refused() {
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    let base = if is_root {
        let base = std::env::temp_dir().join(format!("ematix-flow-test-else-{}", std::process::id()));
        fs::create_dir_all(&base).unwrap();
        chown(&base, Some(1), Some(1)).unwrap();
        base
    } else {
        PathBuf::from("/usr")
    };
    let error = DevServer::at(&base).unwrap().start().unwrap_err();
    if is_root {
        fs::remove_dir(&base).unwrap();
    }
    assert_eq!(error.code, ErrorCode::InvalidValue);
    let beginning = format!("the development server's directory {} belongs to", base.display());
    assert!(error.message.starts_with(&beginning), "{}", error.message);
}
