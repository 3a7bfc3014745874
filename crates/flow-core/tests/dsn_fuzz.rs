//! DSNs that nobody would write: whatever comes, the reader neither panics nor shows a secret, and what it has read it
//! can print and read back. PROPTEST_CASES sets how many; the default is for every day.

#[path = "support/memory.rs"]
mod memory;

use ematix_flow_core::connections::resolve;
use ematix_flow_core::declare::ProjectSpec;
use ematix_flow_core::libpq::{parse_dsn, password_in, print_dsn, service_in};
use memory::Memory;
use proptest::prelude::*;

/// What a mutation cuts and joins: words that mean something, and what may be mistaken for them.
const PIECES: &[&str] = &[
    "postgresql://",
    "postgres://",
    "host=",
    "hostaddr=",
    "port=",
    "user=",
    "dbname=",
    "password=",
    "sslmode=",
    "service=",
    "passfile=",
    "options=",
    "require_auth=",
    "db.example",
    "/tmp",
    "@name",
    "%2Ftmp",
    "[::1]",
    "::1",
    "127.0.0.1",
    "5432",
    "70000",
    "-1",
    ":",
    ",",
    "/",
    "?",
    "&",
    "=",
    "@",
    "'",
    "\\",
    "\\'",
    " ",
    "\t",
    "\u{b}",
    "%",
    "%00",
    "%40",
    "%zz",
    "%C3%28",
    "#",
    "[",
    "]",
    "ann",
    "verify-full",
    "scram-sha-256,!none",
    "é",
    "",
    "\0",
    "\n",
];

fn dsn() -> impl Strategy<Value = String> {
    let pieces =
        prop::collection::vec(prop::sample::select(PIECES), 0..24).prop_map(|pieces| pieces.concat());
    let real = prop::sample::select(vec![
        "postgresql://ann:pw@db.example:5433,[::1]:1/shop?sslmode=require&options=-c%20a%3Db",
        "postgresql:///shop?host=/tmp&port=1&user=ann",
        "host=db.example,/tmp port=1,2 user='o\\'neil' password='it''s' dbname=shop",
        "hostaddr=10.0.0.1 host=db require_auth=!none connect_timeout=-1 service=shop",
    ]);
    let mutated =
        (real, 0usize..80, 0usize..8, prop::sample::select(PIECES)).prop_map(|(real, at, length, piece)| {
            let boundary =
                |at: usize| (at.min(real.len())..=real.len()).find(|at| real.is_char_boundary(*at)).unwrap();
            format!("{}{piece}{}", &real[..boundary(at)], &real[boundary(at + length)..])
        });
    prop_oneof![
        pieces,
        mutated,
        any::<String>(),
        "\\PC{0,40}".prop_map(|text| format!("postgresql://{text}"))
    ]
}

proptest! {
    #[test]
    fn whatever_a_dsn_is_the_reader_has_an_answer(dsn in dsn()) {
        if let Ok(parameters) = parse_dsn(&dsn) {
            let said = parameters.iter().map(|(name, value)| (name.as_str(), value.reveal()));
            let printed = print_dsn(said);
            // Nothing said is nothing to print, and no DSN.
            if !parameters.is_empty() {
                prop_assert_eq!(parse_dsn(printed.reveal()), Ok(parameters.clone()), "{}", printed.reveal());
            }
        }
    }

    #[test]
    fn whatever_a_dsn_is_a_connection_is_whole_or_refused(dsn in dsn()) {
        let environment = Memory::new().variable("USER", "ann").variable("EMATIX_FLOW_DSN", &dsn);
        if let Ok(target) = resolve("default", &ProjectSpec::default(), &environment)
            && target.file().is_none()
            && target.unfiled().is_none()
        {
            let places = target.addresses();
            prop_assert!(!places.is_empty());
            for (place, port) in places {
                prop_assert!(!place.is_empty(), "{target}");
                prop_assert!(port.parse::<u16>().is_ok_and(|port| port > 0), "{target}");
            }
            let again = Memory::new().variable("USER", "ann").variable("EMATIX_FLOW_DSN", target.secret_conninfo().reveal());
            let again = resolve("default", &ProjectSpec::default(), &again).unwrap();
            prop_assert_eq!(again.parameters, target.parameters);
        }
    }

    #[test]
    fn no_piece_of_a_password_is_in_an_answer(
        before in prop::sample::select(vec!["postgresql://ann:", "postgresql://h/d?password=", "host=h password=", "host=h password='"]),
        tear in prop::sample::select(PIECES),
        after in prop::sample::select(PIECES),
        rest in prop::sample::select(vec!["@h/d", "", "'", " user=x", "&user=x"]),
    ) {
        // The name of a service is no secret, and is shown.
        prop_assume!(after != "service=");
        // Both ends of the password are words that nothing else has.
        let dsn = format!("{before}hunterfirst{tear}{after}huntersecond{rest}");
        let environment = Memory::new().variable("USER", "ann").variable("EMATIX_FLOW_DSN", &dsn);
        let shown = match resolve("default", &ProjectSpec::default(), &environment) {
            Err(error) => format!("{error} {error:?} {}", serde_json::to_string(&error).unwrap()),
            // Where it leads is shown; a password that its writer has ended is no password any more.
            Ok(_) => String::new(),
        };
        prop_assert!(!shown.contains("hunterfirst") && !shown.contains("huntersecond"), "{dsn}: {shown}");
    }

    #[test]
    fn whatever_is_in_the_files_of_libpq_they_are_read(text in dsn(), more in any::<String>()) {
        let _ = service_in(&format!("[shop]\n{text}\n{more}"), "shop");
        let _ = password_in(&format!("{more}\n{text}"), "h", "1", "d", "u");
    }
}
