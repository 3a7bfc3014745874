//! The least that roles need for a pipeline, from the same list that a plan looks up (`needed_privileges`). Only
//! the catalogue is asked, which everybody may read who may log in.

use super::super::privileges::{needed_privileges, on_sequences};
use super::super::{About, Engine, Request, beside};
use super::look;
use crate::session::Privilege;
use ematix_flow_core::connections::ConnectionTarget;
use ematix_flow_core::declare::options::ForcePath;
use ematix_flow_core::dialect::postgres::Postgres;
use ematix_flow_core::engine::POSTGRES;
use ematix_flow_core::error::Result;
use ematix_flow_core::history::SCHEMA;
use ematix_flow_core::history::grants::{ON_EACH_TABLE, deleted_from};
use ematix_flow_core::pipeline::{Pipeline, Target};
use ematix_flow_core::report::{ExecutionPath, LeastGrants};
use ematix_flow_core::schema::{LiveTable, rejected_rows};
use ematix_flow_core::sql::{Ident, QualifiedName, Quote};
use indexmap::IndexMap;

impl Engine {
    /// What the roles of a pipeline need, a connection at a time; `role` instead of those that the connections say.
    ///
    /// # Errors
    /// Of the pipeline, and as connecting.
    pub async fn least_grants(
        &self,
        name: &str,
        role: Option<&Ident>,
        request: &Request,
    ) -> Result<Vec<LeastGrants>> {
        let called = self.called(name, &request.stop).await.map_err(|error| self.locate(error, name))?;
        let engine = called.as_ref().unwrap_or(self);
        let targets = engine.targets(name, request, &About::planned())?;
        let whole = &targets.whole;
        let mut needs: IndexMap<String, Needs> = IndexMap::new();
        for reading in whole.source.readings() {
            let needs = engine.needs_on(&mut needs, &reading.connection, role)?;
            let relations = reading.query.relations();
            if relations.is_empty() {
                let note = "USAGE on the schemas and SELECT on the tables that the query names: it names none with its schema";
                needs.notes.push(note.to_owned());
            }
            // A table is read as it is; a query may call and name what only the server knows.
            if reading.query.simple().is_none() {
                let note = "EXECUTE on the functions that the query calls, where not everybody has it";
                needs.notes.push(note.to_owned());
            }
            for relation in relations {
                needs.schema("USAGE", relation.schema.as_str());
                needs.table("SELECT", &relation);
            }
            if whole.incremental.is_some() {
                let note = format!(
                    "late commits are found where the role sees who is at work: GRANT pg_read_all_stats TO {};",
                    needs.role
                );
                needs.notes.push(note);
            }
        }
        for target in &targets.each {
            let needs = engine.needs_on(&mut needs, &target.pipeline.target_connection, role)?;
            if needs.knows_roles {
                engine.of_target(&target.pipeline, needs).await?;
            }
        }
        if !whole.after.is_empty()
            && let Some(needs) = needs.get_mut(&whole.target_connection)
        {
            needs.notes.push("and what the statements of transforms_post do".to_owned());
        }
        Ok(needs.into_iter().map(|(connection, needs)| needs.told(name, connection)).collect())
    }

    fn needs_on<'n>(
        &self,
        all: &'n mut IndexMap<String, Needs>,
        connection: &str,
        role: Option<&Ident>,
    ) -> Result<&'n mut Needs> {
        if !all.contains_key(connection) {
            all.insert(connection.to_owned(), Needs::of(&self.resolve(connection)?, role)?);
        }
        Ok(&mut all[connection])
    }

    /// The columns that a load sets, as far as whoever asks may read the source: of a declared table, those that are
    /// declared.
    async fn columns_of(&self, pipeline: &Pipeline) -> Vec<String> {
        if let Target::Declared(table) = &pipeline.target {
            return table.columns.iter().map(|column| column.name.to_string()).collect();
        }
        let readings = pipeline.source.readings();
        let Some(reading) = readings.first() else { return Vec::new() };
        let Ok(session) = self.open(&reading.connection, "doctor").await else { return Vec::new() };
        let columns = session.inspector().columns(reading.query.text()).await.unwrap_or_default();
        session.close().await;
        columns.into_iter().map(|column| column.name).collect()
    }

    async fn of_target(&self, pipeline: &Pipeline, needs: &mut Needs) -> Result<()> {
        let session = self.open(&pipeline.target_connection, "doctor").await?;
        let name = pipeline.target.name();
        let (schema_exists, live) = look(session.as_ref(), name).await?;
        let metadata = QualifiedName::new(SCHEMA, "metadata")?;
        let (metadata_schema, metadata) = look(session.as_ref(), &metadata).await?;
        let beside_name = pipeline.quarantines().then(|| rejected_rows::table_of(name)).transpose()?;
        let rejected = match &beside_name {
            // Whatever is called so beside the target of a pipeline that puts rows aside has them.
            Some(name) => look(session.as_ref(), name).await?.1.map(|live| LiveTable { ours: true, ..live }),
            None => None,
        };
        if !metadata_schema {
            needs.first(format!("CREATE SCHEMA {SCHEMA};"));
        }
        needs.schema("USAGE", SCHEMA);
        if metadata.is_some() {
            needs.always.push(format!(
                "GRANT {} ON ALL TABLES IN SCHEMA {SCHEMA} TO {};",
                ON_EACH_TABLE.join(", "),
                needs.role
            ));
            for table in deleted_from(pipeline.incremental.is_some(), pipeline.limits.history_keep.is_some())
            {
                needs.table("DELETE", &QualifiedName::new(SCHEMA, table)?);
            }
        }
        let path = path_of(pipeline);
        let mut needed =
            needed_privileges(pipeline, path, false, schema_exists, (live.as_ref(), rejected.as_ref()));
        if let Some(live) = &live {
            let set = self.columns_of(pipeline).await;
            let set: Vec<&str> = set.iter().map(String::as_str).collect();
            needed.extend(on_sequences(session.as_ref(), name, live, &set).await?);
        }
        session.close().await;
        let puts_aside_yet = beside_name.is_some() && rejected.is_none();
        if let Some(name) = beside_name {
            needed.extend(beside::privileges(name, schema_exists, rejected.as_ref()));
        }
        let mut stages = false;
        for privilege in needed {
            match privilege {
                Privilege::Schema("CREATE", schema) if schema == SCHEMA => {
                    stages = true;
                    needs.schema("CREATE", SCHEMA);
                }
                // The table beside the target is made when the first row is put aside.
                Privilege::Schema("CREATE", schema) if puts_aside_yet => needs.schema("CREATE", &schema),
                Privilege::Schema("CREATE", schema) => needs.until_it_is_made(&schema),
                Privilege::Schema(word, schema) => needs.schema(word, &schema),
                Privilege::Table(word, table) => needs.table(word, &table),
                Privilege::Sequence(sequence) => {
                    needs.grant("USAGE", format!("SEQUENCE {}", Postgres.qualified(&sequence)));
                }
                Privilege::CreateSchema => {
                    needs.first(format!("CREATE SCHEMA {};", Postgres.quote(&name.schema)));
                    needs.schema("USAGE", name.schema.as_str());
                    if puts_aside_yet {
                        needs.schema("CREATE", name.schema.as_str());
                    }
                }
            }
        }
        if metadata.is_none() && !stages {
            needs.until_it_is_made(SCHEMA);
        }
        if live.is_some() && pipeline.migrate {
            needs.notes.push(format!(
                "migrate = true alters {}, which only its owner may",
                Postgres.qualified(name)
            ));
        }
        Ok(())
    }
}

/// As far as it can be told without proof: roles that need less than this are those of one connection.
fn path_of(pipeline: &Pipeline) -> ExecutionPath {
    let readings = pipeline.source.readings();
    let one = readings.len() == 1 && readings[0].connection == pipeline.target_connection;
    match pipeline.force_path {
        Some(ForcePath::Staging | ForcePath::ClientDiff) => ExecutionPath::Staging,
        Some(ForcePath::SameDb) | None if one => ExecutionPath::SameDatabase,
        Some(ForcePath::SameDb) | None => ExecutionPath::Staging,
    }
}

/// What a role needs on one connection.
struct Needs {
    address: String,
    knows_roles: bool,
    role: String,
    always: Vec<String>,
    /// Privileges by what they are on, in the words of a GRANT.
    on: IndexMap<String, Vec<&'static str>>,
    first_run: Vec<String>,
    afterwards: Vec<String>,
    notes: Vec<String>,
}

impl Needs {
    fn of(at: &ConnectionTarget, role: Option<&Ident>) -> Result<Needs> {
        let user = Ident::new(at.parameter("user").unwrap_or("nobody"))?;
        let role = Postgres.quote(role.or(at.role.as_ref()).unwrap_or(&user));
        let knows_roles = at.engine == POSTGRES.name;
        let mut needs = Needs {
            address: at.to_string(),
            knows_roles,
            role: role.clone(),
            always: Vec::new(),
            on: IndexMap::new(),
            first_run: Vec::new(),
            afterwards: Vec::new(),
            notes: Vec::new(),
        };
        match (knows_roles, at.parameter("dbname")) {
            (true, Some(database)) => {
                let database = Postgres.quote(&Ident::new(database)?);
                // Whoever takes a role logs in as somebody else.
                let user = Postgres.quote(&user);
                let who = if at.role.is_some() { &user } else { &role };
                needs.always.push(format!("GRANT CONNECT ON DATABASE {database} TO {who};"));
                if at.role.is_some() && user != role {
                    needs.always.push(format!("GRANT {role} TO {user};"));
                }
            }
            _ => needs.notes.push(format!("{} knows no roles", at.engine)),
        }
        Ok(needs)
    }

    fn grant(&mut self, word: &'static str, on: String) {
        let words = self.on.entry(on).or_default();
        if !words.contains(&word) {
            words.push(word);
        }
    }

    fn schema(&mut self, word: &'static str, schema: &str) {
        self.grant(word, format!("SCHEMA {}", Postgres.quote_or_show(schema)));
    }

    fn table(&mut self, word: &'static str, table: &QualifiedName) {
        self.grant(word, Postgres.qualified(table));
    }

    fn first(&mut self, statement: String) {
        if !self.first_run.contains(&statement) {
            self.first_run.push(statement);
        }
    }

    /// CREATE on a schema, which the role needs no more when its tables are there.
    fn until_it_is_made(&mut self, schema: &str) {
        let schema = Postgres.quote_or_show(schema);
        self.first(format!("GRANT CREATE ON SCHEMA {schema} TO {};", self.role));
        let revoke = format!("REVOKE CREATE ON SCHEMA {schema} FROM {};", self.role);
        if !self.afterwards.contains(&revoke) {
            self.afterwards.push(revoke);
        }
    }

    fn told(self, pipeline: &str, connection: String) -> LeastGrants {
        let role = self.role;
        let mut always = self.always;
        if self.knows_roles {
            always.extend(
                self.on.iter().map(|(on, words)| format!("GRANT {} ON {on} TO {role};", words.join(", "))),
            );
        }
        LeastGrants {
            pipeline: pipeline.to_owned(),
            connection,
            address: self.address,
            role,
            always,
            first_run: self.first_run,
            afterwards: self.afterwards,
            notes: self.notes,
        }
    }
}
