//! The connections of a project: which are meant, where they lead, and a session on one, waited for where that helps.

use super::Engine;
use super::patience::{COMEBACKS, Patience, may_come_back};
use crate::session::{Access, End, Session};
use ematix_flow_core::connections::{self, ConnectionTarget};
use ematix_flow_core::declare::Places;
use ematix_flow_core::declare::transforms::PostTransform;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::pipeline::Pipeline;
use ematix_flow_core::plan::Blame;
use ematix_flow_core::report::ConnectionReport;
use std::collections::HashSet;
use std::future::Future;
use std::time::{Duration, Instant};

/// Connections that nothing seen from here says anything of.
#[derive(Clone, Debug, Default)]
pub struct Undeclared {
    /// Probably slips: another connection has nearly the same name.
    pub slips: Vec<FlowError>,
    /// What another environment may bring, in words.
    pub elsewhere: Vec<String>,
}

/// What a server that has let us in is asked: whether it encrypts, and whether it takes what the connection pins.
async fn answers(session: &dyn Session) -> Result<Option<bool>> {
    let encrypted = session.is_encrypted().await?;
    session.begin(Blame::Source, Access::ReadOnly, None).await?;
    session.end(Blame::Source, "end the question", End::RollBack).await?;
    Ok(encrypted)
}

/// What a server answers within a limit, which holds for all that it is asked.
///
/// # Errors
/// `connect_timeout`, and as the questions.
pub(super) async fn in_time<T>(
    at: &ConnectionTarget,
    limit: Duration,
    questions: impl Future<Output = Result<T>>,
) -> Result<T> {
    match tokio::time::timeout(limit, questions).await {
        Ok(answered) => answered,
        Err(_) => {
            let seconds = limit.as_secs();
            let message = format!("{at} took the log-in, and then did not answer within {seconds} s");
            Err(FlowError::new(ErrorCode::ConnectTimeout, message)
                .hint("look whether the server, or a pooler before it, hangs; connect_timeout sets the limit in seconds"))
        }
    }
}

/// What is known of a connection before anything is opened.
fn reported(name: String, found_in: String, resolved: Result<&ConnectionTarget>) -> ConnectionReport {
    let at = resolved.as_ref().ok();
    ConnectionReport {
        name,
        address: at.map(ToString::to_string).unwrap_or_default(),
        found_in,
        sslmode: at.and_then(|at| at.parameter("sslmode")).map(str::to_owned),
        server_version: None,
        encrypted: None,
        milliseconds: None,
        error: resolved.err(),
    }
}

impl Engine {
    /// The connections of a pipeline that nothing seen from here says anything of.
    pub fn undeclared(&self, pipeline: &str) -> Undeclared {
        let Some(spec) = self.project.pipelines.get(pipeline) else { return Undeclared::default() };
        let parts = self.project.together.get(pipeline).into_iter().flat_map(|parts| parts.values());
        let path = Places::path("pipelines", pipeline);
        let mut names: Vec<(&str, String)> = Vec::new();
        for spec in std::iter::once(spec).chain(parts) {
            let sources = spec.source.connections().into_iter().map(|name| (name, "source.connection"));
            let target = (spec.options.target_connection.as_deref(), "target_connection");
            let own = sources.chain([target]);
            names.extend(own.filter_map(|(name, option)| Some((name?, format!("{path}.{option}")))));
        }
        let after = spec.options.transforms_post();
        let after = after.iter().filter_map(PostTransform::refers_to);
        names.extend(after.filter_map(|name| self.connection_of_transform(name)));
        self.undeclared_among(names)
    }

    /// The same of every transform.
    pub fn undeclared_of_transforms(&self) -> Undeclared {
        let names = self.project.transforms.keys();
        self.undeclared_among(names.filter_map(|name| self.connection_of_transform(name)).collect())
    }

    fn undeclared_among(&self, mut names: Vec<(&str, String)>) -> Undeclared {
        let mut found = Undeclared::default();
        let mut told = HashSet::new();
        names.retain(|(name, _)| told.insert(*name));
        for (name, option) in names {
            let Err(error) = connections::declared(name, &self.project, self.environment.as_ref()) else {
                continue;
            };
            if error.code == ErrorCode::UnknownConnection && !error.context.contains_key("meant") {
                found.elsewhere.push(format!("the connection {name}, which nothing here declares"));
                continue;
            }
            found.slips.push(match self.project.places.find(&option) {
                Some(place) => error.at(place),
                None => error,
            });
        }
        found
    }

    /// The connection that a transform names, and where.
    pub(crate) fn connection_of_transform(&self, name: &str) -> Option<(&str, String)> {
        let connection = self.project.transforms.get(name)?.connection.as_deref()?;
        Some((connection, format!("{}.connection", Places::path("transforms", name))))
    }

    /// Where a connection leads.
    ///
    /// # Errors
    /// `unknown_connection`, `missing_variable`, and what is wrong with what is written.
    pub fn resolve(&self, connection: &str) -> Result<ConnectionTarget> {
        connections::resolve(connection, &self.project, self.environment.as_ref())
    }

    /// Opens a session on a connection; `what` it is for is what the server shows of it.
    ///
    /// # Errors
    /// As [`Engine::resolve`]; `not_yet_supported` where no driver opens it, and of class `unreachable`.
    pub async fn open(&self, connection: &str, what: &str) -> Result<Box<dyn Session>> {
        let at = self.resolve(connection)?;
        self.drivers.find(&at)?.open(&at, what).await
    }

    /// As [`Engine::open`], but waits for a file that another process has, as a run waits for its target, and a moment
    /// for a server that is away.
    pub(super) async fn open_in_turn(
        &self,
        pipeline: &Pipeline,
        connection: &str,
        what: &str,
        told: impl Fn(&FlowError),
    ) -> Result<Box<dyn Session>> {
        let mut patience = Patience::of(pipeline, what);
        let mut comebacks = COMEBACKS.into_iter();
        loop {
            match self.open(connection, what).await {
                Err(error) if error.code == ErrorCode::Locked => {
                    if !patience.lasts() {
                        return Err(patience.ended(error));
                    }
                    patience.wait(|| told(&error)).await;
                }
                Err(error) if may_come_back(&error) => match comebacks.next() {
                    Some(pause) => {
                        told(&error);
                        tokio::time::sleep(pause).await;
                    }
                    None => return Err(error),
                },
                done => return done,
            }
        }
    }

    /// Logs in to a connection and reports.
    pub async fn check_connection(&self, name: &str) -> ConnectionReport {
        let target = match self.resolve(name) {
            Ok(target) => target,
            Err(error) => return reported(name.to_owned(), String::new(), Err(error)),
        };
        let mut report = reported(name.to_owned(), target.found_in.clone(), Ok(&target));
        let started = Instant::now();
        if let Some(engine) = target.foreign() {
            match ematix_flow_foreign::ask(engine, &target).await {
                Ok(told) => {
                    report.milliseconds = Some(started.elapsed().as_millis() as u64);
                    report.server_version = Some(told.version);
                    report.encrypted = told.encrypted;
                }
                Err(error) => report.error = Some(error),
            }
            return report;
        }
        let opened = match self.drivers.find(&target) {
            Ok(driver) => driver.open(&target, "check").await,
            Err(error) => Err(error),
        };
        match opened {
            Ok(session) => {
                report.milliseconds = Some(started.elapsed().as_millis() as u64);
                report.server_version = Some(session.server_version().to_owned());
                match in_time(&target, target.patience(), answers(session.as_ref())).await {
                    Ok(encrypted) => report.encrypted = encrypted,
                    Err(error) => report.error = Some(error),
                }
                session.close().await;
            }
            Err(error) => report.error = Some(error),
        }
        report
    }

    /// The connections that a project can see, without opening one.
    pub fn connections(&self) -> Vec<ConnectionReport> {
        connections::known_connections(&self.project, self.environment.as_ref())
            .into_iter()
            .map(|(name, found_in, resolved)| {
                reported(name, found_in, resolved.as_ref().map_err(Clone::clone))
            })
            .collect()
    }
}
