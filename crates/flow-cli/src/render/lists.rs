//! Pipelines, their state, watermarks, connections and findings, a line each.

use super::number::{counted, instant, minute, thousands};
use super::style::{ERROR, GOOD, STRONG, paint};
use super::table::{Table, cut};
use ematix_flow_core::report::{ConnectionReport, RejectedRows, RowsAsOf, Violation, WatermarkRow};
use jiff::tz::TimeZone;
use serde::Serialize;

/// A pipeline as `flow list` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// The name.
    pub name: String,
    /// The load strategy.
    pub mode: Option<String>,
    /// The cron line, or the interval as `every 15m`.
    pub schedule: Option<String>,
    /// The zone of the schedule.
    pub timezone: String,
    /// The next slot, RFC 3339.
    pub next: Option<String>,
    /// The next slots, RFC 3339 with the offset of its zone; where somebody asked for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_slots: Option<Vec<String>>,
    /// Where it reads.
    pub source_connection: String,
    /// Where it writes.
    pub target_connection: String,
    /// The table it writes.
    pub target: String,
    /// Words to select it by.
    pub tags: Vec<String>,
    /// Whether its schedule fires.
    pub enabled: bool,
    /// The digest of what is declared, by which `state:changed` compares.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub declaration: Option<String>,
}

/// `NAME MODE SCHEDULE NEXT SOURCE TARGET`.
pub fn pipelines(listed: &[Listed], zone: &TimeZone) -> String {
    if listed.is_empty() {
        return "no pipelines are declared\n".to_owned();
    }
    let mut table = Table::new(&["NAME", "MODE", "SCHEDULE", "NEXT", "SOURCE", "TARGET"]);
    for pipeline in listed {
        let next = match (&pipeline.schedule, &pipeline.next) {
            (Some(_), _) if !pipeline.enabled => "disabled".to_owned(),
            (_, Some(next)) => minute(next, zone),
            _ => dash(),
        };
        table.row([
            paint(STRONG, &pipeline.name),
            pipeline.mode.clone().unwrap_or_else(dash),
            pipeline.schedule.clone().unwrap_or_else(dash),
            next,
            pipeline.source_connection.clone(),
            if pipeline.target_connection == pipeline.source_connection {
                pipeline.target.clone()
            } else {
                format!("{} {}", pipeline.target_connection, pipeline.target)
            },
        ]);
    }
    table.render()
}

/// `NAME SCHEDULE TIMEZONE NEXT`, a line a slot.
pub fn slots(listed: &[Listed]) -> String {
    if listed.is_empty() {
        return "no pipelines are declared\n".to_owned();
    }
    let mut table = Table::new(&["NAME", "SCHEDULE", "TIMEZONE", "NEXT"]);
    for pipeline in listed {
        let slots = pipeline.next_slots.as_deref().unwrap_or_default();
        let first = match (&pipeline.schedule, slots.first()) {
            (Some(_), _) if !pipeline.enabled => "disabled".to_owned(),
            (_, Some(slot)) => with_offset(slot),
            _ => dash(),
        };
        let timezone = pipeline.schedule.as_ref().map(|_| pipeline.timezone.clone());
        table.row([
            paint(STRONG, &pipeline.name),
            pipeline.schedule.clone().unwrap_or_else(dash),
            timezone.unwrap_or_else(dash),
            first,
        ]);
        for slot in slots.iter().skip(1) {
            table.row([String::new(), String::new(), String::new(), with_offset(slot)]);
        }
    }
    table.render()
}

/// `2026-03-29T03:00:00+02:00` for people; the seconds where there are any.
fn with_offset(slot: &str) -> String {
    let (instant, offset) = slot.split_at_checked(19).unwrap_or((slot, ""));
    let instant = instant.strip_suffix(":00").unwrap_or(instant);
    format!("{} {offset}", instant.replace('T', " "))
}

/// A transform as `flow transform list` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListedTransform {
    /// The name.
    pub name: String,
    /// `sql`, or `function` of Python.
    pub kind: &'static str,
    /// Where it runs by itself.
    pub connection: String,
    /// The cron line.
    pub schedule: Option<String>,
    /// The zone of the schedule.
    pub timezone: String,
    /// The next slot, RFC 3339.
    pub next: Option<String>,
    /// What it is for.
    pub description: Option<String>,
}

/// `NAME KIND CONNECTION SCHEDULE NEXT`.
pub fn transforms(listed: &[ListedTransform], zone: &TimeZone) -> String {
    if listed.is_empty() {
        return "no transforms are declared\n".to_owned();
    }
    let mut table = Table::new(&["NAME", "KIND", "CONNECTION", "SCHEDULE", "NEXT"]);
    for transform in listed {
        table.row([
            paint(STRONG, &transform.name),
            transform.kind.to_owned(),
            transform.connection.clone(),
            transform.schedule.clone().unwrap_or_else(dash),
            transform.next.as_deref().map(|next| minute(next, zone)).unwrap_or_else(dash),
        ]);
    }
    table.render()
}

/// Stored watermarks.
pub fn watermarks(rows: &[WatermarkRow], zone: &TimeZone) -> String {
    if rows.is_empty() {
        return "no watermarks are stored\n".to_owned();
    }
    let mut table = Table::new(&["PIPELINE", "COLUMN", "LAST VALUE", "STORED"]);
    for row in rows {
        table.row([
            paint(STRONG, &row.pipeline),
            row.column.clone(),
            row.last_value.clone().unwrap_or_else(|| "none".to_owned()),
            instant(&row.updated_at, zone),
        ]);
    }
    table.render()
}

/// How much of a row is shown.
const ROW_COLUMNS: usize = 100;
/// How many digits of a run's id people type.
const RUN_DIGITS: usize = 8;

/// `REJECTED RUN REASON ROW`.
pub fn rejected(pipeline: &str, found: &RejectedRows, zone: &TimeZone) -> String {
    let (name, at) = (paint(STRONG, pipeline), &found.table);
    if !found.exists {
        return format!("{name}  no row was ever put aside: there is no table {at}\n");
    }
    let rows = match found.count {
        0 => return format!("{name}  no rejected rows in {at}\n"),
        count => counted(count, "rejected row", "rejected rows"),
    };
    let mut table = Table::new(&["REJECTED", "RUN", "REASON", "ROW"]);
    for row in &found.rows {
        let values: Vec<String> = row
            .values
            .iter()
            .map(|(name, value)| format!("{name} = {}", super::report::cell(value)))
            .collect();
        table.row([
            instant(&row.rejected_at, zone),
            row.run_id[row.run_id.len().saturating_sub(RUN_DIGITS)..].to_owned(),
            row.reason.clone(),
            cut(&values.join(", "), ROW_COLUMNS),
        ]);
    }
    let shown = i64::try_from(found.rows.len()).unwrap_or(i64::MAX);
    let more = match found.count - shown {
        0 => String::new(),
        more => format!("{} more; --limit {} shows them\n", thousands(more), found.count),
    };
    format!("{name}  {rows} in {at}\n{}{more}", table.render())
}

/// The rows of a history as they were: the keys, then what they hold, and since when until when.
pub fn as_of(found: &RowsAsOf, zone: &TimeZone) -> String {
    if found.rows.is_empty() {
        return format!("no row of {} was valid then\n", found.table);
    }
    let mut table = Table::new(&["VALID FROM", "VALID TO", "ROW"]);
    for row in &found.rows {
        let named = |name: &String| row.values.get(name).map(|value| (name.clone(), value));
        let others = row.values.iter().filter(|(name, _)| !found.keys.contains(name));
        let cells =
            found.keys.iter().filter_map(named).chain(others.map(|(name, value)| (name.clone(), value)));
        let values: Vec<String> =
            cells.map(|(name, value)| format!("{name} = {}", super::report::cell(value))).collect();
        let until = row.valid_to.as_ref().map(|at| instant(at, zone)).unwrap_or_default();
        table.row([instant(&row.valid_from, zone), until, values.join(", ")]);
    }
    table.render()
}

/// Connections, opened or not.
pub fn connections(rows: &[ConnectionReport], checked: bool) -> String {
    if rows.is_empty() {
        return "no connections are declared\n".to_owned();
    }
    let mut table = if checked {
        Table::new(&["NAME", "STATE", "ADDRESS", "SERVER", "TLS", ">TOOK"])
    } else {
        Table::new(&["NAME", "ADDRESS", "SSLMODE", "FOUND IN"])
    };
    for row in rows {
        let name = paint(STRONG, &row.name);
        if !checked {
            let address = match &row.error {
                Some(error) => paint(ERROR, &error.message),
                None => row.address.clone(),
            };
            let mode = row.sslmode.clone().unwrap_or_else(dash);
            table.row([name, address, mode, row.found_in.clone()]);
            continue;
        }
        let state = match &row.error {
            Some(error) => paint(ERROR, error.code),
            None => paint(GOOD, "ok"),
        };
        table.row([
            name,
            state,
            row.address.clone(),
            // Behind the number stands which distribution built it.
            row.server_version
                .as_deref()
                .and_then(|version| version.split(' ').next())
                .map_or_else(dash, str::to_owned),
            row.encrypted
                .map(|encrypted| if encrypted { "yes" } else { "no" }.to_owned())
                .unwrap_or_else(dash),
            row.milliseconds.map(|ms| format!("{ms} ms")).unwrap_or_else(dash),
        ]);
    }
    table.render()
}

/// What is wrong with a history, or that nothing is.
pub fn violations(pipeline: &str, found: &[Violation]) -> String {
    if found.is_empty() {
        return format!("{}  {pipeline}\n", paint(GOOD, "ok"));
    }
    let mut text = format!("{}  {pipeline}\n", paint(ERROR, "broken"));
    for violation in found {
        let key: Vec<String> = violation
            .key
            .iter()
            .flatten()
            .map(|(name, value)| format!("{name} = {}", super::report::cell(value)))
            .collect();
        let key = if key.is_empty() { String::new() } else { format!("  {}", key.join(", ")) };
        text.push_str(&format!("  {}{key}  {}\n", paint(STRONG, &violation.invariant), violation.detail));
    }
    text
}

fn dash() -> String {
    "–".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::plain;
    use indexmap::IndexMap;
    use serde_json::json;

    #[test]
    fn a_pipeline_is_a_line() {
        let listed = [
            Listed {
                name: "customers".into(),
                mode: Some("scd2".into()),
                schedule: Some("0 * * * *".into()),
                timezone: "UTC".into(),
                next: Some("2026-03-01T11:00:00Z".into()),
                next_slots: None,
                source_connection: "crm".into(),
                target_connection: "warehouse".into(),
                target: "analytics.dim_customers".into(),
                tags: Vec::new(),
                enabled: true,
                declaration: None,
            },
            Listed {
                name: "orders".into(),
                mode: Some("merge".into()),
                schedule: Some("every 15m".into()),
                timezone: "UTC".into(),
                next: Some("2026-03-01T11:00:00Z".into()),
                next_slots: None,
                source_connection: "crm".into(),
                target_connection: "crm".into(),
                target: "public.orders".into(),
                tags: Vec::new(),
                enabled: false,
                declaration: None,
            },
        ];
        assert_eq!(
            plain(&pipelines(&listed, &TimeZone::UTC)),
            "\
NAME       MODE   SCHEDULE   NEXT              SOURCE  TARGET
customers  scd2   0 * * * *  2026-03-01 11:00  crm     warehouse analytics.dim_customers
orders     merge  every 15m  disabled          crm     public.orders
"
        );
    }

    #[test]
    fn findings_name_invariant_key_and_reason() {
        let found = [Violation {
            invariant: "one_current_version".into(),
            key: Some(IndexMap::from([("id".to_owned(), json!(17))])),
            detail: "2 current versions".into(),
        }];
        assert_eq!(
            plain(&violations("customers", &found)),
            "broken  customers\n  one_current_version  id = 17  2 current versions\n"
        );
        assert_eq!(plain(&violations("customers", &[])), "ok  customers\n");
    }
}
