//! `flow lsp`: an editor is told the mistakes of the files, which options and names there are, and what each is for.
//!
//! The Language Server Protocol over stdin and stdout. Mistakes are those of the files as they were saved; what is offered
//! follows what is typed.

mod findings;
mod place;
mod wire;
mod words;

use super::{DONE, perform};
use crate::args::{Cli, LspArgs};
use crate::console::Format;
use crate::project::{Outcome, Session};
use crate::workspace::DEFAULT_CONFIG;
use clap::Parser;
use ematix_flow_core::declare::environment::ProcessEnvironment;
use ematix_flow_core::declare::json_schema::json_schema;
use ematix_flow_core::declare::{ProjectSpec, toml_file};
use ematix_flow_core::error::{ErrorCode, ExitCode, FlowError};
use findings::{characters, units};
use place::{Place, What, end_of_word, place, sections};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use wire::Wire;
use words::{Word, Words};

/// Kinds of what is offered, as the protocol numbers them.
const PROPERTY: u8 = 10;
const MODULE: u8 = 9;
const REFERENCE: u8 = 18;
const WORD: u8 = 20;

/// Of JSON-RPC: a method that is not known.
const METHOD_NOT_FOUND: i32 = -32601;

/// Serves an editor until it says `exit`.
pub fn lsp(session: &Session, args: &LspArgs) -> Outcome {
    if !args.answer.is_empty() {
        let words = std::iter::once("flow").chain(args.answer.iter().map(String::as_str));
        let cli = Cli::try_parse_from(words)
            .map_err(|error| FlowError::new(ErrorCode::InvalidValue, error.to_string()))?;
        return perform(session, cli.command);
    }
    if session.console.format() != Format::Human {
        let message = "`flow lsp` speaks the protocol of editors, and no other form";
        return Err(FlowError::new(ErrorCode::InvalidValue, message).hint("leave --output out").into());
    }
    if io::stdin().is_terminal() {
        session.console.tell("flow lsp waits for an editor that speaks to it; Ctrl-C ends it");
    }
    let mut server = Server {
        session,
        wire: Wire::new(io::stdin().lock(), io::stdout().lock()),
        words: Words::of(json_schema()),
        root: std::env::current_dir().unwrap_or_default(),
        documents: HashMap::new(),
        told: BTreeMap::new(),
        asked_to_end: false,
    };
    match server.serve() {
        Ok(()) if server.asked_to_end => DONE,
        // The editor is gone, or speaks something else.
        Ok(()) => Ok(ExitCode::Failed),
        Err(error) => {
            Err(FlowError::new(ErrorCode::InvalidValue, format!("the editor is not understood: {error}"))
                .into())
        }
    }
}

struct Server<'a, R, W> {
    session: &'a Session,
    wire: Wire<R, W>,
    words: Words,
    root: PathBuf,
    /// What is open, as it is typed: by the address that the editor gives it.
    documents: HashMap<String, String>,
    /// By project: the addresses of files with findings, which are cleared when these are gone.
    told: BTreeMap<PathBuf, BTreeSet<String>>,
    asked_to_end: bool,
}

impl<R: BufRead, W: Write> Server<'_, R, W> {
    fn serve(&mut self) -> io::Result<()> {
        while let Some(message) = self.wire.next()? {
            let method = message["method"].as_str().unwrap_or_default();
            let (id, parameters) = (&message["id"], &message["params"]);
            match method {
                "exit" => return Ok(()),
                "textDocument/didOpen" => {
                    let document = &parameters["textDocument"];
                    self.keep(&address(parameters), &document["text"]);
                    self.tell_findings(&address(parameters))?;
                }
                "textDocument/didChange" => {
                    let last = parameters["contentChanges"].as_array().and_then(|changes| changes.last());
                    self.keep(&address(parameters), &last.unwrap_or(&Value::Null)["text"]);
                }
                "textDocument/didSave" => self.tell_findings(&address(parameters))?,
                "textDocument/didClose" => drop(self.documents.remove(&address(parameters))),
                // An answer, or a notification that asks for nothing.
                _ if id.is_null() || method.is_empty() => {}
                "initialize" => {
                    self.root = root(parameters).unwrap_or_else(|| self.root.clone());
                    self.wire.answer(id, &abilities())?;
                }
                "shutdown" => {
                    self.asked_to_end = true;
                    self.wire.answer(id, &Value::Null)?;
                }
                "textDocument/completion" => {
                    let offered = self.offered(parameters);
                    self.wire.answer(id, &Value::Array(offered))?;
                }
                "textDocument/hover" => {
                    let about = self.about(parameters);
                    let contents =
                        about.map(|text| json!({ "contents": { "kind": "markdown", "value": text } }));
                    self.wire.answer(id, &contents.unwrap_or_default())?;
                }
                _ => self.wire.refuse(id, METHOD_NOT_FOUND, &format!("there is no `{method}` here"))?,
            }
        }
        Ok(())
    }

    fn keep(&mut self, address: &str, text: &Value) {
        if let Some(text) = text.as_str() {
            self.documents.insert(address.to_owned(), text.to_owned());
        }
    }

    /// The directory of a file's project, and the project's file: as a command has them that is called there.
    fn project_of(&self, address: &str) -> (PathBuf, PathBuf) {
        let config = &self.session.global.config;
        let file = path_of(address).unwrap_or_default();
        let found = file.ancestors().skip(1).find(|directory| directory.join(DEFAULT_CONFIG).is_file());
        match found {
            Some(directory) if config.as_os_str() == DEFAULT_CONFIG => (directory.to_owned(), config.clone()),
            _ => (self.root.clone(), config.clone()),
        }
    }

    fn tell_findings(&mut self, address: &str) -> io::Result<()> {
        let (directory, config) = self.project_of(address);
        let found = match findings::findings(&directory, &config) {
            Ok(found) => found,
            Err(error) => {
                return self
                    .wire
                    .notify("window/logMessage", &json!({ "type": 1, "message": error.message }));
            }
        };
        // The editor knows its files by the addresses that it gave.
        let known: HashMap<PathBuf, String> =
            self.documents.keys().filter_map(|address| Some((path_of(address)?, address.clone()))).collect();
        let mut now = BTreeSet::new();
        for (file, findings) in found {
            let address = known.get(&file).cloned().unwrap_or_else(|| address_of(&file));
            self.publish(&address, &Value::Array(findings))?;
            now.insert(address);
        }
        let before = self.told.insert(directory, now.clone()).unwrap_or_default();
        for address in before.difference(&now) {
            self.publish(address, &json!([]))?;
        }
        // A file without a finding is said to have none: the editor asked about it.
        if !now.contains(address) && !before.contains(address) {
            self.publish(address, &json!([]))?;
        }
        Ok(())
    }

    fn publish(&mut self, address: &str, findings: &Value) -> io::Result<()> {
        self.wire
            .notify("textDocument/publishDiagnostics", &json!({ "uri": address, "diagnostics": findings }))
    }

    fn offered(&self, parameters: &Value) -> Vec<Value> {
        let Some((line, column, content)) = self.position(parameters) else { return Vec::new() };
        let text = &self.documents[&address(parameters)];
        let Place { path, what, typed } = place(text, line, column);
        let start = units(content, column - typed.chars().count().min(column));
        let range = json!({
            "start": { "line": line, "character": start },
            "end": { "line": line, "character": units(content, column) },
        });
        let item = |word: &Word, kind: u8, written: String| {
            json!({
                "label": word.word, "kind": kind, "documentation": word.about,
                "textEdit": { "range": range, "newText": written },
            })
        };
        match what {
            What::Key => {
                let options = self.words.options(&path);
                options.iter().map(|word| item(word, PROPERTY, word.word.clone())).collect()
            }
            What::Header => {
                let sections = self.words.sections(&path);
                sections.iter().map(|word| item(word, MODULE, word.word.clone())).collect()
            }
            What::Value { key, quoted } => {
                let written = |word: &str| match quoted || ["true", "false"].contains(&word) {
                    true => word.to_owned(),
                    false => json!(word).to_string(),
                };
                let values = self.words.values(&path, &key);
                let values =
                    values.iter().filter(|word| !quoted || !["true", "false"].contains(&word.word.as_str()));
                let names = self.names(&address(parameters), &path, &key);
                values
                    .map(|word| item(word, WORD, written(&word.word)))
                    .chain(names.iter().map(|word| item(word, REFERENCE, written(&word.word))))
                    .collect()
            }
            What::Nothing => Vec::new(),
        }
    }

    fn about(&self, parameters: &Value) -> Option<String> {
        let (line, column, content) = self.position(parameters)?;
        let text = &self.documents[&address(parameters)];
        let Place { mut path, what, typed } = place(text, line, end_of_word(content, column));
        match what {
            What::Key => self.words.about_option(&path, &typed),
            What::Value { key, .. } => {
                let values = self.words.values(&path, &key);
                let known = values.into_iter().find(|word| word.word == typed && !word.about.is_empty());
                known.map(|word| format!("**{}**: {}", word.word, word.about))
            }
            What::Header => {
                path.push(typed);
                let about = self.words.about_section(&path)?;
                let (directory, _) = self.project_of(&address(parameters));
                let plan = match &path[..] {
                    [kind, name] if kind == "pipelines" => findings::preview(&directory, name),
                    _ => None,
                };
                Some(
                    plan.map_or(about.clone(), |plan| {
                        format!("{about}\n\n```text\n{}\n```", plan.trim_end())
                    }),
                )
            }
            What::Nothing => None,
        }
    }

    /// The place that a request is about: line and column in characters, from 0, and the line.
    fn position(&self, parameters: &Value) -> Option<(usize, usize, &str)> {
        let text = self.documents.get(&address(parameters))?;
        let count = |name: &str| usize::try_from(parameters["position"][name].as_u64()?).ok();
        let line = count("line")?;
        let content = text.split('\n').nth(line)?;
        Some((line, characters(content, count("character")?), content))
    }

    /// The names that an option refers to.
    fn names(&self, address: &str, path: &[String], key: &str) -> Vec<Word> {
        let kinds: &[&str] = match key {
            "target" => &["tables", "features"],
            "connection" | "target_connection" => &["connections"],
            "after" => &["pipelines"],
            "transform_ref" => &["transforms"],
            _ => return Vec::new(),
        };
        let mut names: BTreeSet<String> = BTreeSet::new();
        let (directory, config) = self.project_of(address);
        let chosen = self.session.global.chosen();
        if let Ok((project, _)) = toml_file::read_sound(&directory.join(config), &chosen, &ProcessEnvironment)
        {
            names.extend(kinds.iter().flat_map(|kind| named(&project, kind)));
        }
        // What is typed and not saved yet is a name already.
        for section in self.documents.values().flat_map(|text| sections(text)) {
            if let [kind, name, ..] = &section[..]
                && kinds.contains(&kind.as_str())
            {
                names.insert(name.clone());
            }
        }
        // No pipeline comes after itself.
        if let ("after", [_, own, ..]) = (key, path) {
            names.remove(own);
        }
        names.into_iter().map(|word| Word { word, about: String::new() }).collect()
    }
}

fn named(project: &ProjectSpec, kind: &str) -> Vec<String> {
    match kind {
        "tables" => project.tables.keys().cloned().collect(),
        "features" => project.features().map(|(key, ..)| key.to_owned()).collect(),
        "connections" => project.connections.keys().cloned().collect(),
        "transforms" => project.transforms.keys().cloned().collect(),
        _ => project.pipelines.keys().cloned().collect(),
    }
}

fn abilities() -> Value {
    json!({
        "capabilities": {
            // Whole texts: the files are small.
            "textDocumentSync": { "openClose": true, "change": 1, "save": true },
            "completionProvider": { "triggerCharacters": ["\"", ".", "["] },
            "hoverProvider": true,
        },
        "serverInfo": { "name": "flow", "version": env!("CARGO_PKG_VERSION") },
    })
}

/// The address of the document that a message is about.
fn address(parameters: &Value) -> String {
    parameters["textDocument"]["uri"].as_str().unwrap_or_default().to_owned()
}

/// The directory that the editor has open.
fn root(parameters: &Value) -> Option<PathBuf> {
    let folder = parameters["workspaceFolders"][0]["uri"].as_str();
    path_of(folder.or_else(|| parameters["rootUri"].as_str())?)
}

/// The file at an address `file://…`.
fn path_of(address: &str) -> Option<PathBuf> {
    let encoded = address.strip_prefix("file://")?;
    let (mut bytes, mut rest) = (Vec::new(), encoded.as_bytes());
    while let [first, behind @ ..] = rest {
        let code = behind.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match code.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &behind[2..];
            }
            None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    let path = String::from_utf8(bytes).ok()?;
    // `/C:/…` is how Windows' drives are written.
    let drive = path.as_bytes().get(2) == Some(&b':') && cfg!(windows);
    Some(PathBuf::from(if drive { &path[1..] } else { &path }))
}

/// The address of a file.
fn address_of(path: &Path) -> String {
    let path = path.to_string_lossy().replace('\\', "/");
    let mut address = String::from(if path.starts_with('/') { "file://" } else { "file:///" });
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => {
                address.push(byte.into());
            }
            _ => address.push_str(&format!("%{byte:02X}")),
        }
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_leads_to_its_file_and_back() {
        let file = Path::new("/srv/a b/é%.toml");
        assert_eq!(address_of(file), "file:///srv/a%20b/%C3%A9%25.toml");
        assert_eq!(path_of(&address_of(file)).as_deref(), Some(file));
        assert_eq!(path_of("untitled:1"), None);
    }
}
