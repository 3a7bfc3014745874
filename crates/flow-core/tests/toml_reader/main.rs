//! What the reader of `pipelines.toml` makes of files, right and wrong.

mod features;
mod files;
#[path = "../support/memory.rs"]
mod memory;
mod options;
mod sections;
mod variables;

use ematix_flow_core::declare::ProjectSpec;
use ematix_flow_core::declare::toml_file::read_text;
use ematix_flow_core::error::FlowError;
use memory::Memory;

/// `code line:column message | label` of every mistake; the file's name where it is not the first.
fn told(errors: &[FlowError]) -> Vec<String> {
    errors
        .iter()
        .map(|error| {
            let place = error.location.as_deref().expect("every mistake has a place");
            let file =
                if place.file == "pipelines.toml" { String::new() } else { format!("{}:", place.file) };
            let excerpt = place.excerpt.as_ref().expect("every place has an excerpt");
            assert!(
                place.column + excerpt.length <= excerpt.line.chars().count() + 2,
                "the mark is on the line: {place:?}"
            );
            let label = excerpt.label.as_ref().map(|label| format!(" | {label}"));
            format!(
                "{} {file}{}:{} {}{}",
                error.code,
                place.line,
                place.column,
                error.message,
                label.unwrap_or_default()
            )
        })
        .collect()
}

fn mistakes(text: &str) -> Vec<String> {
    told(&read_text(text, "pipelines.toml", &Memory::new()).expect_err("there are mistakes"))
}

fn read(text: &str) -> ProjectSpec {
    read_text(text, "pipelines.toml", &Memory::new()).unwrap_or_else(|errors| panic!("{:#?}", told(&errors)))
}

/// A right pipeline of a mode, with further lines.
fn pipeline(mode: &str, lines: &str) -> String {
    format!("[pipelines.p]\nsource = {{ table = 'a.b' }}\ntarget = 'c.d'\nmode = '{mode}'\n{lines}")
}
