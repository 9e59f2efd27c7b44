//! Checks an export against the owners of its room.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::line::{FORMAT, Line, VERSION};
use super::verdict::{Answered, Coordinator, MemberView, Specification, TaskClaim, Verdict};
use crate::dag;
use crate::event::{EventBody, RunCreated};
use crate::federation::canonical::Fold;
use crate::federation::envelope::{self, Carrier};
use crate::federation::journal::Fact;
use crate::federation::membership::{self, Membership, Owners, Refused, Right};
use crate::federation::outgoing::{JOURNAL, SNAPSHOT};
use crate::federation::recovery::{Fork, Found, RecoveredRun, Recovery};
use crate::identity::Standing;
use crate::ids::{BlobId, NodeDid, RunId, TaskId};
use crate::scheduler::Run;

/// How a line with a file begins.
const FILE_BEGINS: &str = "{\"line\":\"file\",\"data\":\"";
/// A line with an event is no longer: an event of a room has 64 KiB, some of which are written with escapes here.
const EVENT_BYTES_MAX: usize = 256 << 10;
/// Problems that are named; the others are counted.
const WRONG_MAX: usize = 100;

/// Why a file is no export.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadExport {
    /// It is something else.
    #[error("this is no export of a run: line {number}: {why}")]
    Format {
        /// Of the line, from 1.
        number: usize,
        /// What is wrong with it.
        why: String,
    },
    /// A later version made it.
    #[error("this export has version {0} of the format; this program knows {VERSION}")]
    Later(u32),
}

/// An event of the file: its line, and that of the file which it names. They are read again when their turn comes, since in
/// memory JSON that somebody made for it takes sixteen times what it takes here.
struct Told<'a> {
    event: &'a str,
    is_statement: bool,
    file: Option<&'a str>,
}

/// An event as it was said.
struct Event {
    id: String,
    type_name: String,
    sender: String,
    content: Value,
}

impl Told<'_> {
    fn event(&self) -> Option<Event> {
        match serde_json::from_str(self.event) {
            Ok(Line::Event { id, type_name, sender, content }) => {
                Some(Event { id, type_name, sender, content })
            }
            _ => None,
        }
    }

    fn file(&self) -> Result<Vec<u8>, String> {
        match self.file.map(serde_json::from_str) {
            Some(Ok(Line::File { data })) => Ok(data),
            Some(Ok(Line::NoFile { why })) => Err(why),
            _ => Err("the file that it names is not in the export".to_owned()),
        }
    }
}

/// What a file says, before it is checked.
struct Parsed<'a> {
    room: String,
    run: RunId,
    events: Vec<Told<'a>>,
    wrong: Vec<String>,
}

/// Checks the text of an export. `owners`: who owns the room, as the one who asks knows; of a room without owners, the node whose
/// run it is.
///
/// # Errors
/// [`BadExport`]. What is wrong in an export is told in the verdict.
pub fn verify(text: &str, owners: &Owners) -> Result<Verdict, BadExport> {
    let Parsed { room, run, events, mut wrong } = parsed(text)?;
    let whole = membership_of(&room, owners, &events, &mut wrong);
    let mut trusted: BTreeSet<NodeDid> = whole.members().map(|(did, _)| did.clone()).collect();
    trusted.extend(owners.owners.iter().chain(&whole.owners().owners).cloned());

    // What counts at each place of the timeline is judged by what owners had said until there.
    let mut until_here = Membership::new(&room, owners.clone());
    let mut recovery = Recovery::new(room.clone(), owners.owners.clone());
    let mut envelopes = 0;
    for told in &events {
        let Some(event) = told.event() else { continue };
        if event.type_name == membership::TYPE {
            if take_statement(&mut until_here, &room, &event).is_ok() {
                envelopes += 1;
                recovery.set_coordinators(until_here.voters().into_iter().collect());
            }
            continue;
        }
        let standing = |did: &NodeDid| {
            if until_here.is_revoked(did) {
                Standing::Revoked
            } else if trusted.contains(did) {
                Standing::Trusted
            } else {
                Standing::Unknown
            }
        };
        let carrier = Carrier { room: &room, type_name: &event.type_name, sender: Some(&event.sender) };
        match envelope::verify(&event.content, carrier, |_| Standing::Trusted) {
            Ok(read) => {
                envelopes += 1;
                let is_journal = [JOURNAL.name, SNAPSHOT.name].contains(&read.type_name());
                if is_journal && read.run() != Some(run) {
                    wrong.push(format!("event {} is about another run", event.id));
                    continue;
                }
            }
            Err(why) => wrong.push(format!("event {} of {}: {why}", event.id, event.sender)),
        }
        let found = Found { type_name: &event.type_name, sender: &event.sender, content: &event.content };
        if let Some(file) = recovery.hear(found, standing) {
            recovery.fetched(file, told.file().as_deref().map_err(Clone::clone));
        }
    }
    for (did, count) in recovery.strangers() {
        wrong.push(format!(
            "{count} envelopes are signed by {did}, which the owners of the room did not admit"
        ));
    }
    for did in recovery.usurpers().keys() {
        wrong.push(format!("{did} took the run over, and may not coordinate runs of this room"));
    }
    for (_, Fork { epoch, n, by }) in recovery.forks() {
        wrong.push(format!(
            "entry {n} of term {epoch} was written twice, the second time by {by}: only the first one counts"
        ));
    }
    recovery.read_to_end();
    let keys = Keys(recovery.former_keys().clone());
    let mut verdict = Verdict {
        run,
        room,
        dag: String::new(),
        state: None,
        specification: Specification::Missing,
        envelopes,
        entries: 0,
        coordinators: Vec::new(),
        tasks: Vec::new(),
        answers: Vec::new(),
        statements: whole.statements(),
        members: whole
            .members()
            .map(|(did, member)| MemberView {
                did: did.clone(),
                name: member.name.clone(),
                may: member.may.clone(),
                revoked: member.revoked,
            })
            .collect(),
        wrong,
    };
    match recovery.runs().into_iter().find(|found| found.run == run) {
        Some(found) => judge(&mut verdict, found, &whole, &keys),
        None => verdict.wrong.push("nothing of the run's journal counts".to_owned()),
    }
    if verdict.wrong.len() > WRONG_MAX {
        let more = verdict.wrong.len() - WRONG_MAX;
        verdict.wrong.truncate(WRONG_MAX);
        verdict.wrong.push(format!("and {more} more"));
    }
    Ok(verdict)
}

fn parsed(text: &str) -> Result<Parsed<'_>, BadExport> {
    let mut at = 0;
    let mut lines = text.split_inclusive('\n').enumerate().map(|(index, line)| {
        let begins = at;
        at += line.len();
        (index + 1, begins, line)
    });
    let read = |number: usize, line: &str| -> Result<Line, BadExport> {
        serde_json::from_str(line).map_err(|error| BadExport::Format { number, why: error.to_string() })
    };
    let no_header = || BadExport::Format { number: 1, why: "it has no header".to_owned() };
    let (number, _, line) = lines.next().ok_or_else(no_header)?;
    let Line::Header { format, v, room, run, .. } = read(number, line)? else {
        return Err(no_header());
    };
    if format != FORMAT {
        return Err(no_header());
    }
    if v != VERSION {
        return Err(BadExport::Later(v));
    }
    let (mut events, mut wrong) = (Vec::<Told<'_>>::new(), Vec::new());
    let mut end = None;
    for (number, begins, line) in lines {
        if end.is_some() {
            return Err(BadExport::Format { number, why: "it stands behind the end".to_owned() });
        }
        if line.len() > EVENT_BYTES_MAX && !is_file(line) {
            return Err(BadExport::Format { number, why: "it is too long".to_owned() });
        }
        match read(number, line)? {
            Line::Header { .. } => {
                return Err(BadExport::Format { number, why: "it is a second header".to_owned() });
            }
            Line::Event { type_name, .. } => {
                events.push(Told { event: line, is_statement: type_name == membership::TYPE, file: None });
                continue;
            }
            read @ Line::End { .. } => {
                end = Some((begins, read));
                continue;
            }
            Line::File { .. } | Line::NoFile { .. } => {}
        }
        match events.last_mut() {
            Some(event) if event.file.is_none() => event.file = Some(line),
            _ => {
                return Err(BadExport::Format { number, why: "it is a file that no event names".to_owned() });
            }
        }
    }
    match end {
        Some((begins, end)) if end == Line::end(&text[..begins], events.len() as u64) => {}
        Some(_) => wrong.push("the file is damaged: its lines are not those that were written".to_owned()),
        None => wrong.push("the end of the file is missing".to_owned()),
    }
    Ok(Parsed { room, run, events, wrong })
}

/// Whether a line is a file and nothing else, before any of it is read.
fn is_file(line: &str) -> bool {
    let data = line.strip_prefix(FILE_BEGINS).and_then(|rest| rest.trim_end().strip_suffix("\"}"));
    data.is_some_and(|data| {
        data.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='))
    })
}

/// All that owners said.
fn membership_of(room: &str, owners: &Owners, events: &[Told<'_>], wrong: &mut Vec<String>) -> Membership {
    let mut membership = Membership::new(room, owners.clone());
    for event in events.iter().filter(|told| told.is_statement).filter_map(Told::event) {
        if let Err(Some(why)) = take_statement(&mut membership, room, &event) {
            wrong.push(format!("statement {} of {}: {why}", event.id, event.sender));
        }
    }
    membership
}

/// Err: it does not count; without a reason where anybody can say such a thing.
fn take_statement(membership: &mut Membership, room: &str, event: &Event) -> Result<(), Option<String>> {
    let carrier = Carrier { room, type_name: membership::TYPE, sender: Some(&event.sender) };
    let read = envelope::verify(&event.content, carrier, |_| Standing::Trusted);
    let read = read.map_err(|refused| Some(refused.to_string()))?;
    match membership.take(&read) {
        Ok(_) => Ok(()),
        Err(Refused::NotAnOwner(_)) => Err(None),
        Err(refused) => Err(Some(refused.to_string())),
    }
}

/// What the journal comes to.
fn judge(verdict: &mut Verdict, mut found: RecoveredRun, membership: &Membership, keys: &Keys) {
    verdict.entries = found.at.n;
    verdict.wrong.append(&mut found.lacks);
    let Some(Fact { body: EventBody::RunCreated(created), at_ms, .. }) = found.facts.first().cloned() else {
        verdict.wrong.push("how the run began is not in its journal".to_owned());
        return;
    };
    verdict.dag.clone_from(&created.dag);
    if created.epoch == 0 && found.at.epoch == 0 && !keys.are_of_one(&created.owner, &found.writer) {
        verdict
            .wrong
            .push(format!("the run says to be of {}, which did not write its journal", created.owner));
    }
    verdict.coordinators.push(Coordinator {
        did: created.owner.clone(),
        epoch: created.epoch,
        since_ms: at_ms,
    });
    let Some(text) = found.text.clone() else {
        verdict.wrong.push("the text of the run's file is not in its journal".to_owned());
        return;
    };
    let is_same = hex::encode(Sha256::digest(&text)) == created.spec.0;
    verdict.specification = if is_same { Specification::Matches } else { Specification::Hidden };
    let begun = match begun(verdict.run, &created, &text, at_ms) {
        Ok(begun) => begun,
        Err(why) => return verdict.wrong.push(why),
    };
    let fold = found.fold(begun);
    verdict.wrong.append(&mut found.lacks);
    verdict.state = Some(fold.run().state());
    let granted = read_facts(verdict, &found.facts, membership, keys);
    verdict.tasks = tasks(&fold, &granted);
}

fn begun(run: RunId, created: &RunCreated, text: &str, at_ms: i64) -> Result<Run, String> {
    let mut dag = dag::parse_accepted(text.as_bytes(), &created.source)
        .map_err(|found| format!("the run's file cannot be read: {found}"))?;
    if let Some(used) = &created.use_agent {
        dag::with_agent(&mut dag, used.profile.as_deref());
    }
    Run::new(run, created, Arc::new(dag), at_ms).map_err(|error| error.to_string())
}

/// The newest grant of a task, and what came of it.
struct Granted {
    to: NodeDid,
    by: NodeDid,
    log: Option<BlobId>,
}

/// Keys of the room's nodes: each newer one with the one before it.
struct Keys(BTreeMap<NodeDid, NodeDid>);

impl Keys {
    /// A key, and those that its node had before.
    fn of<'a>(&'a self, did: &'a NodeDid) -> impl Iterator<Item = &'a NodeDid> {
        // No key names two former ones, and the changes have no cycle.
        std::iter::successors(Some(did), |did| self.0.get(*did))
    }

    /// Whether two keys are of one node.
    fn are_of_one(&self, a: &NodeDid, b: &NodeDid) -> bool {
        self.of(a).last() == self.of(b).last()
    }
}

fn read_facts(
    verdict: &mut Verdict,
    facts: &[Fact],
    membership: &Membership,
    keys: &Keys,
) -> BTreeMap<TaskId, Granted> {
    let mut granted = BTreeMap::new();
    let mut strange = BTreeSet::new();
    for fact in facts {
        let by = verdict.coordinators.last().map(|last| last.did.clone());
        match &fact.body {
            EventBody::RunTakenOver { owner, epoch, .. } => {
                verdict.coordinators.push(Coordinator {
                    did: owner.clone(),
                    epoch: *epoch,
                    since_ms: fact.at_ms,
                });
            }
            EventBody::TaskAssigned(grant) => {
                let Some(by) = by else { continue };
                let mut known =
                    membership.members().filter(|(did, _)| keys.of(&grant.node).any(|key| key == *did));
                let may = known.any(|(_, member)| {
                    member.may.contains(&Right::Execute) || member.worked_until_ms.is_some()
                });
                if !keys.are_of_one(&grant.node, &by) && !may && strange.insert(grant.node.clone()) {
                    verdict
                        .wrong
                        .push(format!("tasks ran on {}, which the owners did not let execute", grant.node));
                }
                granted.insert(grant.task.clone(), Granted { to: grant.node.clone(), by, log: None });
            }
            EventBody::TaskResult(result) => {
                if let Some(granted) = granted.get_mut(&result.task) {
                    granted.log = result.log.as_ref().map(|log| log.sha256.clone());
                }
            }
            EventBody::SessionAnswered { task, answer, .. } => verdict.answers.push(Answered {
                task: task.clone(),
                by: answer.by.clone(),
                at_ms: fact.at_ms,
                text: answer.text.clone(),
            }),
            EventBody::TaskApproved { task, by, comment } => verdict.answers.push(Answered {
                task: Some(task.clone()),
                by: by.clone(),
                at_ms: fact.at_ms,
                text: comment
                    .as_ref()
                    .map_or_else(|| "approved".to_owned(), |said| format!("approved: {said}")),
            }),
            _ => {}
        }
    }
    granted
}

fn tasks(fold: &Fold, granted: &BTreeMap<TaskId, Granted>) -> Vec<TaskClaim> {
    let claim = |(task, entry): (&dag::Task, &crate::scheduler::TaskEntry)| {
        let grant = granted.get(&task.id);
        TaskClaim {
            task: task.id.clone(),
            state: entry.state,
            attempts: entry.attempts,
            node: grant.map(|granted| granted.to.clone()),
            by: grant.map(|granted| granted.by.clone()),
            log: grant.and_then(|granted| granted.log.clone()),
        }
    };
    fold.run().tasks().map(claim).collect()
}
