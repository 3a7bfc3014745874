//! Where connections lead: which place says it, how the rest is filled, and that no password shows.

#[path = "support/memory.rs"]
mod memory;

use ematix_flow_core::connections::{ConnectionTarget, known_connections, resolve};
use ematix_flow_core::declare::ProjectSpec;
use ematix_flow_core::declare::toml_file::read_text;
use ematix_flow_core::error::{FlowError, Result};
use memory::Memory;
use secrecy::ExposeSecret;

/// A machine with a user and a home.
fn machine() -> Memory {
    Memory::new().variable("USER", "ann").variable("HOME", "/home/ann")
}

fn project(text: &str) -> ProjectSpec {
    read_text(text, "pipelines.toml", &Memory::new()).expect("the file is right")
}

/// `host=… port=… …`, the password in the clear, then what comes from the files, then the place.
fn told(target: &ConnectionTarget) -> String {
    let mut out: Vec<String> =
        target.parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
    out.extend(target.password.as_ref().map(|password| format!("password={}", password.expose_secret())));
    out.extend(target.read_only.then(|| "read_only".to_owned()));
    out.extend(target.session.iter().map(|(name, value)| format!("session.{name}={value}")));
    format!("{} [{}]", out.join(" "), target.found_in)
}

fn told_error(error: &FlowError) -> String {
    let place =
        error.location.as_ref().map(|place| format!("\n--> {}:{}:{}", place.file, place.line, place.column));
    let hint = error.hint.as_ref().map(|hint| format!("\nhint: {hint}"));
    let details: String = error.details.iter().map(|line| format!("\n  {line}")).collect();
    format!(
        "{}: {}{details}{}{}",
        error.code,
        error.message,
        place.unwrap_or_default(),
        hint.unwrap_or_default()
    )
}

fn look_up(name: &str, text: &str, machine: &Memory) -> String {
    match resolve(name, &project(text), machine) {
        Ok(target) => told(&target),
        Err(error) => told_error(&error),
    }
}

const CRM: &str = "
[connections.crm]
host = 'crm-db.internal'
dbname = 'crm'
user = 'reader'
password = '${file:secrets/crm}'
sslmode = 'verify-full'
read_only = true
session = { timezone = '${env:ZONE:-UTC}' }
";

const USER_FILE: &str = "/home/ann/.ematix-flow/connections.toml";

#[test]
fn a_connection_comes_whole_from_the_first_place_that_says_it() {
    let files = machine().file("secrets/crm", "s3cret\n").file(
        USER_FILE,
        "[connections.crm]\nhost = 'mine'\npassword = 'own'\n[connections.own]\ndsn = 'host=mine user=me'",
    );
    let rest = "read_only session.timezone=UTC";
    assert_eq!(
        look_up("crm", CRM, &files),
        format!(
            "host=crm-db.internal port=5432 dbname=crm user=reader sslmode=verify-full connect_timeout=10 \
             password=s3cret {rest} [pipelines.toml]"
        )
    );
    let variable = files.clone().variable("EMATIX_FLOW_DSN_CRM", "postgresql://other/db");
    assert_eq!(
        look_up("crm", CRM, &variable),
        format!(
            "host=other port=5432 dbname=db user=ann sslmode=prefer connect_timeout=10 {rest} [EMATIX_FLOW_DSN_CRM]"
        )
    );
    // The files still say that it is read-only, though they do not say where it leads.
    assert_eq!(
        look_up("crm", "[connections.crm]\nread_only = true", &files),
        "host=mine port=5432 dbname=ann user=ann sslmode=prefer connect_timeout=10 password=own read_only \
         [~/.ematix-flow/connections.toml]"
    );
    assert_eq!(
        look_up("own", "", &files),
        "host=mine port=5432 dbname=me user=me sslmode=prefer connect_timeout=10 [~/.ematix-flow/connections.toml]"
    );
}

#[test]
fn the_default_is_looked_up_in_its_own_order() {
    let pg = machine()
        .variable("PGHOST", "pg")
        .variable("PGDATABASE", "d")
        .variable("PGPASSWORD", "p")
        .variable("PGPORT", "");
    assert_eq!(
        look_up("default", "", &pg),
        "host=pg port=5432 dbname=d user=ann sslmode=prefer connect_timeout=10 password=p [PGHOST, PGPASSWORD, PGDATABASE]"
    );
    let user = pg.clone().file(USER_FILE, "[connections.default]\nhost = 'user-file'");
    assert_eq!(resolved_host("default", "", &user), "user-file");
    let file = "[connections.default]\nhost = 'file'";
    assert_eq!(resolved_host("default", file, &user), "file");
    assert_eq!(
        resolved_host("default", file, &user.clone().variable("EMATIX_FLOW_DSN_DEFAULT", "host=named")),
        "named"
    );
    let variable =
        user.variable("EMATIX_FLOW_DSN", "host=variable").variable("EMATIX_FLOW_DSN_DEFAULT", "host=named");
    assert_eq!(resolved_host("default", file, &variable), "variable");
    assert_eq!(
        look_up("default", "", &machine()),
        "host=localhost port=5432 dbname=ann user=ann sslmode=prefer connect_timeout=10 [libpq's defaults]"
    );
    // libpq's variables fill no gaps of other connections.
    assert_eq!(resolved_host("crm", "[connections.crm]\ndbname = 'x'", &pg), "localhost");
}

fn resolved_host(name: &str, text: &str, machine: &Memory) -> String {
    resolve(name, &project(text), machine).unwrap().parameter("host").unwrap().to_owned()
}

#[test]
fn what_is_not_said_is_filled_as_libpq_does() {
    let dsn =
        |dsn: &str, machine: &Memory| look_up("x", &format!("[connections.x]\ndsn = \"{dsn}\""), machine);
    let end = "[pipelines.toml]";
    let socket = machine().file("/tmp/.s.PGSQL.5432", "").file("/var/run/postgresql/.s.PGSQL.6432", "");
    assert_eq!(
        dsn("dbname=d", &socket),
        format!("host=/tmp port=5432 dbname=d user=ann sslmode=prefer connect_timeout=10 {end}")
    );
    assert_eq!(
        dsn("port=6432", &socket),
        format!(
            "host=/var/run/postgresql port=6432 dbname=ann user=ann sslmode=prefer connect_timeout=10 {end}"
        )
    );
    assert_eq!(
        dsn("postgresql://a,[::1]:7,/d?user=u", &socket),
        format!("host=a,::1, port=5432,7,5432 dbname=d user=u sslmode=prefer connect_timeout=10 {end}")
            .replace("::1,", "::1,/tmp")
    );
    assert_eq!(
        dsn("postgresql://a,b:1,c/d?user=u&port=6", &socket),
        format!("host=a,b,c port=6,6,6 dbname=d user=u sslmode=prefer connect_timeout=10 {end}")
    );
    assert_eq!(
        dsn("hostaddr=10.0.0.1 connect_timeout=3 sslrootcert=system", &machine()),
        format!(
            "hostaddr=10.0.0.1 port=5432 dbname=ann user=ann sslmode=verify-full connect_timeout=3 sslrootcert=system {end}"
        )
    );
    let trusting = machine().file("/home/ann/.postgresql/root.crt", "");
    assert_eq!(
        dsn("host=h sslmode=verify-full", &trusting),
        format!(
            "host=h port=5432 dbname=ann user=ann sslmode=verify-full sslrootcert=/home/ann/.postgresql/root.crt \
             connect_timeout=10 {end}"
        )
    );
    assert_eq!(
        dsn("host=h sslrootcert=a.pem", &trusting),
        format!(
            "host=h port=5432 dbname=ann user=ann sslmode=prefer connect_timeout=10 sslrootcert=a.pem {end}"
        )
    );
    let passwd = "root:x:0:0:root:/root:/bin/sh\nbo:x:1000:1000::/home/bo:/bin/sh\n";
    let container = Memory::new()
        .file("/proc/self/status", "Name:\tflow\nUid:\t0\t1000\t0\t0\n")
        .file("/etc/passwd", passwd);
    assert!(dsn("host=h", &container).contains(" user=bo "));
    let nobody = Memory::new();
    assert_eq!(
        dsn("host=h", &nobody),
        "missing_option: the connection `x` names no user, and the system has no name for you\n--> pipelines.toml:2:1\nhint: set user="
    );
    assert_eq!(
        dsn("host=h", &nobody.variable("LOGNAME", "bo")),
        format!("host=h port=5432 dbname=bo user=bo sslmode=prefer connect_timeout=10 {end}")
    );
    assert_eq!(
        dsn("host=a,b,c port=1,2", &machine()),
        "invalid_value: the connection `x` has 3 hosts but 2 ports\n--> pipelines.toml:2:1\nhint: write one for each host, or one for all"
    );
    assert_eq!(
        dsn("host=a sslmode=require sslrootcert=system", &machine()),
        "invalid_value: the connection `x` has sslrootcert=system with a weaker sslmode than verify-full\n--> pipelines.toml:2:1\n\
         hint: set sslmode=verify-full, or leave it out"
    );
}

#[test]
fn an_unknown_name_lists_every_place_that_was_searched() {
    assert_eq!(
        look_up("cmr", CRM, &machine()),
        "unknown_connection: there is no connection `cmr`\n  \
           searched: the environment variable EMATIX_FLOW_DSN_CMR, which is not set\n  \
           searched: [connections.cmr] in pipelines.toml\n  \
           searched: ~/.ematix-flow/connections.toml, but there is no such file\n\
         hint: did you mean `crm`? `flow connections list` shows all"
    );
    assert_eq!(
        look_up("lake-1", "[connections.lake-1]\nread_only = true", &Memory::new()),
        "unknown_connection: nothing says where the connection `lake-1` leads\n  \
           searched: the environment variable EMATIX_FLOW_DSN_LAKE_1, which is not set\n  \
           searched: [connections.lake-1] in pipelines.toml\n  \
           searched: ~/.ematix-flow/connections.toml, but HOME is not set\n\
         --> pipelines.toml:1:1\n\
         hint: set EMATIX_FLOW_DSN_LAKE_1 to a DSN, or write dsn = \"…\" in [connections.lake-1]"
    );
}

#[test]
fn a_missing_variable_names_itself_its_connection_and_its_place() {
    let text =
        "[connections.w]\nread_only = true\n  dsn = \"${env:WAREHOUSE_DSN}\"\n[connections.ok]\nhost = 'h'";
    assert_eq!(
        look_up("w", text, &machine()),
        "missing_variable: the environment variable `WAREHOUSE_DSN` is not set; `dsn` of connection `w` asks for it\n\
         --> pipelines.toml:3:3\nhint: set WAREHOUSE_DSN, or set EMATIX_FLOW_DSN_W to a whole DSN"
    );
    assert_eq!(resolved_host("ok", text, &machine()), "h");
    assert_eq!(
        look_up("crm", CRM, &machine()),
        "missing_variable: the file `secrets/crm` cannot be read: there is no such file; `password` of connection `crm` asks for it\n\
         --> pipelines.toml:6:1\nhint: make the file readable, or set EMATIX_FLOW_DSN_CRM to a whole DSN"
    );
}

#[test]
fn a_mistake_in_a_variable_or_in_the_users_file_is_told_with_its_place() {
    assert_eq!(
        look_up("crm", CRM, &machine().variable("EMATIX_FLOW_DSN_CRM", "host=h sslcert=x")),
        "not_yet_supported: `sslcert` of connection `crm` is not supported yet\n  it stands in the environment variable EMATIX_FLOW_DSN_CRM"
    );
    assert_eq!(
        look_up("default", "", &machine().variable("PGSSLMODE", "maybe")),
        "invalid_value: `sslmode` of connection `default` must be one of disable, allow, prefer, require, verify-ca, verify-full\n  \
           it comes from the environment variable PGSSLMODE"
    );
    let broken = machine().file(USER_FILE, "[connections.own]\nhots = 'x'\n[pipelines.x]\n");
    assert_eq!(
        look_up("own", "", &broken),
        "unknown_option: unknown option `hots` in connection `own`\n  `pipelines` does not belong here\n\
         --> /home/ann/.ematix-flow/connections.toml:2:1"
    );
    assert_eq!(resolved_host("w", "[connections.w]\nhost = 'h'", &broken), "h");
}

#[test]
fn no_password_is_ever_shown() {
    let dsns = [
        "postgresql://u:hunter2@h/d",
        "postgresql://u@h/d?password=hunter2",
        "postgresql://u:hunter2%40x%2Fy%23z@h/d",
        "postgresql://u:hunter2#x@h/d",
        "host=h password=hunter2",
        "host=h password='hunter2 /@#'",
        "postgresql://u:hunter2@x@h/d",
        "postgresql://u:hunter2/x@h/d",
        "postgresql://u:1/hunter2@h/d",
        "postgresql://u:hunter2#/x@h/d",
        "host=h password=a hunter2",
    ];
    for dsn in dsns {
        let environment = machine().variable("EMATIX_FLOW_DSN_X", dsn).variable("SECRET", dsn);
        for text in ["", "[connections.x]\ndsn = '${env:SECRET}'"] {
            let shown = shown(&resolve("x", &project(text), &environment));
            assert!(!shown.contains("hunter2"), "{dsn}: {shown}");
        }
        let in_file = format!("[connections.x]\ndsn = \"{dsn}\"\n");
        match read_text(&in_file, "pipelines.toml", &machine()) {
            Ok(project) => {
                assert!(!format!("{project:?}").contains("hunter2"), "{dsn}: {project:?}");
                let shown = shown(&resolve("x", &project, &machine()));
                assert!(!shown.contains("hunter2"), "{dsn}: {shown}");
            }
            Err(errors) => assert!(!format!("{errors:?}").contains("hunter2"), "{dsn}: {errors:?}"),
        }
    }
}

fn shown(result: &Result<ConnectionTarget>) -> String {
    match result {
        Ok(target) => format!("{target} {target:?} {:#?}", target),
        Err(error) => format!("{error} {error:?} {}", serde_json::to_string(error).unwrap()),
    }
}

#[test]
fn an_address_reads_user_host_port_and_database() {
    let cases = [
        ("postgresql://u:p@h:6/d", "u@h:6/d"),
        ("postgresql://u@[::1],b:2/d", "u@[::1]:5432,b:2/d"),
        ("host=/tmp user=u", "u@/tmp:5432/u"),
        ("hostaddr=::1 user=u", "u@[::1]:5432/u"),
    ];
    for (dsn, expected) in cases {
        let environment = machine().variable("EMATIX_FLOW_DSN_X", dsn);
        assert_eq!(resolve("x", &ProjectSpec::default(), &environment).unwrap().to_string(), expected);
    }
}

#[test]
fn every_connection_that_can_be_seen_is_listed() {
    let environment = machine()
        .variable("EMATIX_FLOW_DSN_CRM", "host=other")
        .variable("EMATIX_FLOW_DSN_LAKE", "host=lake")
        .variable("EMATIX_FLOW_DSN", "host=default")
        .file(USER_FILE, "[connections.own]\nhost = 'mine'");
    let project = project(&format!("{CRM}\n[connections.unset]\ndsn = '${{env:NOT_SET}}'"));
    let listed: Vec<String> = known_connections(&project, &environment)
        .into_iter()
        .map(|(name, found_in, target)| {
            format!(
                "{name} | {found_in} | {}",
                target.map_or_else(|error| error.code.name().to_owned(), |target| target.to_string())
            )
        })
        .collect();
    assert_eq!(
        listed,
        [
            "crm | EMATIX_FLOW_DSN_CRM | ann@other:5432/ann",
            "unset | pipelines.toml | missing_variable",
            "own | ~/.ematix-flow/connections.toml | ann@mine:5432/ann",
            "default | EMATIX_FLOW_DSN | ann@default:5432/ann",
            "lake | EMATIX_FLOW_DSN_LAKE | ann@lake:5432/ann",
        ]
    );
}

proptest::proptest! {
    #[test]
    fn no_dsn_makes_the_parser_panic(dsn in "(postgresql://)?[a-z:/@?%=&' \\\\\\[\\],0-9é#]{0,40}") {
        let _ = ematix_flow_core::libpq::parse_dsn(&dsn);
        let environment = machine().variable("EMATIX_FLOW_DSN", &dsn);
        if let Ok(target) = resolve("default", &ProjectSpec::default(), &environment) {
            let hosts = target.parameter("host").or(target.parameter("hostaddr")).unwrap();
            proptest::prop_assert_eq!(hosts.split(',').count(), target.parameter("port").unwrap().split(',').count());
        }
    }
}
