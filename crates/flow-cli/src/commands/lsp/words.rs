//! What the JSON Schema of `pipelines.toml` knows about a place: the options that a table has, the words that an option
//! takes, and what each is for.

use serde_json::Value;

/// So deep choices lie within each other, and no deeper.
const DEPTH: usize = 8;

/// The schema, as `flow schema` prints it.
pub struct Words(Value);

/// Something that may be written, and what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// As it is written.
    pub word: String,
    /// What it is for.
    pub about: String,
}

impl Words {
    /// Reads the schema.
    pub fn of(schema: Value) -> Words {
        Words(schema)
    }

    /// The options of the table to which these keys lead.
    pub fn options(&self, path: &[String]) -> Vec<Word> {
        let described = self.properties(path).map(|(name, option)| word(name, description(option)));
        let mut found: Vec<Word> = described.collect();
        // Of what takes arguments in many forms, an expectation or a helper, the names alone are known.
        for name in self.at(path).into_iter().flat_map(|table| texts(&table["propertyNames"]["enum"])) {
            if !found.iter().any(|known| known.word == name) {
                found.push(word(name, ""));
            }
        }
        found
    }

    /// The sections that stand in the table to which these keys lead.
    pub fn sections(&self, path: &[String]) -> Vec<Word> {
        let is_table = |option: &&Value| self.choices(option).iter().any(|choice| is_table(choice));
        let tables = self.properties(path).filter(|(_, option)| is_table(option));
        tables.map(|(name, option)| word(name, description(option))).collect()
    }

    /// The words that an option takes; none where it is free.
    pub fn values(&self, path: &[String], key: &str) -> Vec<Word> {
        let mut found = Vec::new();
        for choice in self.option(path, key).into_iter().flat_map(|option| self.choices(option)) {
            found.extend(texts(&choice["enum"]).map(|value| word(value, "")));
            if let Some(value) = choice["const"].as_str() {
                found.push(word(value, description(choice)));
            } else if choice["type"] == "boolean" {
                found.extend(["true", "false"].map(|value| word(value, "")));
            }
        }
        found
    }

    /// What an option is for, as Markdown.
    pub fn about_option(&self, path: &[String], key: &str) -> Option<String> {
        let option = self.option(path, key)?;
        let mut parts = vec![format!("**{key}**: {}", description(option))];
        for value in self.values(path, key).iter().filter(|value| !value.about.is_empty()) {
            parts.push(format!("- `{}`: {}", value.word, value.about));
        }
        if !option["default"].is_null() {
            parts.push(format!("\nUnless said: `{}`", option["default"]));
        }
        Some(parts.join("\n"))
    }

    /// What a section is for.
    pub fn about_section(&self, path: &[String]) -> Option<String> {
        let about = self.at(path).into_iter().map(description).find(|about| !about.is_empty())?;
        Some(format!("**[{}]**: {about}", path.join(".")))
    }

    fn properties(&self, path: &[String]) -> impl Iterator<Item = (&str, &Value)> {
        let tables = self.at(path);
        tables
            .into_iter()
            .filter_map(|table| table["properties"].as_object())
            .flatten()
            .map(|(name, option)| (name.as_str(), option))
    }

    fn option(&self, path: &[String], key: &str) -> Option<&Value> {
        self.at(path).into_iter().find_map(|table| self.below(table, key))
    }

    /// The tables to which keys lead.
    fn at(&self, path: &[String]) -> Vec<&Value> {
        let mut tables = vec![&self.0];
        for key in path {
            let below = tables.into_iter().filter_map(|table| self.below(table, key));
            tables = below.flat_map(|value| self.choices(value)).filter(|value| is_table(value)).collect();
        }
        tables
    }

    fn below<'a>(&'a self, table: &'a Value, key: &str) -> Option<&'a Value> {
        let named = &table["properties"][key];
        let any = &table["additionalProperties"];
        if named.is_null() { any.is_object().then_some(any) } else { Some(named) }
    }

    /// What a value may be: itself, what it refers to, each of several, and what a list of it has.
    fn choices<'a>(&'a self, value: &'a Value) -> Vec<&'a Value> {
        let mut found = Vec::new();
        self.add_choices(value, DEPTH, &mut found);
        found
    }

    fn add_choices<'a>(&'a self, value: &'a Value, depth: usize, found: &mut Vec<&'a Value>) {
        let Some(depth) = depth.checked_sub(1) else { return };
        if let Some(name) = value["$ref"].as_str().and_then(|to| to.strip_prefix("#/$defs/")) {
            return self.add_choices(&self.0["$defs"][name], depth, found);
        }
        if value["items"].is_object() {
            return self.add_choices(&value["items"], depth, found);
        }
        let several = value["oneOf"].as_array().or_else(|| value["anyOf"].as_array());
        match several {
            // What a table must have besides is said as a choice, too.
            Some(several) if !is_table(value) => {
                several.iter().for_each(|choice| self.add_choices(choice, depth, found));
            }
            _ => found.push(value),
        }
    }
}

fn is_table(value: &Value) -> bool {
    ["properties", "additionalProperties", "propertyNames"].iter().any(|kind| value[kind].is_object())
}

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn description(value: &Value) -> &str {
    value["description"].as_str().unwrap_or_default()
}

fn word(word: &str, about: &str) -> Word {
    Word { word: word.to_owned(), about: about.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ematix_flow_core::declare::json_schema::json_schema;

    fn path(keys: &str) -> Vec<String> {
        keys.split_whitespace().map(str::to_owned).collect()
    }

    fn names(words: &[Word]) -> Vec<&str> {
        words.iter().map(|word| word.word.as_str()).collect()
    }

    #[test]
    fn options_are_those_of_the_table() {
        let words = Words::of(json_schema());
        assert!(names(&words.options(&path("pipelines a"))).contains(&"handle_deletes"));
        assert!(names(&words.options(&path("pipelines a source"))).contains(&"query_file"));
        assert!(names(&words.options(&path("pipelines a source union"))).contains(&"query_file"));
        assert!(names(&words.options(&path("pipelines a targets"))).contains(&"replace_method"));
        assert!(names(&words.options(&path("tables a columns b"))).contains(&"normalize"));
        assert!(names(&words.options(&path("environments ci connections crm"))).contains(&"password"));
        assert!(names(&words.options(&path("pipelines a expect"))).contains(&"not_null"));
        assert!(words.options(&path("pipelines a mode")).is_empty());
        assert!(words.options(&path("nothing")).is_empty());
    }

    #[test]
    fn sections_are_tables() {
        let words = Words::of(json_schema());
        let top = words.sections(&[]);
        assert!(names(&top).contains(&"pipelines") && !names(&top).contains(&"include"));
        assert!(names(&words.sections(&path("tables a"))).contains(&"columns"));
    }

    #[test]
    fn values_are_the_words_of_an_option() {
        let words = Words::of(json_schema());
        let modes = words.values(&path("pipelines a"), "mode");
        assert_eq!(names(&modes), ["append", "truncate", "merge", "scd2", "scd1"]);
        assert_eq!(modes[3].about, "Keep the history of every key (SCD type 2).");
        assert_eq!(names(&words.values(&path("pipelines a"), "migrate")), ["true", "false"]);
        assert_eq!(names(&words.values(&path("pipelines a"), "target")), Vec::<&str>::new());
        assert!(names(&words.values(&path("tables a columns b"), "normalize")).contains(&"trim"));
        assert_eq!(
            names(&words.values(&path("pipelines a expect"), "policy")),
            ["fail", "warn", "quarantine"]
        );
    }

    #[test]
    fn an_option_and_a_section_are_told_in_words() {
        let words = Words::of(json_schema());
        let about = words.about_option(&path("defaults"), "on_duplicate").unwrap();
        assert!(about.starts_with("**on_duplicate**: What several source rows of one key mean."), "{about}");
        assert!(about.contains("\n- `latest`: ") && about.ends_with("Unless said: `\"error\"`"), "{about}");
        let about = words.about_section(&path("pipelines a")).unwrap();
        assert_eq!(about, "**[pipelines.a]**: A pipeline: where rows come from, where they go, and how.");
        assert_eq!(words.about_option(&path("pipelines a"), "nothing"), None);
    }
}
