//! What a project may ask of the machine: variables, files, and which files a pattern names.
//! A test answers from memory, a process from its surroundings.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

/// The machine as the reader of a project sees it.
pub trait Environment: Send + Sync {
    /// The value of an environment variable.
    fn variable(&self, name: &str) -> Option<String>;

    /// The names of all environment variables.
    fn variable_names(&self) -> Vec<String>;

    /// The text of a file.
    ///
    /// # Errors
    /// As the file system says; `InvalidData` where the file is not UTF-8.
    fn read_file(&self, path: &Path) -> io::Result<String>;

    /// Whether there is a file, directory or socket of that name.
    fn exists(&self, path: &Path) -> bool;

    /// The permissions of a file, as `chmod` writes them; none where there is no file, or the system has none.
    fn mode(&self, _path: &Path) -> Option<u32> {
        None
    }

    /// The files that a pattern names, sorted, each with the directory before it.
    /// `*` and `?` stay inside one part of a path, `**` crosses parts; a leading dot must be written.
    ///
    /// # Errors
    /// As the file system says.
    fn glob(&self, directory: &Path, pattern: &str) -> io::Result<Vec<PathBuf>>;

    /// A path that is the same for every way to write one file.
    fn identity(&self, path: &Path) -> PathBuf {
        without_dots(path)
    }
}

/// The process's own variables and files.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn variable_names(&self) -> Vec<String> {
        std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect()
    }

    fn read_file(&self, path: &Path) -> io::Result<String> {
        String::from_utf8(read_plain(path)?)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text"))
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    #[cfg(unix)]
    fn mode(&self, path: &Path) -> Option<u32> {
        std::fs::metadata(path).ok().map(|found| std::os::unix::fs::MetadataExt::mode(&found) & 0o7777)
    }

    fn glob(&self, directory: &Path, pattern: &str) -> io::Result<Vec<PathBuf>> {
        let parts = pattern_parts(pattern);
        let start = if Path::new(pattern).is_absolute() { PathBuf::from("/") } else { directory.to_owned() };
        let mut found = Vec::new();
        walk(&start, &parts, &mut found)?;
        found.sort();
        found.dedup();
        Ok(found)
    }

    fn identity(&self, path: &Path) -> PathBuf {
        path.canonicalize().unwrap_or_else(|_| without_dots(path))
    }
}

/// No file that a person or a program writes for us is as long.
const LONGEST: u64 = 16 * 1024 * 1024;

/// What a small file holds, wherever links lead to it. Of what is no plain file nothing is read: a pipe may never be
/// written to, and a device may never end.
///
/// # Errors
/// As the file system says; and that it is no plain file, or too long for one of ours.
pub fn read_plain(path: &Path) -> io::Result<Vec<u8>> {
    refuse_other(path)?;
    let mut bytes = Vec::new();
    File::open(path)?.take(LONGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is longer than 16 MiB"));
    }
    Ok(bytes)
}

/// Refuses what is there and no plain file, before it is opened: opening a pipe waits for its other end.
///
/// # Errors
/// That it is no plain file; as the file system says where it is a directory.
pub fn refuse_other(path: &Path) -> io::Result<()> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        // Whoever names /dev/null means an empty file.
        Ok(found) if !found.is_file() && path.canonicalize()? != Path::new("/dev/null") => {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no plain file"))
        }
        // Opening it tells what is wrong.
        _ => Ok(()),
    }
}

/// Whether a text has a character that makes it a pattern.
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?'])
}

/// Whether a relative path matches a pattern, part by part.
pub fn matches_pattern(pattern: &str, path: &str) -> bool {
    let path: Vec<&str> = pattern_parts(path);
    matches_parts(&pattern_parts(pattern), &path)
}

fn pattern_parts(pattern: &str) -> Vec<&str> {
    pattern.split('/').filter(|part| !part.is_empty() && *part != ".").collect()
}

fn matches_parts(pattern: &[&str], path: &[&str]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, None) => true,
        (Some((&"**", rest)), _) => {
            matches_parts(rest, path)
                || path
                    .split_first()
                    .is_some_and(|(first, after)| !first.starts_with('.') && matches_parts(pattern, after))
        }
        (Some((part, rest)), Some((name, after))) => matches_name(part, name) && matches_parts(rest, after),
        _ => false,
    }
}

fn matches_name(pattern: &str, name: &str) -> bool {
    fn matches(pattern: &[char], name: &[char]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some((&'*', rest)) => (0..=name.len()).any(|skipped| matches(rest, &name[skipped..])),
            Some((first, rest)) => name
                .split_first()
                .is_some_and(|(letter, after)| (*first == '?' || first == letter) && matches(rest, after)),
        }
    }
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    matches(&pattern, &name)
}

fn walk(directory: &Path, parts: &[&str], found: &mut Vec<PathBuf>) -> io::Result<()> {
    let Some((part, rest)) = parts.split_first() else { return Ok(()) };
    if *part != "**" && !is_pattern(part) {
        let path = directory.join(part);
        if rest.is_empty() {
            if path.is_file() {
                found.push(path);
            }
            return Ok(());
        }
        return if path.is_dir() { walk(&path, rest, found) } else { Ok(()) };
    }
    if *part == "**" {
        walk(directory, rest, found)?;
    }
    let listed = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    for entry in std::fs::read_dir(listed)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = directory.join(&name);
        if *part == "**" {
            // A link to a directory above would never end.
            if entry.file_type()?.is_dir() && !name.starts_with('.') {
                walk(&path, parts, found)?;
            }
        } else if matches_name(part, &name) {
            if !rest.is_empty() && path.is_dir() {
                walk(&path, rest, found)?;
            } else if rest.is_empty() && path.is_file() {
                found.push(path);
            }
        }
    }
    Ok(())
}

/// The path without `.` and, where it can be told without asking the file system, without `..`.
fn without_dots(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(out.components().next_back(), Some(Component::Normal(_))) => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_part_by_part() {
        let cases = [
            ("pipelines/*.toml", "pipelines/a.toml", true),
            ("pipelines/*.toml", "pipelines/sub/a.toml", false),
            ("pipelines/*.toml", "pipelines/.a.toml", false),
            ("./pipelines/?.toml", "pipelines/a.toml", true),
            ("**/*.toml", "a.toml", true),
            ("**/*.toml", "x/y/a.toml", true),
            ("**/*.toml", ".git/a.toml", false),
            ("a.toml", "a.toml", true),
            ("*", "", false),
        ];
        for (pattern, path, expected) in cases {
            assert_eq!(matches_pattern(pattern, path), expected, "{pattern} on {path}");
        }
    }

    #[test]
    fn a_process_finds_files_by_pattern() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let found = ProcessEnvironment.glob(here, "src/declare/e*.rs").unwrap();
        assert_eq!(found, [here.join("src/declare/environment.rs")]);
        let found = ProcessEnvironment.glob(here, "src/**/environment.rs").unwrap();
        assert_eq!(found, [here.join("src/declare/environment.rs")]);
        assert_eq!(ProcessEnvironment.glob(here, "Cargo.toml").unwrap(), [here.join("Cargo.toml")]);
        assert_eq!(ProcessEnvironment.glob(here, "nothing.toml").unwrap(), Vec::<PathBuf>::new());
    }

    #[test]
    fn one_file_has_one_identity() {
        assert_eq!(without_dots(Path::new("./a/../b/c.toml")), Path::new("b/c.toml"));
        assert_eq!(without_dots(Path::new("../b/c.toml")), Path::new("../b/c.toml"));
    }
}
