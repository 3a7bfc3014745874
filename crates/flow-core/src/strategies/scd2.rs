//! SCD type 2 by load time: a row that differs closes the current version of its key and opens a new
//! one at the same instant. Diff to a table, close by address, insert: separate statements, because in
//! one the insert may come before the close and break the unique index.

use super::{Requirement, changes};
use crate::declare::options::OpenEnd;
use crate::error::{ErrorCode, FlowError, Result};
use crate::pipeline::{FirstValidFrom, Scd2};
use crate::plan::{Answer, GuardFailure, StepKind, Subject};
use crate::planner::builder::PlanBuilder;
use crate::planner::load::{Load, Rows};
use crate::planner::{guards, reading};
use crate::run_value::RunValue;
use crate::schema::Column;
use crate::sql;
use crate::sql::{Ident, Sql};
use crate::types::DataType;

/// Begin, end, current flag and row hash of every version.
pub fn managed_columns(scd2: &Scd2) -> Vec<Column> {
    let column = |name: &Ident, data_type: DataType, nullable: bool| Column {
        name: name.clone(),
        data_type,
        nullable,
        default: None,
        description: None,
    };
    vec![
        column(&scd2.effective_from, DataType::TimestampTz, false),
        column(&scd2.effective_to, DataType::TimestampTz, scd2.open_end == OpenEnd::Null),
        column(&scd2.current_flag, DataType::Boolean, false),
        column(&scd2.hash_column, DataType::Bytes, false),
    ]
}

/// The columns whose change opens a version: all that the source fills but the keys, the incremental
/// column and those that are overwritten in place, unless said.
pub fn compare_columns(load: &Load<'_>, scd2: &Scd2) -> Result<Vec<Ident>> {
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

fn name_set(names: &[Ident]) -> Vec<String> {
    let mut names: Vec<String> = names.iter().map(ToString::to_string).collect();
    names.sort();
    names
}

/// The set of compare columns, in the order in which it is stored.
pub fn compare_set(load: &Load<'_>) -> Vec<String> {
    name_set(&load.compared)
}

/// Whether hashes exist that were made from other columns, by another encoding, or by somebody else.
pub fn rehashes(load: &Load<'_>) -> bool {
    if load.creates || load.facts.assumed {
        return false;
    }
    // A type that is hashed otherwise: migrate widened it.
    let retyped = |name: &Ident| {
        let live = load.facts.target.live.as_ref().and_then(|live| live.column(name.as_str()));
        live.is_some_and(|live| live.data_type.normal != load.type_of(name).normal)
    };
    if load.compared.iter().any(retyped) {
        return true;
    }
    let record = load.facts.target.record.as_ref();
    let stored_set = record.and_then(|record| record.compare_set.as_ref());
    let stored_version = record.and_then(|record| record.encoding_version);
    stored_set != Some(&compare_set(load)) || stored_version != Some(crate::hash::ENCODING_VERSION)
}

/// Whether a first load looks at the beginnings of versions before it inserts them.
pub fn reads_twice(load: &Load<'_>, scd2: &Scd2) -> bool {
    load.creates && matches!(scd2.first_valid_from, FirstValidFrom::Column(_))
}

/// Keys are unique among current versions, and with their beginning in history.
pub fn requirements(load: &Load<'_>, scd2: &Scd2) -> Vec<Requirement> {
    let mut versions = load.keys.clone();
    versions.push(scd2.effective_from.clone());
    let mut all = vec![
        Requirement::Unique { columns: versions, flag: None, primary_key: true },
        Requirement::Unique {
            columns: load.keys.clone(),
            flag: Some(scd2.current_flag.clone()),
            primary_key: false,
        },
    ];
    let declared = [&load.table.primary_key, &load.table.natural_key].into_iter().chain(&load.table.unique);
    for columns in declared.filter(|columns| !columns.is_empty() && **columns != load.keys) {
        let requirement = Requirement::Unique {
            columns: columns.clone(),
            flag: Some(scd2.current_flag.clone()),
            primary_key: false,
        };
        if !all.contains(&requirement) {
            all.push(requirement);
        }
    }
    all.push(Requirement::Check {
        suffix: "period",
        condition: sql!("{to} IS NULL OR {from} < {to}", to = scd2.effective_to, from = scd2.effective_from),
    });
    let open = is_open(load, scd2, None);
    all.push(Requirement::Check {
        suffix: "open",
        condition: sql!("{flag} = ({open})", flag = scd2.current_flag, open),
    });
    all
}

/// The steps.
pub fn steps(load: &Load<'_>, scd2: &Scd2, builder: &mut PlanBuilder<'_>) -> Result<()> {
    let rehash = rehashes(load);
    if rehash {
        mark_rehash(load, builder)?;
    }
    reading::steps(load, None, builder)?;
    if load.creates {
        first_load(load, scd2, builder);
    } else {
        apply_changes(load, scd2, rehash, builder);
    }
    reading::watermark(load, builder)?;
    Ok(())
}

/// Whether a version has not ended.
pub fn is_open(load: &Load<'_>, scd2: &Scd2, alias: Option<&'static str>) -> Sql {
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
pub fn open_end(load: &Load<'_>, scd2: &Scd2) -> Sql {
    match scd2.open_end {
        OpenEnd::Null => load.null_of(&load.dialect.instant_type()),
        OpenEnd::Infinity => load.dialect.end_of_time(),
    }
}

/// Where the first version of a key begins, for a row `alias`.
fn first_begin(load: &Load<'_>, scd2: &Scd2, value: impl Fn(&Ident) -> Sql) -> Sql {
    match &scd2.first_valid_from {
        FirstValidFrom::Run => load.instant(),
        FirstValidFrom::Epoch => load.instant_of("1970-01-01T00:00:00Z"),
        FirstValidFrom::Column(name) => load.dialect.to_instant(load.type_of(name), &value(name)),
    }
}

fn managed_names(scd2: &Scd2) -> Vec<Ident> {
    vec![
        scd2.effective_from.clone(),
        scd2.effective_to.clone(),
        scd2.current_flag.clone(),
        scd2.hash_column.clone(),
    ]
}

fn first_load(load: &Load<'_>, scd2: &Scd2, builder: &mut PlanBuilder<'_>) {
    let direct = matches!(load.rows, Rows::Direct(_));
    first_begin_guard(load, scd2, load.source(), None, builder);
    let value = |name: &Ident| load.value(load.filled(name).expect("compared columns are filled"));
    let mut names = load.column_names();
    names.extend(managed_names(scd2));
    let sql = sql!(
        "INSERT INTO {target} ({names})\nSELECT {values},\n       {begin}, {end}, TRUE,\n       {digest}\n  FROM {source} AS s",
        target = load.table.name,
        names,
        values = load.values(),
        begin = first_begin(load, scd2, value),
        end = open_end(load, scd2),
        digest = load.row_hash("s", value),
        source = load.source()
    );
    let counts =
        if direct { vec![RunValue::RowsIn, RunValue::RowsInserted] } else { vec![RunValue::RowsInserted] };
    builder.step(StepKind::Insert, "open the first version of every key", sql, Answer::Count(counts));
    if direct {
        guards::empty_source(load, builder);
    }
}

fn apply_changes(load: &Load<'_>, scd2: &Scd2, rehash: bool, builder: &mut PlanBuilder<'_>) {
    let current = sql!("t.{flag}", flag = scd2.current_flag);
    let compared = if rehash { common_columns(load) } else { load.compared.clone() };
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
    changes::find(
        load,
        &changes::Comparison {
            live: Some(current.clone()),
            differs: differs_at_all,
            change,
            gone: scd2.close_deleted.then_some(current),
            max_delete_fraction: scd2.max_delete_fraction,
            purpose,
        },
        builder,
    );
    let changes = sql!("{changes}", changes = changes::table(load));
    first_begin_guard(load, scd2, changes, Some(is_first(load)), builder);
    changes::sample(load, "close", builder);
    late_begin_guard(load, scd2, builder);
    close(load, scd2, builder);
    overwrite(load, scd2, builder);
    open(load, scd2, builder);
    if rehash {
        rehash_current(load, scd2, builder);
    }
}

/// On a table of others no CHECK stands against a version that ends before it begins.
fn late_begin_guard(load: &Load<'_>, scd2: &Scd2, builder: &mut PlanBuilder<'_>) {
    let checked = load
        .facts
        .target
        .live
        .as_ref()
        .is_some_and(|live| live.checks.iter().any(|name| name.ends_with("_period")) && live.ours);
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

fn close(load: &Load<'_>, scd2: &Scd2, builder: &mut PlanBuilder<'_>) {
    let assignments = vec![
        sql!("{to} = {instant}", to = scd2.effective_to, instant = load.instant()),
        sql!("{flag} = FALSE", flag = scd2.current_flag),
    ];
    let sql = changes::update_by_address(load, assignments.clone(), &["changed"]);
    builder.step_if(
        RunValue::RowsChanged,
        StepKind::Close,
        "close out the current versions of changed rows",
        sql,
        Answer::CountExactly(vec![RunValue::RowsClosedOut], vec![RunValue::RowsChanged]),
    );
    if scd2.close_deleted {
        let sql = changes::update_by_address(load, assignments, &["gone"]);
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

fn overwrite(load: &Load<'_>, scd2: &Scd2, builder: &mut PlanBuilder<'_>) {
    if scd2.overwrite_columns.is_empty() {
        return;
    }
    let names: Vec<&str> = scd2.overwrite_columns.iter().map(|name| name.as_str()).collect();
    let assignments = scd2.overwrite_columns.iter().map(|name| sql!("{name} = c.{name}", name)).collect();
    let sql = changes::update_by_address(load, assignments, &["overwritten"]);
    builder.step_if(
        RunValue::RowsOverwritten,
        StepKind::Update,
        format!("overwrite {} in current versions", names.join(", ")),
        sql,
        Answer::CountExactly(vec![RunValue::RowsUpdated], vec![RunValue::RowsOverwritten]),
    );
}

fn open(load: &Load<'_>, scd2: &Scd2, builder: &mut PlanBuilder<'_>) {
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
    let mut names = load.column_names();
    names.extend(managed_names(scd2));
    let sql = sql!(
        "INSERT INTO {target} ({names})\nSELECT {values},\n       {begin}, {end}, TRUE,\n       {digest}\n  FROM {changes} AS c\n WHERE {kinds}",
        target = load.table.name,
        names,
        values = load.columns_of("c"),
        begin,
        end = open_end(load, scd2),
        digest = load.row_hash("c", of_change),
        changes = changes::table(load),
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
fn is_first(load: &Load<'_>) -> Sql {
    sql!(
        "{new} AND NOT EXISTS (SELECT 1 FROM {target} AS t WHERE {same})",
        new = changes::of_kind(&["new"]),
        target = load.table.name,
        same = load.keys_equal("t", |key| sql!("c.{key}", key))
    )
}

/// Rows `c` that open first versions must say when, and not after this run.
fn first_begin_guard(
    load: &Load<'_>,
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

/// The compare columns that the stored hashes were made from, as far as they are compared still.
fn common_columns(load: &Load<'_>) -> Vec<Ident> {
    match stored_set(load) {
        Some(stored) => {
            let known = |name: &&Ident| stored.iter().any(|stored| stored == name.as_str());
            load.compared.iter().filter(known).cloned().collect()
        }
        None => load.compared.clone(),
    }
}

/// The compare columns of the hashes that exist; `None` where we made none of them.
fn stored_set(load: &Load<'_>) -> Option<Vec<String>> {
    load.facts.target.record.as_ref()?.compare_set.clone()
}

fn joined_columns(load: &Load<'_>) -> Vec<Ident> {
    let common = common_columns(load);
    load.compared.iter().filter(|name| !common.contains(name)).cloned().collect()
}

/// Two deployments with different sets would take turns and miss changes: a set that returns is drift.
fn mark_rehash(load: &Load<'_>, builder: &mut PlanBuilder<'_>) -> Result<()> {
    let Some(stored) = stored_set(load) else {
        builder
            .mark(Subject::RowHashes, "a history that others began   current versions rehashed, none opened");
        return Ok(());
    };
    let set = compare_set(load);
    let changed = set != stored;
    let earlier =
        load.facts.target.record.as_ref().map(|record| record.earlier_sets.as_slice()).unwrap_or_default();
    if changed && earlier.contains(&set) {
        return Err(FlowError::new(
            ErrorCode::Drift,
            format!("the compare columns of {} go back to an earlier set", load.table.name),
        )
        .detail(format!("now: {}", stored.join(", ")))
        .detail(format!("before, and declared: {}", set.join(", ")))
        .hint("two deployments may disagree, and each would miss changes; if the return is meant, change the set by a column that was never there, or start a new target"));
    }
    let mut words: Vec<String> =
        set.iter().filter(|name| !stored.contains(name)).map(|name| format!("+ {name}")).collect();
    words.extend(stored.iter().filter(|name| !set.contains(name)).map(|name| format!("- {name}")));
    let what = if changed {
        format!("compare_columns {}", words.join(" "))
    } else {
        "the encoding of row hashes".to_owned()
    };
    builder.mark(Subject::RowHashes, format!("{what}   current versions rehashed, none opened"));
    if load.pipeline.incremental.is_some() {
        builder.note("the compare columns changed: this run reads in full");
    }
    Ok(())
}

/// Columns that join the set are written in place, and every current version is rehashed: their stored
/// value is NULL or stale, and would open false versions.
fn rehash_current(load: &Load<'_>, scd2: &Scd2, builder: &mut PlanBuilder<'_>) {
    let joined = joined_columns(load);
    let target = &load.table.name;
    let live = |name: &Ident| sql!("t.{name}", name);
    if !joined.is_empty() {
        let value = |name: &Ident| load.value(load.filled(name).expect("compared columns are filled"));
        let names: Vec<&str> = joined.iter().map(|name| name.as_str()).collect();
        let condition = sql!(
            "{keys}\n   AND t.{flag}\n   AND ({differs})",
            keys = load.keys_equal("t", |key| load.key_value(key)),
            flag = scd2.current_flag,
            differs = load.differ(&joined, value, live)
        );
        let assignments =
            joined.iter().map(|name| sql!("{name} = {value}", name, value = value(name))).collect();
        let sql = load.dialect.update_from(
            target,
            assignments,
            sql!("{source} AS s", source = load.source()),
            condition,
        );
        builder.step(
            StepKind::Update,
            format!("write {} into current versions in place", names.join(", ")),
            sql,
            Answer::Ignore,
        );
    }
    let digest = load.row_digest(live);
    let sql = sql!(
        "UPDATE {target} AS t\n   SET {hash} = {digest}\n WHERE t.{flag}\n   AND t.{hash} IS DISTINCT FROM {digest}",
        target,
        hash = scd2.hash_column,
        digest,
        flag = scd2.current_flag
    );
    builder.step(
        StepKind::Update,
        "rehash current versions over the new set of compare columns",
        sql,
        Answer::Count(vec![RunValue::RowsRehashed]),
    );
}
