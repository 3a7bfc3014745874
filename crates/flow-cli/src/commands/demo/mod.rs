//! `flow demo`: a shop's customers over three days, on the private server of `flow dev` or in a file of DuckDB. Begins
//! anew each time, in a database of its own, and touches nothing else.

mod shop;
mod file;
mod server;

use super::dev::url_of;
use super::history::drawn;
use crate::args::{DemoArgs, DemoEngine};
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
use file::{InFile, directory_of, file_in, not_written};
use serde_json::json;
use server::{DATABASE, OnServer};
use shop::{DAYS, PIPELINES};
use std::path::{Path, PathBuf};
use tokio::sync::watch;

/// The customer whose history is drawn at the end; `sample/README.md` tells his story.
const TRAVELLER: &str = "17";
const CONNECTION: &str = "shop";
const CONFIG: &str = "demo.toml";

/// The DSN of the sample's own file, which a kept project says itself where it can.
const UNSAID_DSN: &str = "${env:EMATIX_FLOW_DEMO_DSN}";

/// Shows the demonstration.
pub fn demo(session: &Session, args: &DemoArgs) -> Outcome {
    match (args.engine, &args.directory) {
        (DemoEngine::Duckdb, directory) => in_file(session, directory.as_deref()),
        (DemoEngine::Postgres, None) => on_server(session),
        (DemoEngine::Postgres, Some(_)) => {
            let message = "--directory is for a file of DuckDB; the private server has its own directory";
            Err(FlowError::new(ErrorCode::ConflictingOptions, message)
                .hint("flow demo --engine duckdb --directory …; EMATIX_FLOW_DEV_DIR moves the server")
                .into())
        }
    }
}

fn on_server(session: &Session) -> Outcome {
    let story = Story { console: &session.console };
    let server = DevServer::locate()?;
    story.head("A shop's customers over three days, on a Postgres of its own");
    let started = server.start()?;
    for message in started.messages.iter().filter(|message| *message != "started") {
        story.aside(message);
    }
    let dsn = url_of(&started.url, DATABASE)?;
    let data = server.status()?.data_dir;
    let config = keep_project(data.parent().unwrap_or(Path::new(".")), PIPELINES)?;
    let engine = engine(session, &dsn)?;
    story.play(&engine, Place::Server { url: &started.url, dsn: &dsn }, || server_farewell(&config, &dsn))
}

fn in_file(session: &Session, named: Option<&Path>) -> Outcome {
    let story = Story { console: &session.console };
    let directory = directory_of(named)?;
    let file = file_in(&directory);
    let dsn = format!("duckdb:{}", file.display());
    let engine = engine(session, &dsn)?;
    story.head("A shop's customers over three days, in a file of DuckDB");
    story.aside(&file.display().to_string());
    // Of a directory that is moved, the file moves, too.
    let beside = format!("duckdb:{}", file.file_name().unwrap_or_default().display());
    let project = PIPELINES.replace(UNSAID_DSN, &beside);
    let place = Place::File { directory: &directory, project: &project };
    let outcome = story.play(&engine, place, || file_farewell(&directory.join(CONFIG), &file));
    if named.is_none() {
        // It is empty where DuckDB could not be opened.
        let _ = std::fs::remove_dir(&directory);
    }
    outcome
}

/// Where the shop is.
enum Place<'a> {
    Server { url: &'a str, dsn: &'a str },
    File { directory: &'a Path, project: &'a str },
}

/// The shop as an application has it.
enum Shop<'a> {
    OnServer(OnServer),
    InFile(InFile<'a>),
}

impl<'a> Shop<'a> {
    async fn open(engine: &'a Engine, place: &Place<'a>) -> Result<Shop<'a>> {
        Ok(match place {
            Place::Server { url, dsn } => Shop::OnServer(OnServer::open(url, dsn).await?),
            Place::File { directory, project } => {
                let shop = InFile::open(engine, directory).await?;
                keep_project(directory, project)?;
                Shop::InFile(shop)
            }
        })
    }

    async fn fill(&self) -> Result<[u64; 2]> {
        match self {
            Shop::OnServer(shop) => shop.fill().await,
            Shop::InFile(shop) => shop.fill().await,
        }
    }

    async fn live_through(&self, day: &str) -> Result<()> {
        match self {
            Shop::OnServer(shop) => shop.live_through(day).await,
            Shop::InFile(shop) => shop.live_through(day).await,
        }
    }
}

/// The days, one after the other; ends early with the first run that does not go well.
async fn tell(
    story: &Story<'_>,
    engine: &Engine,
    place: &Place<'_>,
    stop: &watch::Receiver<Stop>,
    reports: &mut Vec<RunReport>,
) -> Result<()> {
    let shop = Shop::open(engine, place).await?;
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
    /// The whole of it, and where to look further if it went well.
    fn play(&self, engine: &Engine, place: Place<'_>, farewell: impl FnOnce() -> String) -> Outcome {
        let (reports, stop) = signals::block_on(async |stop| {
            let mut reports = Vec::new();
            let outcome = tell(self, engine, &place, &stop, &mut reports).await;
            let stop = *stop.borrow();
            outcome.map(|()| (reports, stop))
        })??;
        if !self.console.is_human() {
            self.console.json(&json!({ "schema": "ematix.runs.v1", "runs": reports }));
        }
        let code = exit::shared(reports.iter().map(|report| exit::of_report(report, stop)));
        if code == ExitCode::Success {
            self.say(&farewell());
        }
        Ok(code)
    }

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
fn engine(session: &Session, dsn: &str) -> Result<Engine, Failure> {
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
    Ok(session.engine_of(project))
}

/// Writes the sample's project beside the data, so that one can go on with it.
fn keep_project(directory: &Path, text: &str) -> Result<PathBuf> {
    let path = directory.join(CONFIG);
    std::fs::write(&path, text).map_err(|error| not_written(&path, &error))?;
    Ok(path)
}

fn server_farewell(config: &Path, dsn: &str) -> String {
    let config = config.display();
    format!(
        "
{look}
  export EMATIX_FLOW_DEMO_DSN='{dsn}'
  export EMATIX_FLOW_CONFIG='{config}'
{further}  {psql:<38}the tables themselves
  flow dev stop
",
        look = paint(STRONG, "Look further"),
        further = FURTHER,
        psql = format!("flow dev psql {DATABASE}"),
    )
}

fn file_farewell(config: &Path, file: &Path) -> String {
    format!(
        "
{look}
  export EMATIX_FLOW_CONFIG='{config}'
{FURTHER}  python3 -c \"import duckdb; duckdb.connect('{file}').sql('FROM analytics.orders').show()\"
",
        look = paint(STRONG, "Look further"),
        config = config.display(),
        file = file.display(),
    )
}

const FURTHER: &str = "  flow history customers --key 42       deleted on day 2, back on day 3
  flow history                          every run
  flow plan customers --sql             what the next one would do, and why
";
