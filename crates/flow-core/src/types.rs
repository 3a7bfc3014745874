//! The column types of the PRD, each with one spelling in lower case, and any other by its own name.

pub mod digits;

use crate::error::{ErrorCode, FlowError, Result, did_you_mean};
use crate::hash::Normal;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A declared column type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum DataType {
    /// 16-bit integer.
    SmallInt,
    /// 32-bit integer.
    Integer,
    /// 64-bit integer.
    BigInt,
    /// 32-bit floating point.
    Float,
    /// 64-bit floating point.
    Double,
    /// Exact decimal with precision and scale; any when absent.
    Numeric(Option<(u16, u16)>),
    /// Text of at most n characters; any when absent.
    String(Option<u32>),
    /// Text.
    Text,
    /// Truth value.
    Boolean,
    /// Calendar date.
    Date,
    /// Date and time without zone.
    Timestamp,
    /// Instant.
    TimestampTz,
    /// JSON as text.
    Json,
    /// JSON decomposed.
    Jsonb,
    /// UUID.
    Uuid,
    /// Bytes.
    Bytes,
    /// Any other type of the server, by its name.
    Native(String),
}

/// What the catalogue says of a column's type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeFacts {
    /// As `format_type` writes it, with length and precision.
    pub name: String,
    /// How it is hashed; `None` where the type has no binary form.
    pub normal: Option<Normal>,
    /// Whether text is compared byte by byte (a deterministic collation).
    pub deterministic: bool,
    /// As what its values travel between databases.
    pub wire: Wire,
}

impl TypeFacts {
    /// What is assumed of a type that only a server knows, where none is asked.
    pub fn assumed(name: String) -> TypeFacts {
        let wire = Wire { name: name.clone(), oid: None };
        TypeFacts { name, normal: Some(Normal::Opaque), deterministic: true, wire }
    }
}

/// The type as which values travel: a domain's base, without length and precision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wire {
    /// Its name as it may stand in SQL.
    pub name: String,
    /// Its number where it is the same in every database, with its elements': a type that Postgres brings.
    pub oid: Option<u32>,
}

/// The spelling of every named type, for "did you mean", the JSON Schema and the documentation.
pub const TYPE_NAMES: &[&str] = &[
    "smallint",
    "integer",
    "bigint",
    "float",
    "double",
    "numeric",
    "string",
    "text",
    "boolean",
    "date",
    "timestamp",
    "timestamptz",
    "json",
    "jsonb",
    "uuid",
    "bytes",
];

impl DataType {
    /// Reads a type as it stands in TOML: `bigint`, `numeric(10,2)`, `varchar(256)`, `text[]`.
    ///
    /// # Errors
    /// `unknown_type` for text that cannot be a type's name.
    pub fn parse(text: &str) -> Result<DataType> {
        let text = text.trim();
        let lower = text.to_ascii_lowercase();
        let (name, arguments) = match (lower.find('('), lower.strip_suffix(')')) {
            (Some(open), Some(closed)) => {
                (lower[..open].trim().to_owned(), Some(closed[open + 1..].to_owned()))
            }
            _ => (lower.clone(), None),
        };
        let numbers: Option<Vec<u32>> = arguments
            .as_ref()
            .map(|arguments| {
                arguments.split(',').map(|part| part.trim().parse().ok()).collect::<Option<Vec<u32>>>()
            })
            .unwrap_or(Some(Vec::new()));
        let plain = |data_type: DataType| {
            if arguments.is_some() {
                Err(unknown(text, Some("this type takes no arguments")))
            } else {
                Ok(data_type)
            }
        };
        match name.as_str() {
            "smallint" => plain(DataType::SmallInt),
            "integer" => plain(DataType::Integer),
            "bigint" => plain(DataType::BigInt),
            "float" => plain(DataType::Float),
            "double" => plain(DataType::Double),
            "text" => plain(DataType::Text),
            "boolean" => plain(DataType::Boolean),
            "date" => plain(DataType::Date),
            "timestamp" if arguments.is_none() => Ok(DataType::Timestamp),
            "timestamptz" if arguments.is_none() => Ok(DataType::TimestampTz),
            "json" => plain(DataType::Json),
            "jsonb" => plain(DataType::Jsonb),
            "uuid" => plain(DataType::Uuid),
            "bytes" => plain(DataType::Bytes),
            "string" => match numbers.as_deref() {
                Some([]) => Ok(DataType::String(None)),
                Some([length]) if (1..=10_485_760).contains(length) => Ok(DataType::String(Some(*length))),
                _ => Err(unknown(text, Some("write string or string(256)"))),
            },
            "numeric" => match numbers.as_deref() {
                Some([]) => Ok(DataType::Numeric(None)),
                Some([precision]) if (1..=1000).contains(precision) => {
                    Ok(DataType::Numeric(Some((*precision as u16, 0))))
                }
                Some([precision, scale]) if (1..=1000).contains(precision) && scale <= precision => {
                    Ok(DataType::Numeric(Some((*precision as u16, *scale as u16))))
                }
                _ => Err(unknown(text, Some("write numeric, numeric(10) or numeric(10,2)"))),
            },
            _ => native(text),
        }
    }
}

/// Names of the server that are close to ours.
const SERVER_TYPES: &[&str] = &[
    "bigint",
    "boolean",
    "integer",
    "smallint",
    "int",
    "int2",
    "int4",
    "int8",
    "bool",
    "bytea",
    "char",
    "citext",
    "date",
    "daterange",
    "float4",
    "float8",
    "inet",
    "int4range",
    "interval",
    "json",
    "jsonb",
    "jsonpath",
    "name",
    "point",
    "real",
    "smallserial",
    "bigserial",
    "serial",
    "time",
    "timetz",
    "tsrange",
    "uuid",
    "varbit",
    "varchar",
    "xml",
    "timestamp",
    "timestamptz",
    "numeric",
    "decimal",
    "bit",
    "box",
    "line",
    "path",
    "oid",
    "xid",
    "tid",
    "cid",
    "cidr",
    "money",
    "text",
    "tsvector",
    "tsquery",
];

/// Accepts only what can be a type's name: words, quoted names, dots, a modifier, array brackets.
/// The server decides whether there is such a type.
fn native(text: &str) -> Result<DataType> {
    let mut rest = text;
    let mut seen_word = false;
    while !rest.is_empty() {
        let first = rest.chars().next().expect("not empty");
        let length = match first {
            '"' => {
                let close = rest[1..].find('"').ok_or_else(|| unknown(text, None))?;
                seen_word = true;
                close + 2
            }
            'a'..='z' | 'A'..='Z' | '_' => {
                seen_word = true;
                rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len())
            }
            '.' | ' ' => 1,
            '(' => {
                let close = rest.find(')').ok_or_else(|| unknown(text, None))?;
                if !rest[1..close].chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, ',' | ' ' | '-'))
                {
                    return Err(unknown(text, None));
                }
                close + 1
            }
            '[' => {
                let close = rest.find(']').ok_or_else(|| unknown(text, None))?;
                if !rest[1..close].chars().all(|c| c.is_ascii_digit()) {
                    return Err(unknown(text, None));
                }
                close + 1
            }
            _ => return Err(unknown(text, None)),
        };
        rest = &rest[length..];
    }
    if !seen_word {
        return Err(unknown(text, None));
    }
    // A slip of the finger is likelier than a type of one's own that is one letter from one of ours.
    let word = text.split(['(', '[']).next().unwrap_or_default().trim().to_ascii_lowercase();
    // Ours alone: the server's float is a double.
    let of_server = match word.as_str() {
        "float" => Some("real"),
        "double" => Some("double precision"),
        "string" => Some("varchar"),
        "bytes" => Some("bytea"),
        _ => None,
    };
    if let Some(name) = of_server {
        return Err(unknown(text, Some(&format!("an array's elements have the server's name: {name}[]"))));
    }
    if !text.contains(['"', '.'])
        && !SERVER_TYPES.contains(&word.as_str())
        && let Some(near) = did_you_mean(&word, TYPE_NAMES.iter().copied())
    {
        return Err(unknown(
            text,
            Some(&format!("did you mean `{near}`? a type of your own goes in double quotes")),
        ));
    }
    Ok(DataType::Native(text.to_owned()))
}

fn unknown(text: &str, why: Option<&str>) -> FlowError {
    let error = FlowError::new(ErrorCode::UnknownType, format!("`{text}` is not a column type"));
    error.hint(why.map(str::to_owned).unwrap_or_else(|| {
        format!(
            "the types are {}; any type of the server may be named too, and ? at the end allows NULL",
            TYPE_NAMES.join(", ")
        )
    }))
}

/// A server's name of a type as a declaration writes it: by ours where there is one, else as it is; a name of which
/// [`DataType::parse`] would think otherwise stands in double quotes. `None` where it cannot be written.
pub fn spelled(name: &str, type_name: impl Fn(&DataType) -> String) -> Option<String> {
    let arguments = name.rfind('(').map_or("", |at| &name[at..]);
    let ours = TYPE_NAMES.iter().flat_map(|ours| [(*ours).to_owned(), format!("{ours}{arguments}")]);
    let means = |text: &String| DataType::parse(text).is_ok_and(|parsed| type_name(&parsed) == name);
    let word = name.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(name.len());
    let quoted = format!("\"{}\"{}", &name[..word], &name[word..]);
    let is_one_word = word > 0 && !name[word..].contains(' ');
    ours.into_iter().find(means).or_else(|| Some(name.to_owned()).filter(means)).or_else(|| {
        let is_native = |text: &String| matches!(DataType::parse(text), Ok(DataType::Native(_)));
        Some(quoted).filter(|text| is_one_word && is_native(text))
    })
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DataType::SmallInt => f.write_str("smallint"),
            DataType::Integer => f.write_str("integer"),
            DataType::BigInt => f.write_str("bigint"),
            DataType::Float => f.write_str("float"),
            DataType::Double => f.write_str("double"),
            DataType::Numeric(None) => f.write_str("numeric"),
            DataType::Numeric(Some((precision, scale))) => write!(f, "numeric({precision},{scale})"),
            DataType::String(None) => f.write_str("string"),
            DataType::String(Some(length)) => write!(f, "string({length})"),
            DataType::Text => f.write_str("text"),
            DataType::Boolean => f.write_str("boolean"),
            DataType::Date => f.write_str("date"),
            DataType::Timestamp => f.write_str("timestamp"),
            DataType::TimestampTz => f.write_str("timestamptz"),
            DataType::Json => f.write_str("json"),
            DataType::Jsonb => f.write_str("jsonb"),
            DataType::Uuid => f.write_str("uuid"),
            DataType::Bytes => f.write_str("bytes"),
            DataType::Native(name) => f.write_str(name),
        }
    }
}

impl Serialize for DataType {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DataType {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<DataType, D::Error> {
        let text = String::deserialize(deserializer)?;
        DataType::parse(&text).map_err(serde::de::Error::custom)
    }
}
