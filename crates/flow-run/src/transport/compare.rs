//! Compares the source's rows with the current versions by their hashes, while they pass.

use super::copy::{Outgoing, pass, too_few_fields, write_all};
use super::known::{Address, Finding, Hash, Key, KnownKeys, Learned, Version};
use super::{Broken, Passed, TAKING, into_target, read_source};
use crate::session::Session;
use ematix_flow_core::copy_rows::RowReader;
use ematix_flow_core::duration::Duration;
use ematix_flow_core::hash::RowHasher;
use ematix_flow_core::plan::{Blame, Compare};
use ematix_flow_core::reading::client::{KEY_BYTES, MAX_KEYS};
use futures_util::StreamExt;

/// What a comparison counted beside what it wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Rows of the source.
    pub passed: Passed,
    /// Rows whose key is NULL.
    pub null_keys: i64,
    /// Rows whose key had come before.
    pub repeated: i64,
}

/// The statements of a comparison, with every number filled in.
pub struct Statements<'s> {
    /// Sends the current versions, on the target.
    pub known: &'s str,
    /// Sends the source's rows, on the source.
    pub read: &'s str,
    /// Takes the changes, on the target.
    pub write: &'s str,
}

/// Reads the current versions, then the source, and writes the changes into the target.
///
/// # Errors
/// What either server says; [`Broken::GivenUp`] where there are more keys than the client keeps, or where stored
/// hashes are not to be relied on. The target has taken nothing then.
pub async fn compare(
    source: &dyn Session,
    target: &dyn Session,
    plan: &Compare,
    statements: &Statements<'_>,
    silence: &Duration,
    tell: &mut (dyn FnMut(Passed) + Send),
) -> Result<Compared, Broken> {
    let mut known = read_known(target, plan, statements.known).await?;
    let (mut out, receiver) = Outgoing::begin();
    let sink = into_target(target, &plan.into, statements.write).await?;
    let stream = read_source(source, statements.read, silence).await?;
    let mut counted = Compared::default();
    let mut hashers = Hashers::new(plan);
    let reading = async {
        counted.passed = pass(stream, &mut out, tell, |row, out| {
            if row.fields.len() != plan.fields {
                return Err(Broken::Failed(too_few_fields(row.fields.len(), plan.fields)));
            }
            if plan.key.iter().any(|column| row.fields[column.field].is_none()) {
                counted.null_keys += 1;
                return Ok(());
            }
            let hash = hashers.row.hash(row.fields)?;
            let (change, stored) = match known.meet(&hashers.key(row.fields)?, &hash) {
                Finding::Same => return Ok(()),
                Finding::New => ("new", None),
                Finding::Changed(version) => ("changed", Some(version)),
                Finding::Repeated => {
                    counted.repeated += 1;
                    ("repeated", None)
                }
                Finding::Full => return Err(too_many_keys()),
            };
            out.row(plan.fields + CHANGE_FIELDS);
            out.framed(row.bytes);
            change_fields(out, change, stored.as_ref(), None, Some(&hash));
            Ok(())
        })
        .await?;
        if plan.gone {
            for version in known.gone() {
                out.row(plan.fields + CHANGE_FIELDS);
                (0..plan.fields).for_each(|_| out.field(None));
                change_fields(&mut out, "gone", Some(&version), Some(&version.key), None);
                out.hand_on().await;
            }
        }
        out.end().await;
        Ok(())
    };
    tokio::try_join!(reading, write_all(sink, receiver))?;
    Ok(counted)
}

/// Change, address, key digest, stored hash, row hash: the columns behind those of the row.
const CHANGE_FIELDS: usize = 5;

fn change_fields(
    out: &mut Outgoing,
    change: &str,
    version: Option<&Version>,
    key: Option<&Key>,
    hash: Option<&Hash>,
) {
    out.field(Some(change.as_bytes()));
    out.field(version.map(|version| version.address.as_slice()));
    out.field(key.map(Key::as_slice));
    out.field(version.map(|version| version.hash.as_slice()));
    out.field(hash.map(Hash::as_slice));
}

struct Hashers {
    key: RowHasher,
    row: RowHasher,
}

impl Hashers {
    fn new(plan: &Compare) -> Hashers {
        Hashers { key: RowHasher::new(plan.key.clone()), row: RowHasher::new(plan.compared.clone()) }
    }

    fn key(&mut self, fields: &[Option<&[u8]>]) -> Result<Key, Broken> {
        Ok(first_half(&self.key.hash(fields)?))
    }
}

fn first_half(digest: &Hash) -> Key {
    digest[..KEY_BYTES].try_into().expect("a digest is longer")
}

/// Reads key, row hash and address of every current version.
async fn read_known(target: &dyn Session, plan: &Compare, statement: &str) -> Result<KnownKeys, Broken> {
    let mut stream = target.read(Blame::Target, TAKING, statement).await?.into_copy()?;
    let mut reader = RowReader::default();
    let mut known = KnownKeys::new(MAX_KEYS);
    let mut hasher = RowHasher::new(plan.known_key.clone());
    let keys = plan.known_key.len();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk?;
        reader.read(&chunk, |row| {
            if row.fields.len() != keys + 2 {
                return Err(Broken::Failed(too_few_fields(row.fields.len(), keys + 2)));
            }
            let version = match (hash_of(row.fields[keys]), address_of(row.fields[keys + 1])) {
                (Some(hash), Some(address)) => {
                    Version { key: first_half(&hasher.hash(row.fields)?), hash, address }
                }
                _ => return Err(Broken::GivenUp("a current version has no row hash of ours".to_owned())),
            };
            match known.learn(version) {
                Learned::Yes => Ok(()),
                Learned::Full => Err(too_many_keys()),
                Learned::Twice => Err(Broken::GivenUp("a key has two current versions".to_owned())),
            }
        })?;
    }
    reader.finish()?;
    Ok(known)
}

fn hash_of(field: Option<&[u8]>) -> Option<Hash> {
    field?.try_into().ok()
}

fn address_of(field: Option<&[u8]>) -> Option<Address> {
    field?.try_into().ok()
}

fn too_many_keys() -> Broken {
    Broken::GivenUp(format!("there are more than {MAX_KEYS} keys"))
}
