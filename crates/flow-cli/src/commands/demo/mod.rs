//! `flow demo`: a shop's customers over three days, on the private server of `flow dev`. Begins anew
//! each time, in a database of its own, and touches nothing else.

mod shop;

use super::dev::url_of;
use super::history::drawn;
use crate::args::DemoArgs;
use crate::console::Console;
use crate::dev_server::DevServer;
use crate::exit;
use crate::project::{self, Failure, Outcome, Session};
use crate::render::number::counted;
use crate::render::style::{FAINT, GOOD, STRONG, paint};
use crate::render::{diagnostic, report as render};
use crate::signals;
use ematix_flow_core::connections::dsn_variable;
use ematix_flow_core::declare::environment::ProcessEnvironment;
use ematix_flow_core::declare::{PipelineOptions, toml_file};
use ematix_flow_core::error::{ErrorCode, ExitCode, FlowError, Result};
use ematix_flow_core::report::{RunReport, Status};
use ematix_flow_run::execute::observer::Silent;
use ematix_flow_run::execute::{Engine, Request, Stop};
use serde_json::json;
use shop::{DATABASE, DAYS, PIPELINES, Shop};
use std::path::{Path, PathBuf};
use tokio::sync::watch;

/// The customer whose history is drawn at the end; `sample/README.md` tells his story.
const TRAVELLER: &str = "17";
const CONNECTION: &str = "shop";

/// Shows the demonstration.
pub fn demo(session: &Session, _args: &DemoArgs) -> Outcome {
    let story = Story { console: &session.console };
    let server = DevServer::locate()?;
    story.head("A shop's customers over three days, on a Postgres of its own");
    let started = server.start()?;
    for message in started.messages.iter().filter(|message| *message != "started") {
        story.aside(message);
    }
    let dsn = url_of(&started.url, DATABASE)?;
    let config = keep_project(&server)?;
    let engine = engine(&dsn)?;
    let (reports, stop) = signals::block_on(async |stop| {
        let mut reports = Vec::new();
        let outcome = tell(&story, &engine, &started.url, &dsn, &stop, &mut reports).await;
        let stop = *stop.borrow();
        outcome.map(|()| (reports, stop))
    })??;
    if !session.console.is_human() {
        session.console.json(&json!({ "schema": "ematix.runs.v1", "runs": reports }));
    }
    let code = exit::shared(reports.iter().map(|report| exit::of_report(report, stop)));
    if code == ExitCode::Success {
        story.say(&goodbye(&config, &dsn));
    }
    Ok(code)
}

/// The days, one after the other; ends early with the first run that does not go well.
async fn tell(
    story: &Story<'_>,
    engine: &Engine,
    server_url: &str,
    dsn: &str,
    stop: &watch::Receiver<Stop>,
    reports: &mut Vec<RunReport>,
) -> Result<()> {
    let shop = Shop::open(server_url, dsn).await?;
    let [customers, orders] = shop.fill().await?;
    story.head("Day 0: the first load");
    story.aside(&format!(
        "the source: {}, {}",
        counted(customers as i64, "customer", "customers"),
        counted(orders as i64, "order", "orders")
    ));
    if !story.run_all(engine, stop, reports).await {
        return Ok(());
    }
    for (index, day) in DAYS.iter().enumerate() {
        story.head(&format!("Day {}", index + 1));
        for line in shop::announced(day) {
            story.aside(line);
        }
        shop.live_through(day).await?;
        if !story.run_all(engine, stop, reports).await {
            return Ok(());
        }
    }
    story.head("Once more, with nothing new");
    if !story.run_all(engine, stop, reports).await {
        return Ok(());
    }
    story.head(&format!("flow history customers --key {TRAVELLER}"));
    let key = [(String::new(), TRAVELLER.to_owned())];
    let history = engine.key_history("customers", &key).await?;
    story.say(&drawn(story.console, &history, &engine.project().pipelines["customers"]));
    story.head("flow check customers");
    let broken = engine.check("customers").await?;
    story.say(&match broken.len() as i64 {
        0 => format!("{}  one current version a key, no overlaps\n", paint(GOOD, "ok")),
        found => format!("{}\n", counted(found, "violation", "violations")),
    });
    Ok(())
}

/// What is told, and where: to stdout for people, to stderr beside a document.
struct Story<'a> {
    console: &'a Console,
}

impl Story<'_> {
    fn say(&self, text: &str) {
        if self.console.is_human() {
            self.console.out(text);
        } else {
            self.console.tell(text);
        }
    }

    fn head(&self, text: &str) {
        self.say(&format!("\n{}\n", paint(STRONG, text)));
    }

    fn aside(&self, text: &str) {
        self.say(&format!("{}\n", paint(FAINT, text)));
    }

    /// Runs every pipeline; false as soon as one does not go well.
    async fn run_all(
        &self,
        engine: &Engine,
        stop: &watch::Receiver<Stop>,
        reports: &mut Vec<RunReport>,
    ) -> bool {
        for name in engine.project().pipelines.keys() {
            let request = Request {
                started_by: "demo".to_owned(),
                ..project::request(PipelineOptions::default(), stop.clone())
            };
            let report = engine.run(name, &request, &Silent).await;
            if let Some(error) = &report.error {
                self.console.err(&diagnostic::error(error));
            }
            self.say(&render::line(&report));
            let well = report.status == Status::Success;
            reports.push(report);
            if !well {
                return false;
            }
        }
        true
    }
}

/// The sample's project, its connection leading to the demo's database.
fn engine(dsn: &str) -> Result<Engine, Failure> {
    // This variable goes before the files: the demo would load into somebody's own database.
    let variable = dsn_variable(CONNECTION);
    if std::env::var_os(&variable).is_some() {
        let message =
            format!("{variable} is set, and would lead the demo's connection `{CONNECTION}` elsewhere");
        return Err(FlowError::new(ErrorCode::ConflictingOptions, message)
            .hint(format!("unset {variable}"))
            .into());
    }
    let mut project = toml_file::read_text(PIPELINES, "pipelines.toml", &ProcessEnvironment)?;
    let shop = project.connections.get_mut(CONNECTION).expect("the sample declares its connection");
    shop.dsn = Some(dsn.into());
    Ok(Engine::new(project))
}

/// Writes the sample's project beside the server's data, so that one can go on with it.
fn keep_project(server: &DevServer) -> Result<PathBuf> {
    let data = server.status()?.data_dir;
    let path = data.parent().unwrap_or(Path::new(".")).join("demo.toml");
    std::fs::write(&path, PIPELINES).map_err(|error| {
        FlowError::new(ErrorCode::InvalidValue, format!("`{}` cannot be written: {error}", path.display()))
    })?;
    Ok(path)
}

fn goodbye(config: &Path, dsn: &str) -> String {
    let config = config.display();
    format!(
        "
{look}
  export EMATIX_FLOW_DEMO_DSN='{dsn}'
  export EMATIX_FLOW_CONFIG='{config}'
  flow history customers --key 42       deleted on day 2, back on day 3
  flow history                          every run
  flow plan customers --sql             what the next one would do, and why
  {psql:<38}the tables themselves
  flow dev stop
",
        look = paint(STRONG, "Look further"),
        psql = format!("flow dev psql {DATABASE}"),
    )
}
