//! The environment variables of libpq 15 to 18 (<https://www.postgresql.org/docs/18/libpq-envars.html>).

/// What a variable says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// A parameter, where nothing else says it.
    Parameter(&'static str),
    /// A setting of the session.
    Setting(&'static str),
    /// `1` is `sslmode=require`, where nothing else says the mode.
    RequireSsl,
    /// Where files are looked for.
    Directory,
    /// Nothing here: it is about libpq's own words.
    Nothing,
}

/// Every variable, those first that say where a connection leads.
pub const VARIABLES: &[(&str, Meaning)] = &[
    ("PGSERVICE", Meaning::Parameter("service")),
    ("PGSERVICEFILE", Meaning::Parameter("servicefile")),
    ("PGSYSCONFDIR", Meaning::Directory),
    ("PGHOST", Meaning::Parameter("host")),
    ("PGHOSTADDR", Meaning::Parameter("hostaddr")),
    ("PGPORT", Meaning::Parameter("port")),
    ("PGDATABASE", Meaning::Parameter("dbname")),
    ("PGUSER", Meaning::Parameter("user")),
    ("PGPASSWORD", Meaning::Parameter("password")),
    ("PGPASSFILE", Meaning::Parameter("passfile")),
    ("PGREQUIREAUTH", Meaning::Parameter("require_auth")),
    ("PGCHANNELBINDING", Meaning::Parameter("channel_binding")),
    ("PGOPTIONS", Meaning::Parameter("options")),
    ("PGAPPNAME", Meaning::Parameter("application_name")),
    ("PGSSLMODE", Meaning::Parameter("sslmode")),
    ("PGREQUIRESSL", Meaning::RequireSsl),
    ("PGSSLNEGOTIATION", Meaning::Parameter("sslnegotiation")),
    ("PGSSLCOMPRESSION", Meaning::Parameter("sslcompression")),
    ("PGSSLCERT", Meaning::Parameter("sslcert")),
    ("PGSSLKEY", Meaning::Parameter("sslkey")),
    ("PGSSLCERTMODE", Meaning::Parameter("sslcertmode")),
    ("PGSSLROOTCERT", Meaning::Parameter("sslrootcert")),
    ("PGSSLCRL", Meaning::Parameter("sslcrl")),
    ("PGSSLCRLDIR", Meaning::Parameter("sslcrldir")),
    ("PGSSLSNI", Meaning::Parameter("sslsni")),
    ("PGREQUIREPEER", Meaning::Parameter("requirepeer")),
    ("PGSSLMINPROTOCOLVERSION", Meaning::Parameter("ssl_min_protocol_version")),
    ("PGSSLMAXPROTOCOLVERSION", Meaning::Parameter("ssl_max_protocol_version")),
    ("PGMINPROTOCOLVERSION", Meaning::Parameter("min_protocol_version")),
    ("PGMAXPROTOCOLVERSION", Meaning::Parameter("max_protocol_version")),
    ("PGGSSENCMODE", Meaning::Parameter("gssencmode")),
    ("PGKRBSRVNAME", Meaning::Parameter("krbsrvname")),
    ("PGGSSLIB", Meaning::Parameter("gsslib")),
    ("PGGSSDELEGATION", Meaning::Parameter("gssdelegation")),
    ("PGCONNECT_TIMEOUT", Meaning::Parameter("connect_timeout")),
    ("PGCLIENTENCODING", Meaning::Parameter("client_encoding")),
    ("PGTARGETSESSIONATTRS", Meaning::Parameter("target_session_attrs")),
    ("PGLOADBALANCEHOSTS", Meaning::Parameter("load_balance_hosts")),
    ("PGDATESTYLE", Meaning::Setting("datestyle")),
    ("PGTZ", Meaning::Setting("timezone")),
    ("PGGEQO", Meaning::Setting("geqo")),
    ("PGLOCALEDIR", Meaning::Nothing),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::libpq::parameter_names;

    /// The words between backquotes of the reference.
    fn named_in_the_reference() -> Vec<String> {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/connections.md");
        let page = std::fs::read_to_string(page).unwrap();
        page.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    #[test]
    fn the_reference_names_every_parameter_and_every_variable() {
        let named = named_in_the_reference();
        let variables = VARIABLES.iter().map(|(name, _)| *name);
        let lacking: Vec<&str> =
            parameter_names().chain(variables).filter(|name| !named.iter().any(|n| n == name)).collect();
        assert_eq!(lacking, Vec::<&str>::new());
    }

    #[test]
    fn every_variable_of_a_parameter_names_one() {
        for (variable, meaning) in VARIABLES {
            if let Meaning::Parameter(name) = meaning {
                assert!(parameter_names().any(|known| known == *name), "{variable}");
            }
        }
    }
}
