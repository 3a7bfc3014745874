//! SCD type 2 by load time: a row that differs closes the current version of its key and opens a new
//! one at the same instant. Diff to a table, close by address, insert: separate statements, because in
//! one the insert may come before the close and break the unique index.

mod adoption;
mod check;
mod options;
mod rewind;

pub use options::Scd2;

use super::rehash;
use crate::check::Check;
use crate::declare::Mode;
use crate::declare::options::{OpenEnd, RowHash};
use crate::dialect::{ColumnValue, Dialect};
use crate::error::{ErrorCode, FlowError, Result};
use crate::facts::PastRun;
use crate::pipeline::strategy::{
    HistoryColumns, Invariant, JoinedBy, KeyNeed, LoadStrategy, ReadingNeed, Requirement, Unique, Versions,
};
use crate::pipeline::{Resolved, Rewind, Rows};
use crate::plan::builder::PlanBuilder;
use crate::plan::{Answer, GuardFailure, StepKind};
use crate::reading::{self, changes, diff, guards, stage, watermark, written};
use crate::run_value::{RunValue, Values};
use crate::schema::{Column, LiveTable, Table, ddl};
use crate::sql;
use crate::sql::{Ident, QualifiedName, Sql};
use crate::types::DataType;
use options::FirstValidFrom;

impl LoadStrategy for Scd2 {
    fn mode(&self) -> Mode {
        Mode::Scd2
    }

    fn check_columns(&self, check: &mut Check<'_>, table: &Table, keys: &[Ident]) {
        self.columns(check, table, keys);
    }

    fn handles_deletes(&self) -> bool {
        self.close_deleted
    }

    /// Begin, end, current flag and row hash of every version.
    fn managed_columns(&self, _: &Table) -> Vec<Column> {
        let hash = (self.row_hash != Some(RowHash::None))
            .then(|| Column::of(&self.hash_column, DataType::Bytes, false));
        let own = [
            Column::of(&self.effective_from, DataType::TimestampTz, false),
            Column::of(&self.effective_to, DataType::TimestampTz, self.open_end == OpenEnd::Null),
            Column::of(&self.current_flag, DataType::Boolean, false),
        ];
        own.into_iter().chain(hash).collect()
    }

    fn keeps(&self, column: &Ident, live: Option<&LiveTable>, dialect: &dyn Dialect) -> bool {
        *column != self.hash_column || self.keeps_hash(live, dialect)
    }

    fn keys(&self) -> KeyNeed {
        KeyNeed::OfVersions
    }

    fn compared(&self, load: &Resolved<'_>) -> Result<Vec<Ident>> {
        compare_columns(load, self)
    }

    /// The current versions.
    fn held(&self) -> Option<Sql> {
        Some(sql!("t.{flag}", flag = self.current_flag))
    }

    fn mirrored(&self, load: &Resolved<'_>) -> Vec<Ident> {
        load.compared.iter().chain(&self.overwrite_columns).cloned().collect()
    }

    fn reading(&self, load: &Resolved<'_>) -> ReadingNeed {
        let rehashes = rehash::rehashes(load);
        // A first load looks at the beginnings of versions before it inserts them.
        let looks_ahead = load.creates && matches!(self.first_valid_from, FirstValidFrom::Column(_));
        ReadingNeed {
            in_place: true,
            twice: rehashes || looks_ahead,
            in_full: rehashes,
            joined_by: JoinedBy::Keys,
            versions: has_hash(load, self).then(|| Versions {
                hash: self.hash_column.clone(),
                current: self.current_flag.clone(),
                gone: self.close_deleted,
                unfit: (!self.overwrite_columns.is_empty())
                    .then_some("overwrite_columns are not in the row hash"),
            }),
            beside: Vec::new(),
        }
    }

    /// Keys are unique among current versions, and with their beginning in history.
    fn unique(&self, table: &Table, keys: &[Ident]) -> Vec<Unique> {
        let mut versions = keys.to_vec();
        versions.push(self.effective_from.clone());
        let of_versions = |columns: &[Ident]| Unique {
            columns: columns.to_vec(),
            among: Some(self.current_flag.clone()),
            primary_key: false,
        };
        let mut all = vec![Unique { columns: versions, among: None, primary_key: true }, of_versions(keys)];
        // What is declared as unique is so among the current versions.
        let declared = [&table.primary_key, &table.natural_key].into_iter().chain(&table.unique);
        for columns in declared.filter(|columns| !columns.is_empty() && **columns != keys) {
            let unique = of_versions(columns);
            if !all.contains(&unique) {
                all.push(unique);
            }
        }
        all
    }

    fn requirements(&self, load: &Resolved<'_>) -> Vec<Requirement> {
        let mut all: Vec<Requirement> =
            self.unique(&load.table, &load.keys).into_iter().map(Requirement::Unique).collect();
        all.push(Requirement::Check {
            suffix: "period",
            holds: "a version ends after it begins",
            condition: sql!(
                "{to} IS NULL OR {from} < {to}",
                to = self.effective_to,
                from = self.effective_from
            ),
        });
        let open = is_open(load, self, None);
        all.push(Requirement::Check {
            suffix: "open",
            holds: "the current version is the open one",
            condition: sql!("{flag} = ({open})", flag = self.current_flag, open),
        });
        all
    }

    fn adopt(&self, load: &Resolved<'_>, live: &LiveTable) -> Result<()> {
        adoption::refuse_one_row_per_key(load, live)?;
        adoption::refuse_other_end(load, self, live)
    }

    fn complete(&self, load: &Resolved<'_>, missing: &[&str], plan: &mut PlanBuilder<'_>) -> bool {
        adoption::steps(load, self, missing, plan);
        true
    }

    fn privileges(&self) -> &'static [&'static str] {
        &["SELECT", "INSERT", "UPDATE"]
    }

    fn steps(&self, load: &Resolved<'_>, plan: &mut PlanBuilder<'_>) -> Result<()> {
        if load.need.in_full {
            rehash::mark(load, plan)?;
        }
        reading::steps(load, None, plan)?;
        if load.creates {
            first_load(load, self, plan);
        } else {
            apply_changes(load, self, plan);
        }
        watermark::steps(load, plan)
    }

    fn rewind(&self, rewind: &Rewind<'_>, plan: &mut PlanBuilder<'_>) -> Result<()> {
        rewind::steps(self, rewind, plan)
    }

    fn settle(&self, values: &mut Values) {
        values.set(RunValue::RowsUnchanged, super::rest(values) - values.number(RunValue::RowsSkipped));
    }

    fn compare_set(&self, load: &Resolved<'_>) -> Option<Vec<String>> {
        Some(rehash::compare_set(load))
    }

    fn invariants(&self, dialect: &dyn Dialect, target: &QualifiedName, keys: &[Ident]) -> Vec<Invariant> {
        check::invariants(self, dialect, target, keys)
    }

    fn hash_invariant(
        &self,
        dialect: &dyn Dialect,
        target: &QualifiedName,
        keys: &[Ident],
        hashed: &[ColumnValue<'_>],
    ) -> Option<Invariant> {
        let keeps = self.keeps_hash(None, dialect);
        keeps.then(|| check::hash_invariant(self, dialect, target, keys, hashed))
    }

    /// All that a run writes has its one instant.
    fn written_by(&self, run: &PastRun, dialect: &dyn Dialect) -> Result<Sql> {
        let refused = |why: &str| FlowError::new(ErrorCode::OptionNotForMode, why.to_owned());
        if !matches!(self.first_valid_from, FirstValidFrom::Run) {
            let why =
                "first_valid_from lets versions begin at another time than that of the run that opened them";
            return Err(refused(why).hint("--as-of gives the rows that were valid at an instant"));
        }
        let Some(instant) = &run.instant else {
            return Err(refused("the run was before the instant of each run was recorded")
                .hint("choose a later run; `flow history` shows them with their numbers"));
        };
        let instant = dialect.typed_literal(instant, &dialect.type_name(&dialect.instant_type()));
        Ok(sql!(
            "(t.{from} = {instant} OR t.{to} = {instant})",
            from = self.effective_from,
            to = self.effective_to,
            instant
        ))
    }

    fn history(&self) -> Option<HistoryColumns<'_>> {
        Some(HistoryColumns {
            begin: &self.effective_from,
            end: &self.effective_to,
            current: &self.current_flag,
            hash: &self.hash_column,
            event: None,
        })
    }
}

/// The columns whose change opens a version: all that the source fills but the keys, the incremental
/// column and those that are overwritten in place, unless said.
fn compare_columns(load: &Resolved<'_>, scd2: &Scd2) -> Result<Vec<Ident>> {
    let names: Vec<Ident> = match &scd2.compare_columns {
        Some(names) => names.clone(),
        None => load
            .columns
            .iter()
            .map(|column| &column.name)
            .filter(|name| {
                !load.keys.contains(name)
                    && !scd2.overwrite_columns.contains(name)
                    && load
                        .pipeline
                        .incremental
                        .as_ref()
                        .is_none_or(|incremental| incremental.column != **name)
            })
            .cloned()
            .collect(),
    };
    for name in names.iter().chain(&scd2.overwrite_columns) {
        if load.filled(name).is_none() {
            return Err(FlowError::new(
                ErrorCode::UnknownColumn,
                format!("the source does not fill the column `{name}`, which is to be compared"),
            )
            .hint("add it to the query, or leave it out of compare_columns"));
        }
    }
    Ok(names)
}

/// Whether a version has not ended.
fn is_open(load: &Resolved<'_>, scd2: &Scd2, alias: Option<&'static str>) -> Sql {
    let to = match alias {
        Some(alias) => sql!("{alias}.{to}", alias = Sql::text(alias), to = scd2.effective_to),
        None => sql!("{to}", to = scd2.effective_to),
    };
    match scd2.open_end {
        OpenEnd::Null => sql!("{to} IS NULL", to),
        OpenEnd::Infinity => sql!("{to} = {end}", to, end = load.dialect.end_of_time()),
    }
}

/// What stands in `effective_to` of the current version.
fn open_end(load: &Resolved<'_>, scd2: &Scd2) -> Sql {
    match scd2.open_end {
        OpenEnd::Null => load.null_of(&load.dialect.instant_type()),
        OpenEnd::Infinity => load.dialect.end_of_time(),
    }
}

/// Where the first version of a key begins, for a row `alias`.
fn first_begin(load: &Resolved<'_>, scd2: &Scd2, value: impl Fn(&Ident) -> Sql) -> Sql {
    match &scd2.first_valid_from {
        FirstValidFrom::Run => load.instant(),
        FirstValidFrom::Epoch => load.instant_of("1970-01-01T00:00:00Z"),
        FirstValidFrom::Column(name) => load.dialect.to_instant(load.type_of(name), &value(name)),
    }
}

/// Whether the versions of this target have a row hash.
fn has_hash(load: &Resolved<'_>, scd2: &Scd2) -> bool {
    scd2.keeps_hash(load.facts.target.live.as_ref(), load.dialect)
}

/// The columns of a version that begins, those of the source in rows `alias`, with its own and their values.
fn version(
    load: &Resolved<'_>,
    scd2: &Scd2,
    (alias, values, begin): (&'static str, Sql, Sql),
    value: impl Fn(&Ident) -> Sql,
) -> (Vec<Ident>, Sql) {
    let mut names = load.column_names();
    names.extend([&scd2.effective_from, &scd2.effective_to, &scd2.current_flag].map(Clone::clone));
    let mut values =
        sql!("{values},\n       {begin}, {end}, TRUE", values, begin, end = open_end(load, scd2));
    if has_hash(load, scd2) {
        names.push(scd2.hash_column.clone());
        values.push(&sql!(",\n       {digest}", digest = stage::row_hash(load, alias, value)));
    }
    (names, values)
}

fn first_load(load: &Resolved<'_>, scd2: &Scd2, builder: &mut PlanBuilder<'_>) {
    let direct = matches!(load.rows, Rows::Direct(_));
    first_begin_guard(load, scd2, load.source(), None, builder);
    let value = |name: &Ident| load.value(load.filled(name).expect("compared columns are filled"));
    let (names, values) = version(load, scd2, ("s", load.values(), first_begin(load, scd2, value)), value);
    let sql = sql!(
        "INSERT INTO {target} ({names})\nSELECT {values}\n  FROM {source} AS s",
        target = load.table.name,
        names,
        values,
        source = load.source()
    );
    let counts = super::of_every_row(load);
    let blame = load.blame_of_reading();
    builder.reading_step(StepKind::Insert, "open the first version of every key", sql, counts, blame);
    if direct {
        guards::empty_source(load, builder);
    }
}

fn apply_changes(load: &Resolved<'_>, scd2: &Scd2, builder: &mut PlanBuilder<'_>) {
    let current = sql!("t.{flag}", flag = scd2.current_flag);
    let compared = if load.need.in_full { rehash::common_columns(load) } else { load.compared.clone() };
    let value = |name: &Ident| load.value(load.filled(name).expect("compared columns are filled"));
    let live = |name: &Ident| sql!("t.{name}", name);
    let differs = load.differ(&compared, value, live);
    let overwritten = load.differ(&scd2.overwrite_columns, value, live);
    let (differs_at_all, change) = if scd2.overwrite_columns.is_empty() {
        (differs, Sql::text("'changed'"))
    } else {
        let change = sql!("CASE WHEN {differs} THEN 'changed' ELSE 'overwritten' END", differs);
        (sql!("{differs}\n    OR {overwritten}", differs, overwritten), change)
    };
    let names: Vec<&str> = compared.iter().map(|name| name.as_str()).collect();
    let purpose = if names.is_empty() {
        "rows that are new".to_owned()
    } else {
        format!("rows that are new or differ in {}", names.join(", "))
    };
    diff::find(
        load,
        &diff::Comparison {
            live: Some(current.clone()),
            differs: differs_at_all,
            change,
            gone: scd2.close_deleted.then_some(current),
            max_delete_fraction: Some(scd2.max_delete_fraction),
            purpose,
        },
        builder,
    );
    let found = sql!("{changes}", changes = load.changes());
    first_begin_guard(load, scd2, found, Some(is_first(load)), builder);
    diff::sample(load, "close", builder);
    late_begin_guard(load, scd2, builder);
    close(load, scd2, builder);
    overwrite(load, scd2, builder);
    open(load, scd2, builder);
    written::verify(load, Some(sql!("t.{flag}", flag = scd2.current_flag)), &scd2.overwrite_columns, builder);
    if load.need.in_full {
        let hash = Some(&scd2.hash_column).filter(|_| has_hash(load, scd2));
        rehash::current_versions(load, (&scd2.current_flag, hash), builder);
    }
}

/// On a table of others no CHECK stands against a version that ends before it begins.
fn late_begin_guard(load: &Resolved<'_>, scd2: &Scd2, builder: &mut PlanBuilder<'_>) {
    let checked = load
        .facts
        .target
        .live
        .as_ref()
        .is_some_and(|live| ddl::has_check(live, &load.table.name.name, "period") && live.ours);
    if checked {
        return;
    }
    let begin = &scd2.effective_from;
    let sql = sql!(
        "SELECT {count}(*) AS count\n  FROM {target} AS t\n WHERE t.{flag}\n   AND t.{begin} >= {instant}\nHAVING {count}(*) > 0",
        count = load.dialect.function("count"),
        target = load.table.name,
        flag = scd2.current_flag,
        begin,
        instant = load.instant()
    );
    builder.step(
        StepKind::Guard,
        "no current version begins after this run   expects no rows",
        sql,
        Answer::NoRows(GuardFailure {
            code: ErrorCode::FutureEvent,
            message: format!("{{count}} current versions of {} begin after this run", load.table.name),
            one: format!("{{count}} current version of {} begins after this run", load.table.name),
            sample: Vec::new(),
            hint: format!("mend their {begin}: a version cannot end before it begins"),
        }),
    );
}

fn close(load: &Resolved<'_>, scd2: &Scd2, builder: &mut PlanBuilder<'_>) {
    let assignments = vec![
        sql!("{to} = {instant}", to = scd2.effective_to, instant = load.instant()),
        sql!("{flag} = FALSE", flag = scd2.current_flag),
    ];
    let sql = diff::update_by_address(load, assignments.clone(), &["changed"]);
    builder.step_if(
        RunValue::RowsChanged,
        StepKind::Close,
        "close out the current versions of changed rows",
        sql,
        Answer::CountExactly(vec![RunValue::RowsClosedOut], vec![RunValue::RowsChanged]),
    );
    if scd2.close_deleted {
        let sql = diff::update_by_address(load, assignments, &["gone"]);
        builder.step_if(
            RunValue::RowsGone,
            StepKind::Close,
            "close out the current versions of keys that left the source",
            sql,
            Answer::CountExactly(
                vec![RunValue::RowsClosedOut, RunValue::RowsDeleted],
                vec![RunValue::RowsGone],
            ),
        );
    }
}

fn overwrite(load: &Resolved<'_>, scd2: &Scd2, builder: &mut PlanBuilder<'_>) {
    if scd2.overwrite_columns.is_empty() {
        return;
    }
    let names: Vec<&str> = scd2.overwrite_columns.iter().map(|name| name.as_str()).collect();
    let assignments = scd2.overwrite_columns.iter().map(|name| sql!("{name} = c.{name}", name)).collect();
    diff::set_apart(load, &scd2.overwrite_columns, &["overwritten"], RunValue::RowsOverwritten, builder);
    let sql = diff::update_by_address(load, assignments, &["overwritten"]);
    builder.step_if(
        RunValue::RowsOverwritten,
        StepKind::Update,
        format!("overwrite {} in current versions", names.join(", ")),
        sql,
        Answer::CountExactly(vec![RunValue::RowsUpdated], vec![RunValue::RowsOverwritten]),
    );
}

fn open(load: &Resolved<'_>, scd2: &Scd2, builder: &mut PlanBuilder<'_>) {
    let of_change = |name: &Ident| sql!("c.{name}", name);
    let begin = match &scd2.first_valid_from {
        FirstValidFrom::Run => load.instant(),
        // Only the first version of a key: one that returns leaves its gap.
        _ => sql!(
            "CASE WHEN {is_first}\n            THEN {first} ELSE {instant} END",
            is_first = is_first(load),
            first = first_begin(load, scd2, of_change),
            instant = load.instant()
        ),
    };
    let (names, values) = version(load, scd2, ("c", load.columns_of("c"), begin), of_change);
    let sql = sql!(
        "INSERT INTO {target} ({names})\nSELECT {values}\n  FROM {changes} AS c\n WHERE {kinds}",
        target = load.table.name,
        names,
        values,
        changes = load.changes(),
        kinds = changes::of_kind(&["new", "changed"])
    );
    builder.step(
        StepKind::Insert,
        "open new versions",
        sql,
        Answer::CountExactly(vec![RunValue::RowsInserted], vec![RunValue::RowsNew, RunValue::RowsChanged]),
    );
}

/// Whether a row of the changes `c` has a key that no version has, not even a closed one.
fn is_first(load: &Resolved<'_>) -> Sql {
    sql!(
        "{new} AND NOT EXISTS (SELECT 1 FROM {target} AS t WHERE {same})",
        new = changes::of_kind(&["new"]),
        target = load.table.name,
        same = load.keys_equal("t", |key| sql!("c.{key}", key))
    )
}

/// Rows `c` that open first versions must say when, and not after this run.
fn first_begin_guard(
    load: &Resolved<'_>,
    scd2: &Scd2,
    rows: Sql,
    which: Option<Sql>,
    builder: &mut PlanBuilder<'_>,
) {
    let FirstValidFrom::Column(name) = &scd2.first_valid_from else { return };
    let count = load.dialect.function("count");
    let which = which.map_or(Sql::empty(), |which| sql!("\n   AND {which}", which));
    let guard = |code, message: String, one: String, hint: &str| {
        Answer::NoRows(GuardFailure { code, message, one, sample: Vec::new(), hint: hint.to_owned() })
    };
    builder.step(
        StepKind::Guard,
        format!("every first version has a beginning ({name})   expects no rows"),
        sql!(
            "SELECT {count}(*) AS count\n  FROM {rows} AS c\n WHERE c.{name} IS NULL{which}\nHAVING {count}(*) > 0",
            count,
            rows,
            name,
            which
        ),
        guard(
            ErrorCode::NullEventTime,
            format!("{{count}} rows have NULL in {name}, where their first version begins"),
            format!("{{count}} row has NULL in {name}, where its first version begins"),
            "give them a value in the query, or choose first_valid_from = \"run\" or \"epoch\"",
        ),
    );
    builder.step(
        StepKind::Guard,
        format!("every first version begins before this run ({name})   expects no rows"),
        sql!(
            "SELECT {count}(*) AS count\n  FROM {rows} AS c\n WHERE {begin} >= {instant}{which}\nHAVING {count}(*) > 0",
            count,
            rows,
            begin = load.dialect.to_instant(load.type_of(name), &sql!("c.{name}", name)),
            instant = load.instant(),
            which
        ),
        guard(
            ErrorCode::FutureEvent,
            format!("{{count}} rows have a {name} that does not lie before this run"),
            format!("{{count}} row has a {name} that does not lie before this run"),
            "a version cannot begin in the future: mend the values in the query",
        ),
    );
}
