//! The password file of libpq (<https://www.postgresql.org/docs/18/libpq-pgpass.html>). Pure: it gets the file's text.

use crate::secret::Secret;

/// The directory that stands for this machine, whose password is that of `localhost`.
const DEFAULT_SOCKET_DIRECTORIES: &[&str] = &["/var/run/postgresql", "/tmp"];

/// The password of the first line `host:port:database:user:password` that fits. A field may be `*`; a backslash takes
/// the meaning from the next character.
///
/// ```
/// use ematix_flow_core::libpq::password_in;
/// let file = "# mine\nshop-db:*:*:ann:s\\:crt\n*:*:*:*:other";
/// assert_eq!(password_in(file, "shop-db", "5432", "shop", "ann").unwrap().reveal(), "s:crt");
/// assert_eq!(password_in(file, "shop-db", "5432", "shop", "bo").unwrap().reveal(), "other");
/// ```
pub fn password_in(file: &str, host: &str, port: &str, dbname: &str, user: &str) -> Option<Secret> {
    // Which of them it is was said when somebody's libpq was built: a line with its name will do, too.
    let hosts = match DEFAULT_SOCKET_DIRECTORIES.contains(&host) {
        true => vec!["localhost", host],
        false => vec![host],
    };
    let mut lines =
        file.split('\n').map(|line| line.trim_end_matches('\r')).filter(|line| !line.starts_with('#'));
    lines.find_map(|line| {
        let rest = hosts.iter().find_map(|host| after(line, host))?;
        let rest = [port, dbname, user].iter().try_fold(rest, |rest, field| after(rest, field))?;
        Some(unescaped(rest).into())
    })
}

/// What follows the first field of a line, if that field fits.
fn after<'a>(line: &'a str, wanted: &str) -> Option<&'a str> {
    if let Some(rest) = line.strip_prefix("*:") {
        return Some(rest);
    }
    let mut wanted = wanted.chars();
    let mut characters = line.char_indices();
    while let Some((at, character)) = characters.next() {
        let character = match character {
            ':' if wanted.as_str().is_empty() => return Some(&line[at + 1..]),
            '\\' => characters.next()?.1,
            other => other,
        };
        if wanted.next() != Some(character) {
            return None;
        }
    }
    None
}

fn unescaped(text: &str) -> String {
    let mut password = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            ':' => break,
            '\\' => password.push(characters.next().unwrap_or('\\')),
            other => password.push(other),
        }
    }
    password
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_fits_has_the_password() {
        let file = "#h:1:d:u:comment\r\n\
                    h:1:d:u:of h\r\n\
                    localhost:*:*:*:of this machine\n\
                    h\\:2:1:d:u:colon in a host\n\
                    /run/pg:1:*:u:of a socket\n\
                    *:1:d*:u:no pattern\n\
                    short:1:d\n\
                    ::1:1:d:u:not escaped\n\
                    \\:\\:2:1:d:u:a\\\\b\\:c:rest\n\
                    h:2:d:u:\n\
                    h:3:d:u:end\\";
        let cases = [
            ("h", "1", "u", Some("of h")),
            ("/tmp", "9", "x", Some("of this machine")),
            ("/var/run/postgresql", "9", "x", Some("of this machine")),
            ("h:2", "1", "u", Some("colon in a host")),
            ("/run/pg", "1", "u", Some("of a socket")),
            ("short", "1", "u", None),
            ("::1", "1", "u", Some("not escaped")),
            ("::2", "1", "u", Some("a\\b:c")),
            ("h", "2", "u", Some("")),
            ("h", "3", "u", Some("end\\")),
            ("h", "1", "U", None),
        ];
        for (host, port, user, expected) in cases {
            let found = password_in(file, host, port, "d", user);
            assert_eq!(found.as_ref().map(Secret::reveal), expected, "{host}:{port}:{user}");
        }
    }
}
