//! The header `Link` (RFC 8288).

/// Where rel="next" leads.
pub fn next_of<'a>(headers: impl Iterator<Item = &'a str>) -> Option<String> {
    headers
        .flat_map(links)
        .find(|(_, rels)| rels.iter().any(|rel| rel.eq_ignore_ascii_case("next")))
        .map(|(to, _)| to)
}

/// Every link of a header with what it is.
fn links(header: &str) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    let mut rest = header;
    while let Some((_, after)) = rest.split_once('<') {
        let Some((to, after)) = after.split_once('>') else { break };
        let (params, after) = parameters(after);
        let rel = params.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("rel"));
        let rels = rel.map(|(_, value)| value.split_whitespace().map(str::to_owned).collect());
        found.push((to.to_owned(), rels.unwrap_or_default()));
        rest = after;
    }
    found
}

/// The parameters up to the comma that ends a link, and what follows it.
fn parameters(text: &str) -> (Vec<(String, String)>, &str) {
    let mut params = Vec::new();
    let (mut part, mut in_quotes, mut escaped) = (String::new(), false, false);
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => {
                part.push(character);
                escaped = false;
            }
            '\\' if in_quotes => escaped = true,
            '"' => in_quotes = !in_quotes,
            ';' if !in_quotes => params.extend(parameter(&std::mem::take(&mut part))),
            ',' if !in_quotes => {
                params.extend(parameter(&part));
                return (params, &text[at + 1..]);
            }
            other => part.push(other),
        }
    }
    params.extend(parameter(&part));
    (params, "")
}

fn parameter(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once('=')?;
    Some((name.trim().to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_link_is_found_among_others() {
        let next = |header: &str| next_of([header].into_iter());
        let two =
            r#"<https://a/?page=1>; rel="prev", <https://a/?page=3,4;x>; title="a, \"b\""; rel="last next""#;
        assert_eq!(next(two).as_deref(), Some("https://a/?page=3,4;x"));
        assert_eq!(next("</b?c=2>;REL=Next").as_deref(), Some("/b?c=2"));
        assert_eq!(next(r#"<https://a>; title="rel=next"; rel=prev"#), None);
        assert_eq!(next("nonsense"), None);
    }
}
