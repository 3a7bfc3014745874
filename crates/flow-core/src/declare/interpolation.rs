//! `${env:NAME}`, `${env:NAME:-default}` and `${file:PATH}` in the strings of a connection.
//! Reading a file checks only their form; a value is asked for when the connection is used.

use super::environment::Environment;
use super::variables::is_variable_name;
use crate::secret::Secret;
use std::fmt;
use std::path::{Path, PathBuf};

/// A string with `${…}` in it, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Secret),
    Variable { name: String, default: Option<Secret> },
    File(PathBuf),
}

/// A `${…}` that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Which `${` of the string it is, from 0.
    pub index: usize,
    /// What is wrong.
    pub message: String,
    /// What to write.
    pub hint: Option<String>,
}

/// What a `${…}` asks for and the machine does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// An environment variable.
    Variable(String),
    /// A file, and what the system says of it.
    File(PathBuf, String),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Missing::Variable(name) => write!(f, "the environment variable `{name}` is not set"),
            Missing::File(path, why) => write!(f, "the file `{}` cannot be read: {why}", path.display()),
        }
    }
}

const FORMS: &str = "write ${env:NAME}, ${env:NAME:-default} or ${file:/path}; $${ stands for a plain ${";

impl Template {
    /// Takes a string apart.
    ///
    /// # Errors
    /// The first `${…}` that has none of the forms.
    ///
    /// ```
    /// use ematix_flow_core::declare::interpolation::Template;
    /// assert!(Template::parse("${env:PASSWORD}").is_ok());
    /// assert_eq!(Template::parse("${PASSWORD}").unwrap_err().message, "`${PASSWORD}` does not say where its value comes from");
    /// ```
    pub fn parse(text: &str) -> Result<Template, Malformed> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        let mut index = 0;
        while let Some(start) = rest.find("${") {
            if rest[..start].ends_with('$') {
                plain.push_str(&rest[..start]);
                plain.push('{');
                rest = &rest[start + 2..];
                index += 1;
                continue;
            }
            plain.push_str(&rest[..start]);
            let inside = &rest[start + 2..];
            let end = inside.find('}').ok_or_else(|| Malformed {
                index,
                message: "`${` is not closed by `}`".to_owned(),
                hint: Some(FORMS.to_owned()),
            })?;
            let piece = Piece::parse(&inside[..end]).map_err(|(message, hint)| Malformed {
                index,
                message,
                hint: Some(hint),
            })?;
            pieces.push(Piece::Text(std::mem::take(&mut plain).into()));
            pieces.push(piece);
            rest = &inside[end + 1..];
            index += 1;
        }
        plain.push_str(rest);
        pieces.push(Piece::Text(plain.into()));
        pieces.retain(|piece| !matches!(piece, Piece::Text(text) if text.reveal().is_empty()));
        Ok(Template { pieces })
    }

    /// The string with every value in its place. A relative path starts at `directory`; one line end
    /// at the end of a file is left out; a default stands for an empty variable too, as in a shell.
    ///
    /// # Errors
    /// The first variable or file that is not there.
    pub fn resolve(&self, environment: &dyn Environment, directory: &Path) -> Result<Secret, Missing> {
        let mut out = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text.reveal()),
                Piece::Variable { name, default } => match (environment.variable(name), default) {
                    (Some(value), None) => out.push_str(&value),
                    (Some(value), Some(_)) if !value.is_empty() => out.push_str(&value),
                    (_, Some(default)) => out.push_str(default.reveal()),
                    (None, None) => return Err(Missing::Variable(name.clone())),
                },
                Piece::File(path) => {
                    let path = directory.join(path);
                    let text =
                        environment.read_file(&path).map_err(|error| Missing::File(path, reason(&error)))?;
                    out.push_str(
                        text.strip_suffix('\n')
                            .map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line)),
                    );
                }
            }
        }
        Ok(out.into())
    }
}

/// What the system says of a file, without its number.
pub(crate) fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        std::io::ErrorKind::InvalidData => "it is not UTF-8 text".to_owned(),
        std::io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
        _ => error.to_string(),
    }
}

/// Whether a text is one `${env:NAME}` or `${file:PATH}` and nothing beside: that tells no secret.
pub(crate) fn is_one_variable(text: &str) -> bool {
    let inside = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    inside.is_some_and(|inside| !inside.contains(['{', '}']) && !inside.contains(":-"))
}

impl Piece {
    fn parse(inside: &str) -> Result<Piece, (String, String)> {
        if inside.contains("${") {
            return Err(("a `${…}` stands inside another".to_owned(), FORMS.to_owned()));
        }
        if let Some(name) = inside.strip_prefix("env:") {
            let (name, default) = match name.split_once(":-") {
                Some((name, default)) => (name, Some(default.to_owned())),
                None => (name, None),
            };
            if is_variable_name(name) {
                return Ok(Piece::Variable { name: name.to_owned(), default: default.map(Secret::from) });
            }
            // What follows may be a password that lost its `$$`.
            return Err(("`${env:…}` does not name an environment variable".to_owned(), FORMS.to_owned()));
        }
        if let Some(path) = inside.strip_prefix("file:") {
            if path.is_empty() {
                return Err(("`${file:}` names no file".to_owned(), FORMS.to_owned()));
            }
            return Ok(Piece::File(PathBuf::from(path)));
        }
        if is_variable_name(inside) {
            return Err((
                format!("`${{{inside}}}` does not say where its value comes from"),
                format!("did you mean `${{env:{inside}}}`?"),
            ));
        }
        Err(("`${…}` has a form that is not known".to_owned(), FORMS.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    struct Fixed;

    impl Environment for Fixed {
        fn variable(&self, name: &str) -> Option<String> {
            match name {
                "SET" => Some("value".to_owned()),
                "EMPTY" => Some(String::new()),
                _ => None,
            }
        }
        fn variable_names(&self) -> Vec<String> {
            vec!["SET".to_owned(), "EMPTY".to_owned()]
        }
        fn read_file(&self, path: &Path) -> io::Result<String> {
            match path.to_str() {
                Some("/run/secret") => Ok("s3cret\n".to_owned()),
                Some("here/two-lines") => Ok("a\nb\r\n".to_owned()),
                _ => Err(io::Error::from(io::ErrorKind::NotFound)),
            }
        }
        fn exists(&self, _: &Path) -> bool {
            false
        }
        fn glob(&self, _: &Path, _: &str) -> io::Result<Vec<PathBuf>> {
            Ok(Vec::new())
        }
    }

    fn resolve(text: &str) -> Result<String, Missing> {
        let resolved = Template::parse(text).unwrap().resolve(&Fixed, Path::new("here"));
        resolved.map(|value| value.reveal().to_owned())
    }

    #[test]
    fn values_take_their_places() {
        let cases = [
            ("plain $ and {braces}", "plain $ and {braces}"),
            ("${env:SET}", "value"),
            ("a${env:SET}b${env:SET}", "avaluebvalue"),
            ("${env:EMPTY}", ""),
            ("${env:EMPTY:-other}", "other"),
            ("${env:UNSET:-}", ""),
            ("${env:UNSET:-postgresql://localhost/x}", "postgresql://localhost/x"),
            ("${file:/run/secret}", "s3cret"),
            ("${file:two-lines}", "a\nb"),
            ("$${env:SET}", "${env:SET}"),
            ("${env:SET}$${x}", "value${x}"),
        ];
        for (text, expected) in cases {
            assert_eq!(resolve(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_there_is_named() {
        assert_eq!(resolve("${env:UNSET}"), Err(Missing::Variable("UNSET".to_owned())));
        assert_eq!(
            resolve("${file:/none}").unwrap_err().to_string(),
            "the file `/none` cannot be read: there is no such file"
        );
    }

    #[test]
    fn a_wrong_form_is_refused_and_counted() {
        let cases = [
            ("${env:SET}${SET}", 1, "`${SET}` does not say where its value comes from"),
            ("$${x}${env:}", 1, "`${env:…}` does not name an environment variable"),
            ("${env:A B}", 0, "`${env:…}` does not name an environment variable"),
            ("${file:}", 0, "`${file:}` names no file"),
            ("${vault:x}", 0, "`${…}` has a form that is not known"),
            ("${env:A:-${env:B}}", 0, "a `${…}` stands inside another"),
            ("x${env:A", 0, "`${` is not closed by `}`"),
        ];
        for (text, index, message) in cases {
            let error = Template::parse(text).unwrap_err();
            assert_eq!((error.index, error.message.as_str()), (index, message), "{text}");
        }
    }
}
