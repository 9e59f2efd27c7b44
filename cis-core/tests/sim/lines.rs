//! What must hold whenever a session begins, whoever decided that: the node that granted it, or the host
//! in whose line it waited.

use std::collections::{BTreeMap, BTreeSet};

use cis_core::event::RunState;
use cis_core::ids::{AttemptId, RunId, SessionId};

use crate::host::Host;
use crate::reference::Reference;

/// Whether the node could take anything back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Node {
    Up,
    Away,
}

/// All that ever began.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    attempts: BTreeSet<AttemptId>,
}

impl Lines {
    /// It is gone without a trace: nobody can tell that it had begun.
    pub(crate) fn vanished(&mut self, attempt: &AttemptId) {
        self.attempts.remove(attempt);
    }

    /// Looks at what has begun since.
    pub(crate) fn look(&mut self, host: &mut Host, books: &Reference, node: Node) -> Result<(), String> {
        let begun: Vec<SessionId> = std::mem::take(&mut host.begun);
        for id in begun {
            let Some(session) = host.sessions.get(&id) else { continue };
            let attempt = &session.attempt;
            if !self.attempts.insert(attempt.clone()) {
                return Err(format!("{attempt} begins for the second time"));
            }
            books.begins(attempt, id, node)?;
            if node == Node::Up {
                within_slots(host, books, attempt.run)?;
                within_group(host, books, attempt)?;
            }
        }
        Ok(())
    }
}

/// Who waits for a human holds no slot, as far as the node knows.
fn within_slots(host: &Host, books: &Reference, run: RunId) -> Result<(), String> {
    let most = books.runs[&run].max_parallel as usize;
    let working = host.alive(run).filter(|session| !books.is_blocked(&session.attempt)).count();
    if working <= most { Ok(()) } else { Err(format!("{working} sessions of {run} have begun, not {most}")) }
}

fn within_group(host: &Host, books: &Reference, attempt: &AttemptId) -> Result<(), String> {
    let Some((name, group, own)) = books.group_of(attempt)? else { return Ok(()) };
    let runs: Vec<RunId> = if own { vec![attempt.run] } else { books.runs.keys().copied().collect() };
    let mut by_run: BTreeMap<RunId, usize> = BTreeMap::new();
    for run in runs {
        for session in
            host.alive(run).filter(|one| !(group.frees_when_blocked && books.is_blocked(&one.attempt)))
        {
            if books.group_of(&session.attempt)?.is_some_and(|(of, _, its)| of == name && its == own) {
                *by_run.entry(run).or_default() += 1;
            }
        }
    }
    if by_run.values().sum::<usize>() <= group.limit as usize {
        return Ok(());
    }
    Err(format!("{attempt} begins above {group:?} of `{name}`: {by_run:?}"))
}

impl Reference {
    fn is_blocked(&self, attempt: &AttemptId) -> bool {
        self.runs[&attempt.run].is_blocked(attempt)
    }

    /// What begins is on the books, and nobody has said that it should not.
    pub(crate) fn begins(&self, attempt: &AttemptId, session: SessionId, node: Node) -> Result<(), String> {
        let run = &self.runs[&attempt.run];
        let (known, stopped) = run.stands(&attempt.task);
        if known != Some(session) {
            return Err(format!("{attempt} begins in {session}, but it is {known:?} that was granted"));
        }
        match node {
            Node::Away => Ok(()),
            Node::Up if run.state == RunState::Paused => Err(format!("{attempt} begins in a paused run")),
            Node::Up if stopped => Err(format!("{attempt} begins, but was stopped")),
            Node::Up => Ok(()),
        }
    }
}
