//! What is told of files before the first row is read, and how they are read so that it holds.

use crate::fault::unreadable;
use crate::hive::partitions;
use crate::opened::Opener;
use crate::options::{FileVersion, Format};
use crate::telling::{Found, Told, of_fields, of_kinds, of_names};
use crate::{csv, json, parquet};
use arrow_schema::{FieldRef, Schema, SchemaRef};
use ematix_flow_arrow::Column;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use futures_util::StreamExt;
use std::sync::Arc;
use tokio::task::{JoinError, spawn_blocking};

/// So many files are asked at once for what they have.
const ASKED: usize = 8;

/// The columns that stand in the files.
#[derive(Debug)]
pub enum Own {
    /// Of Parquet.
    Parquet(Vec<FieldRef>),
    /// Of CSV.
    Csv(Vec<Column>),
    /// Of JSON.
    Json(Vec<Column>),
    /// There are no files.
    Nothing,
}

/// How files are read.
#[derive(Debug)]
pub struct Planned {
    /// Of every batch.
    pub schema: SchemaRef,
    /// Columns of the files, the first ones of the schema.
    pub own: Own,
    /// Columns of the paths, behind them.
    pub hive: Vec<Column>,
    /// In what the files differ.
    pub notes: Vec<String>,
}

impl Planned {
    /// Looks into every file.
    pub async fn of(opener: &Opener, versions: &Arc<Vec<FileVersion>>, wanted: &[Column]) -> Result<Planned> {
        let format = opener.files.format_of(versions.iter().map(|version| version.path.as_str()))?;
        let (own, mut fields, mut notes) = match format {
            _ if versions.is_empty() => (Own::Nothing, fields_of(wanted), Vec::new()),
            None => unreachable!("files have a format, or their endings were refused"),
            Some(Format::Parquet) => {
                let Told { columns, notes } = of_fields(&ask(opener, versions, parquet::fields).await?)?;
                (Own::Parquet(columns.clone()), columns, notes)
            }
            Some(Format::Csv) => {
                let names = |opener: &Opener, listed: &FileVersion| {
                    csv::names(opener.text(listed)?, &listed.path, &opener.files)
                };
                let Told { columns, notes } = of_names(&ask(opener, versions, names).await?, wanted);
                (Own::Csv(columns.clone()), fields_of(&columns), notes)
            }
            Some(Format::Json) => {
                let keys = |opener: &Opener, listed: &FileVersion| {
                    json::keys(opener.text(listed)?, &listed.path, opener.files.json.sample_rows)
                };
                let Told { columns, notes } = of_kinds(&ask(opener, versions, keys).await?, wanted);
                (Own::Json(columns.clone()), fields_of(&columns), notes)
            }
        };
        let hive = match opener.files.hive {
            true => in_paths(versions, wanted, &fields)?,
            false => Told { columns: Vec::new(), notes: Vec::new() },
        };
        notes.extend(hive.notes);
        fields.extend(fields_of(&hive.columns));
        Ok(Planned { schema: Arc::new(Schema::new(fields)), own, hive: hive.columns, notes })
    }
}

/// What each file has, some at a time.
async fn ask<T: Send + 'static>(
    opener: &Opener,
    versions: &Arc<Vec<FileVersion>>,
    each: impl Fn(&Opener, &FileVersion) -> Result<Vec<T>> + Clone + Send + 'static,
) -> Result<Found<T>> {
    let asked = (0..versions.len()).map(|at| {
        let (opener, versions, each) = (opener.clone(), Arc::clone(versions), each.clone());
        async move {
            let path = versions[at].path.clone();
            let found = spawn_blocking(move || each(&opener, &versions[at])).await;
            Ok::<_, FlowError>((path.clone(), found.map_err(|error| stopped(&path, &error))??))
        }
    });
    let mut answers = futures_util::stream::iter(asked).buffered(ASKED);
    let mut found = Vec::with_capacity(versions.len());
    while let Some(answer) = answers.next().await {
        found.push(answer?);
    }
    Ok(found)
}

/// The columns of the paths, none of which is one of the files.
fn in_paths(versions: &[FileVersion], wanted: &[Column], own: &[FieldRef]) -> Result<Told<Column>> {
    let named = |path: &str| partitions(path).into_iter().map(|(name, _)| name).collect();
    let found: Found<String> =
        versions.iter().map(|version| (version.path.clone(), named(&version.path))).collect();
    for (path, names) in &found {
        for (at, name) in names.iter().enumerate() {
            let twice = names[..at].contains(name);
            if twice || own.iter().any(|field| field.name() == name) {
                let elsewhere = if twice { "twice in it" } else { "in the files, too" };
                return Err(FlowError::new(
                    ErrorCode::DuplicateName,
                    format!("the column `{name}` of the path {path} is {elsewhere}"),
                )
                .context("file", path.as_str())
                .hint("hive = false takes no columns from paths"));
            }
        }
    }
    Ok(of_names(&found, wanted))
}

fn fields_of(columns: &[Column]) -> Vec<FieldRef> {
    columns.iter().map(|column| Arc::new(column.field())).collect()
}

/// A thread that ended otherwise than by an answer.
#[cold]
pub fn stopped(what: &str, error: &JoinError) -> FlowError {
    unreadable(what, format!("reading it stopped: {error}"))
        .hint("is it written as its format says? if it is, please report this")
}
