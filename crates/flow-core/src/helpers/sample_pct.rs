//! Keeps a fraction of the rows: always the same ones, by a hash of their key.

use super::{Helper, Layer, Rows};
use crate::arguments::Arguments;
use crate::error::Result;
use crate::sql;
use crate::sql::{Ident, Literal, Sql};
use std::sync::Arc;

#[derive(Debug)]
struct SamplePct {
    fraction: f64,
    seed: i64,
}

/// 2 to the power of 64: how many values the first eight bytes of a hash have.
const VALUES: f64 = 18_446_744_073_709_551_616.0;

impl Helper for SamplePct {
    fn name(&self) -> &'static str {
        "sample_pct"
    }

    /// By the pipeline's keys, where the rows have them here; else by all of the row.
    fn layer(&self, rows: &Rows<'_>) -> Result<Layer> {
        if self.fraction >= 1.0 {
            return Ok(rows.some(&Sql::empty()));
        }
        let has_keys = !rows.keys.is_empty() && rows.keys.iter().all(|key| rows.has(key));
        let names: &[Ident] = if has_keys { rows.keys } else { rows.shown };
        let mut fields = Vec::new();
        for name in names {
            let value = sql!("q.{name}", name);
            fields.push(rows.dialect.plain_text(rows.column("sample_pct", name)?, &value));
        }
        let fields = Sql::join(fields, ", ");
        let seed = Literal::Text(self.seed.to_string());
        let text = sql!(
            "{build}({seed}, {fields})::text",
            build = rows.dialect.function("jsonb_build_array"),
            seed,
            fields
        );
        Ok(rows.some(&sql!(
            "\n WHERE {substring}({sha256}({convert_to}({text}, 'UTF8')), 1, 8) < {decode}({below}, 'hex')",
            substring = rows.dialect.function("substring"),
            sha256 = rows.dialect.function("sha256"),
            convert_to = rows.dialect.function("convert_to"),
            text,
            decode = rows.dialect.function("decode"),
            below = Literal::Text(format!("{:016x}", (self.fraction * VALUES) as u64))
        )))
    }

    fn hides(&self) -> Option<&'static str> {
        Some("every row outside of the sample would look deleted")
    }
}

pub fn read(arguments: &Arguments<'_>) -> Result<Arc<dyn Helper>> {
    let named = arguments.named(&["fraction", "seed"])?;
    let fraction = named.needed("fraction")?.as_f64();
    let seed = match named.get("seed") {
        None => Some(0),
        Some(seed) => seed.as_i64(),
    };
    let Some(seed) = seed else {
        return Err(arguments.wrong("has a seed that is no whole number").hint("write seed = 1"));
    };
    match fraction.filter(|fraction| *fraction > 0.0 && *fraction <= 1.0) {
        Some(fraction) => Ok(Arc::new(SamplePct { fraction, seed })),
        None => Err(arguments
            .wrong("takes a fraction above 0 and up to 1")
            .hint("0.1 keeps one row in ten: { sample_pct = 0.1 }")),
    }
}
