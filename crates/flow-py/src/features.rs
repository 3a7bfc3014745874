//! What feature views answer: to models, and as training sets.

use crate::arrow::{Frame, reader_of};
use crate::convert::{Names, to_text, values_of};
use crate::errors::raise;
use crate::runtime::{runtime, waited};
use crate::session::named;
use crate::under_way::UnderWay;
use arrow_array::{
    ArrayRef, RecordBatch, RecordBatchIterator, RecordBatchOptions, RecordBatchReader, StringArray,
};
use arrow_schema::{DataType, Field, Schema};
use ematix_flow_core::connections;
use ematix_flow_core::connections::ConnectionTarget;
use ematix_flow_core::declare::ProjectSpec;
use ematix_flow_core::declare::environment::ProcessEnvironment;
use ematix_flow_core::duration::Duration as Length;
use ematix_flow_core::error::{ErrorCode, FlowError};
use ematix_flow_core::features::asof::DeclaredView;
use ematix_flow_core::features::lookup::{Keys, When};
use ematix_flow_core::sql::QualifiedName;
use ematix_flow_run::features::{Known, Made, Spine, Wanted, feature_server, spine_query, training_set};
use ematix_flow_run::frames::Held;
use ematix_flow_run::postgres::connect::connect;
use ematix_flow_run::postgres::serving::{Answer, FeatureServer, Shape};
use ematix_flow_run::postgres::text_value::TextValue;
use indexmap::IndexMap;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use serde::Deserialize;
use std::sync::{Arc, Mutex, PoisonError};

/// The feature views of one database. Threads may share it: each has a session of its own while it asks.
#[pyclass(frozen, module = "ematix_flow._core")]
pub struct Features {
    name: String,
    project: ProjectSpec,
    /// The process that made it, too: sessions do not come through a fork.
    server: Mutex<Option<(u32, Arc<FeatureServer>)>>,
}

/// A training set as it is asked for.
#[derive(Deserialize)]
struct Request {
    views: Vec<ViewOfRequest>,
    as_of: String,
    columns: Option<Vec<String>>,
    known_as_of: Option<KnownAsOf>,
    into: Option<String>,
    /// The spine, where it is in the database.
    query: Option<String>,
    /// The types of columns that come as lists of values.
    types: IndexMap<String, String>,
}

/// A time, or the number of a run.
#[derive(Deserialize)]
#[serde(untagged)]
enum KnownAsOf {
    Run(i64),
    Time(String),
}

#[derive(Deserialize)]
struct ViewOfRequest {
    view: DeclaredView,
    max_age: Option<Length>,
}

#[pymethods]
impl Features {
    #[new]
    #[pyo3(signature = (dsn, name))]
    fn new(dsn: Option<String>, name: Option<String>) -> Features {
        let (name, project) = named(dsn, name);
        Features { name, project, server: Mutex::default() }
    }

    /// The features of one key, or of many: a dict, or None, or a list of them in the order of the keys.
    #[pyo3(signature = (view, columns, keys, many, as_of=None))]
    fn lookup<'py>(
        &self,
        py: Python<'py>,
        view: String,
        columns: Option<Vec<String>>,
        keys: &Bound<'py, PyList>,
        many: bool,
        as_of: Option<String>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let asked = Asked::of(view, columns, keys, many, as_of)?;
        let server = self.server().map_err(|error| raise(py, &error))?;
        let answer = py.detach(|| {
            let values = (asked.rows > 0).then_some(asked.values.as_slice());
            server.ask_here(&asked.shape, values, || Python::attach(|py| py.check_signals()))
        })?;
        asked.to_python(py, &answer.map_err(|error| raise(py, &error))?)
    }

    /// The same without waiting: `deliver` is called with the answer and None, or None and the exception, from another
    /// thread.
    #[pyo3(signature = (view, columns, keys, many, as_of, deliver))]
    #[expect(clippy::too_many_arguments, reason = "those of lookup, and who gets the answer")]
    fn lookup_then(
        &self,
        py: Python<'_>,
        view: String,
        columns: Option<Vec<String>>,
        keys: &Bound<'_, PyList>,
        many: bool,
        as_of: Option<String>,
        deliver: Py<PyAny>,
    ) -> PyResult<()> {
        let asked = Asked::of(view, columns, keys, many, as_of)?;
        let server = self.server().map_err(|error| raise(py, &error))?;
        runtime()?.spawn(async move {
            let answer = asked.answer(&server).await;
            delivered(&deliver, answer, |py, answer| asked.to_python(py, &answer));
        });
        Ok(())
    }

    /// When the last load began that is served of a view, as text; None where no run is remembered.
    fn served_since(&self, py: Python<'_>, view: &str) -> PyResult<Option<String>> {
        let server = self.server().map_err(|error| raise(py, &error))?;
        waited(py, server.served_since(view))?
    }

    /// The same without waiting, as `lookup_then`.
    fn served_since_then(&self, py: Python<'_>, view: String, deliver: Py<PyAny>) -> PyResult<()> {
        let server = self.server().map_err(|error| raise(py, &error))?;
        runtime()?.spawn(async move {
            let answer = server.served_since(&view).await;
            delivered(&deliver, answer, |py, since| Ok(since.into_pyobject(py)?.into_any()));
        });
        Ok(())
    }

    /// A training set: a Frame, or how many rows went into its table. The spine is an object with `__arrow_c_stream__`, or
    /// a list of columns, each a name and its values; or None where the request has a query.
    fn training_set<'py>(
        &self,
        py: Python<'py>,
        request: &str,
        spine: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let request: Request = serde_json::from_str(request).map_err(|error| {
            raise(py, &FlowError::new(ErrorCode::InvalidValue, format!("training_set: {error}")))
        })?;
        let spine = match &request.query {
            Some(text) => spine_query(text).map(Spine::Query).map_err(|error| raise(py, &error))?,
            None => match spine.cast::<PyList>() {
                Ok(columns) => Spine::Rows(texts_of(columns)?, request.types.clone()),
                Err(_) => Spine::Rows(reader_of(spine)?, IndexMap::new()),
            },
        };
        let target = self.target().map_err(|error| raise(py, &error))?;
        let wanted = request.wanted(spine, &target).map_err(|error| raise(py, &error))?;
        let made = waited(py, async move {
            let held = Held::new(Box::new(connect(&target, "training set").await?));
            let made = training_set(held.session(), wanted).await;
            held.close().await;
            made
        })??;
        match made {
            Made::Table(rows) => Ok(rows.into_pyobject(py)?.into_any()),
            Made::Rows(schema, batches) => Ok(Bound::new(py, Frame::new(schema, batches))?.into_any()),
        }
    }

    /// Closes the sessions that are idle; a later question opens others.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((process, server)) = server {
            if process == std::process::id() {
                let runtime = runtime()?;
                py.detach(|| {
                    server.close_here();
                    runtime.block_on(server.close());
                });
            } else {
                std::mem::forget(server);
            }
        }
        Ok(())
    }
}

impl Features {
    fn target(&self) -> Result<ConnectionTarget, FlowError> {
        connections::resolve(&self.name, &self.project, &ProcessEnvironment)
    }

    fn server(&self) -> Result<Arc<FeatureServer>, FlowError> {
        let mut server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        let process = std::process::id();
        if let Some((of, server)) = server.as_ref()
            && *of == process
        {
            return Ok(Arc::clone(server));
        }
        let made = Arc::new(feature_server(&self.target()?)?);
        if let Some(parents) = server.replace((process, Arc::clone(&made))) {
            // Its sessions are the parent's: to say good-bye on them would end them there.
            std::mem::forget(parents);
        }
        Ok(made)
    }
}

impl Request {
    fn wanted(self, spine: Spine, target: &ConnectionTarget) -> Result<Wanted, FlowError> {
        let into = match self.into {
            None => None,
            Some(_) if target.read_only => {
                return Err(FlowError::new(
                    ErrorCode::ReadOnlyTarget,
                    format!("{target} is declared read-only, and `into` makes a table there"),
                )
                .hint("leave `into` out, and take the training set as a frame"));
            }
            Some(name) => match QualifiedName::parse(&name)? {
                (Some(schema), name) => Some(QualifiedName { schema, name }),
                (None, name) => {
                    return Err(FlowError::new(
                        ErrorCode::InvalidValue,
                        format!("into: `{name}` names no schema"),
                    )
                    .hint(format!("write into=\"training.{name}\"")));
                }
            },
        };
        Ok(Wanted {
            spine,
            as_of: self.as_of,
            views: self.views.into_iter().map(|item| (item.view, item.max_age)).collect(),
            columns: self.columns,
            known: match self.known_as_of {
                None => Known::Now,
                Some(KnownAsOf::Run(number)) => Known::AfterRun(number),
                Some(KnownAsOf::Time(at)) => Known::At(at),
            },
            into,
        })
    }
}

/// What is asked of a view, with the values of the keys as text.
struct Asked {
    shape: Shape,
    values: Vec<TextValue>,
    rows: usize,
}

impl Asked {
    /// `keys` has a tuple of values for each.
    fn of(
        view: String,
        columns: Option<Vec<String>>,
        keys: &Bound<'_, PyList>,
        many: bool,
        as_of: Option<String>,
    ) -> PyResult<Asked> {
        let shape = Shape {
            view,
            columns,
            when: if as_of.is_some() { When::AsOf } else { When::Now },
            keys: if many { Keys::Many } else { Keys::One },
        };
        let mut values = Vec::new();
        if many {
            // Of each key an array.
            let mut columns: Vec<Bound<'_, PyList>> = Vec::new();
            for key in keys {
                for (place, value) in key.try_iter()?.enumerate() {
                    if columns.len() == place {
                        columns.push(PyList::empty(keys.py()));
                    }
                    columns[place].append(value?)?;
                }
            }
            for column in columns {
                values.push(TextValue(to_text(&column)?));
            }
        } else {
            for value in keys.get_item(0)?.try_iter()? {
                values.push(TextValue(to_text(&value?)?));
            }
        }
        if as_of.is_some() {
            values.push(TextValue(as_of));
        }
        Ok(Asked { shape, values, rows: keys.len() })
    }

    async fn answer(&self, server: &FeatureServer) -> Result<Answer, FlowError> {
        let lookup = server.lookup(&self.shape).await?;
        let rows = match self.rows {
            0 => Vec::new(),
            _ => server.ask(&self.shape, &lookup, &self.values).await?,
        };
        Ok(Answer { lookup, rows })
    }

    fn to_python<'py>(&self, py: Python<'py>, answer: &Answer) -> PyResult<Bound<'py, PyAny>> {
        let names = Names::import(py)?;
        let dict = |values: &[Bound<'py, PyAny>]| {
            let dict = PyDict::new(py);
            for (name, value) in answer.lookup.columns.iter().zip(values) {
                dict.set_item(name, value)?;
            }
            PyResult::Ok(dict.into_any())
        };
        if self.shape.keys == Keys::One {
            return match answer.rows.first() {
                Some(row) => dict(&values_of(py, &names, row)?),
                None => Ok(py.None().into_bound(py)),
            };
        }
        let mut found = vec![py.None().into_bound(py); self.rows];
        for row in &answer.rows {
            let values = values_of(py, &names, row)?;
            let place: usize = values[0].extract()?;
            found[place - 1] = dict(&values[1..])?;
        }
        Ok(PyList::new(py, found)?.into_any())
    }
}

/// Gives an answer to whoever waits for it. An interpreter that ends has nobody who does; and whoever has the answer may
/// end it before this thread is out of it.
fn delivered<T>(
    deliver: &Py<PyAny>,
    answer: Result<T, FlowError>,
    to_python: impl for<'py> FnOnce(Python<'py>, T) -> PyResult<Bound<'py, PyAny>>,
) {
    let Some(_call) = UnderWay::begin_unless_over() else { return };
    Python::try_attach(|py| {
        let delivered =
            match answer.map_err(|error| raise(py, &error)).and_then(|answer| to_python(py, answer)) {
                Ok(answer) => deliver.call1(py, (answer, py.None())),
                Err(error) => deliver.call1(py, (py.None(), error.into_value(py))),
            };
        if let Err(error) = delivered {
            error.write_unraisable(py, None);
        }
    });
}

/// Columns of values as rows of texts.
fn texts_of(columns: &Bound<'_, PyList>) -> PyResult<Box<dyn RecordBatchReader + Send>> {
    let mut fields = Vec::new();
    let mut arrays: Vec<ArrayRef> = Vec::new();
    let mut rows = 0;
    for column in columns {
        let (name, values): (String, Bound<'_, PyList>) = column.extract()?;
        let texts = values.iter().map(|value| to_text(&value)).collect::<PyResult<Vec<_>>>()?;
        rows = texts.len();
        fields.push(Field::new(name, DataType::Utf8, true));
        arrays.push(Arc::new(StringArray::from(texts)));
    }
    let schema = Arc::new(Schema::new(fields));
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), arrays, &options);
    Ok(Box::new(RecordBatchIterator::new([batch], schema)))
}
