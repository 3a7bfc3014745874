//! What the steps of a plan ask and remember, in the load transaction: statements for any dialect.

use super::SCHEMA;
use crate::dialect::{Dialect, Merged, Upsert};
use crate::hash::ENCODING_VERSION;
use crate::run_value::RunValue;
use crate::sql;
use crate::sql::{Ident, Literal, QualifiedName, Sql, text};
use crate::types::{DataType, TypeFacts};

fn table(name: &'static str) -> QualifiedName {
    QualifiedName { schema: Ident::fixed(SCHEMA), name: Ident::fixed(name) }
}

/// What is remembered of a target.
pub struct TargetMemory<'a> {
    /// The qualified table.
    pub target: String,
    /// Of its declaration.
    pub fingerprint: String,
    /// The instant of the run.
    pub instant: Sql,
    /// Whether the run writes rows whatever it counts.
    pub rewrites: bool,
    /// How its rows are compared, where row hashes are kept.
    pub compared: Option<Compared<'a>>,
}

/// The columns that the row hashes of a target are of.
pub struct Compared<'a> {
    /// Those that are in force.
    pub set: &'a [String],
    /// Every set before, where this run changes it.
    pub earlier: Option<Vec<Vec<String>>>,
}

/// The number that the run has on its target, as a value.
pub fn number_of_run(target: &str) -> Sql {
    statement!("number_of_run", target = target)
}

/// Counts the run, and what it wrote.
pub fn remember_target(dialect: &dyn Dialect, memory: TargetMemory<'_>) -> Sql {
    let written = [
        RunValue::RowsInserted,
        RunValue::RowsUpdated,
        RunValue::RowsClosedOut,
        RunValue::RowsDeleted,
        RunValue::RowsRehashed,
    ];
    let rows = Sql::join(written.iter().map(|value| sql!("{value}", value)), " + ");
    let if_written = |new: Sql, old: &'static str| match memory.rewrites {
        true => new,
        false => statement!("if_rows_were_written", rows = rows.clone(), new = new, old = Sql::text(old)),
    };
    let mut compared = Sql::empty();
    if let Some(Compared { set, earlier }) = memory.compared {
        compared = sql!(
            ",\n       compare_set = {set},\n       encoding_version = {version}",
            set = dialect.text_list(set),
            version = crate::sql::Literal::Integer(ENCODING_VERSION.into())
        );
        if let Some(earlier) = earlier {
            let sets = serde_json::Value::from(earlier).to_string();
            let sets = dialect.typed_literal(&sets, &dialect.type_name(&DataType::Jsonb));
            compared.push(&sql!(",\n       earlier_sets = {sets}", sets));
        }
    }
    statement!(
        "remember_target",
        target = &memory.target,
        fingerprint = &memory.fingerprint,
        generation = if_written(Sql::text("t.generation + 1"), "t.generation"),
        last_instant = if_written(memory.instant, "t.last_instant"),
        compared = compared
    )
}

/// Keeps a declaration of the target that it did not have before.
pub fn remember_declaration(
    target: &str,
    fingerprint: &str,
    declaration: &serde_json::Value,
    run_id: &str,
    created: bool,
) -> Sql {
    statement!(
        "remember_declaration",
        target = target,
        fingerprint = fingerprint,
        declaration = &declaration.to_string(),
        encoding_version = i64::from(ENCODING_VERSION),
        run_id = run_id,
        created = created
    )
}

/// What is remembered of how far a pipeline has read.
pub struct WatermarkMemory<'a> {
    /// The pipeline.
    pub pipeline: &'a str,
    /// The incremental column.
    pub column: &'a Ident,
    /// Its type.
    pub data_type: &'a TypeFacts,
    /// From where on the ledger knows what was loaded.
    pub covered_from: Option<Sql>,
    /// The columns by which it knows a row.
    pub identity: Option<&'a [String]>,
    /// The qualified table.
    pub target: &'a str,
}

/// Stores the watermark of this reading, if it read anything.
pub fn remember_watermark(dialect: &dyn Dialect, memory: WatermarkMemory<'_>) -> Sql {
    let columns = [
        "pipeline_name",
        "column_name",
        "last_value",
        "updated_at",
        "read_from",
        "covered_from",
        "column_type",
        "identity",
        "target",
    ]
    .map(Ident::fixed);
    let updates: Vec<(Ident, Merged)> =
        columns[1..].iter().map(|name| (name.clone(), Merged::Replaced)).collect();
    let null = || Sql::text("NULL");
    let (covered_from, covered_row) = match memory.covered_from {
        Some(bound) => {
            let text = dialect.stable_text(memory.data_type, &Sql::text("c.covered_from"));
            (text, sql!("\n  FROM (SELECT {bound} AS covered_from) AS c", bound))
        }
        None => (null(), Sql::empty()),
    };
    let rows = statement!(
        "row_of_the_watermark",
        pipeline = memory.pipeline,
        column = memory.column.as_str(),
        watermark = RunValue::Watermark,
        now = dialect.clock(),
        read_from = RunValue::ReadFrom,
        covered_from = covered_from,
        column_type = memory.data_type.name.as_str(),
        identity = memory.identity.map_or_else(null, |names| dialect.text_list(names)),
        target = memory.target,
        covered_row = covered_row
    );
    dialect.upsert(Upsert {
        table: &table("watermarks"),
        columns: &columns,
        rows,
        keys: &columns[..1],
        updates: &updates,
    })
}

/// From where a run has read, and by which column.
#[derive(Clone, Copy, Debug)]
pub struct ReadBy<'a> {
    /// The incremental column.
    pub column: Option<&'a str>,
    /// The watermark that the run found.
    pub before: Option<&'a str>,
}

/// The last statement of a run: it has succeeded, if it was not taken for dead meanwhile.
pub fn success(dialect: &dyn Dialect, run_id: &str, path: &str, read_by: ReadBy<'_>) -> Sql {
    statement!(
        "success",
        run_id = run_id,
        now = dialect.clock(),
        path = path,
        before = read_by.before,
        after = RunValue::Watermark,
        column = read_by.column,
        read_from = RunValue::ReadFrom,
        counts = recorded_counts()
    )
}

/// The last statement before COMMIT of what serves a slot: it finds the slot in the epoch of its claim, or nothing.
pub fn fence(of: &str, slot: &str, epoch: i64) -> Sql {
    statement!("fence", name = of, slot = slot, epoch = epoch)
}

/// The last statement of a run of several targets: as [`success`], after those of its parts.
pub fn success_of_several(dialect: &dyn Dialect, run_id: &str, path: &str) -> Sql {
    let counts = recorded_counts();
    statement!("success_of_several", run_id = run_id, now = dialect.clock(), path = path, counts = counts)
}

/// Every recorded number as an assignment.
pub(super) fn recorded_counts() -> Sql {
    let counts = RunValue::RECORDED
        .iter()
        .map(|value| sql!("{name} = {value}", name = Sql::text(value.name()), value));
    Sql::join(counts, ",\n       ")
}

/// Every recorded number of a run that did not succeed, as an assignment: whatever it counted but the rows that it read,
/// nothing of it stands.
pub fn counts_of_failure(rows_in: i64) -> Sql {
    let counts = RunValue::RECORDED.iter().map(|value| {
        let count = if *value == RunValue::RowsIn { rows_in } else { 0 };
        sql!("{name} = {count}", name = Sql::text(value.name()), count = Literal::Integer(count))
    });
    Sql::join(counts, ",\n       ")
}

/// Every recorded number of a row `r`, as names and values of a JSON object.
pub fn counts_as_json() -> Sql {
    let counts = RunValue::RECORDED.iter().map(|value| {
        let name = Sql::text(value.name());
        sql!("{key}, r.{name}", key = text(value.name()), name)
    });
    Sql::join(counts, ",\n         ")
}

/// Finds a target that another run has written since its generation was read.
pub fn same_generation(target: &str, generation: i64) -> Sql {
    statement!("same_generation", target = target, generation = generation)
}

/// Which rows of a stage the ledger is asked for.
pub struct Fresh<'a> {
    /// The pipeline.
    pub pipeline: &'a str,
    /// The stage.
    pub stage: Sql,
    /// Its column with the hash of the source row.
    pub hash: &'a Ident,
    /// The column that numbers the rows of one hash.
    pub number: &'a Ident,
    /// Whether rows are one by their keys; else equal rows count.
    pub keyed: bool,
}

/// The rows of a stage that the ledger does not know.
pub fn fresh_rows(dialect: &dyn Dialect, fresh: Fresh<'_>) -> Sql {
    let Fresh { pipeline, stage, hash, number, keyed } = fresh;
    // By keys, a second row of one key and value is the same row; by the whole row, equal rows count.
    let is_fresh = match keyed {
        true => sql!("coalesce(l.n, 0) = 0 AND s.{number} = 1", number),
        false => sql!("s.{number} > coalesce(l.n, 0)", number),
    };
    statement!(
        "fresh_rows",
        row_number = dialect.function("row_number"),
        hash = hash,
        number = number,
        stage = stage,
        pipeline = pipeline,
        fresh = is_fresh
    )
}

/// The rows of a stage that the ledger knows as loaded: their addresses, each `row` under the name `address`.
pub fn known_rows(dialect: &dyn Dialect, fresh: Fresh<'_>, row: &Sql, address: &Ident) -> Sql {
    let Fresh { pipeline, stage, hash, number, keyed } = fresh;
    let known = match keyed {
        true => Sql::text("l.n > 0"),
        false => sql!("s.{number} <= l.n", number),
    };
    statement!(
        "known_rows",
        row_number = dialect.function("row_number"),
        hash = hash,
        number = number,
        stage = stage,
        row = row.clone(),
        address = address,
        pipeline = pipeline,
        known = known
    )
}

/// Enters rows `f` into the ledger; `value` is the text of their watermark column. Rows that were read and not loaded
/// are there as often as they were loaded: not once.
pub fn enter_into_ledger(
    dialect: &dyn Dialect,
    pipeline: &str,
    fresh: &QualifiedName,
    hash: &Ident,
    watermark: &Ident,
    value: Sql,
    loaded: bool,
) -> Sql {
    dialect.upsert(Upsert {
        table: &table("append_seen"),
        columns: &["pipeline_name", "row_hash", "wm_value", "n"].map(Ident::fixed),
        rows: statement!(
            "rows_of_the_ledger",
            pipeline = pipeline,
            hash = hash,
            value = value,
            loaded = match loaded {
                true => sql!("{count}(*)", count = dialect.function("count")),
                false => Sql::text("0"),
            },
            fresh = fresh,
            watermark = watermark
        ),
        keys: &["pipeline_name", "row_hash"].map(Ident::fixed),
        updates: &[(Ident::fixed("n"), Merged::Added)],
    })
}

/// A file as it was found: one that is written again is another version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileVersion {
    /// Its path or address.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// When it was written, ISO 8601.
    pub modified: Option<String>,
    /// What the store calls this version of it.
    pub etag: Option<String>,
}

impl FileVersion {
    /// What tells this version from others of the same path.
    pub fn version(&self) -> String {
        match (&self.etag, &self.modified) {
            (Some(etag), _) => format!("{} {etag}", self.bytes),
            (None, Some(modified)) => format!("{} {modified}", self.bytes),
            (None, None) => self.bytes.to_string(),
        }
    }
}

/// Files that a run has loaded. Whoever reads all of them again has them once all the same.
pub fn remember_files(
    dialect: &dyn Dialect,
    (pipeline, target): (&str, &str),
    run_id: &str,
    files: &[FileVersion],
) -> Sql {
    let row = |file: &FileVersion| {
        statement!(
            "loaded_file",
            pipeline = pipeline,
            target = target,
            path = &file.path,
            version = &file.version(),
            bytes = i64::try_from(file.bytes).unwrap_or(i64::MAX),
            modified_at = file.modified.as_deref(),
            run_id = run_id,
            now = dialect.clock()
        )
    };
    let columns =
        ["pipeline_name", "target", "path", "version", "bytes", "modified_at", "run_id", "loaded_at"];
    dialect.upsert(Upsert {
        table: &table("loaded_files"),
        columns: &columns.map(Ident::fixed),
        rows: Sql::join(files.iter().map(row), "\n UNION ALL\n"),
        keys: &["pipeline_name", "target", "path", "version"].map(Ident::fixed),
        updates: &["run_id", "loaded_at"].map(|name| (Ident::fixed(name), Merged::Replaced)),
    })
}

/// The runs of a pipeline, as a query.
pub fn runs_of(pipeline: &str) -> Sql {
    statement!("runs_of", pipeline = pipeline)
}

/// The runs of a pipeline and of those that run beside it, as a query.
pub fn runs_of_those_that_run(pipeline: &str) -> Sql {
    statement!("runs_of_those_that_run", pipeline = pipeline)
}

/// Forgets every row that was loaded.
pub fn forget_ledger(pipeline: &str) -> Sql {
    statement!("forget_ledger", pipeline = pipeline)
}

/// Forgets what lies before a bound, and so is not read again.
pub fn forget_in_ledger(dialect: &dyn Dialect, pipeline: &str, data_type: &TypeFacts, bound: Sql) -> Sql {
    let value = dialect.cast_to(&Sql::text("l.wm_value"), &data_type.name);
    statement!("forget_in_ledger", pipeline = pipeline, value = value, bound = bound)
}
