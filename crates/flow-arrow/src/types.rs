//! The types that cross: as which type of Arrow a type of Postgres arrives.

use arrow_schema::{DataType, Field, IntervalUnit, TimeUnit};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::hash::Normal;
use ematix_flow_core::types::TypeFacts;
use std::collections::HashMap;
use std::sync::Arc;

/// The greatest number of digits of Decimal256.
const DIGITS: i32 = 76;

/// The name of an extension type of our own: text, each of which is a number.
const NUMERIC_TEXT: &str = "ematix_flow.numeric";

/// A column of a COPY stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name, in the schema and in errors.
    pub name: String,
    /// Its type.
    pub data_type: CopyType,
    /// Of what is wanted: whether it is filled where a row says nothing of it.
    pub needed: bool,
}

impl Column {
    /// A column.
    pub fn new(name: impl Into<String>, data_type: CopyType) -> Column {
        Column { name: name.into(), data_type, needed: false }
    }

    /// It, as a column that a source without columns of its own has to have: NULL where it says nothing.
    pub fn needed(self) -> Column {
        Column { needed: true, ..self }
    }

    /// As what it arrives; any value may be NULL.
    pub fn field(&self) -> Field {
        self.data_type.field(&self.name)
    }
}

/// As what a column arrives where text and bytes are views: JSON is text there.
pub fn viewed(column: &Column) -> Field {
    match column.data_type {
        CopyType::Text | CopyType::Json | CopyType::Jsonb => {
            Field::new(&column.name, DataType::Utf8View, true)
        }
        CopyType::Bytea => Field::new(&column.name, DataType::BinaryView, true),
        _ => column.field(),
    }
}

/// A type of Postgres, as far as it says how its values are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyType {
    /// boolean.
    Bool,
    /// smallint.
    Int2,
    /// integer.
    Int4,
    /// bigint.
    Int8,
    /// real.
    Float4,
    /// double precision.
    Float8,
    /// numeric with this precision, 1 to 76, and scale.
    Numeric(u8, u8),
    /// numeric of any precision and scale, as text.
    NumericText,
    /// text, varchar, char(n), name, xml, enums: the text of the value.
    Text,
    /// json: its exact text.
    Json,
    /// jsonb: the server's text of it.
    Jsonb,
    /// bytea.
    Bytea,
    /// uuid.
    Uuid,
    /// date.
    Date,
    /// time.
    Time,
    /// timestamp without a zone.
    Timestamp,
    /// An instant.
    TimestampTz,
    /// interval.
    Interval,
    /// interval without months, as a length of time: a day has 24 hours.
    Length,
    /// An enum with these labels, in its order.
    Enum(Arc<[String]>),
    /// A list of one dimension.
    Array(Box<CopyType>, ElementOid),
}

/// The number of an array's element type, which is sent with every array.
pub type ElementOid = u32;

/// What becomes of numeric without a precision, of which Arrow has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnscaledNumeric {
    /// It is an error.
    Refuse,
    /// It arrives as text.
    Text,
}

/// Arrays and their elements by number.
const ARRAYS: &[(u32, u32)] = &[
    (143, 142),
    (199, 114),
    (1000, 16),
    (1001, 17),
    (1003, 19),
    (1005, 21),
    (1007, 23),
    (1009, 25),
    (1014, 1042),
    (1015, 1043),
    (1016, 20),
    (1021, 700),
    (1022, 701),
    (1115, 1114),
    (1182, 1082),
    (1183, 1083),
    (1185, 1184),
    (1187, 1186),
    (1231, 1700),
    (2951, 2950),
    (3807, 3802),
];

impl CopyType {
    /// The type of a column, by what the catalogue says of it.
    ///
    /// # Errors
    /// `invalid_value` for a type that does not cross.
    pub fn of(column: &str, facts: &TypeFacts, unscaled: UnscaledNumeric) -> Result<CopyType> {
        let found = match facts.wire.oid {
            Some(oid) => match ARRAYS.iter().find(|(array, _)| *array == oid) {
                Some((_, element)) => by_oid(*element, facts.name.trim_end_matches("[]"), unscaled)
                    .map(|data_type| CopyType::Array(Box::new(data_type), *element)),
                None => by_oid(oid, &facts.name, unscaled),
            },
            None if facts.normal == Some(Normal::Enum) => Ok(CopyType::Text),
            None => Err("nothing is known of how its values are sent"),
        };
        found.map_err(|why| {
            FlowError::new(
                ErrorCode::InvalidValue,
                format!("the column `{column}` of type {} does not come as Arrow: {why}", facts.name),
            )
            .hint(format!("cast it in the query: `{column}::text AS {column}`, or to numeric(p,s)"))
        })
    }

    /// The type of a column that holds values of a field as they are; `None` where Postgres has none.
    pub fn for_field(field: &Field) -> Option<CopyType> {
        let extension = field.metadata().get("ARROW:extension:name").map(String::as_str);
        Some(match field.data_type() {
            DataType::Null => CopyType::Text,
            DataType::Boolean => CopyType::Bool,
            DataType::Int8 | DataType::UInt8 | DataType::Int16 => CopyType::Int2,
            DataType::UInt16 | DataType::Int32 => CopyType::Int4,
            DataType::UInt32 | DataType::Int64 => CopyType::Int8,
            DataType::UInt64 => CopyType::Numeric(20, 0),
            DataType::Float16 | DataType::Float32 => CopyType::Float4,
            DataType::Float64 => CopyType::Float8,
            DataType::Decimal32(precision, scale)
            | DataType::Decimal64(precision, scale)
            | DataType::Decimal128(precision, scale)
            | DataType::Decimal256(precision, scale) => {
                // A negative scale has zeros before the point.
                let whole = i32::from(*precision) - i32::from(*scale).min(0);
                CopyType::Numeric(
                    u8::try_from(whole).ok().filter(|whole| *whole <= 76)?,
                    (*scale).max(0) as u8,
                )
            }
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => match extension {
                Some("arrow.json") => CopyType::Json,
                Some(NUMERIC_TEXT) => CopyType::NumericText,
                _ => CopyType::Text,
            },
            DataType::FixedSizeBinary(16) if extension == Some("arrow.uuid") => CopyType::Uuid,
            DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_) => CopyType::Bytea,
            DataType::Date32 | DataType::Date64 => CopyType::Date,
            DataType::Time32(_) | DataType::Time64(_) => CopyType::Time,
            DataType::Timestamp(_, None) => CopyType::Timestamp,
            DataType::Timestamp(_, Some(_)) => CopyType::TimestampTz,
            DataType::Duration(_) | DataType::Interval(_) => CopyType::Interval,
            DataType::Dictionary(_, value) => {
                CopyType::for_field(&Field::new(field.name(), value.as_ref().clone(), true))?
            }
            DataType::List(item) | DataType::LargeList(item) => {
                let element = CopyType::for_field(item)?;
                let oid = element.oid()?;
                CopyType::Array(Box::new(element), oid)
            }
            _ => return None,
        })
    }

    /// What says of a field of text that its values are those of [`CopyType::NumericText`].
    pub fn numeric_text() -> HashMap<String, String> {
        HashMap::from([("ARROW:extension:name".to_owned(), NUMERIC_TEXT.to_owned())])
    }

    /// The number of the type in every database; `None` of a list and of an enum.
    fn oid(&self) -> Option<ElementOid> {
        Some(match self {
            CopyType::Bool => 16,
            CopyType::Bytea => 17,
            CopyType::Int8 => 20,
            CopyType::Int2 => 21,
            CopyType::Int4 => 23,
            CopyType::Text => 25,
            CopyType::Json => 114,
            CopyType::Float4 => 700,
            CopyType::Float8 => 701,
            CopyType::Date => 1082,
            CopyType::Time => 1083,
            CopyType::Timestamp => 1114,
            CopyType::TimestampTz => 1184,
            CopyType::Interval | CopyType::Length => 1186,
            CopyType::Numeric(..) | CopyType::NumericText => 1700,
            CopyType::Uuid => 2950,
            CopyType::Jsonb => 3802,
            CopyType::Enum(_) | CopyType::Array(..) => return None,
        })
    }

    /// The type of Arrow as which values arrive.
    pub fn arrow(&self) -> DataType {
        match self {
            CopyType::Bool => DataType::Boolean,
            CopyType::Int2 => DataType::Int16,
            CopyType::Int4 => DataType::Int32,
            CopyType::Int8 => DataType::Int64,
            CopyType::Float4 => DataType::Float32,
            CopyType::Float8 => DataType::Float64,
            CopyType::Numeric(precision @ ..=38, scale) => DataType::Decimal128(*precision, *scale as i8),
            CopyType::Numeric(precision, scale) => DataType::Decimal256(*precision, *scale as i8),
            CopyType::NumericText | CopyType::Text | CopyType::Json | CopyType::Jsonb => DataType::Utf8,
            CopyType::Bytea => DataType::Binary,
            CopyType::Uuid => DataType::FixedSizeBinary(16),
            CopyType::Date => DataType::Date32,
            CopyType::Time => DataType::Time64(TimeUnit::Microsecond),
            CopyType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            CopyType::TimestampTz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            CopyType::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
            CopyType::Length => DataType::Duration(TimeUnit::Microsecond),
            CopyType::Enum(_) => DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
            CopyType::Array(element, _) => DataType::List(Arc::new(element.field("item"))),
        }
    }

    /// A field, with the canonical extension type that says what its bytes or text are.
    pub fn field(&self, name: &str) -> Field {
        let field = Field::new(name, self.arrow(), true);
        let extension = |name: &str, metadata: &str| {
            HashMap::from([
                ("ARROW:extension:name".to_owned(), name.to_owned()),
                ("ARROW:extension:metadata".to_owned(), metadata.to_owned()),
            ])
        };
        match self {
            CopyType::Uuid => field.with_metadata(extension("arrow.uuid", "")),
            CopyType::Json | CopyType::Jsonb => field.with_metadata(extension("arrow.json", "{}")),
            // Postgres compares the labels by their order.
            CopyType::Enum(_) => field.with_dict_is_ordered(true),
            _ => field,
        }
    }

    /// The name of the type in messages.
    pub fn name(&self) -> String {
        match self {
            CopyType::Bool => "boolean".to_owned(),
            CopyType::Int2 => "smallint".to_owned(),
            CopyType::Int4 => "integer".to_owned(),
            CopyType::Int8 => "bigint".to_owned(),
            CopyType::Float4 => "real".to_owned(),
            CopyType::Float8 => "double precision".to_owned(),
            CopyType::Numeric(precision, scale) => format!("numeric({precision},{scale})"),
            CopyType::NumericText => "numeric".to_owned(),
            CopyType::Text => "text".to_owned(),
            CopyType::Json => "json".to_owned(),
            CopyType::Jsonb => "jsonb".to_owned(),
            CopyType::Bytea => "bytea".to_owned(),
            CopyType::Uuid => "uuid".to_owned(),
            CopyType::Date => "date".to_owned(),
            CopyType::Time => "time".to_owned(),
            CopyType::Timestamp => "timestamp".to_owned(),
            CopyType::TimestampTz => "timestamptz".to_owned(),
            CopyType::Interval | CopyType::Length => "interval".to_owned(),
            CopyType::Enum(_) => "an enum".to_owned(),
            CopyType::Array(element, _) => format!("{}[]", element.name()),
        }
    }
}

fn by_oid(oid: u32, name: &str, unscaled: UnscaledNumeric) -> std::result::Result<CopyType, &'static str> {
    Ok(match oid {
        16 => CopyType::Bool,
        17 => CopyType::Bytea,
        20 => CopyType::Int8,
        21 => CopyType::Int2,
        23 => CopyType::Int4,
        19 | 25 | 142 | 1042 | 1043 => CopyType::Text,
        114 => CopyType::Json,
        700 => CopyType::Float4,
        701 => CopyType::Float8,
        1082 => CopyType::Date,
        1083 => CopyType::Time,
        1114 => CopyType::Timestamp,
        1184 => CopyType::TimestampTz,
        1186 => CopyType::Interval,
        1700 => return numeric(name, unscaled),
        2950 => CopyType::Uuid,
        3802 => CopyType::Jsonb,
        _ => return Err("Arrow has no type for it"),
    })
}

/// Precision and scale of `numeric(10,2)`. A negative scale, or one above the precision, fits a wider decimal.
fn numeric(name: &str, unscaled: UnscaledNumeric) -> std::result::Result<CopyType, &'static str> {
    let arguments = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    let Some(arguments) = arguments else {
        return match unscaled {
            UnscaledNumeric::Text => Ok(CopyType::NumericText),
            UnscaledNumeric::Refuse => Err("a decimal of Arrow has a precision and a scale"),
        };
    };
    let (precision, scale) = arguments.split_once(',').unwrap_or((arguments, "0"));
    let (Ok(precision), Ok(scale)) = (precision.trim().parse::<i32>(), scale.trim().parse::<i32>()) else {
        return Err("its precision cannot be read");
    };
    let (digits, scale) = (precision.max(scale).max(precision - scale), scale.max(0));
    if !(1..=DIGITS).contains(&digits) {
        return match unscaled {
            UnscaledNumeric::Text => Ok(CopyType::NumericText),
            UnscaledNumeric::Refuse => Err("a decimal of Arrow has at most 76 digits"),
        };
    }
    Ok(CopyType::Numeric(digits as u8, scale as u8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_goes_into_the_type_that_it_came_from() {
        use CopyType::*;
        let list = |element: CopyType, oid| Array(Box::new(element), oid);
        let every = [
            Bool,
            Int2,
            Int4,
            Int8,
            Float4,
            Float8,
            Numeric(10, 2),
            Numeric(76, 0),
            Text,
            Json,
            Bytea,
            Uuid,
            Date,
            Time,
            Timestamp,
            TimestampTz,
            Interval,
            list(Int8, 20),
            list(Text, 25),
            list(Uuid, 2950),
        ];
        for data_type in every {
            assert_eq!(CopyType::for_field(&data_type.field("c")), Some(data_type));
        }
    }

    #[test]
    fn a_field_without_a_type_of_its_own_goes_into_one_that_holds_it() {
        let into = |data_type| CopyType::for_field(&Field::new("c", data_type, true));
        assert_eq!(into(DataType::UInt8), Some(CopyType::Int2));
        assert_eq!(into(DataType::UInt64), Some(CopyType::Numeric(20, 0)));
        assert_eq!(into(DataType::Decimal128(3, -2)), Some(CopyType::Numeric(5, 0)));
        assert_eq!(into(DataType::FixedSizeBinary(16)), Some(CopyType::Bytea));
        assert_eq!(into(DataType::Utf8View), Some(CopyType::Text));
        assert_eq!(into(DataType::Null), Some(CopyType::Text));
        assert_eq!(into(DataType::Struct(Vec::<Field>::new().into())), None);
    }
}
