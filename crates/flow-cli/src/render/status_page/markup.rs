//! HTML as it is written. Text and values come in as they are and go out escaped; only what this program itself says
//! is markup: tags, names of attributes and fixed pieces are `&'static str`.

use std::fmt::Write;

/// An attribute and its value.
pub type Attribute<'a> = (&'static str, &'a str);

/// A growing document.
#[derive(Debug, Default)]
pub struct Markup(String);

impl Markup {
    /// The document as it stands.
    pub fn finish(self) -> String {
        self.0
    }

    /// Markup of this program.
    pub fn fixed(&mut self, markup: &'static str) {
        self.0.push_str(markup);
    }

    /// Text, whatever stands in it.
    pub fn text(&mut self, text: &str) {
        escape(text, &mut self.0);
    }

    /// Text of another, whose direction must not turn what stands around it.
    pub fn name(&mut self, text: &str) {
        self.leaf("bdi", &[], text);
    }

    /// The beginning of an element.
    pub fn open(&mut self, tag: &'static str, attributes: &[Attribute<'_>]) {
        self.0.push('<');
        self.0.push_str(tag);
        for (name, value) in attributes {
            self.0.push(' ');
            self.0.push_str(name);
            self.0.push_str("=\"");
            escape(value, &mut self.0);
            self.0.push('"');
        }
        self.0.push('>');
    }

    /// Its end.
    pub fn close(&mut self, tag: &'static str) {
        // Writing to a String cannot fail.
        let _ = write!(self.0, "</{tag}>");
    }

    /// An element of SVG with nothing in it.
    pub fn empty(&mut self, tag: &'static str, attributes: &[Attribute<'_>]) {
        self.open(tag, attributes);
        // The bracket that was just written.
        self.0.pop();
        self.0.push_str("/>");
    }

    /// An element around something.
    pub fn inside(
        &mut self,
        tag: &'static str,
        attributes: &[Attribute<'_>],
        content: impl FnOnce(&mut Markup),
    ) {
        self.open(tag, attributes);
        content(self);
        self.close(tag);
    }

    /// An element around text.
    pub fn leaf(&mut self, tag: &'static str, attributes: &[Attribute<'_>], text: &str) {
        self.inside(tag, attributes, |inner| inner.text(text));
    }
}

/// Characters that HTML reads, and those that it does not allow (the standard, 13.1.4), do not pass.
fn escape(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(character),
            character if character.is_control() => out.push('\u{fffd}'),
            character => out.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_comes_in_as_text_is_markup() {
        let mut page = Markup::default();
        page.leaf("b", &[("title", "\" onload='x' <")], "</script>&<i>\u{0}\u{202e}");
        assert_eq!(
            page.finish(),
            "<b title=\"&quot; onload=&#39;x&#39; &lt;\">&lt;/script&gt;&amp;&lt;i&gt;\u{fffd}\u{202e}</b>"
        );
    }
}
