//! Service files: parameters under a name (<https://www.postgresql.org/docs/18/libpq-pgservice.html>). Pure: it gets
//! the file's text. A value may be a secret, so no message shows a piece of a line.

use super::check_parameter;
use crate::error::{ErrorCode, FlowError};
use crate::secret::Secret;

/// What is wrong with a service file, and on which line.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub error: FlowError,
}

/// The parameters of a service, or None where the file has no such section.
///
/// As libpq: of sections with one name the first counts, and of a parameter that comes twice the first; what stands
/// before `=` is taken as it is, with its spaces.
///
/// # Errors
/// The first line that cannot be read.
pub fn service_in(file: &str, service: &str) -> Result<Option<Vec<(String, Secret)>>, ServiceError> {
    let mut found: Option<Vec<(String, Secret)>> = None;
    for (index, line) in file.lines().enumerate() {
        let wrong = |error: FlowError| ServiceError { line: index + 1, error };
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(section) = line.strip_prefix('[') {
            if found.is_some() {
                break;
            }
            // What follows the bracket is nobody's.
            if section.strip_prefix(service).is_some_and(|rest| rest.starts_with(']')) {
                found = Some(Vec::new());
            }
            continue;
        }
        let Some(parameters) = &mut found else { continue };
        let (name, value) = parameter(line).map_err(wrong)?;
        let said = value.is_empty() || check_parameter(name, value).map_err(wrong)?;
        if said && !parameters.iter().any(|(known, _)| known == name) {
            parameters.push((name.to_owned(), value.into()));
        }
    }
    Ok(found)
}

fn parameter(line: &str) -> Result<(&str, &str), FlowError> {
    if line.starts_with("ldap") {
        let error = FlowError::new(ErrorCode::NotYetSupported, "a service is to be asked of an LDAP server");
        return Err(error.hint("LDAP is not spoken: write the parameters into the service file"));
    }
    let invalid = |what: &str| FlowError::new(ErrorCode::InvalidValue, format!("a service file {what}"));
    let Some((name, value)) = line.split_once('=') else {
        return Err(invalid("has a line without `=`").hint("a line is name=value, without spaces around ="));
    };
    match name {
        "service" | "servicefile" => Err(invalid("sends a service on to another")
            .hint("write the other's parameters into this section: services do not nest")),
        // It may be a part of a secret.
        _ if matches!(check_parameter(name, ""), Err(error) if error.code == ErrorCode::UnknownOption) => {
            Err(invalid("has a line that names no parameter")
                .hint("a line is name=value by libpq's names, without spaces around ="))
        }
        _ => Ok((name, value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &str, service: &str) -> String {
        match service_in(file, service) {
            Ok(Some(parameters)) => {
                parameters.iter().map(|(name, value)| format!("{name}={} ", value.reveal())).collect()
            }
            Ok(None) => "no such service".to_owned(),
            Err(wrong) => format!("{}: {} {}", wrong.line, wrong.error.code, wrong.error.message),
        }
    }

    #[test]
    fn a_service_is_read_as_libpq_reads_it() {
        let file = "# all\n[shop] # the shop\nhost=h\n  port=1  \nhost=other\ndbname=\npassword=a=b\n\n[broken]\nhost = x\n[shop]\nuser=no\n[ldap]\nldap://x/y\n[nested]\nservice=shop\n[bare]\nhost\n[shopping]\n[gss]\ngssencmode=disable\nclient_encoding=LATIN1";
        let cases = [
            ("shop", "host=h port=1 dbname= password=a=b "),
            ("sho", "no such service"),
            ("shopping", ""),
            ("broken", "10: invalid_value a service file has a line that names no parameter"),
            ("ldap", "14: not_yet_supported a service is to be asked of an LDAP server"),
            ("nested", "16: invalid_value a service file sends a service on to another"),
            ("bare", "18: invalid_value a service file has a line without `=`"),
            ("gss", "22: not_yet_supported `client_encoding` of a connection is not supported yet"),
        ];
        for (service, expected) in cases {
            assert_eq!(read(file, service), expected, "{service}");
        }
    }
}
