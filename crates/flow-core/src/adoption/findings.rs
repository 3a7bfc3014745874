//! What keeps a table from being a history of scd2's, how to find it, and what settles it.

use super::form::{Form, TimeColumn};
use crate::declare::options::OpenEnd;
use crate::dialect::Dialect;
use crate::history;
use crate::schema::{LiveColumn, LiveTable, ddl};
use crate::sql;
use crate::sql::{Ident, Literal, QualifiedName, Sql};
use crate::types::DataType;

/// How many keys are shown of what breaks a rule.
const SHOWN: i64 = 5;

/// From here on an end means that a version has none. Tools write the last day of the year 9999, or its first.
const END_OF_CALENDAR: &str = "9999-01-01";

/// What is kept of rows that leave a history: a table beside it, of this ending.
const SET_ASIDE: &str = "set_aside";

/// A history that is to be taken over.
#[derive(Clone, Debug)]
pub struct Held<'a> {
    /// The table.
    pub table: &'a QualifiedName,
    /// As it lives.
    pub live: &'a LiveTable,
    /// Which of its columns say what.
    pub form: &'a Form,
    /// The columns by which its rows are known.
    pub keys: &'a [Ident],
    /// The columns that the source fills.
    pub filled: &'a [String],
    /// What stands in the end of a version that has none.
    pub open_end: OpenEnd,
}

/// A rule, and what is asked to find what breaks it.
#[derive(Clone, Debug)]
pub struct Question {
    /// Its name, as `flow check` has it where it has one.
    pub name: &'static str,
    /// What is wrong where it is broken.
    pub detail: String,
    /// Gives how many rows break it, and keys of the first, each as text. `None` where the table itself shows it.
    pub sql: Option<Sql>,
    /// What settles it; empty where only a person can.
    pub remedy: Vec<Sql>,
}

/// A rule that is broken.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Its name.
    pub name: &'static str,
    /// What is wrong.
    pub detail: String,
    /// How many rows, or keys, break it; `None` where it is the table itself.
    pub count: Option<i64>,
    /// Keys of the first.
    pub sample: Vec<Vec<Option<String>>>,
    /// What settles it.
    pub remedy: Vec<Sql>,
}

/// A question with its answer: a finding where there is something.
pub fn judged(question: Question, rows: &[Vec<Option<String>>]) -> Option<Finding> {
    let Question { name, detail, sql, remedy } = question;
    let count = rows.first().and_then(|row| row.first()?.as_deref()?.parse().ok());
    let sample = rows.iter().map(|row| row.iter().skip(1).cloned().collect()).collect();
    (sql.is_none() || count.is_some()).then_some(Finding { name, detail, count, sample, remedy })
}

/// The statements that settle all that was found, in an order in which each finds what it needs. What one changes may
/// break a rule that comes after it, so those come too.
pub fn plan(held: &Held<'_>, findings: &[Finding], dialect: &dyn Dialect) -> Vec<Sql> {
    let mut statements: Vec<Sql> = Vec::new();
    let mut add = |new: &[Sql]| {
        for statement in new {
            if !statements.contains(statement) {
                statements.push(statement.clone());
            }
        }
    };
    let words = Words { held, dialect };
    let is_found = |name: &str| findings.iter().any(|finding| finding.name == name);
    let changes_beginnings = is_found(NO_BEGINNING);
    let changes_ends =
        changes_beginnings || is_found(OTHER_END) || is_found(OVERLAP) || is_found(SEVERAL_CURRENT);
    for finding in findings {
        add(&finding.remedy);
    }
    if changes_beginnings {
        add(&words.once_per_beginning());
    }
    if changes_ends {
        add(&[words.close_at_the_next()]);
    }
    if held.form.flag_of(held.live).is_some()
        && (changes_ends || is_found(OTHER_TYPE) || is_found(OTHER_FLAG))
    {
        // Last: it says what the ends say.
        statements.retain(|statement| *statement != words.flag_as_the_end());
        statements.push(words.flag_as_the_end());
    }
    statements
}

const OTHER_TYPE: &str = "column_type";
const NO_BEGINNING: &str = "has_a_beginning";
const OTHER_END: &str = "one_open_end";
const OVERLAP: &str = "no_overlap";
const SEVERAL_CURRENT: &str = "one_current_version";
const OTHER_FLAG: &str = "current_is_open";

/// The metadata of an earlier ematix-flow stand where ours are to be.
pub fn other_metadata() -> Finding {
    Finding {
        name: "metadata_schema",
        detail: format!("the schema {} holds the metadata of an earlier ematix-flow", history::SCHEMA),
        count: None,
        sample: Vec::new(),
        remedy: vec![history::set_aside()],
    }
}

/// What is to be asked of a history before it is taken over.
pub fn questions(held: &Held<'_>, dialect: &dyn Dialect) -> Vec<Question> {
    let words = Words { held, dialect };
    let mut all = words.of_types();
    all.extend(words.of_what_cannot_be_null());
    all.extend(words.of_rows());
    all
}

/// Asks how versions without an end say so: of how many keys with NULL, of how many with infinity; and how many keys
/// have no such version.
pub fn ends(table: &QualifiedName, form: &Form, keys: &[Ident], dialect: &dyn Dialect) -> Sql {
    sql!(
        "SELECT {count}(*) FILTER (WHERE k.of_null > 0), {count}(*) FILTER (WHERE k.of_infinity > 0), {count}(*) FILTER (WHERE k.open = 0)\n  FROM (SELECT {count}(*) FILTER (WHERE t.{end} IS NULL) AS of_null,\n               {count}(*) FILTER (WHERE t.{end} = 'infinity') AS of_infinity,\n               {count}(*) FILTER (WHERE t.{end} IS NULL OR t.{end} >= {limit}) AS open\n          FROM {table} AS t\n         GROUP BY {keys}) AS k",
        count = dialect.function("count"),
        end = form.end,
        limit = Literal::Text(END_OF_CALENDAR.to_owned()),
        table,
        keys
    )
}

/// The statements about one history.
struct Words<'a> {
    held: &'a Held<'a>,
    dialect: &'a dyn Dialect,
}

impl Words<'_> {
    /// Columns whose type the strategy cannot use.
    fn of_types(&self) -> Vec<Question> {
        let Held { table, live, form, .. } = self.held;
        let mut all = Vec::new();
        for column in [&form.begin, &form.end] {
            if form.time_of(live, column) == TimeColumn::Other {
                let (instant, local) =
                    (self.type_name(&DataType::TimestampTz), self.type_name(&DataType::Timestamp));
                let settled = sql!(
                    "ALTER TABLE {table} ALTER COLUMN {column} TYPE {instant} USING {column}::{local} AT TIME ZONE 'UTC'",
                    table,
                    column,
                    instant,
                    local
                );
                all.push(self.of_table(OTHER_TYPE, column, "no point in time", settled));
            }
        }
        if let Some((_, false)) = form.flag_of(live) {
            let column = &form.flag;
            let settled = sql!(
                "ALTER TABLE {table} ALTER COLUMN {column} DROP DEFAULT, ALTER COLUMN {column} TYPE {boolean} USING {lower}({column}::text) IN ('1', 'y', 'yes', 't', 'true', 'current')",
                table,
                column,
                boolean = self.type_name(&DataType::Boolean),
                lower = self.dialect.function("lower")
            );
            all.push(self.of_table(OTHER_TYPE, column, "no truth value", settled));
        }
        all
    }

    fn of_table(&self, name: &'static str, column: &Ident, is: &str, settled: Sql) -> Question {
        let live = self.held.live.column(column.as_str());
        let own = live.map(|live| live.data_type.name.as_str()).unwrap_or_default();
        Question {
            name,
            detail: format!("the column {column} is {own}, {is}"),
            sql: None,
            remedy: vec![settled],
        }
    }

    /// Columns that no insert of ours fills, and that refuse NULL.
    fn of_what_cannot_be_null(&self) -> Vec<Question> {
        let Held { table, live, form, filled, .. } = self.held;
        let managed = [&form.begin, &form.end, &form.flag, &form.hash];
        let is_bare = |column: &&LiveColumn| {
            !column.nullable
                && column.default.is_none()
                && !column.generated
                && !filled.contains(&column.name)
                && !managed.iter().any(|own| own.as_str() == column.name)
        };
        let of_primary = |column: &LiveColumn| {
            live.indexes.iter().find(|index| index.primary && index.columns.contains(&column.name))
        };
        let settled = |column: &LiveColumn| -> Option<Vec<Sql>> {
            let name = Ident::new(&column.name).ok()?;
            let number = ["smallint", "integer", "bigint"].contains(&column.data_type.wire.name.as_str());
            if of_primary(column).is_some() && number {
                // A surrogate key that its tool counted: the server goes on counting behind the last.
                let sequence = Literal::Text(format!(
                    "{}.{}",
                    self.dialect.quote(&table.schema),
                    self.dialect.quote(&table.name)
                ));
                return Some(vec![
                    sql!(
                        "ALTER TABLE {table} ALTER COLUMN {name} ADD GENERATED BY DEFAULT AS IDENTITY",
                        table,
                        name
                    ),
                    sql!(
                        "SELECT {setval}({serial}({sequence}, {column}), {max}({name})) FROM {table}",
                        setval = self.dialect.function("setval"),
                        serial = self.dialect.function("pg_get_serial_sequence"),
                        sequence,
                        column = Literal::Text(column.name.clone()),
                        max = self.dialect.function("max"),
                        name,
                        table
                    ),
                ]);
            }
            let mut statements = Vec::new();
            if let Some(index) = of_primary(column) {
                let constraint = Ident::new(&index.name).ok()?;
                statements.push(sql!("ALTER TABLE {table} DROP CONSTRAINT {constraint}", table, constraint));
            }
            statements.push(sql!("ALTER TABLE {table} ALTER COLUMN {name} DROP NOT NULL", table, name));
            Some(statements)
        };
        let told = |column: &LiveColumn| Question {
            name: "fillable",
            detail: format!(
                "the column {} cannot be NULL, has no default, and nothing fills it",
                column.name
            ),
            sql: None,
            remedy: settled(column).unwrap_or_default(),
        };
        live.columns.iter().filter(is_bare).map(told).collect()
    }

    /// What is asked of the rows.
    fn of_rows(&self) -> Vec<Question> {
        let Held { table, live, form, keys, .. } = self.held;
        let (begin, end) = (&form.begin, &form.end);
        let rows = |condition: &Sql| sql!("SELECT t.* FROM {table} AS t WHERE {condition}", table, condition);
        let null = Sql::join(keys.iter().map(|key| sql!("t.{key} IS NULL", key)), " OR ");
        let mut all =
            vec![self.of("no_null_key", "a column of the key is NULL", &rows(&null), self.set_aside(&null))];
        if let Some(deleted) = &form.deleted {
            let marked =
                sql!("{lower}(t.{deleted}::text) = 'true'", lower = self.dialect.function("lower"), deleted);
            let words =
                "the row stands for a deletion and holds no version: scd2 closes the version before instead";
            all.push(self.of("no_deletion_marker", words, &rows(&marked), self.set_aside(&marked)));
        }
        let unbegun = sql!("t.{begin} IS NULL", begin);
        let epoch = sql!(
            "UPDATE {table} AS t SET {begin} = '1970-01-01 00:00:00+00' WHERE t.{begin} IS NULL",
            table,
            begin
        );
        all.push(self.of(NO_BEGINNING, "a version has no beginning", &rows(&unbegun), vec![epoch]));
        all.push(self.of_ends());
        let period = sql!("t.{begin} >= t.{end}", begin, end);
        let words = "a version ends before it begins, or when it begins";
        all.push(self.of("begins_before_it_ends", words, &rows(&period), self.set_aside(&period)));
        let again = self.again(&sql!("t.*"));
        let once = self.once_per_beginning();
        all.push(self.of("one_version_at_a_time", "two versions of the key begin together", &again, once));
        let many = sql!(
            "SELECT {of_keys} FROM {table} AS t WHERE {open} GROUP BY {of_keys} HAVING {count}(*) > 1",
            of_keys = self.of_keys("t"),
            table,
            open = self.is_open(),
            count = self.dialect.function("count")
        );
        let close = || vec![self.close_at_the_next()];
        all.push(self.of(SEVERAL_CURRENT, "the key has several versions without an end", &many, close()));
        let next = next();
        let overlap = sql!(
            "SELECT t.* FROM ({with_next}) AS t WHERE t.{end} > t.{next}",
            with_next = self.with_next(),
            end,
            next
        );
        all.push(self.of(OVERLAP, "two versions are valid at the same time", &overlap, close()));
        if let Some((_, true)) = form.flag_of(live) {
            let other = sql!("t.{flag} IS DISTINCT FROM ({open})", flag = form.flag, open = self.is_open());
            let words = "a version is current and has an end, or neither";
            all.push(self.of(OTHER_FLAG, words, &rows(&other), vec![self.flag_as_the_end()]));
        }
        let ahead = sql!(
            "{open} AND t.{begin} > {now}()",
            open = self.is_open(),
            begin,
            now = self.dialect.function("now")
        );
        all.push(self.of(
            "begins_before_now",
            "the current version begins in the future",
            &rows(&ahead),
            Vec::new(),
        ));
        all
    }

    /// A version without an end says so in one way only.
    fn of_ends(&self) -> Question {
        let Held { table, form, open_end, .. } = self.held;
        let end = &form.end;
        let (settled, other, word) = match open_end {
            OpenEnd::Null => (Sql::text("NULL"), sql!("t.{end} IS NOT NULL", end), "NULL"),
            OpenEnd::Infinity => {
                (Sql::text("'infinity'"), sql!("t.{end} IS DISTINCT FROM 'infinity'", end), "infinity")
            }
        };
        let other = sql!("{open} AND {other}", open = self.is_open(), other);
        let rows = sql!("SELECT t.* FROM {table} AS t WHERE {other}", table, other);
        let update =
            sql!("UPDATE {table} AS t SET {end} = {settled} WHERE {other}", table, end, settled, other);
        let words = format!("the end of a version that has none is not {word}");
        Question { detail: words, ..self.of(OTHER_END, "", &rows, vec![update]) }
    }

    fn of(&self, name: &'static str, detail: &str, rows: &Sql, remedy: Vec<Sql>) -> Question {
        let text = self.type_name(&DataType::Text);
        let texts = self.held.keys.iter().map(|key| sql!("t.{key}::{text}", key, text));
        let sql = sql!(
            "SELECT {count}(*) OVER (), {texts}\n  FROM ({rows}) AS t\n ORDER BY {of_keys}\n LIMIT {shown}",
            count = self.dialect.function("count"),
            texts = Sql::join(texts, ", "),
            rows,
            of_keys = self.of_keys("t"),
            shown = Literal::Integer(SHOWN)
        );
        Question { name, detail: detail.to_owned(), sql: Some(sql), remedy }
    }

    fn type_name(&self, data_type: &DataType) -> Sql {
        Sql::from_dialect(self.dialect.type_name(data_type))
    }

    fn of_keys(&self, alias: &'static str) -> Sql {
        Sql::join(self.held.keys.iter().map(|key| sql!("{alias}.{key}", alias = Sql::text(alias), key)), ", ")
    }

    /// Whether a version `t` has no end, in whichever way it says so.
    fn is_open(&self) -> Sql {
        let limit = Literal::Text(END_OF_CALENDAR.to_owned());
        sql!("(t.{end} IS NULL OR t.{end} >= {limit})", end = self.held.form.end, limit)
    }

    /// The versions, each with the beginning of the next one of its key.
    fn with_next(&self) -> Sql {
        let Held { table, form, .. } = self.held;
        sql!(
            "SELECT t.*, {lead}(t.{begin}) OVER (PARTITION BY {of_keys} ORDER BY t.{begin}) AS {next} FROM {table} AS t WHERE t.{begin} IS NOT NULL",
            lead = self.dialect.function("lead"),
            begin = form.begin,
            of_keys = self.of_keys("t"),
            next = next(),
            table
        )
    }

    /// The versions that begin together with another one of their key, but for the one that lasts longest.
    fn again(&self, columns: &Sql) -> Sql {
        let Held { table, form, .. } = self.held;
        let (begin, end) = (&form.begin, &form.end);
        sql!(
            "SELECT * FROM (SELECT {columns}, {number}() OVER (PARTITION BY {of_keys}, t.{begin} ORDER BY t.{end} DESC NULLS FIRST, {address} DESC) AS {next} FROM {table} AS t WHERE t.{begin} IS NOT NULL) AS t WHERE t.{next} > 1",
            columns,
            number = self.dialect.function("row_number"),
            of_keys = self.of_keys("t"),
            begin,
            end,
            address = self.dialect.row_address("t", true),
            next = next(),
            table
        )
    }

    fn once_per_beginning(&self) -> Vec<Sql> {
        let address = Ident::fixed("_ematix_address");
        let rows =
            self.again(&sql!("{row} AS {address}", row = self.dialect.row_address("t", true), address));
        let here = self.dialect.row_address("t", true);
        self.set_aside(&sql!("{here} IN (SELECT t.{address} FROM ({rows}) AS t)", here, address, rows))
    }

    /// A version ends where the next one of its key begins.
    fn close_at_the_next(&self) -> Sql {
        let Held { table, form, keys, .. } = self.held;
        let (begin, end, next) = (&form.begin, &form.end, next());
        let same = Sql::join(keys.iter().map(|key| sql!("t.{key} = n.{key}", key)), " AND ");
        sql!(
            "UPDATE {table} AS t SET {end} = n.{next} FROM ({with_next}) AS n WHERE {same} AND t.{begin} = n.{begin} AND n.{next} IS NOT NULL AND (t.{end} IS NULL OR t.{end} > n.{next})",
            table,
            end,
            next,
            with_next = self.with_next(),
            same,
            begin
        )
    }

    fn flag_as_the_end(&self) -> Sql {
        let Held { table, form, .. } = self.held;
        let (flag, open) = (&form.flag, self.is_open());
        sql!(
            "UPDATE {table} AS t SET {flag} = {open} WHERE t.{flag} IS DISTINCT FROM {open}",
            table,
            flag,
            open
        )
    }

    /// Rows leave the history, and are kept in a table beside it.
    fn set_aside(&self, condition: &Sql) -> Vec<Sql> {
        let table = self.held.table;
        let name = ddl::object_name(&table.name, SET_ASIDE);
        let aside = QualifiedName { schema: table.schema.clone(), name };
        let gone = Ident::fixed("gone");
        vec![
            sql!("CREATE TABLE IF NOT EXISTS {aside} AS SELECT * FROM {table} WITH NO DATA", aside, table),
            sql!(
                "WITH {gone} AS (DELETE FROM {table} AS t WHERE {condition} RETURNING t.*) INSERT INTO {aside} SELECT * FROM {gone}",
                gone,
                table,
                condition,
                aside
            ),
        ]
    }
}

/// The beginning of the version after this one; a number of a version among its like.
fn next() -> Ident {
    Ident::fixed("_ematix_next")
}
