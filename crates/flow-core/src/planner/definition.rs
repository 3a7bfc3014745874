//! The target's definition as steps: created when it is missing, held against its declaration when
//! it is there, and given its indexes after the first rows.

use super::{means, rounding};
use crate::declare::options::OnDrift;
use crate::dialect::Cast;
use crate::error::{ErrorCode, FlowError, Result};
use crate::pipeline::columns::{has_left, renamed_to};
use crate::pipeline::kept::is_kept;
use crate::pipeline::strategy::{Requirement, Unique};
use crate::pipeline::{Resolved, Target, declared_type};
use crate::plan::builder::PlanBuilder;
use crate::plan::{Answer, StepKind, Subject};
use crate::reading::rejected;
use crate::schema::drift::{Difference, DifferenceKind, differences};
use crate::schema::{Column, LiveTable, ddl};
use crate::sql::{Ident, Sql};

/// What must be true of the target before its rows are touched.
pub fn before_load(load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) -> Result<()> {
    names_hide_nothing(load)?;
    match &load.facts.target.live {
        None => create(load, builder),
        Some(live) => {
            load.pipeline.strategy.prepare(load, builder);
            adopt(load, live, builder)?;
        }
    }
    rejected::prepare(load, builder)?;
    for column in &load.table.columns {
        if let Some(loss) = load.dialect.type_loss(&column.data_type) {
            let (name, declared) = (&column.name, &column.data_type);
            builder.note(format!("the column {name}, {declared}, becomes {}: {}", loss.becomes, loss.why));
        }
    }
    tell_what_is_inferred(load, builder);
    tell_what_is_left_out(load, builder);
    tell_what_has_left(load, builder);
    tell_what_is_narrower(load, builder);
    Ok(())
}

/// Refuses a column whose name the engine takes for something else in statements of a load.
fn names_hide_nothing(load: &Resolved<'_>) -> Result<()> {
    let declared = load.table.columns.iter();
    let declared = declared.map(|column| (column.name.as_str(), load.dialect.type_name(&column.data_type)));
    let live = load.facts.target.live.iter().flat_map(|live| &live.columns);
    let live = live.map(|column| (column.name.as_str(), column.data_type.name.clone()));
    for (name, type_name) in declared.chain(live) {
        if let Some(why) = load.dialect.hides(name, &type_name) {
            let message = format!("the column `{name}`, {type_name}, cannot be called by one letter");
            return Err(FlowError::new(ErrorCode::UnsupportedByEngine, message)
                .detail(why)
                .hint("give it another name in the query (AS …) and in the table"));
        }
    }
    Ok(())
}

/// What nobody declares is printed.
fn tell_what_is_inferred(load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
    if matches!(load.pipeline.target, Target::Declared(_)) {
        return;
    }
    let of = if load.creates { "the source" } else { "the live table" };
    let columns = load.table.columns.iter().map(|column| {
        let not_null = if column.nullable { "" } else { " NOT NULL" };
        format!("{} {}{not_null}", column.name, load.dialect.type_name(&column.data_type))
    });
    builder.note(format!("columns as {of} has them: {}", columns.collect::<Vec<_>>().join(", ")));
}

/// Names the columns of a table that is only named which its source does not have any more: they stay.
fn tell_what_has_left(load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
    let has_left = |column: &&Column| has_left(load.pipeline, column, load.facts, load.dialect);
    let left: Vec<&Ident> = load.table.columns.iter().filter(has_left).map(|column| &column.name).collect();
    if left.is_empty() {
        return;
    }
    let names: Vec<&str> = left.iter().map(|name| name.as_str()).collect();
    let mut words = format!(
        "columns that the source does not have, and {} keeps: {}; a row or version that is written from now on has NULL there",
        load.table.name,
        names.join(", ")
    );
    for (name, renamed) in left.iter().filter_map(|name| Some((name, renamed_to(name, load.facts)?))) {
        words.push_str(&format!("; was {name} renamed to {renamed}?"));
    }
    builder.warn(words);
}

/// A source whose column came to hold more than that of a table that is only named.
fn tell_what_is_narrower(load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
    let follows = matches!(load.pipeline.target, Target::Inferred(_)) && !load.creates;
    for column in load.columns.iter().filter(|column| follows && column.cast == Cast::ByInsert) {
        let Some(source) = load.facts.source.loaded(column.name.as_str()) else { continue };
        if load.dialect.cast(&column.data_type, &source.data_type) == Cast::Widening
            && !rounding::is_rounded(load, column)
        {
            builder.warn(format!(
                "the column {} is {} in the source and {} in {}: a value that does not fit ends the run; run with --migrate to widen it",
                column.name, source.data_type.name, column.data_type.name, load.table.name
            ));
        }
    }
}

/// Names the source's columns that are not loaded. Who declares a table has chosen; a table that is only named was to
/// have the columns of its source.
fn tell_what_is_left_out(load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
    let names = |names: &[&String]| names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
    let follows = matches!(load.pipeline.target, Target::Inferred(_));
    let is_live =
        |name: &&String| load.facts.target.live.as_ref().is_some_and(|live| live.column(name).is_some());
    let is_ours = |name: &&String| load.managed.iter().any(|column| column.name.as_str() == name.as_str());
    let (ours, rest): (Vec<&String>, Vec<&String>) =
        load.left_out.iter().partition(|name| follows && is_ours(name));
    let (there, lacking): (Vec<&String>, Vec<&String>) =
        rest.into_iter().partition(|name| !follows || is_live(name));
    if !there.is_empty() {
        builder.note(format!("left out, because the target does not declare them: {}", names(&there)));
    }
    if !lacking.is_empty() {
        builder.warn(format!(
            "columns of the source that are not loaded, because {} does not have them: {}; run with --migrate to add them",
            load.table.name,
            names(&lacking)
        ));
    }
    if !ours.is_empty() {
        builder.warn(format!(
            "columns of the source that are not loaded, because the load strategy keeps its own under their names: {}",
            names(&ours)
        ));
    }
}

fn create(load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
    let table = &load.table;
    if !load.facts.target.schema_exists {
        builder.mark(Subject::NewSchema, format!("schema {}", table.name.schema));
        let sql = load.dialect.create_schema(&table.name.schema);
        builder.step(StepKind::Ddl, format!("create the schema {}", table.name.schema), sql, Answer::Ignore);
    }
    builder.mark(Subject::NewTable, format!("table {}", table.name));
    let columns: Vec<Column> = table.columns.iter().chain(&load.managed).cloned().collect();
    let sql = ddl::create_table(table, &columns, load.dialect);
    builder.step(StepKind::Ddl, format!("create the table {}", table.name), sql, Answer::Ignore);
    for (what, sql) in ddl::comments(table) {
        builder.step(StepKind::Ddl, format!("describe {what}"), sql, Answer::Ignore);
    }
}

fn adopt(load: &Resolved<'_>, live: &LiveTable, builder: &mut PlanBuilder<'_>) -> Result<()> {
    let types = |column: &Column| {
        declared_type(column, load.facts, load.dialect).unwrap_or_else(|| load.type_of(&column.name).clone())
    };
    let mut found = differences(&load.table, &load.managed, live, &types, load.dialect);
    found.retain(|difference| !is_kept_for_others(load, live, difference));
    found.iter_mut().for_each(|difference| keep_what_we_made(load, difference));
    let (own, declared): (Vec<Difference>, Vec<Difference>) =
        found.into_iter().partition(|difference| self_added(load, difference));
    for difference in own {
        apply(load, &difference, builder);
    }
    let (drift, shown): (Vec<_>, Vec<_>) = declared.into_iter().partition(Difference::is_drift);
    for difference in shown {
        builder.note(difference.describe());
    }
    let (settled, open): (Vec<_>, Vec<_>) =
        drift.into_iter().partition(|difference| load.pipeline.migrate && difference.migratable());
    for difference in settled {
        apply(load, &difference, builder);
    }
    describe(load, live, builder);
    let open = complete(load, open, builder);
    let missing = open.iter().any(|difference| matches!(difference.kind, DifferenceKind::Missing { .. }));
    if !open.is_empty() && (load.pipeline.on_drift == OnDrift::Error || missing) {
        return Err(drift_error(load, &open, missing, builder));
    }
    for difference in &open {
        builder.mark(Subject::IgnoredDrift, format!("{} (ignored)", difference.describe()));
        builder.warn(format!("drift ignored: {}", difference.describe()));
    }
    rounding::refuse(load, live, builder)?;
    requirements(load, live, builder)
}

/// Where `migrate` allows it, a table that is only named says what its source says that it holds. What the source does
/// not describe is left as it is.
fn describe(load: &Resolved<'_>, live: &LiveTable, builder: &mut PlanBuilder<'_>) {
    if matches!(load.pipeline.target, Target::Declared(_)) {
        return;
    }
    let mut changed = load.table.clone();
    changed.description = changed.description.filter(|text| live.comment.as_ref() != Some(text));
    for column in &mut changed.columns {
        let known = live.column(column.name.as_str()).and_then(|live| live.comment.as_ref());
        column.description = column.description.take().filter(|text| known != Some(text));
    }
    for (what, sql) in ddl::comments(&changed) {
        builder.mark(Subject::Comment, format!("the comment of {what}"));
        builder.step(StepKind::Ddl, format!("describe {what}"), sql, Answer::Ignore);
    }
}

/// A column that a load strategy keeps for another pipeline on this table is no drift.
fn is_kept_for_others(load: &Resolved<'_>, live: &LiveTable, difference: &Difference) -> bool {
    let column = live.column(&difference.column);
    difference.kind == DifferenceKind::Extra
        && column.is_some_and(|column| is_kept(load.facts, column, load.dialect))
}

/// No statement is offered that drops a column which a pipeline has declared or a strategy keeps; where nothing is
/// remembered of the table, any column may be one.
fn keep_what_we_made(load: &Resolved<'_>, difference: &mut Difference) {
    let known = load.facts.target.record.as_ref().map_or(&[][..], |record| &record.known_columns);
    let is_of_others = !known.is_empty() && !known.contains(&difference.column);
    if difference.kind == DifferenceKind::Extra && !is_of_others {
        difference.remedy = None;
    }
}

/// Where `migrate` allows it, a table gets what the strategy keeps in it; what is left is drift still.
fn complete(load: &Resolved<'_>, open: Vec<Difference>, builder: &mut PlanBuilder<'_>) -> Vec<Difference> {
    let lacks = |difference: &Difference| {
        matches!(difference.kind, DifferenceKind::Missing { .. })
            && load.managed.iter().any(|column| column.name.as_str() == difference.column)
    };
    if !load.pipeline.migrate {
        return open;
    }
    let (missing, mut open): (Vec<_>, Vec<_>) = open.into_iter().partition(lacks);
    let names: Vec<&str> = missing.iter().map(|difference| difference.column.as_str()).collect();
    if !load.pipeline.strategy.complete(load, &names, builder) {
        open.extend(missing);
    }
    open
}

/// Columns that the strategy adds by itself: the flag of soft deletes, append's metadata.
fn self_added(load: &Resolved<'_>, difference: &Difference) -> bool {
    let managed = load.managed.iter().any(|column| column.name.as_str() == difference.column);
    let missing = matches!(difference.kind, DifferenceKind::Missing { .. });
    managed && missing && load.pipeline.strategy.adds_its_columns()
}

fn apply(load: &Resolved<'_>, difference: &Difference, builder: &mut PlanBuilder<'_>) {
    let subject = match difference.kind {
        DifferenceKind::Missing { .. } => Subject::NewColumn,
        _ => Subject::WiderColumn,
    };
    builder.mark(subject, difference.describe());
    if let Some(sql) = &difference.remedy {
        let purpose = match difference.kind {
            DifferenceKind::Missing { .. } => {
                format!("add the column {} to {}", difference.column, load.table.name)
            }
            _ => format!("widen the column {} of {}", difference.column, load.table.name),
        };
        builder.step(StepKind::Ddl, purpose, sql.clone(), Answer::Ignore);
        follow(load, difference, builder);
    }
}

/// A table beside the target gets the same change.
fn follow(load: &Resolved<'_>, difference: &Difference, builder: &mut PlanBuilder<'_>) {
    let mut columns = load.table.columns.iter().chain(&load.managed);
    let Some(column) = columns.find(|column| column.name.as_str() == difference.column) else { return };
    for table in load.pipeline.strategy.follows(&load.table.name) {
        let bare = Column { nullable: true, default: None, ..column.clone() };
        let sql = match difference.kind {
            DifferenceKind::Missing { .. } => {
                load.dialect.add_column(&table, ddl::new_column(&bare, load.dialect))
            }
            _ => ddl::retype(&table, column, load.dialect),
        };
        builder.step(StepKind::Ddl, format!("the same of {table}"), sql, Answer::Ignore);
    }
}

fn drift_error(
    load: &Resolved<'_>,
    open: &[Difference],
    missing: bool,
    builder: &mut PlanBuilder<'_>,
) -> FlowError {
    let table =
        load.dialect.quote(&load.table.name.schema) + "." + &load.dialect.quote(&load.table.name.name);
    let mut error = FlowError::new(ErrorCode::Drift, format!("table {table} differs from its declaration"));
    let mut remedies = Vec::new();
    for difference in open {
        error = error.detail(difference.describe());
        let remedy = difference.remedy.as_ref().map(|sql| format!("{};", sql.to_text(load.dialect)));
        let shown = remedy.iter().fold(difference.describe(), |what, sql| format!("{what}\n  {sql}"));
        builder.mark(Subject::Drift, shown);
        remedies.extend(remedy);
    }
    let all_migratable = open.iter().all(Difference::migratable);
    let mut hint = if all_migratable {
        "run with --migrate to change the table, or change the declaration".to_owned()
    } else if missing {
        "change the declaration or the table; a missing column is never ignored".to_owned()
    } else {
        "change the declaration, or run with --on-drift ignore".to_owned()
    };
    builder.note(format!("a run is refused: {hint}"));
    if !remedies.is_empty() {
        hint.push_str(&format!("; the table follows the declaration after: {}", remedies.join(" ")));
    }
    error
        .hint(hint)
        .context("table", load.table.name.to_string())
        .context("columns", open.iter().map(|difference| difference.column.clone()).collect::<Vec<_>>())
}

/// Indexes and checks without which the strategy cannot keep its word.
fn requirements(load: &Resolved<'_>, live: &LiveTable, builder: &mut PlanBuilder<'_>) -> Result<()> {
    load.pipeline.strategy.adopt(load, live)?;
    for requirement in load.pipeline.strategy.requirements(load) {
        if requirement.is_met(&load.table.name.name, live) {
            continue;
        }
        if matches!(requirement, Requirement::Unique(_)) && means::guards_uniqueness(load) {
            continue;
        }
        let sql = requirement.sql(load);
        if sql.is_empty() {
            builder.note(not_kept(&requirement.describe()));
            continue;
        }
        match &requirement {
            // On a table that is not ours a CHECK is an offer; the unique index is the strategy's ground.
            Requirement::Check { .. } if !live.ours && !load.pipeline.migrate => continue,
            Requirement::Unique(Unique { columns, .. }) if !live.ours && !load.pipeline.migrate => {
                let names: Vec<&str> = columns.iter().map(|column| column.as_str()).collect();
                let statement = sql.to_text(load.dialect);
                return Err(FlowError::new(
                    ErrorCode::MissingIndex,
                    format!(
                        "{} has no unique index on {}, and it is not ours to change",
                        load.table.name,
                        names.join(", ")
                    ),
                )
                .hint(format!("create it: {statement}; or run with --migrate")));
            }
            _ => {}
        }
        builder.mark(Subject::Constraint, requirement.describe());
        builder.step(StepKind::Ddl, requirement.describe(), sql, Answer::Ignore);
    }
    Ok(())
}

/// What stands in no step is said.
fn not_kept(promise: &str) -> String {
    format!("the target's engine does not keep this: {promise}")
}

/// Indexes come after the rows of a first load: building them once is cheaper than keeping them.
pub fn after_load(load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
    if load.creates {
        promises(load, builder);
    }
    means::guards(load, builder);
    if load.creates {
        let statistics = load.dialect.analyze(&load.table.name, &[]);
        builder.step(StepKind::Ddl, "statistics for the planner", statistics, Answer::Ignore);
    }
}

/// What the engine keeps of a table that was just made.
fn promises(load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
    let name = &load.table.name;
    let mut promise = |purpose: String, sql: Sql| match sql.is_empty() {
        true => builder.note(not_kept(&purpose)),
        false => builder.step(StepKind::Ddl, purpose, sql, Answer::Ignore),
    };
    let guarded = means::guards_uniqueness(load);
    for requirement in &load.pipeline.strategy.requirements(load) {
        if !guarded || matches!(requirement, Requirement::Check { .. }) {
            promise(requirement.describe(), requirement.sql(load));
        }
    }
    if !guarded {
        for Unique { columns, primary_key, .. } in means::declared_unique(load) {
            match primary_key {
                true => promise("primary key".to_owned(), load.dialect.add_primary_key(name, &columns)),
                false => promise(unique_purpose(&columns), load.dialect.add_unique(name, &columns)),
            }
        }
    }
    for index in &load.table.indexes {
        promise("a declared index".to_owned(), ddl::create_index(name, index, load.dialect));
    }
}

fn unique_purpose(columns: &[Ident]) -> String {
    let names: Vec<&str> = columns.iter().map(|column| column.as_str()).collect();
    format!("unique: {}", names.join(", "))
}
