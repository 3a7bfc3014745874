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
            "host=other port=5432 dbname=db user=ann sslmode=verify-full sslrootcert=system connect_timeout=10 {rest} [EMATIX_FLOW_DSN_CRM]"
        )
    );
    // The files still say that it is read-only, though they do not say where it leads.
    assert_eq!(
        look_up("crm", "[connections.crm]\nread_only = true", &files),
        "host=mine port=5432 dbname=ann user=ann sslmode=verify-full sslrootcert=system connect_timeout=10 password=own read_only \
         [~/.ematix-flow/connections.toml]"
    );
    assert_eq!(
        look_up("own", "", &files),
        "host=mine port=5432 dbname=me user=me sslmode=verify-full sslrootcert=system connect_timeout=10 [~/.ematix-flow/connections.toml]"
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
        "host=pg port=5432 dbname=d user=ann sslmode=verify-full sslrootcert=system connect_timeout=10 password=p [PGHOST, PGDATABASE, PGPASSWORD]"
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
    // As with psql, the variables fill what a connection leaves unsaid; a list says so.
    assert_eq!(
        look_up("crm", "[connections.crm]\ndbname = 'x'", &pg),
        "host=pg port=5432 dbname=x user=ann sslmode=verify-full sslrootcert=system connect_timeout=10 password=p [pipelines.toml, PGHOST, PGPASSWORD]"
    );
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
        format!("host=a,::1, port=5432,7,5432 dbname=d user=u sslmode=verify-full sslrootcert=system connect_timeout=10 {end}")
            .replace("::1,", "::1,/tmp")
    );
    assert_eq!(
        dsn("postgresql://a,b:1,c/d?user=u&port=6", &socket),
        format!(
            "host=a,b,c port=6,6,6 dbname=d user=u sslmode=verify-full sslrootcert=system connect_timeout=10 {end}"
        )
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
            "host=h port=5432 dbname=ann user=ann sslmode=verify-full connect_timeout=10 sslrootcert=a.pem {end}"
        )
    );
    let known = machine()
        .file("/home/ann/.postgresql/postgresql.crt", "")
        .file("/home/ann/.postgresql/postgresql.key", "")
        .file("/home/ann/.postgresql/root.crl", "");
    assert_eq!(
        dsn("host=h sslpassword=s3cret", &known),
        format!(
            "host=h port=5432 dbname=ann user=ann sslmode=verify-full sslrootcert=system \
             sslcrl=/home/ann/.postgresql/root.crl sslcert=/home/ann/.postgresql/postgresql.crt sslkey=/home/ann/.postgresql/postgresql.key connect_timeout=10 {end}"
        )
    );
    // A directory of lists is instead of the file, and a certificate that is not shown needs no file.
    assert_eq!(
        dsn("host=h sslcrldir=lists sslcertmode=disable", &known),
        format!(
            "host=h port=5432 dbname=ann user=ann sslmode=verify-full sslrootcert=system \
             sslkey=/home/ann/.postgresql/postgresql.key connect_timeout=10 sslcrldir=lists sslcertmode=disable {end}"
        )
    );
    let passwd = "root:x:0:0:root:/root:/bin/sh\nbo:x:1000:1000::/home/bo:/bin/sh\n";
    let container = Memory::new()
        .file("/proc/self/status", "Name:\tflow\nUid:\t0\t1000\t0\t0\n")
        .file("/etc/passwd", passwd);
    assert!(dsn("host=h", &container).contains(" user=bo "));
    assert!(dsn("host=h", &container.variable("USER", "left-by-sudo")).contains(" user=bo "));
    let nobody = Memory::new();
    assert_eq!(
        dsn("host=h", &nobody),
        "missing_option: the connection `x` names no user, and the system has no name for you\n--> pipelines.toml:2:1\nhint: set user="
    );
    assert_eq!(
        dsn("host=h", &nobody.variable("LOGNAME", "bo")),
        format!(
            "host=h port=5432 dbname=bo user=bo sslmode=verify-full sslrootcert=system connect_timeout=10 {end}"
        )
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
fn what_is_not_said_comes_from_a_service_before_it_comes_from_variables() {
    let file =
        "[shop]\nhost=of-service\nport=7\nuser=\npassword=p\nsslmode=require\n[other]\nhost=h\nhots=x\n";
    let machine = machine()
        .file("/home/ann/.pg_service.conf", file)
        .file("/conf/pg_service.conf", "[system]\nhost=/tmp\n")
        .file("/mine.conf", "[mine]\nhost=::1")
        .variable("PGSYSCONFDIR", "/conf")
        .variable("PGPORT", "8")
        .variable("PGUSER", "of-variable")
        .variable("PGDATABASE", "d");
    let by = |dsn: &str| look_up("x", "", &machine.clone().variable("EMATIX_FLOW_DSN_X", dsn));
    let from = |service: &str| format!("connect_timeout=10 {service}, PGDATABASE]");
    assert_eq!(
        by("service=shop host=said"),
        format!(
            "host=said port=7 dbname=d user=ann sslmode=require {}",
            from("password=p [EMATIX_FLOW_DSN_X, service shop of /home/ann/.pg_service.conf")
        )
    );
    assert_eq!(
        by("postgresql:///?service=system&user="),
        format!(
            "host=/tmp port=8 dbname=d user=ann sslmode=prefer connect_timeout=10 \
             [EMATIX_FLOW_DSN_X, service system of /conf/pg_service.conf, PGPORT, PGDATABASE]"
        )
    );
    assert_eq!(
        look_up(
            "default",
            "",
            &machine.clone().variable("PGSERVICE", "mine").variable("PGSERVICEFILE", "/mine.conf")
        ),
        "host=::1 port=8 dbname=d user=of-variable sslmode=prefer connect_timeout=10 \
         [service mine of /mine.conf, PGPORT, PGDATABASE, PGUSER]"
    );
    let stands = "it stands in the environment variable EMATIX_FLOW_DSN_X";
    assert_eq!(
        by("service=other"),
        format!(
            "invalid_value: a service file has a line that names no parameter\n  \
             it stands in line 9 of /home/ann/.pg_service.conf\n  {stands}\n\
             hint: a line is name=value by libpq's names, without spaces around ="
        )
    );
    assert_eq!(
        by("service=shops"),
        format!(
            "invalid_value: the service `shops` of connection `x` is in no service file\n  \
             searched: /home/ann/.pg_service.conf\n  searched: /conf/pg_service.conf\n  {stands}\n\
             hint: write [shops] and lines name=value below it into ~/.pg_service.conf, or name another file by PGSERVICEFILE"
        )
    );
    assert_eq!(
        by("service=x servicefile=/nowhere"),
        format!(
            "invalid_value: the service file `/nowhere` cannot be read: there is no such file\n  {stands}\n\
             hint: make the file readable, or say the parameters where you say service"
        )
    );
}

#[test]
fn every_variable_of_libpq_is_used_or_refused_by_its_name() {
    let values = [
        ("PGCLIENTENCODING", "LATIN1"),
        ("PGGSSENCMODE", "require"),
        ("PGKRBSRVNAME", "x"),
        ("PGGSSLIB", "gssapi"),
        ("PGGSSDELEGATION", "1"),
        ("PGMINPROTOCOLVERSION", "3.2"),
        ("PGREQUIREAUTH", "x"),
        ("PGLOADBALANCEHOSTS", "x"),
        ("PGTARGETSESSIONATTRS", "x"),
        ("PGPORT", "x"),
        ("PGCONNECT_TIMEOUT", "x"),
    ];
    for (variable, value) in values {
        let machine = machine().variable("PGHOST", "h").variable(variable, value);
        let told = look_up("default", "", &machine);
        assert!(told.contains(&format!("it comes from the environment variable {variable}")), "{told}");
    }
    let settings = machine()
        .variable("PGTZ", "Asia/Tokyo")
        .variable("PGDATESTYLE", "German")
        .variable("PGGEQO", "default")
        .variable("PGREQUIRESSL", "1")
        .variable("PGOPTIONS", "-c a.b=c")
        .variable("PGCLIENTENCODING", "unicode");
    let end = "[pipelines.toml, PGOPTIONS, PGREQUIRESSL]";
    let start = "host=h port=5432 dbname=ann user=ann sslmode=require connect_timeout=10 options=-c a.b=c";
    assert_eq!(
        look_up("x", "[connections.x]\nhost = 'h'", &settings),
        format!("{start} session.datestyle=German session.timezone=Asia/Tokyo {end}")
    );
    // What the file pins stays.
    assert_eq!(
        look_up("x", "[connections.x]\nhost = 'h'\nsession = { TimeZone = 'UTC' }", &settings),
        format!("{start} session.TimeZone=UTC session.datestyle=German {end}")
    );
}

#[test]
fn a_host_of_this_machine_is_not_asked_for_a_certificate_that_nobody_spoke_of() {
    let modes = |dsn: &str| {
        let environment = machine().variable("EMATIX_FLOW_DSN_X", dsn);
        let target = resolve("x", &ProjectSpec::default(), &environment).unwrap();
        let root = target.parameter("sslrootcert").unwrap_or("none").to_owned();
        let modes: Vec<&str> =
            target.addresses().into_iter().map(|(place, _)| target.sslmode_of(place)).collect();
        format!("{} {root}", modes.join(" "))
    };
    assert_eq!(modes("host=db"), "verify-full system");
    assert_eq!(
        modes("host=/tmp,localhost,127.0.0.9,a.localhost,::1,@x"),
        format!("{}none", "prefer ".repeat(6))
    );
    assert_eq!(modes("host=/tmp,db"), "prefer verify-full system");
    assert_eq!(modes("hostaddr=10.0.0.1"), "verify-full system");
    assert_eq!(modes("host=db sslrootcert=ca.crt"), "verify-full ca.crt");
    assert_eq!(modes("host=db sslmode=prefer"), "prefer none");
    assert_eq!(modes("host=localhost,db sslmode=require"), "require require none");
    assert_eq!(modes("host=localhost sslrootcert=system"), "verify-full system");
}

#[test]
fn a_file_of_passwords_is_named_where_no_password_is_said() {
    let machine = machine().file("/home/ann/.pgpass", "*:*:*:*:secret");
    let passfile = |dsn: &str| {
        let environment = machine.clone().variable("EMATIX_FLOW_DSN_X", dsn);
        let target = resolve("x", &ProjectSpec::default(), &environment).unwrap();
        target.parameter("passfile").map(str::to_owned)
    };
    assert_eq!(passfile("host=db").as_deref(), Some("/home/ann/.pgpass"));
    assert_eq!(passfile("host=db passfile=mine").as_deref(), Some("mine"));
    assert_eq!(passfile("host=db password="), passfile("host=db"));
    assert_eq!(passfile("host=db password=x passfile=mine"), None);
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
        look_up("crm", CRM, &machine().variable("EMATIX_FLOW_DSN_CRM", "host=h gsslib=x")),
        "not_yet_supported: `gsslib` of connection `crm` is not supported yet\n  it stands in the environment variable EMATIX_FLOW_DSN_CRM\n\
         hint: GSSAPI (Kerberos) is not there: log in by password or certificate, and encrypt by sslmode"
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
        Ok(target) => format!("{target} {target:?} {target:#?}"),
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
