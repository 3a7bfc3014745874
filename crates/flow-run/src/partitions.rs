//! A table that many tasks fill at once, each over a connection of its own, before one load takes its rows.
//!
//! A task may run twice, at the same time or after it has died: each attempt commits its rows under a number of its own,
//! and whoever loads reads those of the attempts that it accepts. So rows count once, whatever else the table holds.

use crate::history::HistoryStore;
use crate::session::{Access, End, Session, nth};
use crate::transport::Broken;
use crate::transport::bring::bring;
use ematix_flow_arrow::{BatchSource, Column, CopyType, Encoder, UnscaledNumeric};
use ematix_flow_core::dialect::Dialect;
use ematix_flow_core::dialect::postgres::Postgres;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::history::SCHEMA;
use ematix_flow_core::plan::Blame;
use ematix_flow_core::sql;
use ematix_flow_core::sql::{Ident, QualifiedName, Sql, text};
use uuid::Uuid;

/// How the names of these tables begin.
const PREFIX: &str = "_ematix_partitions_";
/// The column that says which attempt a row is of: the setting of its transaction, so that no row carries it.
const ATTEMPT: &str = "_ematix_attempt";
/// The setting.
const SETTING: &str = "ematix_flow.attempt";
/// How long a table is kept whose writer may have died. Its comment says until when.
const KEPT: &str = "1 day";
/// How long dropping a table waits for an attempt that nobody needs any more.
const PATIENCE: &str = "SET LOCAL lock_timeout = '5s';\n";

/// Makes a table for rows of these columns, each with its type; drops those that writers have left behind. Gives its name.
///
/// # Errors
/// What the server says; `permission_denied` with the GRANT that mends it.
pub async fn open(session: &dyn Session, columns: &[(String, String)]) -> Result<String> {
    let history = HistoryStore::on(session);
    if !history.is_current().await? {
        history.prepare(true).await?;
    }
    let until = look_around(session).await?;
    let name = format!("{PREFIX}{}", Uuid::now_v7().simple());
    let table = table(&name)?;
    let mut all = Vec::new();
    for (name, data_type) in columns {
        all.push((Ident::new(name)?, Sql::from_dialect(data_type.clone())));
    }
    let tag =
        sql!("uuid NOT NULL DEFAULT pg_catalog.current_setting({setting})::uuid", setting = text(SETTING));
    all.push((Ident::fixed(ATTEMPT), tag));
    let create = Postgres.create_stage(&table, all);
    let sql = sql!("{create};\n{keep}", create, keep = kept_until(&table, &until));
    session.write("make a table for the partitions", &sql.to_text(&Postgres)).await?;
    Ok(name)
}

/// Drops what writers have left behind, as far as nobody is in it; gives the time until which a new table is kept.
async fn look_around(session: &dyn Session) -> Result<String> {
    let doing = "look for what was left behind";
    let question = sql!(
        "SELECT (pg_catalog.now() + {kept}::interval)::text;\nSELECT c.relname\n  FROM pg_catalog.pg_class AS c\n WHERE c.relnamespace = {schema}::regnamespace\n   AND pg_catalog.starts_with(c.relname, {prefix})\n   AND pg_catalog.pg_has_role(c.relowner, 'USAGE')\n   AND pg_catalog.obj_description(c.oid, 'pg_class')::timestamptz < pg_catalog.now()",
        kept = text(KEPT),
        schema = text(SCHEMA),
        prefix = text(PREFIX)
    );
    let answers = session.ask(Blame::Target, doing, &question.to_text(&Postgres)).await?;
    let until = nth(&answers, 0, doing)?.only_row(1, doing)?[0].clone().unwrap_or_default();
    for name in nth(&answers, 1, doing)?.rows.iter().filter_map(|row| row.first()?.as_deref()) {
        // Whoever else drops it, or is still in it, leaves it to the next.
        let _ = drop_table(session, &table(name)?).await;
    }
    Ok(until)
}

fn kept_until(table: &QualifiedName, until: &str) -> Sql {
    sql!("COMMENT ON TABLE {table} IS {until}", table, until = text(until))
}

async fn drop_table(session: &dyn Session, table: &QualifiedName) -> Result<()> {
    let sql = sql!("{patience}DROP TABLE IF EXISTS {table}", patience = Sql::text(PATIENCE), table);
    session.write("drop the table of the partitions", &sql.to_text(&Postgres)).await.map(|_| ())
}

/// Takes the rows of one attempt into the table, and commits them under its number. Gives how many there were.
///
/// # Errors
/// What brings the rows says, and the server; `invalid_value` for other columns than the table has, `cast_failed` for a
/// value that its column does not hold, with row and column. Nothing of the attempt is in the table then.
pub async fn fill(session: &dyn Session, name: &str, attempt: Uuid, rows: &dyn BatchSource) -> Result<i64> {
    let table = table(name)?;
    session.begin(Blame::Target, Access::ReadWrite, None).await?;
    let tag = sql!(
        "SELECT pg_catalog.set_config({setting}, {attempt}, true)",
        setting = text(SETTING),
        attempt = text(attempt.to_string())
    );
    session.ask(Blame::Target, "say which attempt it is", &tag.to_text(&Postgres)).await?;
    let known = columns_of(session, &table).await?;
    session.tidy().await?;
    let schema = rows.schema(&known).await?;
    let mut columns = Vec::new();
    for field in schema.fields() {
        let column = known.iter().find(|column| column.name == *field.name());
        columns.push(column.cloned().ok_or_else(|| {
            other_columns(rows, format!("it has a column `{}`, which the others do not have", field.name()))
        })?);
    }
    if let Some(lacking) = known.iter().find(|column| !columns.contains(column)) {
        return Err(other_columns(rows, format!("it has no column `{}`", lacking.name)));
    }
    Encoder::new(columns.clone(), &schema)?;
    let names = columns.iter().map(|column| Ident::new(&column.name)).collect::<Result<Vec<_>>>()?;
    let write = Postgres.copy_in(&table, &names).to_text(&Postgres);
    let passed =
        bring(rows, session, columns, (&table, &write), None, &mut |_| ()).await.map_err(|broken| {
            match broken {
                Broken::Failed(error) => error,
                Broken::GivenUp(why) => FlowError::new(ErrorCode::TargetFailed, why),
            }
        })?;
    session.end(Blame::Target, "commit the partition", End::Commit).await?;
    Ok(passed.rows)
}

async fn columns_of(session: &dyn Session, table: &QualifiedName) -> Result<Vec<Column>> {
    let query = sql!("SELECT * FROM {table}", table).to_text(&Postgres);
    let found =
        session.inspector().columns(&query).await.map_err(|error| match session.says_missing(&error) {
            true => {
                FlowError::new(ErrorCode::TargetFailed, "the load that the partition belongs to has ended")
                    .sqlstate(error.sqlstate.unwrap_or_default())
                    .hint("its table is dropped with it, and a day after it was made")
            }
            false => error,
        })?;
    let of_rows = found.into_iter().filter(|column| column.name != ATTEMPT);
    of_rows
        .map(|column| {
            let data_type = CopyType::of(&column.name, &column.data_type, UnscaledNumeric::Text)?;
            Ok(Column::new(column.name, data_type))
        })
        .collect()
}

fn other_columns(rows: &dyn BatchSource, why: String) -> FlowError {
    FlowError::new(
        ErrorCode::InvalidValue,
        format!("{} do not go with the other partitions: {why}", rows.describe()),
    )
    .hint("every partition has the columns of the first, or of `schema`, in any order")
}

/// Takes the numbers that the planner needs, and gives the query of the rows of these attempts.
///
/// # Errors
/// What the server says.
pub async fn accept(
    session: &dyn Session,
    name: &str,
    columns: &[String],
    attempts: &[Uuid],
) -> Result<String> {
    let table = table(name)?;
    // A table that was just filled is a table that nobody has counted.
    let analyze = Postgres.analyze(&table, &[]).to_text(&Postgres);
    session.write("count the rows of the partitions", &analyze).await?;
    let columns = columns.iter().map(Ident::new).collect::<Result<Vec<_>>>()?;
    let attempts = attempts.iter().map(Uuid::to_string).collect::<Vec<_>>().join(",");
    let query = sql!(
        "SELECT {columns}\n  FROM {table}\n WHERE {attempt} = ANY ({attempts}::uuid[])",
        columns,
        table,
        attempt = Ident::fixed(ATTEMPT),
        attempts = text(format!("{{{attempts}}}"))
    );
    Ok(query.to_text(&Postgres))
}

/// Drops the table. Where an attempt that nobody needs holds it for too long, it is for the next writer to drop.
///
/// # Errors
/// What the server says; `locked`.
pub async fn close(session: &dyn Session, name: &str) -> Result<()> {
    let table = table(name)?;
    let ended = "-infinity";
    session
        .write("give the table of the partitions up", &kept_until(&table, ended).to_text(&Postgres))
        .await?;
    drop_table(session, &table).await
}

fn table(name: &str) -> Result<QualifiedName> {
    if !name.starts_with(PREFIX) {
        return Err(FlowError::new(ErrorCode::InvalidValue, format!("`{name}` is no table of partitions")));
    }
    QualifiedName::new(SCHEMA, name)
}
