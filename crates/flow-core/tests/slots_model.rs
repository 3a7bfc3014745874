//! Every interleaving of processes that serve one slot: claim, heartbeat, a lease that runs out, pause, crash, failure,
//! retry, unlock, fence and COMMIT. A process is paused whenever the others take the next steps, so pauses of any length
//! are among them.
//!
//! The model has what the statements of `slots.sql` rely on: each is one atomic step on the row; one that changes the row
//! inside of a transaction holds it until COMMIT, others pass it over (`SKIP LOCKED`) or wait.

use std::collections::{HashSet, VecDeque};

/// The row of the slot as everybody sees it who is not in a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Row {
    status: Status,
    epoch: u8,
    /// Whether the lease of the last claim has run out.
    expired: bool,
    attempts: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Status {
    Due,
    Running,
    Success,
    Failed,
}

/// Where a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Process {
    /// It looks for something to do.
    Idle,
    /// It has looked at the row, and has not written yet: only protocols that are wrong do that.
    Looked(u8),
    /// It has claimed the slot in this epoch, and loads in a transaction.
    Loading(u8),
    /// As `Loading`, and has found its claim in force: only protocols that are wrong ask before they commit.
    Asked(u8),
    /// Its fence has changed the row, which it holds until it commits.
    Fenced(u8),
    /// It is gone, with its transaction.
    Dead,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct State {
    row: Row,
    processes: Vec<Process>,
    /// How many loads of the slot are committed.
    commits: u8,
}

/// What a protocol does where ours is what it is for a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    /// Ours.
    Fence,
    /// The lease is looked at before COMMIT, and the row written after it.
    AskBeforeCommit,
    /// Who claims looks first, and writes then.
    LookThenClaim,
}

/// Attempts that the slot has.
const ATTEMPTS: u8 = 3;

impl State {
    fn first(processes: usize) -> State {
        let row = Row { status: Status::Due, epoch: 0, expired: false, attempts: 0 };
        State { row, processes: vec![Process::Idle; processes], commits: 0 }
    }

    /// Whether a transaction holds the row.
    fn is_held(&self) -> bool {
        self.processes.iter().any(|process| matches!(process, Process::Fenced(_)))
    }

    fn is_claimable(&self) -> bool {
        self.row.attempts < ATTEMPTS
            && match self.row.status {
                Status::Due => true,
                Status::Running => self.row.expired,
                Status::Success | Status::Failed => false,
            }
    }

    /// Every state that one step leads to.
    fn next(&self, protocol: Protocol) -> Vec<State> {
        let mut found = Vec::new();
        // Time passes: the lease runs out, whoever holds the row.
        if self.row.status == Status::Running && !self.row.expired {
            found.push(State { row: Row { expired: true, ..self.row }, ..self.clone() });
        }
        // `flow unlock`: what runs is taken for dead before its time.
        if self.row.status == Status::Running && !self.is_held() {
            let row = Row { status: Status::Due, epoch: self.row.epoch + 1, expired: false, ..self.row };
            found.push(State { row, ..self.clone() });
        }
        // The last attempt gave no sign of life.
        if self.row.status == Status::Running
            && self.row.expired
            && self.row.attempts == ATTEMPTS
            && !self.is_held()
        {
            found.push(State { row: Row { status: Status::Failed, ..self.row }, ..self.clone() });
        }
        for (place, process) in self.processes.iter().enumerate() {
            found.extend(self.step(protocol, place, *process));
        }
        found
    }

    fn with(&self, place: usize, process: Process) -> State {
        let mut state = self.clone();
        state.processes[place] = process;
        state
    }

    fn claimed(&self, place: usize) -> State {
        let epoch = self.row.epoch + 1;
        let row = Row { status: Status::Running, epoch, expired: false, attempts: self.row.attempts + 1 };
        State { row, ..self.with(place, Process::Loading(epoch)) }
    }

    fn step(&self, protocol: Protocol, place: usize, process: Process) -> Vec<State> {
        let mut found = Vec::new();
        let free = !self.is_held();
        // A crash rolls the transaction back; a new process takes its place, or none.
        if !matches!(process, Process::Dead) {
            let row = match process {
                Process::Fenced(_) => Row { status: Status::Running, ..self.row },
                _ => self.row,
            };
            found.push(State { row, ..self.with(place, Process::Dead) });
            found.push(State { row, ..self.with(place, Process::Idle) });
        }
        match process {
            Process::Idle if self.is_claimable() && free => match protocol {
                Protocol::LookThenClaim => found.push(self.with(place, Process::Looked(self.row.epoch))),
                _ => found.push(self.claimed(place)),
            },
            Process::Looked(_) if free => found.push(self.claimed(place)),
            Process::Loading(epoch) => {
                let is_ours = self.row.status == Status::Running && self.row.epoch == epoch;
                // A heartbeat, from another connection.
                if is_ours && free && self.row.expired {
                    found.push(State { row: Row { expired: false, ..self.row }, ..self.clone() });
                }
                // The load fails, and is to be tried again, or not.
                if is_ours && free {
                    for status in [Status::Due, Status::Failed] {
                        found.push(State {
                            row: Row { status, ..self.row },
                            ..self.with(place, Process::Idle)
                        });
                    }
                }
                // The last statement before COMMIT; 0 rows: ROLLBACK.
                let passes = match protocol {
                    Protocol::AskBeforeCommit => is_ours && !self.row.expired,
                    _ => is_ours,
                };
                match protocol {
                    Protocol::AskBeforeCommit if passes => {
                        found.push(self.with(place, Process::Asked(epoch)));
                    }
                    _ if passes && free => {
                        // Unseen by others until COMMIT: they see the row as it was, and may not have it.
                        found.push(self.with(place, Process::Fenced(epoch)));
                    }
                    _ if !passes => found.push(self.with(place, Process::Idle)),
                    _ => {}
                }
            }
            Process::Asked(_) | Process::Fenced(_) => {
                let row = Row { status: Status::Success, ..self.row };
                found.push(State { row, commits: self.commits + 1, ..self.with(place, Process::Idle) });
            }
            Process::Idle | Process::Looked(_) | Process::Dead => {}
        }
        found
    }

    /// What must hold whatever happened.
    fn is_right(&self) -> bool {
        self.commits <= 1 && (self.row.status == Status::Success) == (self.commits == 1)
    }
}

/// How many states there are, or the first that is wrong, with the way to it.
fn explore(protocol: Protocol, processes: usize) -> Result<usize, Vec<State>> {
    let first = State::first(processes);
    let mut seen: HashSet<State> = HashSet::from([first.clone()]);
    let mut came_from: Vec<(State, Option<usize>)> = vec![(first, None)];
    let mut open = VecDeque::from([0]);
    while let Some(at) = open.pop_front() {
        let state = came_from[at].0.clone();
        if !state.is_right() {
            let mut way = Vec::new();
            let mut place = Some(at);
            while let Some(index) = place {
                way.push(came_from[index].0.clone());
                place = came_from[index].1;
            }
            way.reverse();
            return Err(way);
        }
        for mut next in state.next(protocol) {
            // Who is who does not matter.
            next.processes.sort();
            // Unlocking raises the epoch for ever.
            if next.row.epoch <= 5 && seen.insert(next.clone()) {
                open.push_back(came_from.len());
                came_from.push((next, Some(at)));
            }
        }
    }
    Ok(seen.len())
}

#[test]
fn no_interleaving_commits_twice_or_leaves_a_status_that_lies() {
    for (processes, least) in [(2, 400), (3, 700), (4, 900)] {
        match explore(Protocol::Fence, processes) {
            Ok(states) => assert!(states > least, "{states} states of {processes} processes"),
            Err(way) => panic!("{processes} processes: {way:#?}"),
        }
    }
}

#[test]
fn what_seems_as_good_is_not() {
    for protocol in [Protocol::AskBeforeCommit, Protocol::LookThenClaim] {
        assert!(explore(protocol, 2).is_err(), "{protocol:?} is found out by two processes");
    }
}
