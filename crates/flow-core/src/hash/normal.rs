//! The normal form under which a column of a type is hashed, decided from what the catalogue says of
//! the type. Pure: facts in, a value out.

use serde::Serialize;

/// Types below this are assigned by hand and keep their oid in every database and version of Postgres;
/// initdb numbers the rest anew (src/include/access/transam.h, FirstGenbkiObjectId).
const FIRST_UNSTABLE_OID: u32 = 10_000;

const BYTEA: u32 = 17;
const TEXT: u32 = 25;
const VARCHAR: u32 = 1043;

/// Reads the facts of types that [`Normal::for_type`] needs. Parameter 1 is an `oid[]`; one row for each
/// type that exists: `asked oid, oid oid, kind "char", element oid, sendable bool`, where `element` is 0
/// for all but arrays. Domains are resolved to their base type.
pub const TYPE_FACTS_SQL: &str = "\
WITH RECURSIVE resolved(asked, oid) AS (
  SELECT a.oid, a.oid FROM pg_catalog.unnest($1::pg_catalog.oid[]) AS a(oid)
  UNION
  SELECT r.asked, d.typbasetype
    FROM resolved AS r
    JOIN pg_catalog.pg_type AS d ON d.oid OPERATOR(pg_catalog.=) r.oid
   WHERE d.typtype OPERATOR(pg_catalog.=) 'd'::pg_catalog.\"char\"
)
SELECT r.asked, t.oid, t.typtype AS kind, COALESCE(e.oid, 0::pg_catalog.oid) AS element,
       t.typsend OPERATOR(pg_catalog.<>) 0::pg_catalog.oid
         AND COALESCE(e.typsend OPERATOR(pg_catalog.<>) 0::pg_catalog.oid, true) AS sendable
  FROM resolved AS r
  JOIN pg_catalog.pg_type AS t ON t.oid OPERATOR(pg_catalog.=) r.oid
  LEFT JOIN pg_catalog.pg_type AS e
    ON e.oid OPERATOR(pg_catalog.=) t.typelem
   AND t.typsend OPERATOR(pg_catalog.=) 'pg_catalog.array_send'::pg_catalog.regproc
 WHERE t.typtype OPERATOR(pg_catalog.<>) 'd'::pg_catalog.\"char\"";

/// What the catalogue says of a column's type, domains resolved to their base type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TypeFacts {
    /// `pg_type.oid` of the type, or of the base type of a domain.
    pub oid: u32,
    /// `pg_type.typtype`: b(ase), c(omposite), e(num), r(ange), m(ultirange), p(seudo).
    pub kind: char,
    /// The element type of an array.
    pub element: Option<u32>,
    /// Whether the type, and an array's element, has a binary send function.
    pub sendable: bool,
}

impl TypeFacts {
    /// The facts of a base type that Postgres brings and that is no array.
    ///
    /// ```
    /// use ematix_flow_core::hash::{Normal, TypeFacts};
    /// assert_eq!(Normal::for_type(&TypeFacts::built_in(23)), Some(Normal::Int8)); // 23 is integer
    /// ```
    pub const fn built_in(oid: u32) -> TypeFacts {
        TypeFacts { oid, kind: 'b', element: None, sendable: true }
    }

    /// The number of a type whose bytes mean the same in every database, its elements' included.
    pub fn stable_oid(&self) -> Option<u32> {
        let stable = self.kind != 'c'
            && self.oid < FIRST_UNSTABLE_OID
            && self.element.is_none_or(|element| element < FIRST_UNSTABLE_OID);
        stable.then_some(self.oid)
    }
}

/// The normal form under which a column is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Normal {
    /// smallint, integer, bigint: as bigint, so that widening changes no hash.
    Int8,
    /// text, varchar, name: the UTF-8 bytes.
    Text,
    /// char(n): as text, without the blanks at the end that only the column's width adds.
    BlankPadded,
    /// An enum: its label as text. Labels travel; oids differ between databases.
    Enum,
    /// boolean.
    Bool,
    /// real, double precision: as double precision with one NaN and one zero.
    Float8,
    /// numeric without trailing zeros, so that 1.0 and 1.00 are one value as they are for `=`.
    Numeric,
    /// json: its exact text.
    Json,
    /// An array: its sent bytes under the type bytea, with the null flag cleared and the element type given.
    /// The flag says that a null bitmap exists, not that an element is NULL: `{1,2}` and `{NULL,2}` after
    /// `a[1] = 1` are `=`, and sent with different flags. Each element carries its own NULL.
    Array {
        /// The element's oid; 0 for a type whose oid differs between databases.
        element: u32,
    },
    /// A built-in type whose sent bytes are hashed as they are, under its own oid.
    AsSent(&'static SentType),
    /// Every other type: its sent bytes under the type bytea, because its own oid differs between databases.
    /// A composite with fields of user-defined types still carries their oids inside.
    Opaque,
}

impl Normal {
    /// The normal form for columns of a type; `None` where the type has no binary form at all
    /// (aclitem, pseudo-types, extensions without a send function), so that nothing can be hashed or copied.
    pub fn for_type(facts: &TypeFacts) -> Option<Normal> {
        if !facts.sendable || facts.kind == 'p' {
            return None;
        }
        if let Some(element) = facts.element {
            return Some(Normal::Array { element: stable_element(element) });
        }
        Some(match (facts.oid, facts.kind) {
            (_, 'e') => Normal::Enum,
            (20 | 21 | 23, _) => Normal::Int8,
            (19 | TEXT | VARCHAR, _) => Normal::Text,
            (1042, _) => Normal::BlankPadded,
            (16, _) => Normal::Bool,
            (700 | 701, _) => Normal::Float8,
            (1700, _) => Normal::Numeric,
            (114, _) => Normal::Json,
            (oid, _) => SentType::by_oid(oid).map_or(Normal::Opaque, Normal::AsSent),
        })
    }

    /// The type under which the value is framed in the encoding.
    pub const fn frame_oid(&self) -> u32 {
        match self {
            Normal::Int8 => 20,
            Normal::Text | Normal::BlankPadded | Normal::Enum | Normal::Json => TEXT,
            Normal::Bool => 16,
            Normal::Float8 => 701,
            Normal::Numeric => 1700,
            Normal::AsSent(sent) => sent.oid,
            Normal::Array { .. } | Normal::Opaque => BYTEA,
        }
    }

    /// The name of the form in messages.
    pub const fn name(&self) -> &'static str {
        match self {
            Normal::Int8 => "bigint",
            Normal::Text => "text",
            Normal::BlankPadded => "char(n)",
            Normal::Enum => "enum",
            Normal::Bool => "boolean",
            Normal::Float8 => "double precision",
            Normal::Numeric => "numeric",
            Normal::Json => "json",
            Normal::Array { .. } => "array",
            Normal::AsSent(sent) => sent.name,
            Normal::Opaque => "user-defined type",
        }
    }
}

/// The element type that enters the hash. varchar[] counts as text[], as varchar counts as text.
const fn stable_element(oid: u32) -> u32 {
    match oid {
        VARCHAR => TEXT,
        FIRST_UNSTABLE_OID.. => 0,
        _ => oid,
    }
}

/// A built-in type whose binary form is the same in every database, under every setting and version.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct SentType {
    /// `pg_type.oid`.
    pub oid: u32,
    /// `pg_type.typname`, in quotes where SQL needs them.
    pub name: &'static str,
    /// How many bytes every value is sent with; `None` where it varies.
    pub sent_bytes: Option<usize>,
    /// The send function, where `=` is missing or looser than the bytes.
    pub compared_by: Option<&'static str>,
}

impl SentType {
    /// The type of that oid, if it is hashed as sent.
    pub fn by_oid(oid: u32) -> Option<&'static SentType> {
        let index = SENT_TYPES.binary_search_by_key(&oid, |sent| sent.oid).ok()?;
        Some(&SENT_TYPES[index])
    }

    /// Every such type, by oid.
    pub const ALL: &'static [SentType] = SENT_TYPES;
}

const fn fixed(oid: u32, name: &'static str, bytes: usize) -> SentType {
    SentType { oid, name, sent_bytes: Some(bytes), compared_by: None }
}

const fn varying(oid: u32, name: &'static str) -> SentType {
    SentType { oid, name, sent_bytes: None, compared_by: None }
}

impl SentType {
    const fn compared_by(self, send: &'static str) -> SentType {
        SentType { compared_by: Some(send), ..self }
    }
}

// A new built-in type goes here before it is first hashed: afterwards it would change from Opaque, and every
// hash of it with it.
static SENT_TYPES: &[SentType] = &[
    varying(17, "bytea"),
    fixed(18, "\"char\"", 1),
    varying(22, "int2vector").compared_by("int2vectorsend"),
    fixed(24, "regproc", 4),
    fixed(26, "oid", 4),
    fixed(27, "tid", 6),
    fixed(28, "xid", 4),
    fixed(29, "cid", 4),
    varying(30, "oidvector").compared_by("oidvectorsend"),
    // Sent without a declaration that says nothing (version 1.0, UTF-8), in COPY too: the text of the column is
    // not what a stage receives.
    varying(142, "xml").compared_by("xml_send"),
    fixed(600, "point", 16).compared_by("point_send"),
    fixed(601, "lseg", 32).compared_by("lseg_send"),
    varying(602, "path").compared_by("path_send"),
    fixed(603, "box", 32).compared_by("box_send"),
    varying(604, "polygon").compared_by("poly_send"),
    fixed(628, "line", 24).compared_by("line_send"),
    varying(650, "cidr"),
    fixed(718, "circle", 24).compared_by("circle_send"),
    fixed(774, "macaddr8", 8),
    fixed(790, "money", 8),
    fixed(829, "macaddr", 6),
    varying(869, "inet"),
    fixed(1082, "date", 4),
    fixed(1083, "time", 8),
    fixed(1114, "timestamp", 8),
    fixed(1184, "timestamptz", 8),
    fixed(1186, "interval", 16).compared_by("interval_send"),
    fixed(1266, "timetz", 12),
    varying(1560, "bit"),
    varying(1562, "varbit"),
    varying(1790, "refcursor").compared_by("textsend"),
    fixed(2202, "regprocedure", 4),
    fixed(2203, "regoper", 4),
    fixed(2204, "regoperator", 4),
    fixed(2205, "regclass", 4),
    fixed(2206, "regtype", 4),
    fixed(2950, "uuid", 16),
    varying(2970, "txid_snapshot").compared_by("txid_snapshot_send"),
    fixed(3220, "pg_lsn", 8),
    varying(3614, "tsvector").compared_by("tsvectorsend"),
    varying(3615, "tsquery").compared_by("tsquerysend"),
    fixed(3734, "regconfig", 4),
    fixed(3769, "regdictionary", 4),
    varying(3802, "jsonb").compared_by("jsonb_send"),
    varying(3904, "int4range"),
    varying(3906, "numrange").compared_by("range_send"),
    varying(3908, "tsrange"),
    varying(3910, "tstzrange"),
    varying(3912, "daterange"),
    varying(3926, "int8range"),
    varying(4072, "jsonpath").compared_by("jsonpath_send"),
    fixed(4089, "regnamespace", 4),
    fixed(4096, "regrole", 4),
    fixed(4191, "regcollation", 4),
    varying(4451, "int4multirange"),
    varying(4532, "nummultirange").compared_by("multirange_send"),
    varying(4533, "tsmultirange"),
    varying(4534, "tstzmultirange"),
    varying(4535, "datemultirange"),
    varying(4536, "int8multirange"),
    varying(5038, "pg_snapshot").compared_by("pg_snapshot_send"),
    fixed(5069, "xid8", 8),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn form(oid: u32, kind: char) -> Option<Normal> {
        Normal::for_type(&TypeFacts { oid, kind, element: None, sendable: true })
    }

    #[test]
    fn sent_types_are_sorted_and_stable() {
        assert!(SENT_TYPES.windows(2).all(|pair| pair[0].oid < pair[1].oid));
        assert!(SENT_TYPES.iter().all(|sent| sent.oid < FIRST_UNSTABLE_OID));
        for sent in SENT_TYPES {
            assert_eq!(SentType::by_oid(sent.oid), Some(sent));
            assert_eq!(Normal::for_type(&TypeFacts::built_in(sent.oid)), Some(Normal::AsSent(sent)));
        }
    }

    #[test]
    fn integers_texts_and_floats_of_every_width_share_a_form() {
        assert_eq!([21, 23, 20].map(|oid| form(oid, 'b')), [Some(Normal::Int8); 3]);
        assert_eq!([25, 1043, 19].map(|oid| form(oid, 'b')), [Some(Normal::Text); 3]);
        assert_eq!([700, 701].map(|oid| form(oid, 'b')), [Some(Normal::Float8); 2]);
    }

    #[test]
    fn what_has_no_stable_oid_is_framed_as_bytea_or_text() {
        assert_eq!(form(16_400, 'b'), Some(Normal::Opaque));
        assert_eq!(form(16_400, 'c'), Some(Normal::Opaque));
        assert_eq!(form(16_400, 'r'), Some(Normal::Opaque));
        assert_eq!(form(12_000, 'c'), Some(Normal::Opaque));
        assert_eq!(form(16_400, 'e'), Some(Normal::Enum));
        let array = |element| {
            Normal::for_type(&TypeFacts { oid: 16_401, kind: 'b', element: Some(element), sendable: true })
        };
        assert_eq!(array(16_400), Some(Normal::Array { element: 0 }));
        assert_eq!(array(23), Some(Normal::Array { element: 23 }));
        assert_eq!(array(VARCHAR), array(TEXT));
    }

    #[test]
    fn a_type_without_a_binary_form_has_no_normal_form() {
        assert_eq!(Normal::for_type(&TypeFacts { sendable: false, ..TypeFacts::built_in(1033) }), None);
        assert_eq!(form(2249, 'p'), None);
    }
}
