//! Frames that functions in processes of their own return: each process stays, and gives its rows by its standard output.

use super::child::Process;
use super::held;
use ematix_flow_arrow::BatchSource;
use ematix_flow_core::error::FlowError;
use ematix_flow_files::{Giver, Incoming, PipedSource};
use std::collections::HashMap;
use std::io::Read;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// The wish for the rows, as the package reads it.
const WISH: &str = "\n";

/// The frames that are held, by numbers of ours: each process counts its own.
#[derive(Debug, Default)]
pub(super) struct Frames {
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    last: u64,
    frames: HashMap<u64, (Process, Arc<PipedSource>)>,
    /// Processes that nobody wants any more, on their way to their end.
    leaving: Vec<JoinHandle<()>>,
}

/// A process that gives rows.
#[derive(Debug)]
struct RowsOf {
    process: Process,
    words: String,
}

impl Giver for RowsOf {
    fn begin(&self) -> Result<(), FlowError> {
        self.process.say(WISH).map_err(|_| self.ended())
    }

    fn ended(&self) -> FlowError {
        self.process.broken_off(&self.words)
    }
}

impl Frames {
    /// Holds what a process gives, and answers under which number.
    pub fn hold(&self, process: Process, words: &str, output: impl Read + Send + 'static) -> u64 {
        let giver = RowsOf { process: process.clone(), words: words.to_owned() };
        let incoming = Incoming::new(Box::new(output), Arc::new(giver));
        let source = Arc::new(PipedSource::new(words.to_owned(), incoming));
        let mut held = held(&self.held);
        held.last += 1;
        let number = held.last;
        held.frames.insert(number, (process, source));
        number
    }

    /// The frame of a number.
    pub fn find(&self, number: u64) -> Option<Arc<dyn BatchSource>> {
        let held = held(&self.held);
        held.frames.get(&number).map(|(_, source)| Arc::clone(source) as Arc<dyn BatchSource>)
    }

    /// Lets the process of a frame go.
    pub fn release(&self, number: u64) {
        let mut held = held(&self.held);
        held.leaving.retain(|leaving| !leaving.is_finished());
        if let Some((process, _)) = held.frames.remove(&number) {
            held.leaving.push(process.leave());
        }
    }
}

impl Drop for Frames {
    /// What a function does at its end, it does before this process ends.
    fn drop(&mut self) {
        let mut held = held(&self.held);
        let left: Vec<Process> = held.frames.drain().map(|(_, (process, _))| process).collect();
        held.leaving.extend(left.iter().map(Process::leave));
        for leaving in held.leaving.drain(..) {
            let _ = leaving.join();
        }
    }
}
