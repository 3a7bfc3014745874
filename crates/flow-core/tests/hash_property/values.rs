//! Columns of every type, and values for them that are likely to be got wrong.

/// A small seeded generator (SplitMix64): the same seed gives the same rows on every machine.
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn pick<'a>(&mut self, values: &[&'a str]) -> &'a str {
        values[self.below(values.len() as u64) as usize]
    }
}

/// A column of the table under test.
pub struct Column {
    pub name: &'static str,
    pub data_type: &'static str,
    /// The text of a random value.
    pub value: fn(&mut Random) -> String,
}

const fn column(name: &'static str, data_type: &'static str, value: fn(&mut Random) -> String) -> Column {
    Column { name, data_type, value }
}

/// What the columns need besides built-in types.
pub const TYPES: &str = r#"
CREATE TYPE mood AS ENUM ('sad', 'ok', 'it''s "fine", \|', 'été', 'NULL');
CREATE FUNCTION shout(mood) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'not the label' $$;
CREATE CAST (mood AS text) WITH FUNCTION shout(mood) AS ASSIGNMENT;
CREATE DOMAIN some_mood AS mood;
CREATE DOMAIN whole AS integer;
CREATE DOMAIN small_whole AS whole;
CREATE DOMAIN label AS varchar(20);
CREATE DOMAIN code AS char(4);
CREATE DOMAIN born AS date;
CREATE DOMAIN price AS numeric(12,4);
CREATE DOMAIN ratio AS real;
CREATE DOMAIN document AS jsonb;
CREATE DOMAIN numbers AS integer[];
CREATE TYPE pair AS (a integer, b text, c numeric[]);
CREATE DOMAIN some_pair AS pair;
CREATE DOMAIN span AS numrange;
CREATE DOMAIN duration AS interval;
CREATE TYPE text_range AS RANGE (subtype = text);
CREATE DOMAIN odd_range AS text_range;
"#;

/// Every type of the product, and of Postgres what a table may have besides. The names sort otherwise than
/// they stand here, and otherwise by bytes than by a language.
pub const COLUMNS: &[Column] = &[
    column("smallint", "smallint", |r| integer(r, 16)),
    column("Integer", "integer", |r| integer(r, 32)),
    column("bigint", "bigint", |r| integer(r, 64)),
    column("real", "real", single),
    column("Double Precision", "double precision", double),
    column("numeric(18,6)", "numeric(18,6)", |r| numeric(r, 12, 6)),
    column("numeric", "numeric", |r| if r.one_in(6) { huge_numeric(r) } else { numeric(r, 40, 40) }),
    column("varchar\"n\"", "varchar(40)", |r| text(r, 40)),
    column("text", "text", long_text),
    column("ünïcode", "text", long_text),
    column("boolean", "boolean", |r| r.pick(&["true", "false"]).to_owned()),
    column("date", "date", date),
    column("timestamp", "timestamp", |r| timestamp(r, "")),
    column("timestamptz", "timestamptz", zoned),
    column("json", "json", json),
    column("jsonb", "jsonb", json),
    column("uuid", "uuid", |r| format!("{:016x}{:016x}", r.next(), r.below(3))),
    column("bytea", "bytea", bytes),
    // Besides the product's own types.
    column("char(5)", "char(5)", |r| text(r, 5)),
    column("name", "name", |r| text(r, 9)),
    column("\\char", "\"char\"", |r| r.pick(&["", "a", "b", " "]).to_owned()),
    column("數", "time", time),
    column("timetz", "timetz", |r| format!("{}{}", time(r), zone(r))),
    column("interval", "interval", interval),
    column("inet", "inet", |r| {
        r.pick(&["10.0.0.1/8", "10.0.0.1", "::1/128", "::ffff:1.2.3.4", "fe80::/10"]).to_owned()
    }),
    column("cidr", "cidr", |r| r.pick(&["10.0.0.0/8", "10.0.0.0/9", "::/0", "fe80::/10"]).to_owned()),
    column("macaddr", "macaddr", |r| format!("{:012x}", r.below(1 << 48))),
    column("macaddr8", "macaddr8", |r| format!("{:016x}", r.next())),
    column("bit(5)", "bit(5)", |r| format!("{:05b}", r.below(32))),
    column("varbit", "varbit", |r| format!("{:b}", r.next() >> r.below(64))),
    column("money", "money", |r| format!("{}.{:02}", r.below(99_999) as i64 - 50_000, r.below(100))),
    column("oid", "oid", |r| r.below(1 << 32).to_string()),
    column("pg_lsn", "pg_lsn", |r| format!("{:X}/{:X}", r.below(1 << 32), r.below(1 << 32))),
    column("xid8", "xid8", |r| r.next().to_string()),
    column("point", "point", |r| format!("({},{})", double(r), double(r))),
    column("box", "box", |r| format!("({},{}),({},{})", r.below(9), r.below(9), r.below(9), r.below(9))),
    column("path", "path", |r| r.pick(&["[(0,0),(1,1)]", "((0,0),(1,1))", "((0,0))"]).to_owned()),
    column("tsvector", "tsvector", |r| r.pick(&["", "cat:3A sat:4", "cat sat", "'a b' c"]).to_owned()),
    column("tsquery", "tsquery", |r| r.pick(&["cat & !dog", "fat:*A <2> rat", ""]).to_owned()),
    column("jsonpath", "jsonpath", |r| r.pick(&["$.a[*] ? (@.b > 1.50)", "$", "strict $.\"é\""]).to_owned()),
    column("int4range", "int4range", |r| {
        r.pick(&["[1,5)", "[1,4]", "empty", "(,)", "(,7]", "(0,5)"]).to_owned()
    }),
    column("numrange", "numrange", |r| r.pick(&["[1.0,2)", "[1.00,2)", "empty", "(,)", "[NaN,]"]).to_owned()),
    column("tstzrange", "tstzrange", |r| {
        r.pick(&["[-infinity,infinity)", "[\"2024-03-31 02:30+01\",]", "[\"2024-03-31 01:30+00\",)", "empty"])
            .to_owned()
    }),
    column("int4multirange", "int4multirange", |r| {
        r.pick(&["{}", "{[1,3),[5,9)}", "{[1,2],[5,9)}"]).to_owned()
    }),
    column("integer[]", "integer[]", |r| array(r, &["1", "2", "NULL", "-7"])),
    column("text[]", "text[]", |r| array(r, &["\"\"", "NULL", "\"NULL\"", "\"a,b\"", "a", "é"])),
    column("varchar[]", "varchar(9)[]", |r| array(r, &["\"\"", "NULL", "\"NULL\"", "\"a,b\"", "a", "é"])),
    column("numeric[]", "numeric[]", |r| array(r, &["1", "1.0", "1.00", "NaN", "NULL"])),
    column("float8[]", "float8[]", |r| array(r, &["0", "-0", "NaN", "Infinity", "NULL"])),
    column("timestamptz[]", "timestamptz[]", |r| array(r, &["infinity", "\"2024-03-31 02:30+01\"", "NULL"])),
    // Types of one's own.
    column("mood", "mood", mood),
    column("some_mood", "some_mood", mood),
    column("mood[]", "mood[]", |r| array(r, &["sad", "ok", "été", "NULL", "\"NULL\""])),
    column("whole", "small_whole", |r| integer(r, 32)),
    column("label", "label", |r| text(r, 20)),
    column("code", "code", |r| text(r, 4)),
    column("born", "born", date),
    column("price", "price", |r| numeric(r, 8, 4)),
    column("ratio", "ratio", single),
    column("document", "document", json),
    column("numbers", "numbers", |r| array(r, &["1", "2", "NULL"])),
    column("pair", "pair", pair),
    column("some_pair", "some_pair", pair),
    column("span", "span", |r| r.pick(&["[1.0,2)", "[1.00,2)", "empty", "(,)"]).to_owned()),
    column("duration", "duration", interval),
    column("odd_range", "odd_range", |r| r.pick(&["[a,b)", "[a,b]", "empty", "(,)"]).to_owned()),
    column("text_range", "text_range", |r| r.pick(&["[a,b)", "[a,b]", "empty", "(,)"]).to_owned()),
];

/// Columns that only some servers can have, each with the statement that says so.
pub const OPTIONAL_COLUMNS: &[(&str, Column)] = &[
    ("CREATE EXTENSION citext", column("citext", "citext", |r| text(r, 30))),
    (
        "CREATE EXTENSION hstore",
        column("hstore", "hstore", |r| {
            r.pick(&["", "a=>1,b=>NULL", "b=>NULL,a=>1", "a=>\"NULL\""]).to_owned()
        }),
    ),
    // Without libxml the type is there and takes no value.
    (
        "SELECT '<a/>'::xml",
        column("xml", "xml", |r| {
            r.pick(&["<a>é</a>", "<?xml version=\"1.0\"?><a>é</a>", "", "x"]).to_owned()
        }),
    ),
    // Needs ICU: a collation under which different texts are `=`.
    (
        "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level1', deterministic = false)",
        column("loose", "text COLLATE loose", |r| r.pick(&["a", "A", "á", "a ", "", "NULL"]).to_owned()),
    ),
];

fn integer(random: &mut Random, bits: u32) -> String {
    let extreme = 1i128 << (bits - 1);
    let value = match random.below(8) {
        0 => 0,
        1 => -1,
        2 => -extreme,
        3 => extreme - 1,
        4 => i128::from(random.below(10)),
        _ => i128::from(random.next() as i64 >> (64 - bits)),
    };
    value.to_string()
}

const ODD_FLOATS: &[&str] = &["0", "-0", "NaN", "Infinity", "-Infinity", "1", "-1", "0.1", "1e-10"];

fn single(random: &mut Random) -> String {
    let value = f32::from_bits(random.next() as u32);
    if random.one_in(2) || !value.is_finite() {
        random.pick(ODD_FLOATS).to_owned()
    } else {
        format!("{value:e}")
    }
}

fn double(random: &mut Random) -> String {
    let value = f64::from_bits(random.next());
    if random.one_in(2) || !value.is_finite() {
        random.pick(ODD_FLOATS).to_owned()
    } else {
        format!("{value:e}")
    }
}

/// Up to so many digits before and after the point, many of them zero, ends above all.
fn numeric(random: &mut Random, before: u64, after: u64) -> String {
    if random.one_in(8) {
        return random
            .pick(&["0", "-0.00", "NaN", "1", "1.0", "1.00", "-1.0", "0.0001", "0.000100", "10000"])
            .to_owned();
    }
    let mut digits = |count: u64| {
        let significant = random.below(count + 1);
        (0..count)
            .map(|place| {
                if place >= significant || random.one_in(3) {
                    '0'
                } else {
                    (b'0' + random.below(10) as u8) as char
                }
            })
            .collect::<String>()
    };
    let (whole, fraction) = (digits(before), digits(after));
    let kept = random.below(after + 1) as usize;
    let start = random.below(before) as usize;
    let sign = random.pick(&["", "-"]);
    format!("{sign}{}.{}", &whole[start..], &fraction[..kept])
}

fn huge_numeric(random: &mut Random) -> String {
    let odd =
        ["Infinity", "-Infinity", "1e300", "-1.50e300", "1e-300", "1e131071", "1e-16383", "12345e-16380"];
    random.pick(&odd).to_owned()
}

fn text(random: &mut Random, characters: usize) -> String {
    let odd = [
        "",
        "NULL",
        " ",
        "   ",
        "a",
        "a ",
        " a",
        "a\t ",
        "a\n",
        "\\x01",
        "\\x00NULL\\x00",
        "\u{1}",
        "\u{1f}",
        "|",
        "a|b",
        "','",
        "'",
        "\"",
        "\\",
        "{}",
        "é",
        "e\u{301}",
        "ß",
        "İ",
        "世界",
        "🦀",
        "\u{feff}",
        "\u{ffff}",
        "\u{10ffff}",
        "1",
        "-0",
        "%s",
        "$1",
    ];
    let mut out = String::new();
    for _ in 0..=random.below(3) {
        out.push_str(random.pick(&odd));
    }
    out.chars().take(characters).collect()
}

fn long_text(random: &mut Random) -> String {
    if random.one_in(20) { text(random, 9).repeat(random.below(3000) as usize) } else { text(random, 99) }
}

fn date(random: &mut Random) -> String {
    match random.below(6) {
        0 => random
            .pick(&["infinity", "-infinity", "2000-01-01", "1999-12-31", "4713-01-01 BC", "5874897-12-31"])
            .to_owned(),
        1 => format!(
            "{:04}-{:02}-{:02} BC",
            1 + random.below(4712),
            1 + random.below(12),
            1 + random.below(28)
        ),
        _ => format!("{:04}-{:02}-{:02}", 1 + random.below(9999), 1 + random.below(12), 1 + random.below(28)),
    }
}

fn time(random: &mut Random) -> String {
    if random.one_in(9) {
        return random.pick(&["00:00:00", "24:00:00", "23:59:59.999999"]).to_owned();
    }
    format!(
        "{:02}:{:02}:{:02}.{:06}",
        random.below(24),
        random.below(60),
        random.below(60),
        random.below(1_000_000)
    )
}

fn zone(random: &mut Random) -> String {
    random.pick(&["+00", "+01", "-12:45", "+13:45:10"]).to_owned()
}

fn timestamp(random: &mut Random, zone: &str) -> String {
    match random.below(6) {
        0 => random.pick(&["infinity", "-infinity"]).to_owned(),
        1 => format!(
            "{:04}-{:02}-{:02} {}{zone} BC",
            1 + random.below(4712),
            1 + random.below(12),
            1 + random.below(28),
            time(random)
        ),
        2 => random
            .pick(&["2000-01-01 00:00:00+00", "2024-03-31 02:30:00+00", "294276-12-31 20:59:59.999999+00"])
            .to_owned(),
        _ => format!(
            "{:04}-{:02}-{:02} {}{zone}",
            1 + random.below(9999),
            1 + random.below(12),
            1 + random.below(28),
            time(random)
        ),
    }
}

fn zoned(random: &mut Random) -> String {
    let zone = zone(random);
    timestamp(random, &zone)
}

fn interval(random: &mut Random) -> String {
    match random.below(3) {
        0 => random.pick(&["1 day", "24 hours", "1 month", "30 days", "0", "-1 month 30 days"]).to_owned(),
        _ => format!("{} months {} days {} us", small(random), small(random), small(random) * 1_000_003),
    }
}

fn small(random: &mut Random) -> i64 {
    random.below(2001) as i64 - 1000
}

fn json(random: &mut Random) -> String {
    let string = |random: &mut Random| serde_json::Value::String(text(random, 20)).to_string();
    match random.below(9) {
        0 => random
            .pick(&["null", "true", "1", "1.0", "1.00", "1e2", "100", "[]", "{}", "\"\"", "[1, 2]", "[1,2]"])
            .to_owned(),
        1 => r#"{"a": 1, "a": 2, "b": {"é": [null, 1.50]}}"#.to_owned(),
        2 => r#"{"b":{"é":[null,1.50]},"a":2}"#.to_owned(),
        3 => format!(
            "{{{}: {}.{:03}, \"z\": {}}}",
            string(random),
            small(random),
            random.below(1000),
            string(random)
        ),
        4 => format!("[{},{} , {}]", string(random), string(random), small(random)),
        _ => string(random),
    }
}

fn bytes(random: &mut Random) -> String {
    let length = [0, 1, 2, 16, 300][random.below(5) as usize];
    let byte = |random: &mut Random| if random.one_in(3) { 0 } else { random.below(256) };
    format!("\\x{}", (0..length).map(|_| format!("{:02x}", byte(random))).collect::<String>())
}

fn array(random: &mut Random, elements: &[&str]) -> String {
    let mut list = |count: u64| (0..count).map(|_| random.pick(elements)).collect::<Vec<_>>().join(",");
    let (pair, other) = (list(2), list(2));
    match random.below(6) {
        0 => "{}".to_owned(),
        1 => format!("{{{{{pair}}},{{{other}}}}}"),
        2 => format!("[0:1]={{{pair}}}"),
        3 => format!("{{{pair},{other}}}"),
        _ => format!("{{{pair}}}"),
    }
}

fn mood(random: &mut Random) -> String {
    random.pick(&["sad", "ok", "it's \"fine\", \\|", "été", "NULL"]).to_owned()
}

fn pair(random: &mut Random) -> String {
    random
        .pick(&["(,,)", "(1,,)", "(,\"\",)", "(1,\"a,b\",\"{1.0,NULL}\")", "(1,\"a,b\",\"{1.00,NULL}\")"])
        .to_owned()
}
