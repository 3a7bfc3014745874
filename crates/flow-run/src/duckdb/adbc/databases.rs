//! The databases that this process has open: one object a file, kept for as long as somebody uses it; one in memory by the
//! name of its connection, kept for good.

use super::super::library::{Fault, Opening};
use super::answers::answer;
use super::loading::load;
use super::said;
use adbc_core::options::{OptionDatabase, OptionValue};
use adbc_core::{Database as _, Driver as _};
use adbc_driver_manager::{ManagedConnection, ManagedDatabase, ManagedDriver};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

/// The oldest version that does what loads ask of it; that of 1.4 cannot end a statement.
const OLDEST: (u32, u32) = (1, 5);
/// How often a file is looked at that another thread may be just closing, and after which pause.
const ATTEMPTS: usize = 40;
const PAUSE: Duration = Duration::from_millis(25);

static DATABASES: Mutex<Databases> =
    Mutex::new(Databases { files: BTreeMap::new(), in_memory: BTreeMap::new() });

struct Databases {
    files: BTreeMap<PathBuf, Weak<Database>>,
    in_memory: BTreeMap<String, Arc<Database>>,
}

/// A database object.
struct Database(ManagedDatabase);

/// A connection, and the database that it keeps open. The connection goes first.
pub(super) struct Open {
    pub connection: ManagedConnection,
    _database: Arc<Database>,
}

/// Opens a connection.
///
/// # Errors
/// What the library says, or that there is none.
pub(super) fn open(opening: &Opening) -> Result<Open, Fault> {
    let driver = load(opening.driver.as_deref())?;
    // Held while a database is opened: nobody else opens the same one meanwhile.
    let mut databases = DATABASES.lock().unwrap_or_else(PoisonError::into_inner);
    let database = match &opening.file {
        None => match databases.in_memory.get(&opening.name) {
            Some(database) => Arc::clone(database),
            None => {
                let database = Arc::new(made(driver, Path::new(":memory:"), opening)?);
                databases.in_memory.insert(opening.name.clone(), Arc::clone(&database));
                database
            }
        },
        Some(file) => {
            let key = canonical(file);
            match databases.files.get(&key).and_then(Weak::upgrade) {
                Some(database) => database,
                None => {
                    let database = Arc::new(opened(driver, &key, opening)?);
                    databases.files.retain(|_, database| database.strong_count() > 0);
                    databases.files.insert(key, Arc::downgrade(&database));
                    database
                }
            }
        }
    };
    let connection = database.0.new_connection().map_err(said)?;
    Ok(Open { connection, _database: database })
}

/// The one path of a file, which may not be there yet.
pub(super) fn canonical(file: &Path) -> PathBuf {
    if let Ok(path) = file.canonicalize() {
        return path;
    }
    let directory = file.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match (directory.canonicalize(), file.file_name()) {
        (Ok(directory), Some(name)) => directory.join(name),
        _ => file.to_owned(),
    }
}

/// A database on a file that this registry does not have.
fn opened(driver: ManagedDriver, file: &Path, opening: &Opening) -> Result<Database, Fault> {
    refuse_a_second_database(file)?;
    if let (Some(version), false) = (&opening.storage_version, file.exists() || opening.read_only) {
        make_file(driver.clone(), file, version)?;
    }
    made(driver, file, opening)
}

/// Waits a moment for one that another thread is just closing.
fn refuse_a_second_database(file: &Path) -> Result<(), Fault> {
    #[cfg(target_os = "linux")]
    for attempt in 1.. {
        match super::second::refuse_a_second_database(file) {
            Err(_) if attempt < ATTEMPTS => thread::sleep(PAUSE),
            done => return done,
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (file, ATTEMPTS, PAUSE, thread::sleep);
    Ok(())
}

/// Makes an empty file of an older version. As an option of a database that is opened it would hold for files that are
/// there, too, and for what is attached later.
fn make_file(driver: ManagedDriver, file: &Path, version: &str) -> Result<(), Fault> {
    let maker = made(driver, Path::new(":memory:"), &Opening::default())?;
    let mut connection = maker.0.new_connection().map_err(said)?;
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let path = quoted(&file.to_string_lossy());
    run(&mut connection, &format!("ATTACH {path} AS made (STORAGE_VERSION {})", quoted(version)))?;
    run(&mut connection, "DETACH made")
}

fn made(mut driver: ManagedDriver, path: &Path, opening: &Opening) -> Result<Database, Fault> {
    let path = path.to_str().ok_or_else(|| {
        Fault::Said(format!(
            "IO Error: the path {} is not UTF-8, and the library takes no other",
            path.display()
        ))
    })?;
    let option = |name: &str, value: &str| (OptionDatabase::from(name), OptionValue::from(value));
    let access = opening.read_only.then(|| option("access_mode", "READ_ONLY"));
    let options = std::iter::once(option("path", path)).chain(access);
    let database = driver.new_database_with_opts(options).map_err(said)?;
    let mut connection = database.new_connection().map_err(said)?;
    refuse_old(&mut connection, opening.driver.as_deref())?;
    // As options of the database they fail without a reason.
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    if let Some(limit) = &opening.memory_limit {
        run(&mut connection, &format!("SET memory_limit = {}", quoted(limit)))?;
    }
    if let Some(threads) = opening.threads {
        run(&mut connection, &format!("SET threads = {threads}"))?;
    }
    if let Some(directory) = &opening.temp_directory {
        run(&mut connection, &format!("SET temp_directory = {}", quoted(&directory.to_string_lossy())))?;
    }
    Ok(Database(database))
}

fn run(connection: &mut ManagedConnection, sql: &str) -> Result<(), Fault> {
    answer(connection, sql).map(|_| ())
}

/// Refuses what is no DuckDB, or one that is too old.
fn refuse_old(connection: &mut ManagedConnection, driver: Option<&str>) -> Result<(), Fault> {
    let other = |why: String| Fault::NoDriver {
        why,
        remedy: format!("take DuckDB's library, {}.{} or newer", OLDEST.0, OLDEST.1),
        searched: Vec::new(),
    };
    let shown = driver.unwrap_or("duckdb");
    let answer = answer(connection, "SELECT version()");
    let version = answer.ok().and_then(|set| set.rows.into_iter().next()?.into_iter().next()?);
    let Some(version) = version else {
        return Err(other(format!("the library that `{shown}` led to is not DuckDB's")));
    };
    let mut numbers = version.trim_start_matches('v').split('.').map(|part| part.parse::<u32>().ok());
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(major), Some(minor)) if (major, minor) < OLDEST => {
            Err(other(format!("DuckDB's library is {version}, older than {}.{}", OLDEST.0, OLDEST.1)))
        }
        _ => Ok(()),
    }
}
