//! What this process has to do with each file: since when it has it, and which targets its runs hold there.

use super::library::Settings;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

static FILES: Mutex<BTreeMap<PathBuf, State>> = Mutex::new(BTreeMap::new());

struct State {
    since: Timestamp,
    /// How it is open; unknown of a connection that the user has opened.
    settings: Option<Settings>,
    sessions: usize,
    targets: BTreeSet<String>,
    turns: Turns,
    marks: BTreeSet<i64>,
}

/// Who writes a file, of the sessions of this process: DuckDB lets nobody wait, and of two that write the same, or
/// create anything, it refuses one.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns {
    /// One load at a time.
    pub load: Arc<tokio::sync::Mutex<()>>,
    /// One note of the history at a time, beside the load.
    pub note: Arc<tokio::sync::Mutex<()>>,
}

fn files() -> MutexGuard<'static, BTreeMap<PathBuf, State>> {
    FILES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How sessions of this process have a file open, by its canonical path.
pub(super) fn settings_of(path: &Path) -> Option<Settings> {
    files().get(path)?.settings.clone()
}

/// A file that a session of this process has open.
#[derive(Debug)]
pub(super) struct OpenFile {
    path: PathBuf,
    since: Timestamp,
    pub turns: Turns,
}

impl OpenFile {
    /// Enters a session that has just opened the file, by its canonical path.
    pub fn enter(path: PathBuf, settings: Option<Settings>) -> OpenFile {
        let mut files = files();
        let state = files.entry(path.clone()).or_insert_with(|| State {
            since: Timestamp::now(),
            settings,
            sessions: 0,
            targets: BTreeSet::new(),
            turns: Turns::default(),
            marks: BTreeSet::new(),
        });
        state.sessions += 1;
        OpenFile { since: state.since, turns: state.turns.clone(), path }
    }

    /// Since when no other process has had the file.
    pub fn since(&self) -> Timestamp {
        self.since
    }

    /// Takes targets for a run; `None` where another run of this process holds one of them.
    pub fn take(&self, targets: &[String]) -> Option<Taken> {
        let mut files = files();
        let held = &mut files.get_mut(&self.path)?.targets;
        if targets.iter().any(|target| held.contains(target)) {
            return None;
        }
        held.extend(targets.iter().cloned());
        Some(Taken { path: self.path.clone(), targets: targets.to_vec() })
    }

    /// Leaves a mark that every session of the file sees, until it is dropped.
    pub fn mark(&self, key: i64) -> Mark {
        if let Some(state) = files().get_mut(&self.path) {
            state.marks.insert(key);
        }
        Mark { path: self.path.clone(), key }
    }

    /// Whether a session has left the mark.
    pub fn is_marked(&self, key: i64) -> bool {
        files().get(&self.path).is_some_and(|state| state.marks.contains(&key))
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        let mut files = files();
        let Some(state) = files.get_mut(&self.path) else { return };
        state.sessions -= 1;
        // From now on another process may have it.
        if state.sessions == 0 {
            files.remove(&self.path);
        }
    }
}

/// Targets that a run holds, until it drops them.
#[derive(Debug)]
pub(super) struct Taken {
    path: PathBuf,
    targets: Vec<String>,
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(state) = files().get_mut(&self.path) {
            self.targets.iter().for_each(|target| {
                state.targets.remove(target);
            });
        }
    }
}

/// A mark on a file.
#[derive(Debug)]
pub(super) struct Mark {
    path: PathBuf,
    key: i64,
}

impl Drop for Mark {
    fn drop(&mut self) {
        if let Some(state) = files().get_mut(&self.path) {
            state.marks.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(name: &str) -> OpenFile {
        OpenFile::enter(PathBuf::from(name), None)
    }

    #[test]
    fn a_target_is_held_by_one_run_until_it_drops_it() {
        let (one, other) = (open("held.duckdb"), open("held.duckdb"));
        let targets = ["main.a".to_owned(), "main.b".to_owned()];
        let held = one.take(&targets).expect("nobody holds them");
        assert!(other.take(&targets[1..]).is_none());
        assert!(other.take(&["main.c".to_owned()]).is_some());
        assert!(open("another.duckdb").take(&targets).is_some());
        drop(held);
        assert!(other.take(&targets[1..]).is_some());
    }

    #[test]
    fn the_file_is_this_process_own_from_its_first_session_to_its_last() {
        let first = open("since.duckdb");
        let since = first.since();
        let second = open("since.duckdb");
        assert_eq!(second.since(), since);
        drop(first);
        assert_eq!(open("since.duckdb").since(), since, "one is open still");
        drop(second);
        std::thread::sleep(std::time::Duration::from_millis(1));
        assert!(open("since.duckdb").since() > since);
    }

    #[tokio::test]
    async fn one_load_writes_a_file_at_a_time() {
        let (one, other) = (open("turn.duckdb"), open("turn.duckdb"));
        let turn = one.turns.load.clone().lock_owned().await;
        assert!(other.turns.load.try_lock().is_err());
        assert!(other.turns.note.try_lock().is_ok(), "what is noted beside a load does not wait for it");
        assert!(open("another-turn.duckdb").turns.load.try_lock().is_ok());
        drop(turn);
        assert!(other.turns.load.try_lock().is_ok());
    }

    #[test]
    fn a_mark_is_seen_in_its_file_alone() {
        let (one, other) = (open("marked.duckdb"), open("marked.duckdb"));
        let mark = one.mark(7);
        assert!(other.is_marked(7) && !other.is_marked(8) && !open("unmarked.duckdb").is_marked(7));
        drop(mark);
        assert!(!other.is_marked(7));
    }
}
