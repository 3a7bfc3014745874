//! Several targets from one reading, and one reading of several connections: the source is read once into a table of its
//! own, by each connection that it has, and each target is loaded from there as a part of one plan. All of it stands or
//! nothing.

use super::{finish, plan};
use crate::dialect::{Crossing, Dialect, Sent};
use crate::engine::{Ends, EngineFacts};
use crate::error::{ErrorCode, FlowError, Result};
use crate::facts::{AtHand, Cap, ExecutionPath, Facts, Relation, SourceColumn, SourceFacts};
use crate::history::FileVersion;
use crate::pipeline::{Brought, Pipeline, Resolved, Source};
use crate::plan::builder::PlanBuilder;
use crate::plan::{
    Action, Answer, Asking, Blame, Bring, Child, Copy, Mark, MarkKind, Phase, PhaseName, Plan, Step, StepKind,
};
use crate::query::ReadQuery;
use crate::reading;
use crate::sql;
use crate::sql::{Ident, QualifiedName, Sql};
use crate::types::TypeFacts;

/// What one connection reads of it, in one statement.
#[derive(Clone, Debug)]
pub struct OneReading {
    /// The connection.
    pub connection: String,
    /// The query.
    pub query: ReadQuery,
    /// Its columns, in the order of those of the whole.
    pub columns: Vec<SourceColumn>,
    /// Whether it is in the target's own database, and read there.
    pub within: bool,
    /// What brings the rows, where no database of the target's engine sends them: there is then no other reading.
    pub brought: Option<String>,
    /// What a database of another engine is asked for, where one brings them.
    pub asked: Option<Box<Asked>>,
    /// The files that it reads, where each is loaded once.
    pub files: Vec<FileVersion>,
    /// What a person should know of what it reads.
    pub notes: Vec<String>,
}

impl OneReading {
    /// What no database sends, with the columns that it has.
    pub fn brought(brought: &Brought, columns: Vec<SourceColumn>) -> OneReading {
        let Source { connection, query, .. } = Source::of_brought(brought.clone());
        OneReading {
            connection,
            query,
            columns,
            within: false,
            brought: Some(brought.to_string()),
            asked: None,
            files: Vec::new(),
            notes: Vec::new(),
        }
    }
}

/// What a database of another engine is asked for, and what it has said of it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Its engine.
    pub engine: &'static EngineFacts,
    /// The columns in the order of the reading.
    pub columns: Vec<AskedColumn>,
    /// The plain table that is read whole.
    pub relation: Option<Relation>,
    /// How far rows that commit late are covered.
    pub cap: Cap,
    /// What its clock said before the reading.
    pub clock: Option<String>,
}

/// A column of another engine.
#[derive(Clone, Debug)]
pub struct AskedColumn {
    /// Its name.
    pub name: Ident,
    /// Its type there.
    pub own: TypeFacts,
    /// As what it arrives.
    pub sent: Sent,
}

impl Asked {
    /// Reads the rows `q` of a query that meet a condition; the words are those of its engine.
    fn statement(&self, query: &ReadQuery, range: Option<Sql>) -> Sql {
        let dialect = self.engine.dialect;
        let value = |AskedColumn { name, sent, .. }: &AskedColumn| {
            let value = sql!("q.{name}", name);
            match &sent.cast {
                Some(cast) => sql!("{value} AS {name}", value = dialect.cast_to(&value, cast), name),
                None => value,
            }
        };
        let values = Sql::join(self.columns.iter().map(value), ",\n       ");
        let range = range.map_or(Sql::empty(), |condition| sql!("\n WHERE {condition}", condition));
        sql!("SELECT {values}\n  FROM {query} AS q{range}", values, query = Sql::user(query.text()), range)
    }
}

/// The reading that several targets share.
pub struct Reading<'a> {
    /// The pipeline.
    pub pipeline: &'a Pipeline,
    /// The run of all targets together.
    pub run_id: &'a str,
    /// Where the source is.
    pub path: ExecutionPath,
    /// Why there.
    pub path_reason: &'a str,
    /// The source, with the types of another database where the target's does not have its own.
    pub source: &'a SourceFacts,
    /// What each connection reads, where there are several.
    pub readings: &'a [OneReading],
    /// Whether the plan will be rolled back.
    pub dry_run: bool,
}

/// Makes the plan of several targets; the facts are those of each, with the source as it was read.
///
/// # Errors
/// As [`plan`] of each, and `invalid_value` for a column that cannot come from another database.
pub fn plan_together(shared: &Reading<'_>, parts: &[(Pipeline, Facts)], ends: &Ends<'_>) -> Result<Plan> {
    let table = shared_table(shared.run_id)?;
    let at_hand = at_hand(shared, parts, &table, ends)?;
    let comes_straight = matches!(at_hand, Some(AtHand::ToCome(_)));
    let mut plans = Vec::new();
    for (pipeline, facts) in parts {
        plans.push(plan_of_part(shared, pipeline, facts, (&table, at_hand.as_ref()), ends).map_err(
            |error| match parts.len() {
                1 => error,
                _ => error.context("target", pipeline.target.name().to_string()),
            },
        )?);
    }
    let mut builder = PlanBuilder::new(*ends);
    builder.phase(PhaseName::Read);
    if comes_straight {
        from_its_source(shared, &mut plans, ends, &mut builder);
    } else {
        let range = left_out_at_source(shared, parts, &table, ends)?;
        read_once(shared, &table, (parts.len(), range), ends, &mut builder)?;
    }
    if !shared.dry_run {
        builder.phase(PhaseName::Record);
        let target = shared.pipeline.target_key();
        for one in shared.readings {
            finish::of_files(
                (&shared.pipeline.name, &target),
                shared.run_id,
                &one.files,
                ends.target.dialect,
                &mut builder,
            );
        }
        match parts.len() {
            1 if comes_straight => {}
            1 => finish::of_reading(&table, &mut builder),
            _ => finish::of_all(shared.run_id, shared.path, &table, ends.target.dialect, &mut builder),
        }
    }
    let phases = builder.take_phases();
    let mut whole = combined(plans, phases);
    whole.notes.extend(builder.notes);
    match parts.len() {
        1 => {
            whole.header.path = shared.path;
            shared.path_reason.clone_into(&mut whole.header.path_reason);
            whole.parts[0].path = shared.path;
        }
        // What a target says for itself comes before what is said for all of them.
        _ => whole.after.extend(shared.pipeline.after.iter().cloned().map(Child::Transform)),
    }
    if whole.refused.is_some() {
        whole.after.clear();
    }
    Ok(whole)
}

/// What a database of another engine need not send: where several targets read it, each may need another part.
fn left_out_at_source(
    shared: &Reading<'_>,
    parts: &[(Pipeline, Facts)],
    table: &QualifiedName,
    ends: &Ends<'_>,
) -> Result<Option<Sql>> {
    let ([one], [(pipeline, facts)]) = (shared.readings, parts) else { return Ok(None) };
    let (Some(asked), Some(incremental)) = (&one.asked, &pipeline.incremental) else { return Ok(None) };
    let Some(column) = asked.columns.iter().find(|column| column.name == incremental.column) else {
        return Ok(None);
    };
    // What is made of the column on its way is in another order.
    if !pipeline.helpers.is_empty()
        || facts.source.cleaned.iter().any(|made| column.name.as_str() == made.name)
    {
        return Ok(None);
    }
    let (pipeline, facts) = from_table(shared, pipeline, facts, (table, None), ends);
    let mut load = Resolved::resolve(&pipeline, &facts, *ends)?;
    reading::choose(&mut load)?;
    reading::watermark::at_source(&load, incremental, &column.own, asked.engine.dialect)
}

/// How one load alone has rows that no database of its engine sends.
fn at_hand(
    shared: &Reading<'_>,
    parts: &[(Pipeline, Facts)],
    table: &QualifiedName,
    ends: &Ends<'_>,
) -> Result<Option<AtHand>> {
    let [OneReading { brought: Some(rows), .. }] = shared.readings else { return Ok(None) };
    let [(pipeline, facts)] = parts else { return Ok(Some(AtHand::In(table.clone()))) };
    let to_come = AtHand::ToCome(rows.clone());
    let (pipeline, facts) = from_table(shared, pipeline, facts, (table, Some(&to_come)), ends);
    // What makes the load impossible is told where its plan is made.
    let comes_straight = Resolved::resolve(&pipeline, &facts, *ends)
        .is_ok_and(|mut load| reading::choose(&mut load).is_ok() && reading::straight::fits(&load));
    Ok(Some(if comes_straight { to_come } else { AtHand::In(table.clone()) }))
}

/// The rows of a load that takes them straight come from where the reading says.
fn from_its_source(shared: &Reading<'_>, plans: &mut [Plan], ends: &Ends<'_>, builder: &mut PlanBuilder<'_>) {
    for one in shared.readings {
        lock_asked(one, ends, builder);
        one.notes.iter().for_each(|note| builder.note(note.clone()));
        let steps = plans.iter_mut().flat_map(|plan| &mut plan.phases).flat_map(|phase| &mut phase.steps);
        for step in steps {
            if let Action::Bring(bring) = &mut step.action {
                bring.read = one.asked.as_deref().map(|asked| asking(one, asked, None));
            }
        }
    }
}

/// The plan of one target, from the table of the reading.
fn plan_of_part(
    shared: &Reading<'_>,
    pipeline: &Pipeline,
    facts: &Facts,
    rows: (&QualifiedName, Option<&AtHand>),
    ends: &Ends<'_>,
) -> Result<Plan> {
    let (pipeline, facts) = from_table(shared, pipeline, facts, rows, ends);
    plan(&pipeline, &facts, ends)
}

/// A pipeline that reads the table of the reading, and what is known of it.
fn from_table(
    shared: &Reading<'_>,
    pipeline: &Pipeline,
    facts: &Facts,
    (table, at_hand): (&QualifiedName, Option<&AtHand>),
    ends: &Ends<'_>,
) -> (Pipeline, Facts) {
    let mut pipeline = pipeline.clone();
    pipeline.source.query = ReadQuery::of_table(&sql!("{table}", table).to_text(ends.target.dialect));
    let facts = Facts {
        came_by: (!shared.readings.is_empty()).then_some(shared.path),
        at_hand: at_hand.cloned(),
        path: ExecutionPath::SameDatabase,
        path_reason: match shared.readings.is_empty() {
            true => format!("one reading for several targets; {}", shared.path_reason),
            false => shared.path_reason.to_owned(),
        },
        source: SourceFacts {
            relation: relation_of_copy(facts, table, ends.target.dialect),
            picked: None,
            ..facts.source.clone()
        },
        ..facts.clone()
    };
    (pipeline, facts)
}

/// What holds of the source's table holds of the table of the reading, but no index says so.
fn relation_of_copy(facts: &Facts, table: &QualifiedName, dialect: &dyn Dialect) -> Option<Relation> {
    let sql = sql!("{table}", table).to_text(dialect);
    facts.source.relation.clone().map(|relation| Relation { sql, unique: Vec::new(), ..relation })
}

/// The table of the reading.
fn shared_table(run_id: &str) -> Result<QualifiedName> {
    let batch: String = run_id.chars().filter(|c| *c != '-').collect();
    Ok(QualifiedName {
        schema: Ident::fixed(crate::history::SCHEMA),
        name: Ident::new(format!("_ematix_reading_{batch}"))?,
    })
}

fn read_once(
    shared: &Reading<'_>,
    table: &QualifiedName,
    (targets, range): (usize, Option<Sql>),
    ends: &Ends<'_>,
    builder: &mut PlanBuilder<'_>,
) -> Result<()> {
    if !shared.readings.is_empty() {
        return read_several(shared, table, range, ends, builder);
    }
    let (from, dialect) = (ends.source.dialect, ends.target.dialect);
    let query = Sql::user(shared.pipeline.source.query.text());
    let purpose = format!("read the source once, for {targets} targets");
    reading::lock_query(ends, &query, shared.path, builder);
    if shared.path == ExecutionPath::SameDatabase {
        let create = dialect.create_stage_as(
            table,
            sql!("SELECT *\n  FROM {query} AS q", query),
            crate::dialect::RowOrder::Unknown,
        );
        builder.reading_step(StepKind::Stage, purpose, create, Answer::Ignore, Blame::Source);
        return Ok(());
    }
    let (names, values) = table_of(shared, table, dialect, builder)?;
    let values = Sql::join(values, ",\n       ");
    let select = |query: &Sql| sql!("SELECT {values}\n  FROM {query} AS q", values, query);
    let parts = reading::slices::of_table(shared.pipeline, shared.source, from, builder)?;
    let selects: Vec<Sql> = parts.unwrap_or_else(|| vec![query]).iter().map(select).collect();
    builder.transfer(StepKind::Stage, purpose, copied(&selects, table, &names, from, dialect));
    Ok(())
}

/// Makes the table of the reading; the names of its columns, and their values in a row `q` of the source.
fn table_of(
    shared: &Reading<'_>,
    table: &QualifiedName,
    dialect: &dyn Dialect,
    builder: &mut PlanBuilder<'_>,
) -> Result<(Vec<Ident>, Vec<Sql>)> {
    let mut columns: Vec<(Ident, Sql)> = Vec::new();
    let mut values: Vec<Sql> = Vec::new();
    for column in &shared.source.columns {
        let (name, value) = crossing(column, dialect)?;
        columns.push((name, Sql::from_dialect(column.inferred_type().to_owned())));
        values.push(value);
    }
    let names: Vec<Ident> = columns.iter().map(|(name, _)| name.clone()).collect();
    let create = dialect.create_stage(table, columns);
    builder.step(StepKind::Stage, format!("a table for the rows: {table}"), create, Answer::Ignore);
    Ok((names, values))
}

fn copied(
    selects: &[Sql],
    table: &QualifiedName,
    names: &[Ident],
    from: &dyn Dialect,
    dialect: &dyn Dialect,
) -> Action {
    Action::Copy(Copy {
        reads: selects.iter().map(|select| from.copy_out(select).render(from)).collect(),
        write: dialect.copy_in(table, names).render(dialect),
        into: table.clone(),
        kept: names.len(),
        digests: Vec::new(),
    })
}

fn brought(
    shared: &Reading<'_>,
    (one, rows): (&OneReading, &str),
    range: Option<Sql>,
    table: &QualifiedName,
    names: &[Ident],
    dialect: &dyn Dialect,
) -> Action {
    let columns = shared.source.columns.iter().map(|column| (column.name.clone(), column.data_type.clone()));
    Action::Bring(Bring {
        rows: rows.to_owned(),
        read: one.asked.as_deref().map(|asked| asking(one, asked, range)),
        write: dialect.copy_in(table, names).render(dialect),
        into: table.clone(),
        columns: columns.collect(),
        run: None,
    })
}

/// What a database of another engine is asked for, whose rows meet a condition.
fn asking(one: &OneReading, asked: &Asked, range: Option<Sql>) -> Asking {
    let from = asked.engine.dialect;
    let read = from.copy_out(&asked.statement(&one.query, range));
    let sent = |column: &AskedColumn| (column.name.to_string(), column.sent.data_type.clone());
    Asking { statement: read.render(from), columns: asked.columns.iter().map(sent).collect() }
}

/// As [`reading::lock_query`], where a database of another engine is asked.
fn lock_asked(one: &OneReading, ends: &Ends<'_>, builder: &mut PlanBuilder<'_>) {
    if let Some(asked) = &one.asked {
        let from = Ends { source: asked.engine, target: ends.target };
        reading::lock_query(&from, &Sql::user(one.query.text()), ExecutionPath::Staging, builder);
    }
}

/// Each connection reads by one statement, which is its own snapshot; all rows come into one table.
fn read_several(
    shared: &Reading<'_>,
    table: &QualifiedName,
    range: Option<Sql>,
    ends: &Ends<'_>,
    builder: &mut PlanBuilder<'_>,
) -> Result<()> {
    reading::slices::need_one_table(shared.pipeline)?;
    let dialect = ends.target.dialect;
    let path = |one: &OneReading| match one.within {
        true => ExecutionPath::SameDatabase,
        false => ExecutionPath::Staging,
    };
    let asked = shared.readings.iter().enumerate().filter(|(_, one)| one.brought.is_none());
    for (index, one) in asked {
        builder.from = index;
        reading::lock_query(ends, &Sql::user(one.query.text()), path(one), builder);
    }
    shared.readings.iter().for_each(|one| lock_asked(one, ends, builder));
    let (names, _) = table_of(shared, table, dialect, builder)?;
    for (index, one) in shared.readings.iter().enumerate() {
        builder.from = index;
        one.notes.iter().for_each(|note| builder.note(note.clone()));
        if let Some(rows) = &one.brought {
            let action = brought(shared, (one, rows), range.clone(), table, &names, dialect);
            builder.transfer(StepKind::Stage, format!("take the rows of {rows} into {table}"), action);
            continue;
        }
        let values = shared.source.columns.iter().zip(&one.columns).map(|(whole, own)| {
            let name = Ident::new(own.name.clone())?;
            let value = sql!("q.{name}", name);
            let same = whole.inferred_type() == own.data_type.name;
            Ok(if same {
                value
            } else {
                sql!("{cast} AS {name}", cast = dialect.cast_to(&value, whole.inferred_type()), name)
            })
        });
        let values = Sql::join(values.collect::<Result<Vec<_>>>()?, ",\n       ");
        let select =
            sql!("SELECT {values}\n  FROM {query} AS q", values, query = Sql::user(one.query.text()));
        let purpose = format!("read {} into {table}", one.connection);
        if one.within {
            let insert = sql!("INSERT INTO {table} ({names})\n{select}", table, names, select);
            builder.reading_step(StepKind::Stage, purpose, insert, Answer::Ignore, Blame::Source);
        } else {
            builder.transfer(
                StepKind::Stage,
                purpose,
                copied(&[select], table, &names, ends.source.dialect, dialect),
            );
        }
    }
    builder.from = 0;
    Ok(())
}

/// How a column of the source comes into the table of the reading: its name there, and its value.
fn crossing(column: &SourceColumn, dialect: &dyn Dialect) -> Result<(Ident, Sql)> {
    let name = Ident::new(column.name.clone())?;
    let value = sql!("q.{name}", name);
    match (&column.inferred, dialect.crossing(&column.data_type, &column.data_type)) {
        (_, Crossing::Refused(why)) => Err(FlowError::new(
            ErrorCode::InvalidValue,
            format!("the column `{name}` cannot come from another database: {why}"),
        )
        .hint(format!("cast it in the query: {name}::text AS {name}"))),
        (Some(data_type), _) => {
            let cast = dialect.cast_to(&value, data_type);
            Ok((name.clone(), sql!("{cast} AS {name}", cast, name)))
        }
        (None, _) => Ok((name, value)),
    }
}

/// Plans of several targets as one: phase by phase, in each the shared steps and then those of every part, but what
/// is remembered of the whole comes last.
fn combined(plans: Vec<Plan>, shared: Vec<Phase>) -> Plan {
    let mut whole = Plan {
        header: plans[0].header.clone(),
        parts: Vec::new(),
        marks: Vec::new(),
        notes: Vec::new(),
        warnings: Vec::new(),
        refused: None,
        phases: Vec::new(),
        after: Vec::new(),
    };
    let mut steps: Vec<(PhaseName, Step)> = Vec::new();
    let several = plans.len() > 1;
    for phase in shared {
        steps.extend(phase.steps.into_iter().map(|step| (phase.name, Step { part: None, ..step })));
    }
    for (part, plan) in plans.into_iter().enumerate() {
        let target = plan.header.target.to_string();
        for phase in plan.phases {
            for step in phase.steps {
                // Targets of one schema create it once.
                let made = |(name, other): &(PhaseName, Step)| {
                    *name == PhaseName::Prepare && other.action == step.action
                };
                if phase.name == PhaseName::Prepare && steps.iter().any(made) {
                    continue;
                }
                let purpose = match several {
                    true => format!("{target}: {}", step.purpose),
                    false => step.purpose,
                };
                steps.push((phase.name, Step { purpose, part: Some(part), ..step }));
            }
        }
        whole.parts.extend(plan.parts);
        whole.after.extend(plan.after);
        for mark in plan.marks {
            let same = |other: &Mark| other.mark == MarkKind::Create && other.what == mark.what;
            if !whole.marks.iter().any(same) {
                let part = several.then(|| target.clone());
                whole.marks.push(Mark { part, ..mark });
            }
        }
        whole.refused = whole
            .refused
            .or(plan.refused.map(|drift| if several { drift.context("target", target) } else { drift }));
        whole.notes.extend(plan.notes);
        whole.warnings.extend(plan.warnings);
    }
    if whole.refused.is_some() {
        steps.clear();
    }
    // Within a phase the sort keeps the order; the whole's own row is written after those of its parts.
    steps
        .sort_by_key(|(phase, step)| (*phase, several && *phase == PhaseName::Record && step.part.is_none()));
    for (index, (name, step)) in steps.into_iter().enumerate() {
        let step = Step { n: index + 1, ..step };
        match whole.phases.last_mut() {
            Some(phase) if phase.name == name => phase.steps.push(step),
            _ => whole.phases.push(Phase { name, steps: vec![step] }),
        }
    }
    whole
}
