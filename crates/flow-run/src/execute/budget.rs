//! How many sessions this process has open at once where a connection says `max_connections`: a run takes all that it
//! may need before it opens the first, or two runs with one session each would wait for each other's second.

use super::targets::Targets;
use super::{Engine, Request};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The digest of where a connection leads.
type Place = [u8; 32];

/// What is free, by place and by how many there may be: two connections to one place may say it differently.
type Free = HashMap<(Place, u32), Arc<Semaphore>>;

static FREE: LazyLock<Mutex<Free>> = LazyLock::new(Mutex::default);

/// The sessions of a run; free again when dropped.
pub(super) struct Share(#[expect(dead_code, reason = "held, never read")] Vec<OwnedSemaphorePermit>);

/// What a run needs at one place.
struct Need {
    connection: String,
    sessions: u32,
}

impl Engine {
    /// Waits until the connections of a run have room for it.
    ///
    /// # Errors
    /// `invalid_value` where a connection has never room for one run.
    pub(super) async fn share(&self, targets: &Targets, request: &Request) -> Result<Share> {
        let mut taken = Vec::new();
        // In the order of the places, so that no two runs wait for each other.
        for ((place, most), need) in self.needs(targets, request) {
            if need.sessions > most {
                return Err(too_few(&targets.whole.name, &need, most));
            }
            let free = {
                let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
                let all = || Arc::new(Semaphore::new(usize::try_from(most).unwrap_or(usize::MAX)));
                Arc::clone(free.entry((place, most)).or_insert_with(all))
            };
            taken.push(free.acquire_many_owned(need.sessions).await.expect("it is never closed"));
        }
        Ok(Share(taken))
    }

    /// The sessions that a run may have open at once: two on its target, where its load and its row in the history have
    /// one each, one on every other connection that it reads with those that read at once, and one where transforms follow
    /// it.
    fn needs(&self, targets: &Targets, request: &Request) -> BTreeMap<(Place, u32), Need> {
        let whole = &targets.whole;
        let target = &whole.target_connection;
        let mut sessions: BTreeMap<&str, u32> =
            BTreeMap::from([(target.as_str(), if request.dry_run { 1 } else { 2 })]);
        for member in whole.source.members() {
            let readers = if whole.parallel > 1 { whole.parallel } else { 0 };
            // On the target's own connection the load's session reads, unless several do.
            sessions
                .entry(&member.connection)
                .and_modify(|sessions| *sessions += if readers > 0 { 1 + readers } else { 0 })
                .or_insert(1 + readers);
        }
        for transform in targets.after().filter(|_| !request.dry_run) {
            // By then the load's own are closed.
            sessions.entry(&transform.connection).or_insert(1);
        }
        let mut needs: BTreeMap<(Place, u32), Need> = BTreeMap::new();
        for (connection, sessions) in sessions {
            // What cannot be told is told where the run needs it.
            let Ok(at) = self.resolve(connection) else { continue };
            let Some(most) = at.max_connections else { continue };
            let need = Need { connection: connection.to_owned(), sessions: 0 };
            needs.entry((at.place(), most)).or_insert(need).sessions += sessions;
        }
        needs
    }
}

fn too_few(pipeline: &str, need: &Need, most: u32) -> FlowError {
    FlowError::new(
        ErrorCode::InvalidValue,
        format!(
            "connection `{}` may have {most} at once, and a run of `{pipeline}` needs {} there",
            need.connection, need.sessions
        ),
    )
    .hint(format!("max_connections = {}, or more for several runs at once", need.sessions))
}
