//! Whether a query only picks rows of one plain table: each of them once or not at all, and the same ones however often a
//! statement asks. The server's plan tells, which has gone through views, and the server knows what is volatile.

use super::meaning::{EXPLAINED, Words, explained_as};
use super::{table, text};
use crate::postgres::session::PostgresSession;
use crate::session::{Session, nth};
use ematix_flow_core::error::Result;
use ematix_flow_core::facts::PickedRows;
use ematix_flow_core::plan::Blame;
use serde_json::Value;
use std::collections::BTreeMap;

/// The table and what it promises of the query's columns `names`.
pub(super) async fn picked(
    session: &PostgresSession,
    query: &str,
    names: &[&str],
) -> Result<Option<PickedRows>> {
    // What calls something volatile is not folded into the statement around it, whatever is wished:
    // <https://www.postgresql.org/docs/current/queries-with.html#QUERIES-WITH-CTE-MATERIALIZATION>.
    let folded = format!("WITH q AS NOT MATERIALIZED (\n{query}\n) SELECT * FROM q");
    let plan = explained_as(session, &folded).await?;
    let Some(found) = Found::of(&plan, names) else { return Ok(None) };
    let mut words = Words::default();
    words.collect(&plan);
    let calls: Vec<String> = words.calls.iter().map(|name| text(name)).collect();
    let mut questions = vec![table::relation_question(&found.table)];
    if !calls.is_empty() {
        // What a function of the user's own costs is not known, nor whether what it says of itself is true.
        questions.push(format!(
            "SELECT 1 FROM pg_catalog.pg_proc AS p
 WHERE p.proname IN ({}) AND p.pronamespace <> 'pg_catalog'::pg_catalog.regnamespace LIMIT 1",
            calls.join(", ")
        ));
    }
    let answers = session.ask(Blame::Source, EXPLAINED, &questions.join(";\n")).await?;
    let relation = nth(&answers, 0, EXPLAINED)?;
    if relation.rows.is_empty() || answers.get(1).is_some_and(|own| !own.rows.is_empty()) {
        return Ok(None);
    }
    let relation = table::read_relation(relation.only_value(EXPLAINED)?)?;
    Ok(Some(PickedRows::of(relation, found.columns)))
}

/// What the plan of such a query says.
#[derive(Debug, PartialEq)]
struct Found {
    /// The table's name as it may stand in SQL.
    table: String,
    /// What columns of the table are called that are passed on as they are, by the query's names.
    columns: BTreeMap<String, String>,
}

impl Found {
    /// One scan of one table, by one process or several; nothing that counts, sorts, joins, samples or asks elsewhere.
    fn of(plan: &Value, names: &[&str]) -> Option<Found> {
        let top = plan.get(0)?.get("Plan")?;
        let is = |node: &Value, kinds: &[&str]| {
            node.get("Node Type").and_then(Value::as_str).is_some_and(|kind| kinds.contains(&kind))
        };
        let below = |node: &Value| node.get("Plans").and_then(Value::as_array).cloned().unwrap_or_default();
        let scan = match is(top, &["Gather"]) {
            true => match below(top).as_slice() {
                [only] => only.clone(),
                _ => return None,
            },
            false => top.clone(),
        };
        // Below a bitmap scan stand its indexes; below the others, subqueries of the conditions.
        let fits = match is(&scan, &["Bitmap Heap Scan"]) {
            true => below(&scan).iter().all(only_indexes),
            false => is(&scan, &["Seq Scan", "Index Scan", "Index Only Scan"]) && below(&scan).is_empty(),
        };
        if !fits {
            return None;
        }
        let said = |name: &str| scan.get(name).and_then(Value::as_str);
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let table = format!("{}.{}", quoted(said("Schema")?), quoted(said("Relation Name")?));
        let alias = said("Alias")?;
        let outputs = top.get("Output")?.as_array()?;
        if outputs.len() != names.len() {
            return None;
        }
        let original = |output: &Value| {
            let (qualifier, rest) = identifier(output.as_str()?)?;
            let (column, rest) = identifier(rest.strip_prefix('.')?)?;
            (qualifier == alias && rest.is_empty()).then_some(column)
        };
        let columns = names.iter().zip(outputs);
        let columns =
            columns.filter_map(|(name, output)| Some(((*name).to_owned(), original(output)?))).collect();
        Some(Found { table, columns })
    }
}

fn only_indexes(node: &Value) -> bool {
    let kind = node.get("Node Type").and_then(Value::as_str);
    let below = node.get("Plans").and_then(Value::as_array);
    matches!(kind, Some("Bitmap Index Scan" | "BitmapAnd" | "BitmapOr"))
        && below.is_none_or(|nodes| nodes.iter().all(only_indexes))
}

/// An identifier at the beginning, as the server quotes it, and what follows.
fn identifier(text: &str) -> Option<(String, &str)> {
    let Some(mut rest) = text.strip_prefix('"') else {
        let end = text.find(|c: char| !matches!(c, 'a'..='z' | '0'..='9' | '_')).unwrap_or(text.len());
        return (end > 0).then(|| (text[..end].to_owned(), &text[end..]));
    };
    let mut name = String::new();
    loop {
        let (part, after) = rest.split_once('"')?;
        name.push_str(part);
        match after.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return Some((name, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Found;
    use serde_json::{Value, json};

    fn scan(outputs: &[&str]) -> Value {
        json!({
            "Node Type": "Seq Scan", "Schema": "app", "Relation Name": "It\"ems", "Alias": "i", "Output": outputs,
        })
    }

    fn found(plan: &Value, names: &[&str]) -> Option<(String, Vec<(String, String)>)> {
        let found = Found::of(&json!([{"Plan": plan}]), names)?;
        Some((found.table, found.columns.into_iter().collect()))
    }

    #[test]
    fn columns_that_are_passed_on_keep_what_they_are_called_in_the_table() {
        let plan =
            scan(&["i.item_id", "i.\"A.\"\"b\"", "(i.n)::text", "lower(i.label)", "i.x.y", "j.z", "1"]);
        let pair = |name: &str, column: &str| (name.to_owned(), column.to_owned());
        let all = vec![pair("a", "item_id"), pair("b", "A.\"b")];
        let names = ["a", "b", "c", "d", "e", "f", "g"];
        assert_eq!(found(&plan, &names), Some(("\"app\".\"It\"\"ems\"".to_owned(), all.clone())));
        let parallel = json!({"Node Type": "Gather", "Output": plan["Output"], "Plans": [plan]});
        assert_eq!(found(&parallel, &names).unwrap().1, all);
    }

    #[test]
    fn what_is_not_one_scan_is_not_told() {
        let plan = scan(&["i.a"]);
        let with = |key: &str, value: Value| {
            let mut plan = plan.clone();
            plan[key] = value;
            plan
        };
        for other in [
            with("Node Type", json!("Sample Scan")),
            with("Node Type", json!("Foreign Scan")),
            with("Plans", json!([{"Node Type": "Limit"}])),
            with("Output", json!(["i.a", "i.b"])),
            json!({"Node Type": "Limit", "Output": ["i.a"], "Plans": [plan]}),
            json!({"Node Type": "CTE Scan", "Output": ["q.a"], "Plans": [plan]}),
            json!({"Node Type": "Gather", "Output": ["i.a"], "Plans": [plan, plan]}),
            with("Node Type", json!("Bitmap Heap Scan"))
                .as_object_mut()
                .map(|scan| {
                    scan.insert(
                        "Plans".into(),
                        json!([{"Node Type": "Bitmap Index Scan"}, {"Node Type": "Result"}]),
                    );
                    Value::Object(scan.clone())
                })
                .unwrap(),
        ] {
            assert_eq!(found(&other, &["a"]), None, "{other}");
        }
        let mut bitmap = with("Node Type", json!("Bitmap Heap Scan"));
        bitmap["Plans"] = json!([{"Node Type": "BitmapOr", "Plans": [{"Node Type": "Bitmap Index Scan"}]}]);
        assert!(found(&bitmap, &["a"]).is_some());
    }
}
