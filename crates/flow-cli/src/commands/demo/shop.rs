//! The shop of the demo: an application's own tables, and what happens in them on three days. The binary carries all
//! of it.

/// The project of the demo.
pub const PIPELINES: &str = include_str!("../../../../../sample/pipelines.toml");

/// What happens day by day.
pub const DAYS: [&str; 3] = [
    include_str!("../../../../../sample/day1.sql"),
    include_str!("../../../../../sample/day2.sql"),
    include_str!("../../../../../sample/day3.sql"),
];

/// The tables.
pub const SCHEMA: &str = include_str!("../../../../../sample/schema.sql");
/// The customers of the day before.
pub const CUSTOMERS: &str = include_str!("../../../../../sample/day0/customers.csv");
/// Their orders.
pub const ORDERS: &str = include_str!("../../../../../sample/day0/orders.csv");

/// The first lines of a day say what happens, for people.
pub fn announced(day: &str) -> impl Iterator<Item = &str> {
    day.lines().map_while(|line| line.strip_prefix("-- ")).skip(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_announces_itself() {
        for day in DAYS {
            let lines: Vec<&str> = announced(day).collect();
            assert!(
                lines.len() == 2 && lines[0].starts_with("customers: ") && lines[1].starts_with("orders: "),
                "{lines:?}"
            );
        }
    }
}
