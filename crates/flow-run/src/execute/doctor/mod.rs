//! What `flow doctor` looks at: connections, metadata, and whether pipelines could run. Nothing is written.

mod grants;
mod server;

use super::connections::in_time;
use super::{Engine, Request};
use crate::history::{HistoryStore, MetadataCondition};
use crate::session::{Privilege, Session, nth};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::history::SCHEMA;
use ematix_flow_core::history::grants::{ON_EACH_TABLE, deleted_from};
use ematix_flow_core::pipeline::{Brought, Pipeline};
use ematix_flow_core::plan::{Blame, Plan};
use ematix_flow_core::report::{Check, DoctorReport, Patient};
use ematix_flow_core::schema::LiveTable;
use ematix_flow_core::sql::QualifiedName;
use std::time::Instant;

/// How much longer than for the log-in a connection may take for everything that it is asked.
const PATIENCE: u32 = 3;

impl Engine {
    /// Looks at connections and pipelines, in their order; those of the pipelines are among the first.
    pub async fn doctor(
        &self,
        connections: &[String],
        pipelines: &[String],
        request: &Request,
    ) -> DoctorReport {
        let targets: Vec<String> =
            self.by_connection(pipelines).map(|found| found.into_keys().collect()).unwrap_or_default();
        let mut report = DoctorReport::default();
        for name in connections {
            report.connections.push(self.examine(name, targets.contains(name)).await);
        }
        // What one of them has waited for in vain, no pipeline waits for once more.
        let silent: Vec<String> =
            report.connections.iter().filter(|each| is_silent(each)).map(|each| each.name.clone()).collect();
        for name in pipelines {
            let own = self.connections_of(std::slice::from_ref(name));
            report.pipelines.push(match own.iter().find(|connection| silent.contains(connection)) {
                Some(connection) => not_looked_at(name, connection),
                None => self.examine_pipeline(name, request).await,
            });
        }
        report
    }

    /// The connections of some pipelines, each once: what they read, then what they write.
    pub fn connections_of(&self, pipelines: &[String]) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        let (_, stop) = tokio::sync::watch::channel(super::Stop::No);
        let request = Request::plain(stop);
        for name in pipelines {
            let Ok(built) = Pipeline::build(&self.project, name, &request.overrides) else { continue };
            let sources = built.source.readings().into_iter().map(|reading| match &reading.brought {
                Some(Brought::Foreign(foreign)) => foreign.connection.clone(),
                _ => reading.connection.clone(),
            });
            for connection in sources.chain([built.target_connection.clone()]) {
                if !found.contains(&connection) {
                    found.push(connection);
                }
            }
        }
        found
    }

    async fn examine(&self, name: &str, is_target: bool) -> Patient {
        let mut patient = Patient { name: name.to_owned(), about: String::new(), checks: Vec::new() };
        let at = match self.resolve(name) {
            Ok(at) => at,
            Err(error) => {
                patient.checks.push(Check::of_error("reachable", error));
                return patient;
            }
        };
        patient.about = at.to_string();
        let began = Instant::now();
        if let Some(engine) = at.foreign() {
            match ematix_flow_foreign::ask(engine, &at).await {
                Ok(told) => {
                    let message = format!("logged in within {} ms", began.elapsed().as_millis());
                    patient.checks.push(Check::ok("reachable", message));
                    patient.checks.push(Check::ok("server", format!("{}, which is read", told.version)));
                }
                Err(error) => patient.checks.push(Check::of_error("reachable", error)),
            }
            return patient;
        }
        let session = match self.open(name, "doctor").await {
            Ok(session) => session,
            Err(error) => {
                patient.checks.push(Check::of_error("reachable", error));
                return patient;
            }
        };
        let role = at.role.as_ref().map(|role| format!(", as the role {role}")).unwrap_or_default();
        let message = format!("logged in within {} ms{role}", began.elapsed().as_millis());
        patient.checks.push(Check::ok("reachable", message));
        patient.checks.push(server::version(session.as_ref()));
        let questions = async {
            let mut found = match self.server(name, &at, session.as_ref(), is_target).await {
                Ok(found) => found,
                Err(error) => vec![Check::of_error("server", error)],
            };
            found.extend(metadata(session.as_ref(), is_target, self.forgets_in(name)).await);
            Ok(found)
        };
        match in_time(&at, at.patience() * PATIENCE, questions).await {
            Ok(found) => patient.checks.extend(found),
            Err(error) => patient.checks.push(Check::of_error("server", error)),
        }
        session.close().await;
        patient
    }

    /// Whether a pipeline that loads into a connection says how long its runs are kept.
    fn forgets_in(&self, connection: &str) -> bool {
        let names = self.project.pipelines.keys();
        let built = names.filter_map(|name| Pipeline::build(&self.project, name, &Default::default()).ok());
        let mut here = built.filter(|built| built.target_connection == connection);
        here.any(|built| built.limits.history_keep.is_some())
    }

    async fn examine_pipeline(&self, name: &str, request: &Request) -> Patient {
        let mut patient = Patient { name: name.to_owned(), about: String::new(), checks: Vec::new() };
        let built = match Pipeline::build(&self.project, name, &request.overrides) {
            Ok(built) => built,
            Err(errors) => {
                patient.checks.extend(errors.into_iter().map(|error| Check::of_error("files", error)));
                return patient;
            }
        };
        patient.about = format!(
            "{}  {} → {} {}",
            built.strategy.mode().name(),
            built
                .source
                .readings()
                .iter()
                .map(|from| from.connection.as_str())
                .collect::<Vec<_>>()
                .join(", "),
            built.target_connection,
            built.target_key()
        );
        let planned = match self.plan(name, request).await {
            Ok(Plan { refused: Some(error), .. }) | Err(error) => Err(self.locate(error, name)),
            Ok(plan) => Ok(plan),
        };
        match planned {
            Ok(plan) => {
                let header = &plan.header;
                let keys = match &header.keys_reason {
                    Some(reason) if !header.keys.is_empty() => {
                        format!("; keys {} ({reason})", header.keys.join(", "))
                    }
                    _ => String::new(),
                };
                let steps = plan.steps().count();
                let message = format!("{steps} steps by the path {}{keys}", header.path.name());
                patient.checks.push(Check::ok("plan", message));
                for warning in &plan.warnings {
                    let what = "see what the plan says: flow plan";
                    patient.checks.push(Check::warning("plan", warning.clone(), format!("{what} {name}")));
                }
            }
            Err(error) => patient.checks.push(Check::of_error("plan", error)),
        }
        match self.privileges_on_metadata(&built).await {
            Ok(checks) => patient.checks.extend(checks),
            // It stands at the connection, and at the plan.
            Err(error) if error.code.exit() == ematix_flow_core::error::ExitCode::Unreachable => {}
            Err(error) => patient.checks.push(Check::of_error("history", error)),
        }
        patient
    }

    /// Whether the role of a target may write the history.
    async fn privileges_on_metadata(&self, built: &Pipeline) -> Result<Option<Check>> {
        let session = self.open(&built.target_connection, "doctor").await?;
        let history = HistoryStore::on(session.as_ref());
        let needed: Vec<Privilege> = match history.exists().await? {
            true => {
                // Whether it makes tables of its own there is the plan's to say.
                let schema = [Privilege::Schema("USAGE", SCHEMA.to_owned())];
                let tables = history.table_names();
                let on_tables = tables
                    .iter()
                    .flat_map(|name| ON_EACH_TABLE.map(|word| Privilege::Table(word, name.clone())));
                let deleted_from =
                    deleted_from(built.incremental.is_some(), built.limits.history_keep.is_some());
                let deletes = tables
                    .iter()
                    .filter(|name| deleted_from.contains(&name.name.as_str()))
                    .map(|name| Privilege::Table("DELETE", name.clone()));
                schema.into_iter().chain(on_tables).chain(deletes).collect()
            }
            // Its schema may be there, be it empty.
            false => match look(session.as_ref(), &QualifiedName::new(SCHEMA, "metadata")?).await?.0 {
                true => vec![Privilege::Schema("CREATE", SCHEMA.to_owned())],
                false => vec![Privilege::CreateSchema],
            },
        };
        let missing = session.inspector().missing_privileges(&needed);
        let doing = "look up privileges";
        let answers = session.ask(Blame::Target, doing, &missing.sql).await?;
        let found = missing.read(nth(&answers, 0, doing)?, doing)?;
        session.close().await;
        let Some(first) = found.first() else {
            return Ok(Some(Check::ok("history", "the role may write the history")));
        };
        let grants = found.iter().map(|missing| missing.grant.as_str()).collect::<Vec<_>>().join("; ");
        let mut error = FlowError::new(ErrorCode::PermissionDenied, format!("the role lacks {}", first.what));
        for missing in &found[1..] {
            error = error.detail(format!("it lacks {}", missing.what));
        }
        Ok(Some(Check::of_error("history", error.hint(grants))))
    }
}

/// Whether a connection did not answer in time.
fn is_silent(patient: &Patient) -> bool {
    let codes = patient.checks.iter().filter_map(|check| check.error.as_ref());
    codes.into_iter().any(|error| error.code == ErrorCode::ConnectTimeout)
}

fn not_looked_at(name: &str, connection: &str) -> Patient {
    let message = format!("not looked at: the connection {connection} does not answer");
    let check = Check::failed("plan", message, format!("mend the connection: flow doctor {connection}"));
    Patient { name: name.to_owned(), about: String::new(), checks: vec![check] }
}

/// Whether a schema is there, and a table in it.
async fn look(session: &dyn Session, name: &QualifiedName) -> Result<(bool, Option<LiveTable>)> {
    let doing = "look at the target";
    let table = session.inspector().table(name);
    let answers = session.ask(Blame::Target, doing, &table.sql).await?;
    table.read(nth(&answers, 0, doing)?, doing)
}

/// How much is remembered: a history that nobody cuts makes every look at it slower some day.
fn remembered(runs: i64, since: Option<&str>, forgets: bool) -> Check {
    const CHECK: &str = "remembered";
    const MANY: i64 = 100_000;
    let day = since.and_then(|since| since.split('T').next());
    let message = match (runs, day) {
        (1, Some(day)) => format!("1 run, of {day}"),
        (_, Some(day)) => format!("{runs} runs since {day}"),
        (_, None) => "no run".to_owned(),
    };
    match runs > MANY && !forgets {
        true => Check::warning(
            CHECK,
            format!("{message}, and none is ever forgotten"),
            "say how long they are kept: history_keep = \"90d\" in [defaults]",
        ),
        false => Check::ok(CHECK, message),
    }
}

/// The metadata, and what runs that died have left in them; `forgets`: pipelines that load there say how long runs are kept.
async fn metadata(session: &dyn Session, is_target: bool, forgets: bool) -> Vec<Check> {
    const CHECK: &str = "metadata";
    let condition = match HistoryStore::on(session).condition().await {
        Ok(None) if !is_target => return Vec::new(),
        Ok(None) => {
            return vec![Check::ok(CHECK, format!("none yet: the first run makes the schema {SCHEMA}"))];
        }
        Ok(Some(condition)) => condition,
        // Whoever only reads there has nothing to do with them.
        Err(_) if !is_target => return Vec::new(),
        Err(error) => return vec![Check::of_error(CHECK, error)],
    };
    let MetadataCondition { version, known, silent, orphans, runs, since } = condition;
    let mut checks = vec![match version == known {
        true => Check::ok(CHECK, format!("of version {version}")),
        false => Check::ok(CHECK, format!("of version {version}; the next run migrates them to {known}")),
    }];
    checks.push(remembered(runs, since.as_deref(), forgets));
    checks.push(match silent.as_slice() {
        [] => Check::ok("leases", "every run that is under way gives signs of life"),
        silent => {
            let runs: Vec<String> = silent
                .iter()
                .map(|run| {
                    let short = ematix_flow_core::history::short_id(&run.run_id);
                    format!("{} (run {short}, silent since {})", run.pipeline, run.since)
                })
                .collect();
            let message = format!("runs have ended without a word: {}", runs.join(", "));
            Check::warning(
                "leases",
                message,
                "the next run marks them lost; what their sessions still hold: flow unlock NAME",
            )
        }
    });
    checks.push(match orphans.as_slice() {
        [] => Check::ok("stages", "no run has left a table behind"),
        orphans => Check::warning(
            "stages",
            format!("tables of runs that are over: {}", orphans.join(", ")),
            format!("DROP TABLE {};", orphans.join(", ")),
        ),
    });
    checks
}
