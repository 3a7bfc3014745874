//! What stands at a place of a TOML file that is being typed: it need not be valid, neither there nor elsewhere.

/// What is typed at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The name of an option.
    Key,
    /// The value of an option, between quotation marks or not.
    Value {
        /// The option.
        key: String,
        /// Whether a quotation mark is open.
        quoted: bool,
    },
    /// The name of a section, between brackets.
    Header,
    /// A comment, or what nothing can be said about.
    Nothing,
}

/// A place: the table in which it lies, and what is typed there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The keys that lead to the table.
    pub path: Vec<String>,
    /// What is typed.
    pub what: What,
    /// The word as far as it stands before the place.
    pub typed: String,
}

/// What opened and is not closed yet, within a value.
enum Open {
    /// `{`, with the keys before it.
    Table(Vec<String>),
    /// `[`
    Array,
}

/// Reads a file up to a place, as far as it has to be understood for that.
struct Reader {
    header: Vec<String>,
    open: Vec<Open>,
    /// The keys before the `=` of the entry that is being read, or what is there of them.
    keys: Vec<String>,
    state: State,
    /// The word that is being read.
    word: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Key,
    QuotedKey(char),
    Header,
    QuotedHeader(char),
    /// Behind the bracket that ends a header, or behind a value.
    Done,
    Value,
    /// A text, with its quotation mark, and whether it may have several lines.
    Text(char, bool),
    Comment,
}

/// What stands at a place: the line from 0, and how many characters of it stand before.
pub fn place(text: &str, line: usize, character: usize) -> Place {
    let mut reader = Reader::new();
    for (number, content) in text.split('\n').take(line + 1).enumerate() {
        let content = content.strip_suffix('\r').unwrap_or(content);
        if number > 0 {
            reader.end_line();
        }
        if is_header(content) && !matches!(reader.state, State::Text(_, true)) {
            // A section begins anew, whatever was left open before it.
            reader.open.clear();
            reader.keys.clear();
            reader.state = State::Key;
        }
        let characters: Vec<char> = content.chars().collect();
        let end = if number == line { character.min(characters.len()) } else { characters.len() };
        reader.read(&characters[..end]);
    }
    reader.place()
}

/// The names of the sections of a file, word by word.
pub fn sections(text: &str) -> Vec<Vec<String>> {
    text.lines().filter(|line| is_header(line)).map(|line| place(line, 0, usize::MAX).path).collect()
}

/// How many characters of a line stand before the end of the word around a place.
pub fn end_of_word(line: &str, character: usize) -> usize {
    let word = |sign: &&char| sign.is_alphanumeric() || "_-".contains(**sign);
    let characters: Vec<char> = line.chars().collect();
    let character = character.min(characters.len());
    character + characters[character..].iter().take_while(word).count()
}

/// A line that nothing can be but the name of a section.
fn is_header(line: &str) -> bool {
    let line = line.split('#').next().unwrap_or_default().trim_end();
    let inner = line.strip_prefix('[').and_then(|line| line.strip_suffix(']'));
    inner.is_some_and(|inner| {
        let inner = inner.trim_matches(['[', ']']);
        !inner.is_empty()
            && !inner.contains([',', '=', '[', ']'])
            && !inner.starts_with(|sign: char| sign.is_ascii_digit())
    })
}

impl Reader {
    fn new() -> Reader {
        Reader {
            header: Vec::new(),
            open: Vec::new(),
            keys: Vec::new(),
            state: State::Key,
            word: String::new(),
        }
    }

    fn end_line(&mut self) {
        if let State::Text(_, true) = self.state {
            return;
        }
        if let State::Header | State::QuotedHeader(_) = self.state {
            self.end_word_of_header();
        }
        self.word.clear();
        self.state = match self.open.last() {
            None => {
                self.keys.clear();
                State::Key
            }
            Some(Open::Array) => State::Value,
            Some(Open::Table(_)) if self.keys.is_empty() => State::Key,
            Some(Open::Table(_)) => State::Value,
        };
    }

    fn read(&mut self, line: &[char]) {
        let mut at = 0;
        while let Some(&sign) = line.get(at) {
            let three = line.get(at..at + 3).is_some_and(|next| next.iter().all(|next| *next == sign));
            at += 1;
            match self.state {
                State::Comment => return,
                State::Text(mark, many) => match sign {
                    '\\' if mark == '"' => at += 1,
                    _ if sign != mark => self.word.push(sign),
                    _ if many && !three => self.word.push(sign),
                    _ => {
                        at += if many { 2 } else { 0 };
                        self.state = State::Done;
                        self.word.clear();
                    }
                },
                State::QuotedKey(mark) | State::QuotedHeader(mark) if sign != mark => self.word.push(sign),
                State::QuotedKey(_) => self.state = State::Key,
                State::QuotedHeader(_) => self.state = State::Header,
                _ if sign == '#' => self.state = State::Comment,
                State::Key => self.read_key(sign),
                State::Header => match sign {
                    '[' if self.word.is_empty() => {}
                    ']' => {
                        self.end_word_of_header();
                        self.state = State::Done;
                    }
                    '.' => self.end_word_of_header(),
                    '"' | '\'' => self.state = State::QuotedHeader(sign),
                    _ if sign.is_whitespace() => {}
                    _ => self.word.push(sign),
                },
                State::Value | State::Done => at += self.read_value(sign, three),
            }
        }
    }

    fn read_key(&mut self, sign: char) {
        match sign {
            '[' if self.open.is_empty() && self.keys.is_empty() && self.word.is_empty() => {
                self.header.clear();
                self.state = State::Header;
            }
            '=' => {
                self.keys.push(std::mem::take(&mut self.word));
                self.state = State::Value;
            }
            '.' => self.keys.push(std::mem::take(&mut self.word)),
            '"' | '\'' => self.state = State::QuotedKey(sign),
            '}' => self.close(),
            _ if sign.is_whitespace() => {}
            _ => self.word.push(sign),
        }
    }

    /// How many signs more are read.
    fn read_value(&mut self, sign: char, three: bool) -> usize {
        match sign {
            '"' | '\'' => {
                self.word.clear();
                self.state = State::Text(sign, three);
                return if three { 2 } else { 0 };
            }
            '{' => {
                self.open.push(Open::Table(std::mem::take(&mut self.keys)));
                self.word.clear();
                self.state = State::Key;
            }
            '[' => {
                self.open.push(Open::Array);
                self.word.clear();
                self.state = State::Value;
            }
            ']' | '}' => self.close(),
            ',' => {
                self.word.clear();
                self.state = match self.open.last() {
                    Some(Open::Table(_)) => {
                        self.keys.clear();
                        State::Key
                    }
                    _ => State::Value,
                };
            }
            _ if sign.is_whitespace() => {}
            _ => self.word.push(sign),
        }
        0
    }

    fn close(&mut self) {
        if let Some(Open::Table(keys)) = self.open.pop() {
            self.keys = keys;
        }
        self.word.clear();
        self.state = State::Done;
    }

    fn end_word_of_header(&mut self) {
        if !self.word.is_empty() {
            self.header.push(std::mem::take(&mut self.word));
        }
    }

    fn place(mut self) -> Place {
        let mut path = self.header;
        for open in &mut self.open {
            if let Open::Table(keys) = open {
                path.append(keys);
            }
        }
        let typed = self.word;
        let what = match self.state {
            State::Key | State::QuotedKey(_) => {
                path.append(&mut self.keys);
                What::Key
            }
            State::Header | State::QuotedHeader(_) => What::Header,
            State::Value | State::Text(..) => {
                // Of `a.b = `, `a` leads to the table in which the option is. In an array of tables there is none yet.
                let key = self.keys.pop().unwrap_or_default();
                path.append(&mut self.keys);
                match key.is_empty() {
                    true => What::Nothing,
                    false => What::Value { key, quoted: matches!(self.state, State::Text(..)) },
                }
            }
            State::Done | State::Comment => What::Nothing,
        };
        Place { path, what, typed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The place of the `|` in a text.
    fn at(text: &str) -> (String, What, String) {
        let before = &text[..text.find('|').expect("a place")];
        let line = before.matches('\n').count();
        let character = before.rsplit('\n').next().unwrap_or_default().chars().count();
        let Place { path, what, typed } = place(&text.replace('|', ""), line, character);
        (path.join(" > "), what, typed)
    }

    fn value(key: &str, quoted: bool) -> What {
        What::Value { key: key.into(), quoted }
    }

    fn said(path: &str, what: What, typed: &str) -> (String, What, String) {
        (path.into(), what, typed.into())
    }

    #[test]
    fn options_of_a_section() {
        assert_eq!(at("[pipelines.a]\nmo|"), said("pipelines > a", What::Key, "mo"));
        assert_eq!(at("[pipelines.\"a.b\"]  # b\n|"), said("pipelines > a.b", What::Key, ""));
        assert_eq!(at("inc|"), said("", What::Key, "inc"));
        assert_eq!(at("[pipelines.a]\nsource.ta|"), said("pipelines > a > source", What::Key, "ta"));
        assert_eq!(at("[[a]]\nb = 1\nc|"), said("a", What::Key, "c"));
    }

    #[test]
    fn values_of_an_option() {
        assert_eq!(at("[pipelines.a]\nmode = |"), said("pipelines > a", value("mode", false), ""));
        assert_eq!(at("[pipelines.a]\nmode = \"sc|"), said("pipelines > a", value("mode", true), "sc"));
        assert_eq!(at("[d]\nb.mode = \"sc|d2\""), said("d > b", value("mode", true), "sc"));
        assert_eq!(at("[d]\nafter = [\"x\", \"y|"), said("d", value("after", true), "y"));
        assert_eq!(at("[d]\nafter = [\n  \"x\",\n  |"), said("d", value("after", false), ""));
        assert_eq!(at("[d]\nmode = \"scd2\" |"), said("d", What::Nothing, ""));
    }

    #[test]
    fn tables_within_a_line() {
        let text = "[pipelines.a]\nsource = { connection = \"crm\", ta|ble = \"x\" }";
        assert_eq!(at(text), said("pipelines > a > source", What::Key, "ta"));
        let text = "[pipelines.a]\nsource = { connection = \"c|\" }";
        assert_eq!(at(text), said("pipelines > a > source", value("connection", true), "c"));
        let text = "[pipelines.a]\nsource = { table = \"x\" }\nk|";
        assert_eq!(at(text), said("pipelines > a", What::Key, "k"));
        let text = "[p]\ntargets = [{ target = \"t\", mode = \"|";
        assert_eq!(at(text), said("p > targets", value("mode", true), ""));
        let text = "[p]\nexpect = [{ not_null = \"a\" }, { un|";
        assert_eq!(at(text), said("p > expect", What::Key, "un"));
    }

    #[test]
    fn the_name_of_a_section() {
        assert_eq!(at("[pipe|"), said("", What::Header, "pipe"));
        assert_eq!(at("[tables.a]\nb = 1\n[tables.a.col|]"), said("tables > a", What::Header, "col"));
    }

    #[test]
    fn what_is_text_or_a_comment_is_no_option() {
        assert_eq!(at("[a]\nb = 1 # mo|").1, What::Nothing);
        assert_eq!(at("[a]\nq = \"\"\"\nSELECT x = |\n\"\"\"").1, value("q", true));
        assert_eq!(at("[a]\nq = \"\"\"\n[b]\n\"\"\"\nm|"), said("a", What::Key, "m"));
        assert_eq!(at("[a]\nq = \"a \\\" = b\"\nm|"), said("a", What::Key, "m"));
        assert_eq!(at("[a]\nq = 'it\\'\nm|"), said("a", What::Key, "m"));
    }

    #[test]
    fn a_section_begins_anew_whatever_is_open() {
        assert_eq!(at("[a]\nkeys = [\"x\",\n[b]\nm|"), said("b", What::Key, "m"));
        assert_eq!(at("[a]\nq = \"open\nm|"), said("a", What::Key, "m"));
        assert_eq!(at("[a]\nunique = [\n[\"x\", \"y\"],\n]\nm|"), said("a", What::Key, "m"));
    }

    #[test]
    fn the_sections_of_a_file() {
        assert_eq!(sections("[a]\nb = [1]\n[c.\"d.e\"]\n"), [vec!["a"], vec!["c", "d.e"]]);
    }

    #[test]
    fn the_end_of_a_word() {
        assert_eq!(end_of_word("mode = \"scd2\"", 1), 4);
        assert_eq!(end_of_word("mode = \"scd2\"", 8), 12);
        assert_eq!(end_of_word("", 3), 0);
    }
}
