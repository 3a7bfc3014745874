//! Values between Postgres and Python.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString};
use pyo3::{PyTypeInfo, intern};
use std::error::Error;
use tokio_postgres::Row;
use tokio_postgres::types::{Kind, Type};

/// The classes of Python's library that values become.
pub struct Names<'py> {
    datetime: Bound<'py, PyModule>,
    decimal: Bound<'py, PyAny>,
    uuid: Bound<'py, PyAny>,
    loads: Bound<'py, PyAny>,
}

impl<'py> Names<'py> {
    /// Imports them, once; all are part of Python.
    pub fn import(py: Python<'py>) -> PyResult<Names<'py>> {
        static IMPORTED: PyOnceLock<(Py<PyModule>, [Py<PyAny>; 3])> = PyOnceLock::new();
        let of = |module: &str, name: &str| PyResult::Ok(py.import(module)?.getattr(name)?.unbind());
        let (datetime, [decimal, uuid, loads]) = IMPORTED.get_or_try_init(py, || {
            let classes = [of("decimal", "Decimal")?, of("uuid", "UUID")?, of("json", "loads")?];
            PyResult::Ok((py.import("datetime")?.unbind(), classes))
        })?;
        Ok(Names {
            datetime: datetime.bind(py).clone(),
            decimal: decimal.bind(py).clone(),
            uuid: uuid.bind(py).clone(),
            loads: loads.bind(py).clone(),
        })
    }
}

const MICROSECONDS_A_DAY: i64 = 86_400_000_000;

/// The values of a row.
pub fn values_of<'py>(py: Python<'py>, names: &Names<'py>, row: &Row) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let columns = row.columns().iter().enumerate();
    columns
        .map(|(index, column)| {
            let raw = row.try_get::<_, Option<Raw<'_>>>(index).ok().flatten();
            to_python(py, names, column.type_(), raw.map(|raw| raw.0))
        })
        .collect()
}

/// A value's bytes as the server sent them.
struct Raw<'r>(&'r [u8]);

impl<'r> tokio_postgres::types::FromSql<'r> for Raw<'r> {
    fn from_sql(_: &Type, raw: &'r [u8]) -> Result<Raw<'r>, Box<dyn Error + Sync + Send>> {
        Ok(Raw(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// A value that the server sent in binary form. What has no counterpart in Python, such as dates before the year 1 and
/// `infinity`, comes as text; what is not known here comes as its bytes.
pub fn to_python<'py>(
    py: Python<'py>,
    names: &Names<'py>,
    data_type: &Type,
    raw: Option<&[u8]>,
) -> PyResult<Bound<'py, PyAny>> {
    let Some(raw) = raw else { return Ok(py.None().into_bound(py)) };
    match data_type.kind() {
        Kind::Domain(base) => return to_python(py, names, base, Some(raw)),
        Kind::Array(element) => return array(py, names, element, raw),
        Kind::Enum(_) => return text(py, raw),
        _ => {}
    }
    match *data_type {
        Type::BOOL => Ok(PyBool::new(py, raw == [1]).to_owned().into_any()),
        Type::INT2 | Type::INT4 | Type::INT8 | Type::OID => Ok(integer(raw).into_pyobject(py)?.into_any()),
        Type::FLOAT4 => Ok(PyFloat::new(py, f32::from_be_bytes(fixed(raw)).into()).into_any()),
        Type::FLOAT8 => Ok(PyFloat::new(py, f64::from_be_bytes(fixed(raw))).into_any()),
        Type::NUMERIC => names.decimal.call1((numeric(raw),)),
        Type::BYTEA => Ok(PyBytes::new(py, raw).into_any()),
        Type::UUID => {
            let bytes = PyDict::new(py);
            bytes.set_item("bytes", PyBytes::new(py, raw))?;
            names.uuid.call((), Some(&bytes))
        }
        Type::JSON => names.loads.call1((text(py, raw)?,)),
        Type::JSONB => names.loads.call1((text(py, &raw[1.min(raw.len())..])?,)),
        Type::DATE => date(py, names, i32::from_be_bytes(fixed(raw))),
        Type::TIME => time(py, names, i64::from_be_bytes(fixed(raw))),
        Type::TIMESTAMP => instant(py, names, i64::from_be_bytes(fixed(raw)), false),
        Type::TIMESTAMPTZ => instant(py, names, i64::from_be_bytes(fixed(raw)), true),
        Type::INTERVAL => interval(py, names, raw),
        _ => match std::str::from_utf8(raw) {
            Ok(_) if is_text(data_type) => text(py, raw),
            _ => Ok(PyBytes::new(py, raw).into_any()),
        },
    }
}

fn is_text(data_type: &Type) -> bool {
    matches!(
        *data_type,
        Type::TEXT
            | Type::VARCHAR
            | Type::BPCHAR
            | Type::NAME
            | Type::CHAR
            | Type::XML
            | Type::UNKNOWN
            | Type::REFCURSOR
    ) || data_type.name() == "citext"
}

fn text<'py>(py: Python<'py>, raw: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    Ok(PyString::new(py, &String::from_utf8_lossy(raw)).into_any())
}

/// The bytes of a value of a fixed width; what is shorter is not that type's, and reads as zeros.
fn fixed<const N: usize>(raw: &[u8]) -> [u8; N] {
    raw.try_into().unwrap_or([0; N])
}

fn integer(raw: &[u8]) -> i64 {
    match raw.len() {
        2 => i16::from_be_bytes(fixed(raw)).into(),
        4 => i32::from_be_bytes(fixed(raw)).into(),
        _ => i64::from_be_bytes(fixed(raw)),
    }
}

/// The text of a numeric: digit groups to the base 10,000, the first times 10,000 to the weight, and a scale.
fn numeric(raw: &[u8]) -> String {
    let part = |index: usize| raw.get(2 * index..2 * index + 2).map_or([0, 0], fixed::<2>);
    let count = u16::from_be_bytes(part(0)) as usize;
    let weight = i32::from(i16::from_be_bytes(part(1)));
    let sign = u16::from_be_bytes(part(2));
    let scale = u16::from_be_bytes(part(3)) as usize;
    match sign {
        0xC000 => return "NaN".to_owned(),
        0xD000 => return "Infinity".to_owned(),
        0xF000 => return "-Infinity".to_owned(),
        _ => {}
    }
    let group = |index: i32| match usize::try_from(index) {
        Ok(index) if index < count => u16::from_be_bytes(part(4 + index)),
        _ => 0,
    };
    let mut out = String::new();
    if sign == 0x4000 {
        out.push('-');
    }
    if weight < 0 {
        out.push('0');
    } else {
        let mut whole: String = (0..=weight).map(|index| format!("{:04}", group(index))).collect();
        let zeros = whole.len() - whole.trim_start_matches('0').len();
        whole.drain(..zeros.min(whole.len() - 1));
        out.push_str(&whole);
    }
    if scale > 0 {
        let groups = scale.div_ceil(4) as i32;
        let fraction: String = (1..=groups).map(|index| format!("{:04}", group(weight + index))).collect();
        out.push('.');
        out.push_str(&fraction[..scale]);
    }
    out
}

/// Days since 1970-01-01 as year, month and day of the Gregorian calendar.
fn civil(days: i64) -> (i64, i64, i64) {
    // Howard Hinnant's days-to-civil, with years that begin in March.
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// From 2000-01-01, where Postgres counts from, to 1970-01-01.
const EPOCH_DAYS: i64 = 10_957;

fn date<'py>(py: Python<'py>, names: &Names<'py>, days: i32) -> PyResult<Bound<'py, PyAny>> {
    match days {
        i32::MAX => return text(py, b"infinity"),
        i32::MIN => return text(py, b"-infinity"),
        _ => {}
    }
    let (year, month, day) = civil(i64::from(days) + EPOCH_DAYS);
    if (1..=9999).contains(&year) {
        names.datetime.call_method1("date", (year, month, day))
    } else {
        text(py, written(year, month, day).as_bytes())
    }
}

/// A date outside of what Python has, as Postgres writes it: years before 1 count from 1 BC.
fn written(year: i64, month: i64, day: i64) -> String {
    match year {
        1.. => format!("{year:04}-{month:02}-{day:02}"),
        _ => format!("{:04}-{month:02}-{day:02} BC", 1 - year),
    }
}

fn clock(microseconds: i64) -> (i64, i64, i64, i64) {
    let seconds = microseconds / 1_000_000;
    (seconds / 3600, seconds / 60 % 60, seconds % 60, microseconds % 1_000_000)
}

fn time<'py>(py: Python<'py>, names: &Names<'py>, microseconds: i64) -> PyResult<Bound<'py, PyAny>> {
    match clock(microseconds) {
        (24, ..) => text(py, b"24:00:00"),
        of_day => names.datetime.call_method1("time", of_day),
    }
}

fn instant<'py>(
    py: Python<'py>,
    names: &Names<'py>,
    microseconds: i64,
    aware: bool,
) -> PyResult<Bound<'py, PyAny>> {
    match microseconds {
        i64::MAX => return text(py, b"infinity"),
        i64::MIN => return text(py, b"-infinity"),
        _ => {}
    }
    let (year, month, day) = civil(microseconds.div_euclid(MICROSECONDS_A_DAY) + EPOCH_DAYS);
    let (hour, minute, second, rest) = clock(microseconds.rem_euclid(MICROSECONDS_A_DAY));
    if !(1..=9999).contains(&year) {
        let day = written(year, month, day);
        let (day, era) = day.strip_suffix(" BC").map_or((day.as_str(), ""), |day| (day, " BC"));
        let zone = if aware { "+00" } else { "" };
        return text(py, format!("{day} {hour:02}:{minute:02}:{second:02}.{rest:06}{zone}{era}").as_bytes());
    }
    let zone = match aware {
        true => names.datetime.getattr("timezone")?.getattr("utc")?,
        false => py.None().into_bound(py),
    };
    names.datetime.call_method1("datetime", (year, month, day, hour, minute, second, rest, zone))
}

/// An interval as a timedelta; one with months, which have no length, as text.
fn interval<'py>(py: Python<'py>, names: &Names<'py>, raw: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let microseconds = i64::from_be_bytes(fixed(raw.get(..8).unwrap_or_default()));
    let days = i32::from_be_bytes(fixed(raw.get(8..12).unwrap_or_default()));
    let months = i32::from_be_bytes(fixed(raw.get(12..16).unwrap_or_default()));
    if months != 0 {
        let seconds = microseconds as f64 / 1_000_000.0;
        return text(py, format!("{months} months {days} days {seconds} seconds").as_bytes());
    }
    names.datetime.call_method1("timedelta", (days, 0, microseconds))
}

/// An array of any number of dimensions as lists in lists.
fn array<'py>(
    py: Python<'py>,
    names: &Names<'py>,
    element: &Type,
    raw: &[u8],
) -> PyResult<Bound<'py, PyAny>> {
    let number = |at: usize| i32::from_be_bytes(fixed(raw.get(at..at + 4).unwrap_or_default()));
    let dimensions = number(0).clamp(0, 6) as usize;
    if dimensions == 0 {
        return Ok(PyList::empty(py).into_any());
    }
    let lengths: Vec<usize> = (0..dimensions).map(|index| number(12 + 8 * index).max(0) as usize).collect();
    let mut at = 12 + 8 * dimensions;
    let mut values = Vec::new();
    while at + 4 <= raw.len() {
        let length = number(at);
        at += 4;
        let value = match usize::try_from(length) {
            Ok(length) => {
                let value = raw.get(at..at + length);
                at += length;
                value
            }
            Err(_) => None,
        };
        values.push(to_python(py, names, element, value)?);
    }
    let mut level = values;
    for length in lengths.iter().skip(1).rev() {
        level = level
            .chunks((*length).max(1))
            .map(|row| PyList::new(py, row).map(Bound::into_any))
            .collect::<PyResult<_>>()?;
    }
    Ok(PyList::new(py, level)?.into_any())
}

/// A value of Python as text that the server reads for the type that it finds; `None` for NULL.
pub fn to_text(value: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
    if value.is_none() {
        return Ok(None);
    }
    if let Ok(truth) = value.cast::<PyBool>() {
        return Ok(Some(if truth.is_true() { "true" } else { "false" }.to_owned()));
    }
    if let Ok(bytes) = value.cast::<PyBytes>() {
        let hex: String = bytes.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        return Ok(Some(format!("\\x{hex}")));
    }
    if value.is_instance_of::<PyDict>() {
        return json(value).map(Some);
    }
    if value.is_instance_of::<PyList>() || value.is_instance_of::<pyo3::types::PyTuple>() {
        let items: Vec<String> = value
            .try_iter()?
            .map(|item| {
                let item = item?;
                Ok(match to_text(&item)? {
                    None => "NULL".to_owned(),
                    Some(text) if item.is_instance_of::<PyList>() => text,
                    Some(text) => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
                })
            })
            .collect::<PyResult<_>>()?;
        return Ok(Some(format!("{{{}}}", items.join(","))));
    }
    if value.get_type().is(PyInt::type_object(value.py())) || value.is_instance_of::<PyString>() {
        return Ok(Some(value.str()?.to_string()));
    }
    if value.hasattr("isoformat")? {
        return Ok(Some(value.call_method0("isoformat")?.extract()?));
    }
    if value.hasattr("total_seconds")? {
        let (days, seconds): (i64, i64) =
            (value.getattr("days")?.extract()?, value.getattr("seconds")?.extract()?);
        let microseconds: i64 = value.getattr("microseconds")?.extract()?;
        return Ok(Some(format!("{days} days {seconds}.{microseconds:06} seconds")));
    }
    Ok(Some(value.str()?.to_string()))
}

fn json(value: &Bound<'_, PyAny>) -> PyResult<String> {
    value.py().import(intern!(value.py(), "json"))?.call_method1("dumps", (value,))?.extract()
}
