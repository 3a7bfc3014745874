//! Whether this process has a file open already, by its descriptors.

use super::super::library::Fault;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Refuses a file that is about to be opened, where this process writes it already as another database: by a hard link, or
/// by another library.
///
/// The lock of a file is one of POSIX: it does not stop the process that holds it. Nothing is opened here: closing a
/// descriptor of the file would let all locks of it go.
///
/// # Errors
/// In the words of the library, so that one place makes an error of them.
pub(super) fn refuse_a_second_database(file: &Path) -> Result<(), Fault> {
    match writers(file) {
        Ok(0) => Ok(()),
        Ok(_) => Err(Fault::Said(
            "Second Database Error: this process has the file open as another database: by a hard link, or by another \
             library. What one writes, the other would overwrite"
                .to_owned(),
        )),
        // Without the directory of descriptors nothing is known.
        Err(_) => Ok(()),
    }
}

/// How many descriptors of this process write a file.
fn writers(file: &Path) -> io::Result<usize> {
    let of_file = match fs::metadata(file) {
        Ok(of_file) => of_file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut found = 0;
    for entry in fs::read_dir("/proc/self/fd")? {
        let entry = entry?;
        // The listing's own is gone by then.
        let Ok(open) = fs::metadata(entry.path()) else { continue };
        let same = (open.dev(), open.ino()) == (of_file.dev(), of_file.ino());
        if same && writes(&entry.file_name().to_string_lossy()) {
            found += 1;
        }
    }
    Ok(found)
}

/// Whether a descriptor is open for more than reading.
fn writes(descriptor: &str) -> bool {
    let Ok(text) = fs::read_to_string(format!("/proc/self/fdinfo/{descriptor}")) else { return false };
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:")).unwrap_or_default();
    // The last two bits: O_RDONLY is 0, O_WRONLY 1, O_RDWR 2.
    i64::from_str_radix(flags.trim(), 8).is_ok_and(|flags| flags & 0o3 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::OpenOptions;

    #[test]
    fn a_file_is_refused_while_this_process_writes_it_by_whatever_name() {
        let directory = std::env::temp_dir().join(format!("ematix-flow-second-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let (file, linked, other) =
            (directory.join("a.duckdb"), directory.join("b.duckdb"), directory.join("c.duckdb"));
        assert_eq!(refuse_a_second_database(&file), Ok(()), "it is not there yet");
        fs::write(&file, "x").unwrap();
        fs::write(&other, "x").unwrap();
        fs::hard_link(&file, &linked).unwrap();
        let reading = fs::File::open(&file).unwrap();
        assert_eq!(refuse_a_second_database(&file), Ok(()), "who reads overwrites nothing");
        let writing = OpenOptions::new().read(true).write(true).open(&file).unwrap();
        for name in [&file, &linked] {
            let Err(Fault::Said(words)) = refuse_a_second_database(name) else { panic!("{name:?}") };
            assert!(words.starts_with("Second Database Error: this process has the file open"), "{words}");
        }
        assert_eq!(refuse_a_second_database(&other), Ok(()));
        drop((reading, writing));
        assert_eq!(refuse_a_second_database(&linked), Ok(()));
        fs::remove_dir_all(&directory).unwrap();
    }
}
