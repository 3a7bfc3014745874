//! Of which type the values of a column are read: the one that is wanted, where the column's values are of it, else the
//! server's.

use ematix_flow_arrow::CopyType;
use mysql_async::Column;
use mysql_async::consts::{ColumnFlags, ColumnType};

/// What a column of the server holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Whole numbers, of so many bytes; `tiny`: written tinyint(1).
    Whole { bytes: u8, unsigned: bool, tiny: bool },
    /// Decimals.
    Decimal { precision: u8, scale: u8 },
    /// Numbers of floating point of four bytes.
    Float,
    /// Those of eight.
    Double,
    /// Days.
    Date,
    /// Times without a zone.
    DateTime,
    /// Instants.
    Timestamp,
    /// Lengths of time, which may be those of a day's clock.
    Time,
    /// So many bits.
    Bits(u32),
    /// Text, enums and sets.
    Text,
    /// JSON that the server knows as such.
    Json,
    /// Bytes.
    Bytes,
    /// Nothing but NULL.
    Null,
}

/// The number of the character set that bytes have.
const BINARY: u16 = 63;

/// What a column holds; `Err` is the name of a type that is not read.
pub fn kind_of(column: &Column) -> Result<Kind, &'static str> {
    use ColumnType as T;
    let unsigned = column.flags().contains(ColumnFlags::UNSIGNED_FLAG);
    let whole = |bytes| Kind::Whole { bytes, unsigned, tiny: bytes == 1 && column.column_length() == 1 };
    Ok(match column.column_type() {
        T::MYSQL_TYPE_TINY => whole(1),
        T::MYSQL_TYPE_SHORT => whole(2),
        T::MYSQL_TYPE_YEAR => Kind::Whole { bytes: 2, unsigned: false, tiny: false },
        T::MYSQL_TYPE_INT24 => whole(3),
        T::MYSQL_TYPE_LONG => whole(4),
        T::MYSQL_TYPE_LONGLONG => whole(8),
        T::MYSQL_TYPE_DECIMAL | T::MYSQL_TYPE_NEWDECIMAL => {
            let scale = column.decimals();
            let signs = u32::from(!unsigned) + u32::from(scale > 0);
            let precision = column.column_length().saturating_sub(signs).clamp(1, 76) as u8;
            Kind::Decimal { precision: precision.max(scale), scale }
        }
        T::MYSQL_TYPE_FLOAT => Kind::Float,
        T::MYSQL_TYPE_DOUBLE => Kind::Double,
        T::MYSQL_TYPE_NULL => Kind::Null,
        T::MYSQL_TYPE_DATE | T::MYSQL_TYPE_NEWDATE => Kind::Date,
        T::MYSQL_TYPE_DATETIME | T::MYSQL_TYPE_DATETIME2 => Kind::DateTime,
        T::MYSQL_TYPE_TIMESTAMP | T::MYSQL_TYPE_TIMESTAMP2 => Kind::Timestamp,
        T::MYSQL_TYPE_TIME | T::MYSQL_TYPE_TIME2 => Kind::Time,
        T::MYSQL_TYPE_BIT => Kind::Bits(column.column_length()),
        T::MYSQL_TYPE_JSON => Kind::Json,
        T::MYSQL_TYPE_ENUM | T::MYSQL_TYPE_SET => Kind::Text,
        T::MYSQL_TYPE_VARCHAR
        | T::MYSQL_TYPE_VAR_STRING
        | T::MYSQL_TYPE_STRING
        | T::MYSQL_TYPE_TINY_BLOB
        | T::MYSQL_TYPE_MEDIUM_BLOB
        | T::MYSQL_TYPE_LONG_BLOB
        | T::MYSQL_TYPE_BLOB => match column.character_set() {
            BINARY => Kind::Bytes,
            _ => Kind::Text,
        },
        T::MYSQL_TYPE_GEOMETRY => return Err("geometry"),
        T::MYSQL_TYPE_VECTOR => return Err("vector"),
        T::MYSQL_TYPE_TYPED_ARRAY | T::MYSQL_TYPE_UNKNOWN => return Err("one that flow does not know"),
    })
}

impl Kind {
    /// The type as which its values are read where nobody wants another.
    pub fn own(self) -> CopyType {
        match self {
            Kind::Whole { bytes: 1, .. } | Kind::Whole { bytes: 2, unsigned: false, .. } => CopyType::Int2,
            Kind::Whole { bytes: 2 | 3, .. } | Kind::Whole { bytes: 4, unsigned: false, .. } => {
                CopyType::Int4
            }
            Kind::Whole { bytes: 8, unsigned: true, .. } => CopyType::Numeric(20, 0),
            Kind::Whole { .. } => CopyType::Int8,
            Kind::Decimal { precision, scale } => CopyType::Numeric(precision, scale),
            Kind::Float => CopyType::Float4,
            Kind::Double => CopyType::Float8,
            Kind::Date => CopyType::Date,
            Kind::DateTime => CopyType::Timestamp,
            Kind::Timestamp => CopyType::TimestampTz,
            Kind::Time => CopyType::Interval,
            Kind::Bits(1) => CopyType::Bool,
            Kind::Bits(_) | Kind::Bytes => CopyType::Bytea,
            Kind::Text | Kind::Null => CopyType::Text,
            Kind::Json => CopyType::Jsonb,
        }
    }

    /// The type as which its values are read. One that is wanted and not taken is the load's to cast, as it would be
    /// of any other source.
    pub fn read_as(self, wanted: Option<&CopyType>) -> CopyType {
        use CopyType as C;
        let is_whole = |wanted: &C| matches!(wanted, C::Int2 | C::Int4 | C::Int8);
        let is_decimal = |wanted: &C| matches!(wanted, C::Numeric(..) | C::NumericText);
        let takes = |wanted: &C| match self {
            Kind::Whole { .. } => is_whole(wanted) || is_decimal(wanted) || *wanted == C::Bool,
            Kind::Decimal { .. } => is_whole(wanted) || is_decimal(wanted),
            Kind::Float => *wanted == C::Float8,
            Kind::Double => *wanted == C::Float4,
            Kind::DateTime => *wanted == C::Date,
            Kind::Timestamp => *wanted == C::Timestamp,
            Kind::Time => *wanted == C::Time,
            Kind::Bits(bits) => is_whole(wanted) && bits < 64 || *wanted == C::Bytea,
            Kind::Text | Kind::Json => *wanted != C::Bytea,
            Kind::Bytes => *wanted == C::Uuid,
            Kind::Null => true,
            Kind::Date => false,
        };
        wanted.filter(|wanted| takes(wanted)).cloned().unwrap_or_else(|| self.own())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(column_type: ColumnType, length: u32, decimals: u8, flags: ColumnFlags) -> Kind {
        let column = Column::new(column_type)
            .with_column_length(length)
            .with_decimals(decimals)
            .with_flags(flags)
            .with_character_set(45);
        kind_of(&column).expect("a type that is read")
    }

    #[test]
    fn a_type_of_the_server_is_one_of_postgres_that_holds_all_of_it() {
        use ColumnType as T;
        let (none, unsigned) = (ColumnFlags::empty(), ColumnFlags::UNSIGNED_FLAG);
        for (column_type, length, decimals, flags, expected) in [
            (T::MYSQL_TYPE_TINY, 1, 0, none, CopyType::Int2),
            (T::MYSQL_TYPE_TINY, 3, 0, unsigned, CopyType::Int2),
            (T::MYSQL_TYPE_SHORT, 5, 0, unsigned, CopyType::Int4),
            (T::MYSQL_TYPE_INT24, 8, 0, unsigned, CopyType::Int4),
            (T::MYSQL_TYPE_LONG, 11, 0, none, CopyType::Int4),
            (T::MYSQL_TYPE_LONG, 10, 0, unsigned, CopyType::Int8),
            (T::MYSQL_TYPE_LONGLONG, 20, 0, none, CopyType::Int8),
            (T::MYSQL_TYPE_LONGLONG, 20, 0, unsigned, CopyType::Numeric(20, 0)),
            (T::MYSQL_TYPE_NEWDECIMAL, 12, 2, none, CopyType::Numeric(10, 2)),
            (T::MYSQL_TYPE_NEWDECIMAL, 11, 2, unsigned, CopyType::Numeric(10, 2)),
            (T::MYSQL_TYPE_NEWDECIMAL, 11, 0, none, CopyType::Numeric(10, 0)),
            (T::MYSQL_TYPE_YEAR, 4, 0, unsigned, CopyType::Int2),
            (T::MYSQL_TYPE_BIT, 1, 0, unsigned, CopyType::Bool),
            (T::MYSQL_TYPE_BIT, 9, 0, unsigned, CopyType::Bytea),
        ] {
            assert_eq!(
                kind(column_type, length, decimals, flags).own(),
                expected,
                "{column_type:?} {length}"
            );
        }
    }

    #[test]
    fn what_is_wanted_is_taken_where_the_values_are_of_it() {
        let tiny = kind(ColumnType::MYSQL_TYPE_TINY, 1, 0, ColumnFlags::empty());
        assert_eq!(tiny.read_as(Some(&CopyType::Bool)), CopyType::Bool);
        assert_eq!(tiny.read_as(Some(&CopyType::Int8)), CopyType::Int8);
        assert_eq!(tiny.read_as(Some(&CopyType::Date)), CopyType::Int2);
        assert_eq!(Kind::DateTime.read_as(Some(&CopyType::TimestampTz)), CopyType::Timestamp);
        assert_eq!(Kind::Text.read_as(Some(&CopyType::Jsonb)), CopyType::Jsonb);
        assert_eq!(Kind::Bytes.read_as(Some(&CopyType::Uuid)), CopyType::Uuid);
    }
}
