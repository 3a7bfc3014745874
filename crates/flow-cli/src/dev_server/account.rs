//! Who we are, and who the server runs as.
//!
//! Reads /etc/passwd itself, because a static binary has no name service. Adds a system user only
//! when root has no other to hand the server to. Every Postgres tool is started from here, as that
//! user and in a bare environment.

use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// The users that root hands the server to, the first that exists.
const SERVER_USERS: [&str; 2] = ["postgres", "ematix-flow"];

/// The ids this process acts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    pub uid: u32,
    gid: u32,
    /// Whether root may give files away and become another user; containers can forbid it.
    may_switch: bool,
}

impl Caller {
    /// Asks the kernel; without /proc (macOS) the `id` command.
    pub fn current() -> Result<Caller> {
        if let Some(caller) = fs::read_to_string("/proc/self/status").ok().as_deref().and_then(parse_status) {
            return Ok(caller);
        }
        let ask = |flag| {
            let output = Command::new("id").arg(flag).output().ok()?;
            String::from_utf8_lossy(&output.stdout).trim().parse().ok()
        };
        match (ask("-u"), ask("-g")) {
            (Some(uid), Some(gid)) => Ok(Caller { uid, gid, may_switch: true }),
            _ => Err(FlowError::new(ErrorCode::MissingOption, "cannot tell which user this is")
                .hint("mount /proc, or put the command `id` on PATH")),
        }
    }

    /// True for the one user that Postgres refuses to run as.
    pub fn is_root(self) -> bool {
        self.uid == 0
    }
}

/// Reads the effective ids and capabilities from the text of /proc/self/status.
fn parse_status(status: &str) -> Option<Caller> {
    // capabilities(7): CHOWN 0, DAC_OVERRIDE 1, SETGID 6, SETUID 7.
    const NEEDED_TO_SWITCH: u64 = 1 | 1 << 1 | 1 << 6 | 1 << 7;
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    let effective = |name| field(name)?.split_whitespace().nth(1)?.parse().ok();
    let capabilities = field("CapEff:").map(|mask| u64::from_str_radix(mask.trim(), 16));
    Some(Caller {
        uid: effective("Uid:")?,
        gid: effective("Gid:")?,
        may_switch: match capabilities {
            Some(Ok(mask)) => mask & NEEDED_TO_SWITCH == NEEDED_TO_SWITCH,
            _ => true,
        },
    })
}

/// The user whom the server and its files belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    /// The name, where the uid has one.
    name: Option<String>,
    pub uid: u32,
    pub gid: u32,
    /// True when root has to become this user first.
    pub switched: bool,
}

impl Account {
    /// Chooses the user of a new data directory and says why.
    ///
    /// # Errors
    /// `missing_option` for root without anybody to hand the server to, and for a uid without a
    /// passwd line, which initdb refuses.
    pub fn for_new_server(caller: Caller, messages: &mut Vec<String>) -> Result<Account> {
        if caller.is_root() { server_user(caller, messages) } else { Account::own(caller) }
    }

    /// The user whom an existing data directory belongs to.
    ///
    /// # Errors
    /// `invalid_value` when this caller may not run a server on it.
    pub fn owning(data: &Path, caller: Caller) -> Result<Account> {
        let metadata = fs::metadata(data).map_err(|error| cannot_look_at(data, &error))?;
        let (uid, gid) = (metadata.uid(), metadata.gid());
        let name = name_of(uid);
        if uid == 0 {
            return Err(FlowError::new(
                ErrorCode::InvalidValue,
                format!("the data directory {} belongs to root", data.display()),
            )
            .detail("Postgres refuses to run as root")
            .hint("delete it by `flow dev reset`, then `flow dev start` makes a new one"));
        }
        if uid != caller.uid && !caller.is_root() {
            return Err(FlowError::new(
                ErrorCode::InvalidValue,
                format!("the data directory {} belongs to {}", data.display(), user_text(uid)),
            )
            .hint("run as that user, or set EMATIX_FLOW_DEV_DIR to a directory of your own"));
        }
        if caller.is_root() {
            require_switching(caller)?;
        }
        Ok(Account { name, uid, gid, switched: caller.is_root() })
    }

    fn own(caller: Caller) -> Result<Account> {
        match name_of(caller.uid) {
            Some(name) => Ok(Account { name: Some(name), uid: caller.uid, gid: caller.gid, switched: false }),
            None => Err(FlowError::new(
                ErrorCode::MissingOption,
                format!("uid {} has no line in /etc/passwd", caller.uid),
            )
            .detail("initdb refuses to run for a user without a name")
            .hint(format!(
                "let root add it: echo 'flow:x:{}:{}::/tmp:/bin/sh' >> /etc/passwd; \
                 or start the container as a user that exists",
                caller.uid, caller.gid
            ))),
        }
    }

    /// The name, or the uid where there is none.
    pub fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.uid.to_string())
    }

    /// How messages call the user.
    pub fn text(&self) -> String {
        call(self.name.as_deref(), self.uid)
    }

    /// A command that runs as this user, with nothing of our environment, in `/`, without input.
    ///
    /// The caller's locale, PG* variables and library paths must not reach the server.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("LC_ALL", "C.UTF-8")
            .env("HOME", "/")
            .env("TZ", "UTC")
            .env("PATH", "/usr/bin:/bin")
            .current_dir("/")
            .stdin(Stdio::null());
        if self.switched {
            // The standard library drops root's other groups along with the uid.
            command.uid(self.uid).gid(self.gid);
        }
        command
    }
}

/// Finds or makes the user that root hands the server to.
fn server_user(caller: Caller, messages: &mut Vec<String>) -> Result<Account> {
    require_switching(caller)?;
    let account = |entry: PasswdEntry| Account {
        name: Some(entry.name),
        uid: entry.uid,
        gid: entry.gid,
        switched: true,
    };
    if let Some(entry) = first_named(&passwd(), &SERVER_USERS) {
        return Ok(account(entry));
    }
    let added = add_system_user();
    // Read again whatever useradd said: another `flow` may have added the user at the same time.
    if let Some(entry) = first_named(&passwd(), &SERVER_USERS) {
        messages.push(format!("added the system user `{}`", entry.name));
        return Ok(account(entry));
    }
    if let Some(entry) = first_named(&passwd(), &["nobody"]) {
        messages.push(format!("no user of its own for the server: {added}"));
        return Ok(account(entry));
    }
    Err(FlowError::new(ErrorCode::MissingOption, "there is no user to run Postgres as")
        .detail("Postgres refuses to run as root, and /etc/passwd has none of postgres, ematix-flow, nobody")
        .detail(added)
        .hint("add a line: echo 'ematix-flow:x:970:970::/nonexistent:/usr/sbin/nologin' >> /etc/passwd"))
}

fn require_switching(caller: Caller) -> Result<()> {
    if caller.may_switch {
        return Ok(());
    }
    Err(FlowError::new(
        ErrorCode::MissingOption,
        "this root may not hand the server to another user, and Postgres refuses to run as root",
    )
    .detail("the capabilities chown, dac_override, setgid and setuid are needed")
    .hint("start the container as an ordinary user, or with these capabilities"))
}

/// Adds the user `ematix-flow`; the answer says what happened.
fn add_system_user() -> String {
    let known = ["/usr/sbin/useradd", "/sbin/useradd"].into_iter().find(|path| Path::new(path).exists());
    let result = Command::new(known.unwrap_or("useradd"))
        .args(["--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"])
        .args(["--shell", "/usr/sbin/nologin", "ematix-flow"])
        .stdin(Stdio::null())
        .output();
    match result {
        Ok(output) if output.status.success() => "useradd added ematix-flow".to_owned(),
        Ok(output) => format!("useradd failed: {}", String::from_utf8_lossy(&output.stderr).trim()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => "there is no useradd".to_owned(),
        Err(error) => format!("useradd failed: {error}"),
    }
}

/// A line of /etc/passwd, as far as we need it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct PasswdEntry {
    name: String,
    uid: u32,
    gid: u32,
}

fn passwd() -> Vec<PasswdEntry> {
    let text = fs::read("/etc/passwd").unwrap_or_default();
    parse_passwd(&String::from_utf8_lossy(&text))
}

/// Reads passwd(5) lines; what is none (comments, `+` of NIS) is passed over.
fn parse_passwd(text: &str) -> Vec<PasswdEntry> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next().filter(|name| !name.is_empty() && !name.starts_with(['+', '-', '#']))?;
            let uid = fields.nth(1)?.parse().ok()?;
            let gid = fields.next()?.parse().ok()?;
            Some(PasswdEntry { name: name.to_owned(), uid, gid })
        })
        .collect()
}

/// The first of some names that exists and is not another name for root.
fn first_named(entries: &[PasswdEntry], names: &[&str]) -> Option<PasswdEntry> {
    names.iter().find_map(|name| entries.iter().find(|entry| entry.name == *name && entry.uid != 0)).cloned()
}

/// The name of a uid, from /etc/passwd or, for users of a directory service, from getent(1).
fn name_of(uid: u32) -> Option<String> {
    let answer = |entries: Vec<PasswdEntry>| {
        entries.into_iter().find(|entry| entry.uid == uid).map(|entry| entry.name)
    };
    answer(passwd()).or_else(|| {
        let output =
            Command::new("getent").args(["passwd", &uid.to_string()]).stdin(Stdio::null()).output().ok()?;
        answer(parse_passwd(&String::from_utf8_lossy(&output.stdout)))
    })
}

/// How messages call the user of a uid.
pub(super) fn user_text(uid: u32) -> String {
    call(name_of(uid).as_deref(), uid)
}

fn call(name: Option<&str>, uid: u32) -> String {
    match name {
        Some(name) => format!("the user `{name}`"),
        None => format!("uid {uid}"),
    }
}

/// The error for a path that this process may not even look at.
pub(super) fn cannot_look_at(path: &Path, error: &io::Error) -> FlowError {
    FlowError::new(ErrorCode::InvalidValue, format!("cannot read {}: {error}", path.display()))
        .hint("set EMATIX_FLOW_DEV_DIR to a directory of your own")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n\
        # a comment\n+::::::\nbroken:x:one:1::/:/bin/sh\n\
        toor:x:0:0::/root:/bin/sh\nematix-flow:x:999:998::/nonexistent:/usr/sbin/nologin\n\
        nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";

    #[test]
    fn passwd_lines_are_read_and_others_passed_over() {
        let names: Vec<_> = parse_passwd(PASSWD).into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, ["root", "toor", "ematix-flow", "nobody"]);
        assert_eq!(
            first_named(&parse_passwd(PASSWD), &SERVER_USERS),
            Some(PasswdEntry { name: "ematix-flow".into(), uid: 999, gid: 998 })
        );
    }

    #[test]
    fn postgres_comes_before_our_own_user() {
        let text = format!("{PASSWD}postgres:x:101:104::/var/lib/postgresql:/bin/bash\n");
        let chosen = first_named(&parse_passwd(&text), &SERVER_USERS);
        assert_eq!(chosen, Some(PasswdEntry { name: "postgres".into(), uid: 101, gid: 104 }));
    }

    #[test]
    fn a_second_name_of_root_never_runs_the_server() {
        let entries = parse_passwd("postgres:x:0:0::/root:/bin/sh\n");
        assert_eq!(first_named(&entries, &SERVER_USERS), None);
    }

    #[test]
    fn the_effective_ids_count() {
        let status = "Name:\tflow\nUid:\t1000\t1001\t1000\t1001\nGid:\t5\t6\t5\t6\n";
        assert_eq!(parse_status(status), Some(Caller { uid: 1001, gid: 6, may_switch: true }));
    }

    #[test]
    fn root_without_capabilities_may_not_switch() {
        let root = |mask| format!("Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nCapEff:\t{mask}\n");
        let may_switch = |mask| parse_status(&root(mask)).map(|caller| caller.may_switch);
        assert_eq!(may_switch("000001fffeffffff"), Some(true));
        assert_eq!(may_switch("00000000a80425fb"), Some(true)); // what Docker leaves by default
        assert_eq!(may_switch("0000000000000000"), Some(false));
    }

    #[test]
    fn the_environment_of_a_tool_is_bare() {
        let account = Account { name: None, uid: 7, gid: 7, switched: false };
        let command = account.command("/bin/true");
        let mut names: Vec<_> = command.get_envs().map(|(name, _)| name.to_owned()).collect();
        names.sort();
        assert_eq!(names, ["HOME", "LC_ALL", "PATH", "TZ"]);
        assert_eq!(command.get_current_dir(), Some(Path::new("/")));
    }
}
