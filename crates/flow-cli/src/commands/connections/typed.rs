//! Whether a DSN that leaves some of itself to `${…}` has a password that somebody typed all the same.

/// Stands where a `${…}` is; nobody types it.
const PLACE: char = '\u{1}';

/// Whether any password in the DSN is more than `${…}`. Read leniently: what fills the places may be anything.
pub fn has_password(dsn: &str) -> bool {
    let dsn = with_marks(dsn);
    of_url(&dsn).into_iter().chain(assigned(&dsn)).any(|password| password.chars().any(|c| c != PLACE))
}

/// The DSN with a mark for each `${…}`; a default is typed like the rest.
fn with_marks(dsn: &str) -> String {
    let mut out = String::new();
    let mut rest = dsn;
    while let Some(start) = rest.find("${") {
        out.push_str(&rest[..start]);
        rest = &rest[start + 2..];
        if out.ends_with('$') {
            out.push('{');
            continue;
        }
        let (place, after) = rest.split_once('}').unwrap_or((rest, ""));
        match place.split_once(":-") {
            Some((_, default)) if !default.is_empty() => out.push_str(default),
            _ => out.push(PLACE),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// What stands between the user and the `@` of a URL.
fn of_url(dsn: &str) -> Option<&str> {
    let (_, rest) = dsn.split_once("://")?;
    let place = rest.split_once('?').map_or(rest, |(place, _)| place);
    let (who, _) = place.rsplit_once('@')?;
    who.split_once(':').map(|(_, password)| password)
}

/// What `password=` and `sslpassword=` say, behind a `?` and among keywords.
fn assigned(dsn: &str) -> impl Iterator<Item = &str> {
    dsn.match_indices("password").filter_map(|(at, name)| {
        let value = dsn[at + name.len()..].trim_start().strip_prefix('=')?.trim_start();
        match value.strip_prefix('\'') {
            Some(quoted) => quoted.split('\'').next(),
            None => value.split(|c: char| c == '&' || c.is_whitespace()).next(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::has_password;

    #[test]
    fn only_what_is_typed_is_a_password() {
        let cases = [
            ("${env:CRM_DSN}", false),
            ("postgresql://u:${env:PW}@h/${env:DB}", false),
            ("postgresql://u:${file:/run/pw}@h/d?sslpassword=${env:PW}&sslmode=${env:MODE}", false),
            ("postgresql://${env:WHO}@h:5432/d", false),
            ("host=${env:H} password='${env:PW}' user=u", false),
            ("${env:BASE} password=${env:PW:-}", false),
            ("postgresql://u:typed@h/${env:DB}", true),
            ("postgresql://u:ty/ped@h/${env:DB}", true),
            ("postgresql://u:${env:PW}typed@h/d", true),
            ("postgresql://u:$${env:PW}@h/d", true),
            ("postgresql://u:${env:PW:-typed}@h/d", true),
            ("postgresql://h/${env:DB}?sslpassword=typed", true),
            ("${env:BASE} password = typed", true),
            ("${env:BASE:-postgresql://u:typed@h/d}", true),
            ("host=${env:H} password='ty ped'", true),
        ];
        for (dsn, expected) in cases {
            assert_eq!(has_password(dsn), expected, "{dsn}");
        }
    }
}
