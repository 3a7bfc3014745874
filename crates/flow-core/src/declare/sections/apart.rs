//! Judges many entries on every core. Each is held against what was read before its section, none against another: what
//! comes out is the same however many judge.

use super::check::Checker;
use super::finish::Reader;
use super::{Document, Entry};
use crate::cores;
use crate::declare::ProjectSpec;

impl Document<'_, '_> {
    /// What is made of each entry, in their order.
    pub(super) fn judged<'n, R: Send>(
        &mut self,
        entries: &[Entry<'n>],
        judge: impl Fn(&mut Document<'_, '_>, &Entry<'n>) -> R + Sync,
    ) -> Vec<R> {
        if !self.reader.is_alike_for_all() {
            return entries.iter().map(|entry| judge(self, entry)).collect();
        }
        let (reader, places, source) = (&*self.reader, &self.places, self.checker.source);
        let (directory, environment) = (self.directory, self.environment);
        let parts = cores::parts(entries, |entries| {
            let mut reader = reader.apart();
            let mut document = Document {
                reader: &mut reader,
                checker: Checker { source, mistakes: Vec::new() },
                places: places.clone(),
                directory,
                environment,
            };
            let made: Vec<R> = entries.iter().map(|entry| judge(&mut document, entry)).collect();
            let mistakes = document.checker.mistakes;
            (made, mistakes, reader)
        });
        let mut all = Vec::with_capacity(entries.len());
        for (made, mistakes, reader) in parts {
            all.extend(made);
            self.checker.mistakes.extend(mistakes);
            self.reader.gather(reader);
        }
        all
    }
}

impl Reader {
    /// Whether every entry is read by the same names: what stands for many has some for each.
    fn is_alike_for_all(&self) -> bool {
        self.project.members.is_empty() && self.unasked.is_empty() && self.pending.is_none()
    }

    /// Another one, with what entries are held against and nothing of what was found.
    fn apart(&self) -> Reader {
        let project = ProjectSpec {
            tables: self.project.tables.clone(),
            places: self.project.places.clone(),
            ..ProjectSpec::default()
        };
        Reader { project, variables: self.variables.clone(), ..Reader::default() }
    }

    /// Takes what another one found beside what was made.
    fn gather(&mut self, other: Reader) {
        for (name, used) in other.project.used_variables {
            self.project.uses(&name, used);
        }
        self.project.identified.extend(other.project.identified);
    }
}
