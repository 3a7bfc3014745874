//! What is written of a step that has a name: the name alone, or the name with its arguments.

use crate::error::{ErrorCode, FlowError, Result, did_you_mean};
use crate::sql::Ident;
use serde_json::Value as Json;

/// The name of a step, and its arguments where there are any.
///
/// # Errors
/// `invalid_value` for anything else; `noun` and `example` say what was wanted.
pub fn name_and_given<'a>(
    written: &'a Json,
    noun: &str,
    example: &str,
) -> Result<(&'a str, Option<&'a Json>)> {
    match written {
        Json::String(name) => Ok((name, None)),
        Json::Object(table) if table.len() == 1 => {
            let (name, given) = table.iter().next().expect("it has one");
            Ok((name, Some(given)))
        }
        _ => Err(FlowError::new(
            ErrorCode::InvalidValue,
            format!("a {noun} is a name, or one name with its arguments"),
        )
        .hint(format!("write {example}"))),
    }
}

/// What is known under a name, with that name.
///
/// # Errors
/// `invalid_value` for a name that is not among them.
pub fn known<T: Copy>(name: &str, all: &[(&'static str, T)], noun: &str) -> Result<(&'static str, T)> {
    if let Some(found) = all.iter().find(|(known, _)| *known == name) {
        return Ok(*found);
    }
    let error = FlowError::new(ErrorCode::InvalidValue, format!("there is no {noun} `{name}`"));
    let names = all.iter().map(|(name, _)| *name);
    Err(match did_you_mean(name, names.clone()) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint(format!("the {noun}s are {}", names.collect::<Vec<_>>().join(", "))),
    })
}

/// The arguments of a marker or a helper.
pub struct Arguments<'a> {
    of: &'static str,
    given: Option<&'a Json>,
}

impl<'a> Arguments<'a> {
    /// Those that were written behind a name.
    pub fn new(of: &'static str, given: Option<&'a Json>) -> Arguments<'a> {
        Arguments { of, given }
    }

    /// An error of whose they are.
    pub fn wrong(&self, what: impl std::fmt::Display) -> FlowError {
        FlowError::new(ErrorCode::InvalidValue, format!("`{}` {what}", self.of))
    }

    /// An error that was found in one of them.
    pub fn of_this(&self, error: FlowError) -> FlowError {
        FlowError { message: format!("`{}`: {}", self.of, error.message), ..error }
    }

    /// Nothing.
    pub fn none(&self) -> Result<()> {
        match self.given {
            None => Ok(()),
            Some(Json::Object(table)) if table.is_empty() => Ok(()),
            Some(_) => Err(self.wrong("takes no arguments").hint(format!("write \"{}\"", self.of))),
        }
    }

    /// The one argument.
    pub fn only(&self) -> Result<&'a Json> {
        self.given.ok_or_else(|| self.wrong("needs an argument").hint(format!("write {{ {} = … }}", self.of)))
    }

    /// The one argument, which is text.
    pub fn only_text(&self) -> Result<String> {
        match self.only()? {
            Json::String(text) if !text.trim().is_empty() => Ok(text.clone()),
            _ => Err(self.wrong("takes text").hint(format!("write {{ {} = \"…\" }}", self.of))),
        }
    }

    /// The one argument, which is a name or a list of names.
    pub fn only_names(&self) -> Result<Vec<String>> {
        names(self.only()?).ok_or_else(|| {
            let form = format!("write {{ {0} = \"…\" }}, or {{ {0} = [\"…\", \"…\"] }}", self.of);
            self.wrong("takes a name or a list of names").hint(form)
        })
    }

    /// A table whose names the user chooses; `example` is one.
    pub fn table(&self, example: &str) -> Result<&'a serde_json::Map<String, Json>> {
        match self.given {
            Some(Json::Object(table)) if !table.is_empty() => Ok(table),
            _ => {
                Err(self.wrong("takes a table of names").hint(format!("write {{ {} = {example} }}", self.of)))
            }
        }
    }

    /// The name of a column.
    pub fn column(&self, name: &str) -> Result<Ident> {
        Ident::new(name).map_err(|error| self.of_this(error))
    }

    /// Arguments by name. One value without a name is the first.
    pub fn named(&self, known: &'static [&'static str]) -> Result<Named<'a>> {
        let mut fields = Vec::new();
        match self.given {
            None => {}
            Some(Json::Object(table)) => {
                for (name, value) in table {
                    let Some(known_name) = known.iter().find(|known| *known == name) else {
                        let error = FlowError::new(
                            ErrorCode::UnknownOption,
                            format!("`{}` has no argument `{name}`", self.of),
                        );
                        return Err(match did_you_mean(name, known.iter().copied()) {
                            Some(near) => error.hint(format!("did you mean `{near}`?")),
                            None => error.hint(format!("its arguments are {}", known.join(", "))),
                        });
                    };
                    if !value.is_null() || *known_name == "otherwise" {
                        fields.push((*known_name, value));
                    }
                }
            }
            Some(value) => fields.push((known[0], value)),
        }
        Ok(Named { of: self.of, first: known[0], fields })
    }
}

/// Arguments by name.
pub struct Named<'a> {
    of: &'static str,
    first: &'static str,
    fields: Vec<(&'static str, &'a Json)>,
}

impl<'a> Named<'a> {
    fn wrong(&self, what: impl std::fmt::Display) -> FlowError {
        FlowError::new(ErrorCode::InvalidValue, format!("`{}`: {what}", self.of))
    }

    /// The value, where it was written.
    pub fn get(&self, name: &'static str) -> Option<&'a Json> {
        self.fields.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    /// The value, which must have been written.
    pub fn needed(&self, name: &'static str) -> Result<&'a Json> {
        self.get(name).ok_or_else(|| {
            let error = FlowError::new(ErrorCode::MissingOption, format!("`{}` has no `{name}`", self.of));
            // One value without a name is the first.
            error.hint(match name == self.first && self.fields.is_empty() {
                true => format!("write {{ {} = … }}", self.of),
                false => format!("write {{ {} = {{ {name} = … }} }}", self.of),
            })
        })
    }

    /// Text, where it was written.
    pub fn text(&self, name: &'static str) -> Result<Option<String>> {
        match self.get(name) {
            None => Ok(None),
            Some(Json::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(self.wrong(format!("`{name}` is text"))),
        }
    }

    /// A name or a list of names, where it was written.
    pub fn names(&self, name: &'static str) -> Result<Option<Vec<String>>> {
        let wrong = || self.wrong(format!("`{name}` is a name or a list of names"));
        self.get(name).map(|value| names(value).ok_or_else(wrong)).transpose()
    }

    /// Text that must have been written.
    pub fn needed_text(&self, name: &'static str) -> Result<String> {
        self.needed(name)?;
        Ok(self.text(name)?.expect("it is there"))
    }

    /// `true` or `false`, where it was written.
    pub fn truth(&self, name: &'static str) -> Result<Option<bool>> {
        match self.get(name) {
            None => Ok(None),
            Some(Json::Bool(truth)) => Ok(Some(*truth)),
            Some(_) => Err(self.wrong(format!("`{name}` is true or false"))),
        }
    }

    /// The name of a column, which must have been written.
    pub fn needed_column(&self, name: &'static str) -> Result<Ident> {
        Arguments::new(self.of, None).column(&self.needed_text(name)?)
    }

    /// Names of columns, one or a list, which must have been written.
    pub fn needed_columns(&self, name: &'static str) -> Result<Vec<Ident>> {
        let written = match self.needed(name)? {
            Json::Array(names) => names.iter().collect(),
            name => vec![name],
        };
        let mut columns: Vec<Ident> = Vec::new();
        for given in written {
            let Some(text) = given.as_str() else {
                return Err(self.wrong(format!("`{name}` names columns: {given} is no name")));
            };
            let column = Arguments::new(self.of, None).column(text)?;
            if columns.contains(&column) {
                return Err(self.wrong(format!("`{name}` names the column `{column}` twice")));
            }
            columns.push(column);
        }
        match columns.is_empty() {
            true => Err(self.wrong(format!("`{name}` names no column"))),
            false => Ok(columns),
        }
    }
}

/// A name, or several different ones.
fn names(value: &Json) -> Option<Vec<String>> {
    let names: Vec<String> = match value {
        Json::String(name) => vec![name.clone()],
        Json::Array(items) => {
            items.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<_>>()?
        }
        _ => return None,
    };
    let distinct = names.iter().enumerate().all(|(at, name)| !names[..at].contains(name));
    (distinct && !names.is_empty() && !names.iter().any(String::is_empty)).then_some(names)
}
