//! Reads a DSN as psql takes it: a URL or `keyword=value` pairs
//! (<https://www.postgresql.org/docs/18/libpq-connect.html#LIBPQ-CONNSTRING>).
//!
//! A password with a character that should have been encoded can land anywhere, so no message shows
//! a piece of a DSN, except the name of a parameter that cannot be one.

use super::{check_parameter, is_space, of_today, unknown_parameter};
use crate::error::{ErrorCode, FlowError, Result};
use crate::secret::Secret;

/// The parameters of a DSN by libpq's names, in their order; those that say what happens anyway are left out. One
/// without a value stays: as with psql, no variable fills it.
///
/// # Errors
/// `invalid_value` where it cannot be read, `unknown_option` and `not_yet_supported` for parameters.
///
/// ```
/// use ematix_flow_core::libpq::parse_dsn;
/// let parameters = parse_dsn("postgresql://ann@db.example:5433/shop").unwrap();
/// let parameters: Vec<_> = parameters.iter().map(|(name, value)| (name.as_str(), value.reveal())).collect();
/// assert_eq!(parameters, [("user", "ann"), ("host", "db.example"), ("port", "5433"), ("dbname", "shop")]);
/// ```
pub fn parse_dsn(dsn: &str) -> Result<Vec<(String, Secret)>> {
    let dsn = dsn.trim();
    let url = dsn.strip_prefix("postgresql://").or_else(|| dsn.strip_prefix("postgres://"));
    let written = match url {
        Some(rest) => parse_url(rest)?,
        None if dsn.is_empty() => return Err(invalid("a DSN is empty")),
        None if is_other_url(dsn) => {
            return Err(invalid("a DSN is a URL, but not one of Postgres")
                .hint("it begins with postgresql://, mysql:// or mariadb://; a file of DuckDB is duckdb:warehouse.duckdb, one of SQLite sqlite:shop.db"));
        }
        None if dsn.contains('=') => parse_keywords(dsn)?,
        None => {
            return Err(invalid("a DSN is neither a URL nor keyword=value pairs")
                .hint("write postgresql://user@host/dbname, or host=… dbname=… user=…"));
        }
    };
    let mut parameters: Vec<(String, Secret)> = Vec::new();
    for (name, value) in written {
        let said = if value.reveal().is_empty() {
            check_parameter(&name, "").or_else(|error| match error.code {
                ErrorCode::UnknownOption => Err(error),
                _ => Ok(true),
            })?
        } else {
            check_parameter(&name, value.reveal())?
        };
        if !said {
            continue;
        }
        parameters.retain(|(earlier, _)| *earlier != name);
        parameters.push((name, value));
    }
    Ok(parameters)
}

/// Parameters as one DSN, which [`parse_dsn`] reads back.
///
/// ```
/// use ematix_flow_core::libpq::print_dsn;
/// assert_eq!(print_dsn([("host", "db"), ("user", "o'neil")]).reveal(), r"host='db' user='o\'neil'");
/// ```
pub fn print_dsn<'a>(parameters: impl IntoIterator<Item = (&'a str, &'a str)>) -> Secret {
    let word = |(name, value): (&str, &str)| {
        format!("{name}='{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
    };
    Secret::from(parameters.into_iter().map(word).collect::<Vec<_>>().join(" "))
}

const ENCODE: &str =
    "in a URL, user and password are percent-encoded: %40 for @, %2F for /, %3A for :, %23 for #, %25 for %";

fn invalid(message: &str) -> FlowError {
    FlowError::new(ErrorCode::InvalidValue, message)
}

fn is_other_url(dsn: &str) -> bool {
    dsn.split_once("://").is_some_and(|(scheme, _)| {
        !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphanumeric() || c == '+')
    })
}

type Parameters = Vec<(String, Secret)>;

fn parse_url(rest: &str) -> Result<Parameters> {
    let mut out = Parameters::new();
    // As libpq looks for it: the first @ that no / precedes ends user and password.
    let rest = match rest.find(['@', '/']) {
        Some(at) if rest[at..].starts_with('@') => {
            let (user, password) = match rest[..at].split_once(':') {
                Some((user, password)) => (user, Some(password)),
                None => (&rest[..at], None),
            };
            if !user.is_empty() {
                out.push(("user".to_owned(), decode(user)?.into()));
            }
            if let Some(password) = password.filter(|password| !password.is_empty()) {
                out.push(("password".to_owned(), decode(password)?.into()));
            }
            &rest[at + 1..]
        }
        _ => rest,
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (places, rest) = rest.split_at(end);
    if places.contains('@') {
        return Err(invalid("the user or password of a DSN contains an `@` that is not encoded").hint(ENCODE));
    }
    hosts(places, &mut out)?;
    let (dbname, query) = match rest.split_once('?') {
        Some((dbname, query)) => (dbname, Some(query)),
        None => (rest, None),
    };
    let dbname = dbname.strip_prefix('/').unwrap_or(dbname);
    // libpq takes it for a part of the name. It is rather the end of a password that a / has cut.
    if dbname.contains('@') {
        return Err(invalid("a DSN has an `@` where the database's name should stand").hint(ENCODE));
    }
    if !dbname.is_empty() {
        out.push(("dbname".to_owned(), decode(dbname)?.into()));
    }
    if let Some(query) = query {
        query_parameters(query, &mut out)?;
    }
    Ok(out)
}

/// `host:port,[::1]:port`, as two lists with commas, as libpq keeps them.
fn hosts(places: &str, out: &mut Parameters) -> Result<()> {
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    for place in places.split(',') {
        let (host, after) = match place.strip_prefix('[') {
            Some(address) => {
                let (address, after) = address
                    .split_once(']')
                    .ok_or_else(|| invalid("a `[` in a DSN is not closed by `]`").hint(ENCODE))?;
                if address.is_empty() || !(after.is_empty() || after.starts_with(':')) {
                    return Err(invalid("an address in brackets in a DSN cannot be read"));
                }
                (address, after)
            }
            None => place.split_at(place.find(':').unwrap_or(place.len())),
        };
        let port = decode(after.strip_prefix(':').unwrap_or(after))?;
        if !port.trim_matches(is_space).chars().all(|c| c.is_ascii_digit()) {
            // It may be a password that a / has cut.
            return Err(invalid("the port of a DSN is not a number").hint(ENCODE));
        }
        hosts.push(decode(host)?);
        ports.push(port);
    }
    // As libpq: a comma makes it a list, of which an entry may be empty.
    if hosts.len() > 1 || hosts.iter().any(|host| !host.is_empty()) {
        out.push(("host".to_owned(), hosts.join(",").into()));
    }
    if ports.len() > 1 || ports.iter().any(|port| !port.is_empty()) {
        out.push(("port".to_owned(), ports.join(",").into()));
    }
    Ok(())
}

fn query_parameters(query: &str, out: &mut Parameters) -> Result<()> {
    // The last may be followed by one more &.
    let query = query.strip_suffix('&').unwrap_or(query);
    for part in query.split('&').filter(|_| !query.is_empty()) {
        let (name, value) = part
            .split_once('=')
            .ok_or_else(|| invalid("a parameter behind the `?` of a DSN has no `=`").hint(ENCODE))?;
        if value.contains('=') {
            return Err(invalid("a parameter behind the `?` of a DSN has two `=`")
                .hint("in a value it is percent-encoded: %3D"));
        }
        let (name, value) = (decode(name)?, decode(value)?);
        // JDBC's word, which libpq takes too.
        if name == "ssl" && value == "true" {
            out.push(("sslmode".to_owned(), "require".into()));
            continue;
        }
        let (name, value) = of_today(name, value.into());
        if let Err(error) = check_parameter(&name, value.reveal()) {
            let may_be_password = query.contains('@') || !is_word(&name);
            return Err(match error.code {
                ErrorCode::UnknownOption if may_be_password => {
                    invalid("a parameter behind the `?` of a DSN is not known").hint(ENCODE)
                }
                _ => error,
            });
        }
        out.push((name, value));
    }
    Ok(())
}

pub(crate) fn decode(text: &str) -> Result<String> {
    let wrong = || invalid("a `%` in a DSN is not followed by two hexadecimal digits").hint(ENCODE);
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        if byte != b'%' {
            bytes.push(byte);
            rest = after;
            continue;
        }
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok()).ok_or_else(wrong)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let byte = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
        if byte == 0 {
            return Err(invalid("a DSN contains %00"));
        }
        bytes.push(byte);
        rest = &after[2..];
    }
    String::from_utf8(bytes).map_err(|_| invalid("a DSN is not UTF-8 once its %… are decoded"))
}

fn parse_keywords(dsn: &str) -> Result<Parameters> {
    let mut out = Parameters::new();
    let mut rest = dsn.trim_start_matches(is_space);
    // Whether what comes now may be the rest of a password with a space in it.
    let mut after_plain_password = false;
    while !rest.is_empty() {
        let end = rest.find(|c: char| c == '=' || is_space(c)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let value = after.trim_start_matches(is_space).strip_prefix('=');
        let known =
            !matches!(check_parameter(name, ""), Err(error) if error.code == ErrorCode::UnknownOption);
        let value = match value {
            Some(value) if known => value.trim_start_matches(is_space),
            _ if after_plain_password => {
                return Err(invalid("what follows `password=` in a DSN is not a parameter")
                    .hint("a password with spaces needs quotes: password='…', with \\' for a quote in it"));
            }
            Some(_) if is_word(name) => return Err(unknown_parameter(name)),
            Some(_) => return Err(invalid("a parameter of a DSN is not known")),
            None => {
                return Err(invalid("a word of a DSN has no `=`")
                    .hint("a value with spaces needs quotes: options='-c a=b'"));
            }
        };
        let (value, quoted, after) = keyword_value(value)?;
        let runs_on = !(after.is_empty() || after.starts_with(is_space));
        after_plain_password = name == "password" && (!quoted || runs_on);
        out.push(of_today(name.to_owned(), value.into()));
        rest = after.trim_start_matches(is_space);
    }
    Ok(out)
}

/// A value, whether it was quoted, and what follows it. A backslash protects the next character.
fn keyword_value(text: &str) -> Result<(String, bool, &str)> {
    let quoted = text.starts_with('\'');
    let mut value = String::new();
    let mut characters = text.char_indices().skip(usize::from(quoted));
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => value.extend(characters.next().map(|(_, protected)| protected)),
            '\'' if quoted => return Ok((value, true, &text[at + 1..])),
            space if !quoted && is_space(space) => return Ok((value, false, &text[at..])),
            other => value.push(other),
        }
    }
    if quoted { Err(invalid("a quote in a DSN is not closed")) } else { Ok((value, false, "")) }
}

/// Whether a text has the form of a parameter's name.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.len() <= 32 && text.chars().all(|c| c.is_ascii_lowercase() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(dsn: &str) -> String {
        match parse_dsn(dsn) {
            Ok(parameters) => {
                let parts: Vec<String> =
                    parameters.iter().map(|(name, value)| format!("{name}={}", value.reveal())).collect();
                parts.join(" | ")
            }
            Err(error) => format!("{}: {}", error.code, error.message),
        }
    }

    #[test]
    fn both_forms_of_a_dsn_are_read_as_libpq_reads_them() {
        let cases = [
            ("postgresql://", ""),
            ("postgresql://localhost/warehouse", "host=localhost | dbname=warehouse"),
            (
                "postgres://ann:s%40crt@db:5433/shop",
                "user=ann | password=s@crt | host=db | port=5433 | dbname=shop",
            ),
            ("postgresql://ann@/shop", "user=ann | dbname=shop"),
            ("postgresql://h1:1,h2,[::1]:3/d", "host=h1,h2,::1 | port=1,,3 | dbname=d"),
            ("postgresql://h1,h2/d", "host=h1,h2 | port=, | dbname=d"),
            ("postgresql://[2001:db8::1]/d", "host=2001:db8::1 | dbname=d"),
            ("postgresql://%2Fvar%2Frun%2Fpostgresql/d", "host=/var/run/postgresql | dbname=d"),
            ("postgresql:///d?host=/tmp&port=6432", "dbname=d | host=/tmp | port=6432"),
            (
                "postgresql://h/d?sslmode=require&options=-c%20a%3Db",
                "host=h | dbname=d | sslmode=require | options=-c a=b",
            ),
            ("postgresql://h/d?ssl=true", "host=h | dbname=d | sslmode=require"),
            ("postgresql://h/d?requiressl=1", "host=h | dbname=d | sslmode=require"),
            ("host=h requiressl=0", "host=h | sslmode=prefer"),
            ("host=h requiressl=1 sslmode=verify-full", "host=h | sslmode=verify-full"),
            ("postgresql://h?user=ann", "host=h | user=ann"),
            ("postgresql://u:a+b%20c#d?e@h/d", "user=u | password=a+b c#d?e | host=h | dbname=d"),
            ("postgresql://h/d?application_name=a%3Db&", "host=h | dbname=d | application_name=a=b"),
            ("postgresql://h:%35433/a/b", "host=h | port=5433 | dbname=a/b"),
            ("postgresql://,h/d?", "host=,h | port=, | dbname=d"),
            ("postgresql://:@h", "host=h"),
            ("postgresql://@127.0.0.1:1,/d", "host=127.0.0.1, | port=1, | dbname=d"),
            ("host=@name keepalives=' -1 ' client_encoding=Utf_8", "host=@name | keepalives= -1 "),
            ("host=db dbname=shop", "host=db | dbname=shop"),
            (
                " host = 'd b'  user=o\\'neil password='it''",
                "invalid_value: what follows `password=` in a DSN is not a parameter",
            ),
            ("host='d", "invalid_value: a quote in a DSN is not closed"),
            (
                "host = 'd b'  user=o\\'neil password='it\\'s \\\\'",
                "host=d b | user=o'neil | password=it's \\",
            ),
            ("host= dbname=shop", "host=dbname=shop"),
            ("host='' dbname=shop gssencmode=disable", "host= | dbname=shop"),
            ("port=1 port=2", "port=2"),
        ];
        for (dsn, expected) in cases {
            assert_eq!(parsed(dsn), expected, "{dsn}");
        }
    }

    #[test]
    fn what_a_dsn_cannot_say_is_refused_by_name() {
        let cases = [
            ("", "invalid_value: a DSN is empty"),
            ("warehouse", "invalid_value: a DSN is neither a URL nor keyword=value pairs"),
            ("mysql://u:s3cret@h/d", "invalid_value: a DSN is a URL, but not one of Postgres"),
            ("postgresql://h:x/d", "invalid_value: the port of a DSN is not a number"),
            (
                "postgresql://h:70000/d",
                "invalid_value: `port` of a connection must be a number from 1 to 65535",
            ),
            ("postgresql://[::1/d", "invalid_value: a `[` in a DSN is not closed by `]`"),
            ("postgresql://h/d?sslmod=require", "unknown_option: unknown parameter `sslmod` of a connection"),
            ("host=h hots=x", "unknown_option: unknown parameter `hots` of a connection"),
            ("postgresql://h/d?a=b&&c=d", "unknown_option: unknown parameter `a` of a connection"),
            ("postgresql://h/d?user=a&&", "invalid_value: a parameter behind the `?` of a DSN has no `=`"),
            ("postgresql://h/d?user=a=b", "invalid_value: a parameter behind the `?` of a DSN has two `=`"),
            ("postgresql://h/d?ssl=false", "unknown_option: unknown parameter `ssl` of a connection"),
            (
                "host=h client_encoding=LATIN1",
                "not_yet_supported: `client_encoding` of a connection is not supported yet",
            ),
            (
                "host=h gssencmode=require",
                "not_yet_supported: `gssencmode` of a connection is not supported yet",
            ),
            (
                "host=h require_auth=md4",
                "invalid_value: `require_auth` of a connection has a method that is not known",
            ),
            ("host=h gsslib=gssapi", "not_yet_supported: `gsslib` of a connection is not supported yet"),
            (
                "host=h ssl_max_protocol_version=TLSv1.1",
                "not_yet_supported: `ssl_max_protocol_version` of a connection asks for a TLS that is broken: versions before 1.2 are not spoken",
            ),
            (
                "host=h ssl_min_protocol_version=1.2",
                "invalid_value: `ssl_min_protocol_version` of a connection must be one of TLSv1, TLSv1.1, TLSv1.2, TLSv1.3",
            ),
            (
                "host=h channel_binding=always",
                "invalid_value: `channel_binding` of a connection must be one of disable, prefer, require",
            ),
            (
                "host=h target_session_attrs=master",
                "invalid_value: `target_session_attrs` of a connection must be one of any, read-write, read-only, primary, standby, prefer-standby",
            ),
            (
                "host=h sslmode=sometimes",
                "invalid_value: `sslmode` of a connection must be one of disable, allow, prefer, require, verify-ca, verify-full",
            ),
            ("postgresql://%zz@h", "invalid_value: a `%` in a DSN is not followed by two hexadecimal digits"),
            ("postgresql://%+1@h", "invalid_value: a `%` in a DSN is not followed by two hexadecimal digits"),
            ("postgresql://a%00b@h", "invalid_value: a DSN contains %00"),
        ];
        for (dsn, expected) in cases {
            assert_eq!(parsed(dsn), expected, "{dsn}");
        }
    }

    #[test]
    fn no_piece_of_a_password_is_in_a_message() {
        let cases = [
            "postgresql://u:hunter@two@h/d",
            "postgresql://u:hunter/two@h/d",
            "postgresql://u:hunter#/two@h/d",
            "postgresql://u:12/hunter@h/d",
            "postgresql://u:12/hunter?two=x@h/d",
            "postgresql://u:12/x?hunter@h/d",
            "postgresql://u:hunter%two@h/d",
            "postgresql://h/d?password=x&hunter two=x",
            "postgresql://[hunter/d",
            "host=h password=hunter two",
            "host=h password=hunter two=x",
            "host=h password=x hunter user=y",
            "host=h password='hunter two",
            "host=h password='x'hunter='",
            "hunter=h/d:x@y",
            "hunter",
        ];
        for dsn in cases {
            let error = parse_dsn(dsn).unwrap_err();
            let shown = format!("{error:?}");
            let is_a_name = dsn.starts_with("hunter=");
            assert!(is_a_name || !(shown.contains("hunter") || shown.contains("two`")), "{dsn}: {shown}");
        }
    }
}
