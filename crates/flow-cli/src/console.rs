//! The two streams of the process. Data goes to stdout, everything else to stderr; a stream that nobody
//! reads any more is no error, and colour is left out wherever it does not belong.

use anstream::{AutoStream, ColorChoice};
use serde::Serialize;
use std::io::{BufWriter, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// What commands print their answers as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Text for people.
    #[default]
    Human,
    /// One JSON document.
    Json,
    /// One JSON document a line.
    NdJson,
    /// A comment on a pull request.
    Markdown,
    /// Annotations beside the lines of a pull request.
    Github,
}

/// How much is told on stderr, and in which form.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manner {
    /// The form of answers.
    pub format: Format,
    /// Errors only.
    pub quiet: bool,
    /// Every step.
    pub verbose: u8,
    /// No colour, whatever the terminal can do.
    pub no_color: bool,
    /// No lines while the work goes.
    pub no_progress: bool,
    /// Lines on stderr are JSON objects.
    pub log_json: bool,
}

/// Where a command prints.
#[derive(Debug)]
pub struct Console {
    manner: Manner,
    stdout_closed: AtomicBool,
}

/// Columns of a page that is no terminal.
const PAGE_WIDTH: usize = 80;
/// Its rows.
const PAGE_HEIGHT: usize = 24;

impl Console {
    /// A console of that manner.
    pub fn new(manner: Manner) -> Console {
        Console { manner, stdout_closed: AtomicBool::new(false) }
    }

    /// A console that prints text as it comes.
    pub fn plain() -> Console {
        Console::new(Manner::default())
    }

    /// The form of answers.
    pub fn format(&self) -> Format {
        self.manner.format
    }

    /// Whether answers are text for people.
    pub fn is_human(&self) -> bool {
        self.manner.format == Format::Human
    }

    /// Whether only errors are told.
    pub fn quiet(&self) -> bool {
        self.manner.quiet
    }

    /// How much more than usual is told.
    pub fn verbose(&self) -> u8 {
        self.manner.verbose
    }

    /// Whether lines on stderr are JSON objects.
    pub fn logs_json(&self) -> bool {
        self.manner.log_json
    }

    /// Whether somebody watches the work as it goes.
    pub fn shows_progress(&self) -> bool {
        !self.manner.quiet
            && !self.manner.no_progress
            && !self.manner.log_json
            && std::io::stderr().is_terminal()
    }

    /// Whether a question would be answered.
    pub fn can_ask(&self) -> bool {
        std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
    }

    /// Columns of the terminal, or of a page.
    pub fn width(&self) -> usize {
        let terminal =
            || terminal_size::terminal_size_of(std::io::stdout()).map(|(width, _)| usize::from(width.0));
        let said = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        said.or_else(terminal).filter(|width| *width >= 20).unwrap_or(PAGE_WIDTH)
    }

    fn colour(&self) -> Option<ColorChoice> {
        self.manner.no_color.then_some(ColorChoice::Never)
    }

    /// Whether answers go to a terminal that can be drawn on.
    pub fn draws(&self) -> bool {
        std::io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|kind| kind != "dumb")
    }

    /// Rows of the terminal.
    pub fn height(&self) -> usize {
        let terminal = terminal_size::terminal_size_of(std::io::stdout());
        terminal.map_or(PAGE_HEIGHT, |(_, height)| usize::from(height.0).max(2))
    }

    /// A text with as much colour as its reader wants.
    pub fn styled(&self, text: &str) -> String {
        match self.colour().unwrap_or_else(|| AutoStream::choice(&std::io::stdout())) {
            ColorChoice::Never => anstream::adapter::strip_str(text).to_string(),
            _ => text.to_owned(),
        }
    }

    /// Draws on a terminal: what moves its cursor is not for the eyes of [`Console::out`].
    pub fn draw(&self, text: &str) {
        self.documents(|out| out.write_all(text.as_bytes()));
    }

    /// Whether somebody still reads the answers.
    pub fn is_read(&self) -> bool {
        !self.stdout_closed.load(Ordering::Relaxed)
    }

    /// Prints data. Once the reader has left, the rest is dropped.
    pub fn out(&self, text: &str) {
        if self.stdout_closed.load(Ordering::Relaxed) {
            return;
        }
        let mut stdout = std::io::stdout().lock();
        let choice = self.colour().unwrap_or_else(|| AutoStream::choice(&stdout));
        // Whole, or each line would be written by itself.
        let mut styled = AutoStream::new(Vec::with_capacity(text.len()), choice);
        let written = styled.write_all(text.as_bytes()).and_then(|()| stdout.write_all(&styled.into_inner()));
        if written.and_then(|()| stdout.flush()).is_err() {
            self.stdout_closed.store(true, Ordering::Relaxed);
        }
    }

    /// Prints one JSON document on a line of its own.
    pub fn json(&self, value: &impl Serialize) {
        self.documents(|out| {
            serde_json::to_writer(&mut *out, value)?;
            out.write_all(b"\n")
        });
    }

    /// Begins a document with a list: its items are printed as they come, and none is kept.
    pub fn listing(&self, schema: &str, name: &str) -> Listing<'_> {
        let lines = self.manner.format == Format::NdJson;
        if !lines {
            let (schema, name) = (serde_json::json!(schema), serde_json::json!(name));
            self.documents(|out| write!(out, "{{\"schema\":{schema},{name}:["));
        }
        Listing { console: self, lines, empty: true }
    }

    /// Prints what has no colour that a terminal might not want.
    fn documents(&self, print: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) {
        if self.stdout_closed.load(Ordering::Relaxed) {
            return;
        }
        let mut stdout = BufWriter::new(std::io::stdout().lock());
        if print(&mut stdout).and_then(|()| stdout.flush()).is_err() {
            self.stdout_closed.store(true, Ordering::Relaxed);
        }
    }

    /// Tells what a person should see whatever happens.
    pub fn err(&self, text: &str) {
        let stderr = std::io::stderr().lock();
        let choice = self.colour().unwrap_or_else(|| AutoStream::choice(&stderr));
        // Nobody is left to hear of an error here.
        let _ = AutoStream::new(stderr, choice).write_all(text.as_bytes());
    }

    /// Tells what `-q` keeps back.
    pub fn tell(&self, text: &str) {
        if !self.manner.quiet {
            self.err(text);
        }
    }

    /// Asks for a yes; anything else is a no.
    pub fn confirm(&self, question: &str) -> bool {
        let answer = self.ask(&format!("{question} [y/N] ")).unwrap_or_default();
        matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
    }

    /// Asks for a line; `None` where the input ends.
    pub fn ask(&self, question: &str) -> Option<String> {
        self.err(question);
        let mut answer = String::new();
        let read = std::io::stdin().read_line(&mut answer);
        read.is_ok_and(|bytes| bytes > 0).then_some(answer)
    }
}

/// One line for a log collector: `{"timestamp":…,"level":…,"message":…, …}`.
pub fn log_line(console: &Console, level: &str, message: &str, fields: serde_json::Value) {
    let mut line = serde_json::json!({ "timestamp": jiff::Timestamp::now().to_string(), "level": level, "message": message });
    if let (Some(line), serde_json::Value::Object(fields)) = (line.as_object_mut(), fields) {
        line.extend(fields);
    }
    console.err(&format!("{line}\n"));
}

/// A JSON document with a list that is being printed, or the lines that stand for it.
#[derive(Debug)]
pub struct Listing<'c> {
    console: &'c Console,
    lines: bool,
    empty: bool,
}

/// An item of a list as its document has it.
pub fn written(item: &impl Serialize) -> String {
    serde_json::to_string(item).expect("what is listed has a JSON form")
}

impl Listing<'_> {
    /// Prints an item.
    pub fn add(&mut self, item: &impl Serialize) {
        self.written(&written(item));
    }

    /// Prints an item that was [`written`] before.
    pub fn written(&mut self, item: &str) {
        let between = if std::mem::replace(&mut self.empty, false) || self.lines { "" } else { "," };
        let end = if self.lines { "\n" } else { "" };
        self.console.documents(|out| {
            [between, item, end].into_iter().try_for_each(|part| out.write_all(part.as_bytes()))
        });
    }

    /// Ends the document with what stands behind the list.
    pub fn end(self, rest: &[(&str, serde_json::Value)]) {
        if self.lines {
            return;
        }
        self.console.documents(|out| {
            out.write_all(b"]")?;
            for (name, value) in rest {
                write!(out, ",{}:{value}", serde_json::json!(name))?;
            }
            out.write_all(b"}\n")
        });
    }
}
