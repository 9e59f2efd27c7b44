//! The worker's half of the protocol: grants that it holds, and until when it may work on them.
//!
//! Owns terms (whom it obeys in a run), leases on its own clock, and results until nobody needs them. Whether a task may
//! run here at all is the worker's policy, which answers [`Effect::Start`]; how sessions are run is the session host's.

mod refusals;
mod remembered;
mod slots;
mod terms;

use std::collections::{BTreeMap, BTreeSet};

use super::message::{Grant, Granted, HeldRecord, HeldState, Message, Nonce, PROGRESS_WEIGHT_MAX, Payload};
use super::settings::{BootMs, Settings};
use crate::api::Refusal;
use crate::fence;
use crate::ids::{Epoch, Fence, NodeDid, RunId, SessionId, TaskId, TimestampMs};
use terms::Term;

pub use remembered::{Change, Remembered};

/// Progress of one attempt that is kept while its coordinator does not take it; what comes after it is not reported.
const PROGRESS_MAX: usize = 4096;
/// From so many pieces on that the coordinator has, those are left out that nobody needs any more.
const PROGRESS_LONG: usize = 64;

/// What was not answered is repeated after this part of the time since the lease ended.
const SILENCE_PARTS: i64 = 4;
/// That time is no longer than this, ms.
const RESEND_MS_MAX: i64 = 300_000;

/// What the machine of the node is asked to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect<P: Payload> {
    /// Send a message. It may be lost.
    Send {
        /// To whom.
        to: NodeDid,
        /// It.
        message: Message<P>,
    },
    /// Start it, unless policy forbids it. The session host gets the end of the lease with it.
    Start {
        /// What.
        grant: Grant<P::Spec>,
        /// The session is frozen then, ms.
        lease_end: BootMs,
    },
    /// Stop the whole tree of its processes, or, where the session waits for its turn, do not start it.
    Freeze(Granted),
    /// The lease lasts longer. A frozen session goes on.
    Extend {
        /// Which.
        granted: Granted,
        /// Until then, ms.
        lease_end: BootMs,
    },
    /// End it gracefully.
    Cancel {
        /// Which.
        granted: Granted,
        /// Between SIGTERM and SIGKILL, ms.
        grace_ms: u64,
        /// Collect what it leaves.
        keep: bool,
    },
    /// Kill it at once: its grant is void.
    Kill(Granted),
    /// What was kept of it may be deleted.
    Drop(Granted),
}

/// What became of a grant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Phase<R> {
    /// Its session works, or waits for its turn.
    Working,
    /// Its lease ended then; its processes are stopped.
    Frozen { since: BootMs, resend_at: BootMs },
    /// Its grant is void, and it is being killed.
    Killed,
    /// It ended. The result is kept until nobody needs it.
    Ended {
        report: R,
        /// The coordinator has it.
        recorded: bool,
        resend_at: BootMs,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Held<S, R, G> {
    granted: Granted,
    session: SessionId,
    lease_end: BootMs,
    phase: Phase<R>,
    /// With their numbers, which rise.
    progress: Vec<(u32, G)>,
    /// Number of the next piece.
    end: u32,
    /// Number of the first piece that the coordinator does not have.
    noted: u32,
    /// Number of the first piece that was never sent to it.
    unsent: u32,
    progress_at: BootMs,
    /// Its coordinator has its session ended, and wants what it leaves: ms between SIGTERM and SIGKILL.
    hand_in_grace_ms: Option<u64>,
    /// When this node heard that its result was handed in, Unix ms.
    handed_in_ms: Option<TimestampMs>,
    /// Its session has ended, and what it left is on its way to the room: no lease is needed for that.
    is_sharing: bool,
    /// A newer grant of the same task, which starts when this one has ended.
    next: Option<Box<(Grant<S>, BootMs)>>,
}

/// The worker's half.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WorkerHalf<P: Payload> {
    settings: Settings,
    terms: BTreeMap<RunId, Term>,
    #[allow(clippy::type_complexity, reason = "derives look for the types of P in the fields")]
    held: BTreeMap<(RunId, TaskId), Held<P::Spec, P::Report, P::Progress>>,
    /// Newest fences of tasks that are over here, and since when. A repeated grant of one starts nothing.
    over: BTreeMap<(RunId, TaskId), (Fence, BootMs)>,
    refusals: refusals::Refusals,
    /// When heartbeats were sent whose leases may still last.
    beats: BTreeMap<Nonce, BootMs>,
    nonce: Nonce,
    /// The newest heartbeat that a coordinator answered with a lease.
    answered: Nonce,
    beat_at: BootMs,
    /// What is to be remembered of these otherwise than before.
    changed: BTreeSet<(RunId, TaskId)>,
    slots: slots::Slots,
}

impl<P: Payload> WorkerHalf<P> {
    /// A worker that holds nothing. `nonce` is one that it never used before, in an earlier life neither.
    #[must_use]
    pub fn new(settings: Settings, nonce: Nonce, now: BootMs) -> Self {
        Self {
            settings,
            terms: BTreeMap::new(),
            held: BTreeMap::new(),
            over: BTreeMap::new(),
            refusals: refusals::Refusals::default(),
            beats: BTreeMap::new(),
            nonce,
            answered: nonce,
            beat_at: now,
            changed: BTreeSet::new(),
            slots: slots::Slots::default(),
        }
    }

    /// Whether it has the result of a grant, and nothing else of it any more.
    #[must_use]
    pub fn has_ended(&self, granted: &Granted) -> bool {
        let held = self.held.get(&key(granted)).filter(|held| held.granted == *granted);
        held.is_some_and(|held| matches!(held.phase, Phase::Ended { .. }))
    }

    /// Whether the grant is void, and its session is being killed.
    #[must_use]
    pub fn is_void(&self, granted: &Granted) -> bool {
        let held = self.held.get(&key(granted)).filter(|held| held.granted == *granted);
        held.is_some_and(|held| held.phase == Phase::Killed)
    }

    /// If the coordinator has the session of a grant ended, and wants what it leaves: ms between SIGTERM and SIGKILL. Without a lease, no time.
    #[must_use]
    pub fn hand_in_grace_ms(&self, granted: &Granted, now: BootMs) -> Option<u64> {
        let held = self.held.get(&key(granted)).filter(|held| held.granted == *granted)?;
        held.hand_in_grace_ms.map(|grace_ms| if held.lease_end > now { grace_ms } else { 0 })
    }

    /// When this node heard that the result of a grant was handed in, Unix ms.
    #[must_use]
    pub fn handed_in_ms(&self, granted: &Granted) -> Option<TimestampMs> {
        self.held.get(&key(granted)).filter(|held| held.granted == *granted)?.handed_in_ms
    }

    /// The session of a grant is being ended because its result was handed in. The first time counts, also after a restart of the node.
    pub fn handed_in(&mut self, granted: &Granted, at_ms: TimestampMs) {
        if let Some(held) = self.holds(granted).filter(|held| held.handed_in_ms.is_none()) {
            held.handed_in_ms = Some(at_ms);
            self.changed.insert(key(granted));
        }
    }

    /// Whom it obeys in a run.
    #[must_use]
    pub fn coordinator_of(&self, run: RunId) -> Option<&NodeDid> {
        self.terms.get(&run).map(|term| &term.coordinator)
    }

    /// What the session of a grant went through, in order, without what nobody needs any more.
    pub fn progress_of(&self, granted: &Granted) -> impl Iterator<Item = &P::Progress> {
        let held = self.held.get(&key(granted)).filter(|held| held.granted == *granted);
        held.into_iter().flat_map(|held| held.progress.iter().map(|(_, piece)| piece))
    }

    /// How many sessions work, wait for their turn, or are being killed.
    #[must_use]
    pub fn live_sessions(&self) -> usize {
        self.held.values().filter(|held| !matches!(held.phase, Phase::Ended { .. })).count()
    }

    /// How many sessions of a run work, or wait for their turn.
    #[must_use]
    pub fn working_sessions_of(&self, run: RunId) -> usize {
        let of_run = self.held.values().filter(|held| held.granted.attempt.run == run);
        of_run.filter(|held| held.phase == Phase::Working).count()
    }

    /// The sessions that are frozen, and since when.
    pub fn frozen(&self) -> impl Iterator<Item = (&Granted, BootMs)> {
        self.held.values().filter_map(|held| match held.phase {
            Phase::Frozen { since, .. } => Some((&held.granted, since)),
            _ => None,
        })
    }

    /// Says that something of its status changed: a heartbeat is due.
    pub fn status_changed(&mut self, now: BootMs) {
        self.beat_at = self.beat_at.min(now);
    }

    /// Takes a message of `from`, which may coordinate runs in this room.
    ///
    /// # Errors
    /// Why nothing was done about it: an old term, or not the coordinator of the run.
    pub fn receive(
        &mut self,
        from: &NodeDid,
        message: Message<P>,
        now: BootMs,
        out: &mut Vec<Effect<P>>,
    ) -> Result<(), String> {
        self.hears_of(from, now);
        match message {
            Message::Grant { epoch, nonce, lease_ms, grant } => {
                self.obeys(grant.granted.attempt.run, epoch, from)?;
                if fence::epoch_of(grant.granted.fence) != epoch {
                    return Err("a grant with a fence of another term".to_owned());
                }
                let floor = self.terms.get(&grant.granted.attempt.run).map_or(0, |term| term.floor);
                let lease_end = if nonce > floor { self.lease_end(nonce, lease_ms) } else { BootMs::MIN };
                self.granted(from, grant, lease_end, now, out);
            }
            Message::Renew { run, epoch, nonce, lease_ms, grants } => {
                self.obeys(run, epoch, from)?;
                let lease_end = self.lease_end(nonce, lease_ms);
                if lease_end > now {
                    self.answered = self.answered.max(nonce);
                }
                for granted in grants.iter().filter(|granted| granted.attempt.run == run) {
                    self.renewed(from, granted, lease_end, now, out);
                }
            }
            Message::Cancel { epoch, granted, grace_ms, keep } => {
                self.obeys(granted.attempt.run, epoch, from)?;
                let Some(held) = self.holds(&granted) else {
                    self.unknown(from, granted, now, out);
                    return Ok(());
                };
                match held.phase {
                    Phase::Working => {
                        let hand_in_grace_ms = keep.then_some(grace_ms);
                        if std::mem::replace(&mut held.hand_in_grace_ms, hand_in_grace_ms) != hand_in_grace_ms
                        {
                            self.changed.insert(key(&granted));
                        }
                        out.push(Effect::Cancel { granted, grace_ms, keep });
                    }
                    // Its lease is over, so another worker may have the task: it must not run to end itself.
                    Phase::Frozen { .. } => out.push(Effect::Cancel { granted, grace_ms: 0, keep }),
                    Phase::Killed | Phase::Ended { .. } => {}
                }
            }
            Message::Noted { epoch, granted, next } => {
                self.obeys(granted.attempt.run, epoch, from)?;
                if let Some(held) = self.holds(&granted) {
                    let is_shorter = held.note_until::<P>(next);
                    if held.unsent < held.end {
                        held.progress_at = now;
                    }
                    if is_shorter {
                        self.changed.insert(key(&granted));
                    }
                }
            }
            Message::Recorded { epoch, granted } => {
                self.obeys(granted.attempt.run, epoch, from)?;
                if let Some(Held { phase: Phase::Ended { recorded, .. }, .. }) = self.holds(&granted) {
                    *recorded = true;
                }
            }
            Message::Forget { epoch, granted } => {
                self.obeys(granted.attempt.run, epoch, from)?;
                self.forgets(&granted, now, out);
            }
            Message::Recover { run, epoch } => {
                self.obeys(run, epoch, from)?;
                // The process may have stood still since leases ended. What counts as at work is given to nobody else.
                self.freeze(now, out);
                if let Some(term) = self.terms.get_mut(&run) {
                    term.floor = self.nonce;
                }
                self.beat_at = now;
                let of_run = self.held.values().filter(|held| held.granted.attempt.run == run);
                let held = of_run.filter_map(Held::record).collect();
                send(out, from, Message::Holding { run, epoch, held });
            }
            _ => return Err("a message that workers do not take".to_owned()),
        }
        Ok(())
    }

    /// Repeats as soon as usual what waits for an answer of this coordinator, which is there.
    fn hears_of(&mut self, from: &NodeDid, now: BootMs) {
        let usual = now + self.settings.resend_ms;
        for held in self.held.values_mut() {
            if self.terms.get(&held.granted.attempt.run).is_none_or(|term| term.coordinator != *from) {
                continue;
            }
            if let Phase::Ended { recorded: false, resend_at, .. } = &mut held.phase {
                *resend_at = usual.min(*resend_at);
                held.progress_at = usual.min(held.progress_at);
            }
        }
    }

    /// The session of an attempt went through something.
    pub fn progress(
        &mut self,
        granted: &Granted,
        progress: P::Progress,
        now: BootMs,
        out: &mut Vec<Effect<P>>,
    ) {
        let Some(held) = self.holds(granted) else { return };
        if held.progress.len() < PROGRESS_MAX && !matches!(held.phase, Phase::Killed) {
            held.progress.push((held.end, progress));
            held.end = held.end.saturating_add(1);
            held.progress_at = now;
            self.changed.insert(key(granted));
        }
        self.act(now, out);
    }

    /// Counts the lease of a grant as over. That of an earlier life of the node may be of another boot, whose clock says nothing.
    pub fn needs_lease(&mut self, granted: &Granted, now: BootMs) {
        if let Some(held) = self.holds(granted) {
            held.lease_end = held.lease_end.min(now);
        }
    }

    /// Has what is remembered of a grant written again: its owner changed what stands with it.
    pub fn remember_again(&mut self, granted: &Granted) {
        if self.holds(granted).is_some() {
            self.changed.insert(key(granted));
        }
    }

    /// The session of an attempt has ended, and what it left is on its way to the room: its end is told after that, however long it takes.
    pub fn shares(&mut self, granted: &Granted) {
        if let Some(held) = self.holds(granted) {
            held.is_sharing = true;
        }
    }

    /// Policy, or a lack of resources, does not let an attempt start; or it never started and was taken back.
    pub fn refused(&mut self, granted: &Granted, reason: Refusal, now: BootMs, out: &mut Vec<Effect<P>>) {
        let run = granted.attempt.run;
        if self.holds(granted).is_some() {
            let held = self.remove(granted, now);
            self.refusals.add(granted.clone(), reason.clone(), now);
            if let Some(term) = self.terms.get(&run) {
                send(out, &term.coordinator, Message::Refused { granted: granted.clone(), reason });
            }
            self.starts_next(held, now, out);
            self.slot_freed(now);
        }
    }

    /// An attempt ended.
    pub fn ended(&mut self, granted: &Granted, report: P::Report, now: BootMs, out: &mut Vec<Effect<P>>) {
        let Some(held) = self.holds(granted) else { return };
        if held.phase == Phase::Killed {
            let held = self.remove(granted, now);
            out.push(Effect::Drop(granted.clone()));
            self.starts_next(held, now, out);
        } else {
            held.phase = Phase::Ended { report, recorded: false, resend_at: now };
            self.changed.insert(key(granted));
        }
        self.slot_freed(now);
        self.act(now, out);
    }

    /// Drops the results of runs whose coordinator's key is revoked, and stops what is on its way to it, if no other one has taken the run over
    /// in the time for which sessions without a lease are kept.
    pub fn drop_results_for_revoked(
        &mut self,
        is_revoked: impl Fn(&NodeDid) -> bool,
        now: BootMs,
        out: &mut Vec<Effect<P>>,
    ) {
        let keep_ms = self.settings.lost_keep_ms;
        let is_revoked = |held: &Held<_, _, _>| {
            self.terms.get(&held.granted.attempt.run).is_some_and(|term| is_revoked(&term.coordinator))
        };
        let over = self.held.values().filter(|held| now - held.lease_end >= keep_ms && is_revoked(held));
        let is_ended = |held: &Held<_, _, _>| matches!(held.phase, Phase::Ended { .. });
        let is_sharing = |held: &Held<_, _, _>| matches!(held.phase, Phase::Frozen { .. }) && held.is_sharing;
        let (ended, rest): (Vec<_>, Vec<_>) = over.partition(|held| is_ended(held));
        let ended: Vec<_> = ended.into_iter().map(|held| held.granted.clone()).collect();
        let sharing: Vec<_> =
            rest.into_iter().filter(|held| is_sharing(held)).map(|held| held.granted.clone()).collect();
        for granted in ended {
            let held = self.remove(&granted, now);
            out.push(Effect::Drop(granted));
            self.starts_next(held, now, out);
        }
        for granted in sharing {
            if let Some(held) = self.holds(&granted) {
                held.phase = Phase::Killed;
            }
            self.changed.insert(key(&granted));
            out.push(Effect::Kill(granted));
        }
    }

    /// The machine stood still, and this clock with it: all leases may be over, also those that answers to heartbeats from before would
    /// give.
    pub fn stood_still(&mut self, now: BootMs, out: &mut Vec<Effect<P>>) {
        self.beats.clear();
        self.beat_at = now;
        for held in self.held.values_mut() {
            held.lease_end = held.lease_end.min(now);
        }
        self.act(now, out);
    }

    /// Does what is due. `status` is what heartbeats say; none: this node takes no work, and is silent unless it holds some.
    pub fn tick(
        &mut self,
        now: BootMs,
        status: Option<&P::Status>,
        coordinators: &[NodeDid],
        out: &mut Vec<Effect<P>>,
    ) {
        self.act(now, out);
        let oldest = now - self.settings.lease_ms;
        self.over.retain(|_, (_, since)| *since > oldest);
        self.refusals.forget_until(now - self.settings.lost_keep_ms);
        self.offer_slots(status.filter(|_| !coordinators.is_empty()).map(P::slots), now);
        self.tell_free_slot(now);
        if self.beat_at > now {
            return;
        }
        let Some(status) = status.filter(|_| !coordinators.is_empty()) else {
            self.beat_at = now + self.settings.heartbeat_ms;
            return;
        };
        let works = |held: &Held<_, _, _>| matches!(held.phase, Phase::Working | Phase::Frozen { .. });
        let unanswered = self.answered < self.nonce && self.held.values().any(works);
        self.nonce += 1;
        self.beats.insert(self.nonce, now);
        self.beats.retain(|_, sent| *sent > oldest);
        for to in coordinators {
            let status = P::told(status, self.sessions_of_others(to));
            send(out, to, Message::Heartbeat { nonce: self.nonce, status });
        }
        self.slots_told(now);
        let Settings { heartbeat_ms, resend_ms, .. } = self.settings;
        self.beat_at = now + if unanswered { resend_ms } else { heartbeat_ms };
    }

    /// Freezes the sessions whose leases have ended.
    fn freeze(&mut self, now: BootMs, out: &mut Vec<Effect<P>>) {
        let resend_at = now + self.settings.heartbeat_ms;
        let working = self.held.values_mut().filter(|held| held.phase == Phase::Working);
        for held in working.filter(|held| held.lease_end <= now) {
            held.phase = Phase::Frozen { since: now, resend_at };
            out.push(Effect::Freeze(held.granted.clone()));
        }
    }

    /// Does what is due about what it holds.
    fn act(&mut self, now: BootMs, out: &mut Vec<Effect<P>>) {
        self.freeze(now, out);
        let Settings { lost_keep_ms, resend_ms, .. } = self.settings;
        for held in self.held.values_mut() {
            if let Phase::Frozen { since, .. } = held.phase
                && now.saturating_sub(since) >= lost_keep_ms
                && !held.is_sharing
            {
                held.phase = Phase::Killed;
                self.changed.insert(key(&held.granted));
                out.push(Effect::Kill(held.granted.clone()));
            }
            let Some(term) = self.terms.get(&held.granted.attempt.run) else { continue };
            if let Phase::Frozen { resend_at, .. } = &mut held.phase
                && *resend_at <= now
            {
                // The coordinator renews it, or knows that it is void.
                *resend_at = now + self.settings.heartbeat_ms;
                send(out, &term.coordinator, Message::Claimed { granted: held.granted.clone() });
            }
            // Its lease is not renewed any more. The longer ago its end is, the longer the coordinator may stay away.
            let silence_ms = (now - held.lease_end) / SILENCE_PARTS;
            let resend_ms = resend_ms.max(silence_ms.min(RESEND_MS_MAX));
            let waits = held.waits_for_note::<P>();
            if held.tells::<P>() && held.progress_at <= now {
                held.progress_at = now + if waits { resend_ms } else { self.settings.heartbeat_ms };
                let (first, progress) = held.batch::<P>();
                held.unsent = held.unsent.max(first.saturating_add(progress.len() as u32));
                let message = Message::Progress { granted: held.granted.clone(), first, progress };
                send(out, &term.coordinator, message);
            }
            if let Phase::Ended { report, recorded, resend_at } = &mut held.phase
                && !waits
                && *resend_at <= now
            {
                // What is recorded already is asked for rarely: it waits for the journal.
                *resend_at =
                    now + if *recorded { self.settings.heartbeat_ms.max(resend_ms) } else { resend_ms };
                let (granted, report) = (held.granted.clone(), report.clone());
                send(out, &term.coordinator, Message::Result { granted, report });
            }
        }
    }

    /// When a tick is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<BootMs> {
        let of_held = self.held.values().flat_map(|held| {
            let waits = held.waits_for_note::<P>();
            let phase = match &held.phase {
                Phase::Working => Some(held.lease_end),
                Phase::Frozen { resend_at, .. } if held.is_sharing => Some(*resend_at),
                Phase::Frozen { since, resend_at } => {
                    Some((since + self.settings.lost_keep_ms).min(*resend_at))
                }
                // The result goes after all progress that it does not tell itself.
                Phase::Ended { resend_at, .. } if !waits => Some(*resend_at),
                Phase::Killed | Phase::Ended { .. } => None,
            };
            phase.into_iter().chain(held.tells::<P>().then_some(held.progress_at))
        });
        of_held.chain([self.beat_at]).chain(self.next_offer()).chain(self.free_slot_told_at()).min()
    }

    /// Whether `from` is obeyed in a run; a later term makes it so from now on.
    fn obeys(&mut self, run: RunId, epoch: Epoch, from: &NodeDid) -> Result<(), String> {
        self.hears_of_term(run, epoch, from);
        match self.terms.get(&run) {
            Some(term) if term.epoch == epoch && term.coordinator == *from => Ok(()),
            Some(term) => {
                Err(format!("run {run} is coordinated by {} in epoch {}", term.coordinator, term.epoch))
            }
            None => Err("no term".to_owned()),
        }
    }

    /// A nonce that is unknown, or too old, gives no lease.
    fn lease_end(&self, nonce: Nonce, lease_ms: i64) -> BootMs {
        let sent = self.beats.get(&nonce).copied();
        sent.map_or(BootMs::MIN, |sent| sent.saturating_add(lease_ms.clamp(0, self.settings.lease_ms)))
    }

    fn holds(&mut self, granted: &Granted) -> Option<&mut Held<P::Spec, P::Report, P::Progress>> {
        self.held.get_mut(&key(granted)).filter(|held| held.granted == *granted)
    }

    fn granted(
        &mut self,
        from: &NodeDid,
        grant: Grant<P::Spec>,
        lease_end: BootMs,
        now: BootMs,
        out: &mut Vec<Effect<P>>,
    ) {
        let granted = grant.granted.clone();
        match self.held.get_mut(&key(&granted)) {
            Some(held) if held.granted.fence > granted.fence => {
                send(out, from, Message::Unknown { granted });
            }
            Some(held) if held.granted == granted => {
                if !matches!(held.phase, Phase::Killed) {
                    send(out, from, Message::Claimed { granted });
                }
            }
            Some(held) => {
                // The old grant is void, and its tree has to be gone before the new one starts.
                let ended = matches!(held.phase, Phase::Ended { .. });
                if !ended && held.phase != Phase::Killed {
                    held.phase = Phase::Killed;
                    self.changed.insert(key(&held.granted));
                    out.push(Effect::Kill(held.granted.clone()));
                }
                held.next = Some(Box::new((grant, lease_end)));
                if ended {
                    let old = held.granted.clone();
                    let held = self.remove(&old, now);
                    out.push(Effect::Drop(old));
                    self.starts_next(held, now, out);
                }
            }
            None => self.starts(from, grant, lease_end, now, out),
        }
    }

    fn starts(
        &mut self,
        from: &NodeDid,
        grant: Grant<P::Spec>,
        lease_end: BootMs,
        now: BootMs,
        out: &mut Vec<Effect<P>>,
    ) {
        let granted = grant.granted.clone();
        let is_over = self.over.get(&key(&granted)).is_some_and(|(over, _)| granted.fence <= *over);
        if is_over || self.refusals.has(&granted) {
            return self.has_nothing(from, granted, now, out);
        }
        if lease_end <= now {
            return; // It is granted again, with a newer heartbeat.
        }
        let held = Held {
            granted: granted.clone(),
            session: grant.session,
            lease_end,
            phase: Phase::Working,
            progress: Vec::new(),
            end: 0,
            noted: 0,
            unsent: 0,
            progress_at: now,
            hand_in_grace_ms: None,
            handed_in_ms: None,
            is_sharing: false,
            next: None,
        };
        self.held.insert(key(&granted), held);
        self.changed.insert(key(&granted));
        send(out, from, Message::Claimed { granted });
        out.push(Effect::Start { grant, lease_end });
    }

    fn starts_next(
        &mut self,
        held: Option<Held<P::Spec, P::Report, P::Progress>>,
        now: BootMs,
        out: &mut Vec<Effect<P>>,
    ) {
        let Some(next) = held.and_then(|held| held.next) else { return };
        let (grant, lease_end) = *next;
        let term = self.terms.get(&grant.granted.attempt.run).cloned();
        if let Some(term) = term.filter(|term| term.epoch == fence::epoch_of(grant.granted.fence)) {
            self.starts(&term.coordinator, grant, lease_end, now, out);
        }
    }

    /// Takes an attempt out, and no repeated grant of it from now on.
    fn remove(&mut self, granted: &Granted, now: BootMs) -> Option<Held<P::Spec, P::Report, P::Progress>> {
        self.is_over(granted, now);
        self.changed.insert(key(granted));
        self.held.remove(&key(granted))
    }

    /// Says what became of an attempt that is not here, which holds for grants that are under way too.
    fn unknown(&mut self, from: &NodeDid, granted: Granted, now: BootMs, out: &mut Vec<Effect<P>>) {
        self.is_over(&granted, now);
        self.has_nothing(from, granted, now, out);
    }

    fn is_over(&mut self, granted: &Granted, now: BootMs) {
        let over = self.over.entry(key(granted)).or_insert((granted.fence, now));
        *over = (over.0.max(granted.fence), now);
    }

    fn renewed(
        &mut self,
        from: &NodeDid,
        granted: &Granted,
        lease_end: BootMs,
        now: BootMs,
        out: &mut Vec<Effect<P>>,
    ) {
        let Some(held) = self.holds(granted) else { return self.unknown(from, granted.clone(), now, out) };
        if lease_end <= now || lease_end <= held.lease_end {
            return;
        }
        match held.phase {
            Phase::Working => {}
            Phase::Frozen { .. } => held.phase = Phase::Working,
            Phase::Killed | Phase::Ended { .. } => return,
        }
        held.lease_end = lease_end;
        out.push(Effect::Extend { granted: granted.clone(), lease_end });
    }

    fn forgets(&mut self, granted: &Granted, now: BootMs, out: &mut Vec<Effect<P>>) {
        let Some(held) = self.holds(granted) else { return self.refusals.forget(granted) };
        match held.phase {
            Phase::Working | Phase::Frozen { .. } => {
                held.phase = Phase::Killed;
                self.changed.insert(key(granted));
                out.push(Effect::Kill(granted.clone()));
            }
            Phase::Killed => {}
            Phase::Ended { .. } => {
                let held = self.remove(granted, now);
                out.push(Effect::Drop(granted.clone()));
                self.starts_next(held, now, out);
            }
        }
    }
}

impl<S, R, G> Held<S, R, G> {
    /// What the coordinator is not known to have.
    fn news(&self) -> &[(u32, G)] {
        let from = self.progress.partition_point(|(number, _)| *number < self.noted);
        self.progress.get(from..).unwrap_or_default()
    }

    /// Whether some of that is told by no result.
    fn waits_for_note<P: Payload<Progress = G>>(&self) -> bool {
        !self.news().iter().all(|(_, piece)| P::is_routine(piece))
    }

    /// Whether progress is sent, and repeated. Once the result is sent, routine is not.
    fn tells<P: Payload<Progress = G>>(&self) -> bool {
        let has_ended = matches!(self.phase, Phase::Ended { .. });
        if has_ended { self.waits_for_note::<P>() } else { !self.news().is_empty() }
    }

    /// The coordinator has all pieces before `next`. Returns whether some were left out for good.
    fn note_until<P: Payload<Progress = G>>(&mut self, next: u32) -> bool {
        self.noted = self.noted.max(next.min(self.end));
        let had = self.progress.len();
        // The last piece tells another life of the node how the next one is numbered.
        let last = self.progress.pop();
        let known = self.progress.partition_point(|(number, _)| *number < self.noted);
        if known >= PROGRESS_LONG {
            let rest = self.progress.split_off(known);
            P::shorten(&mut self.progress);
            self.progress.extend(rest);
        }
        self.progress.extend(last);
        self.progress.len() < had
    }

    /// What goes into the next message of what the coordinator does not have, and its first number.
    fn batch<P: Payload<Progress = G>>(&self) -> (u32, Vec<G>)
    where
        G: Clone,
    {
        let waiting = self.news();
        let first = waiting.first().map_or(self.noted, |(number, _)| *number);
        let mut weight = 0;
        let fits = waiting.iter().zip(first..).take_while(|((number, piece), expected)| {
            let is_first = weight == 0;
            weight += P::weight(piece);
            // Numbers in a message follow each other.
            number == expected && (is_first || weight <= PROGRESS_WEIGHT_MAX)
        });
        (first, fits.map(|((_, piece), _)| piece.clone()).collect())
    }

    /// What a coordinator that asks gets to know of it. One that is being killed is none.
    fn record(&self) -> Option<HeldRecord> {
        let state = match self.phase {
            Phase::Working => HeldState::Working,
            Phase::Frozen { .. } => HeldState::Frozen,
            Phase::Ended { .. } => HeldState::Ended,
            Phase::Killed => return None,
        };
        Some(HeldRecord { granted: self.granted.clone(), session: self.session, state })
    }
}

fn key(granted: &Granted) -> (RunId, TaskId) {
    (granted.attempt.run, granted.attempt.task.clone())
}

fn send<P: Payload>(out: &mut Vec<Effect<P>>, to: &NodeDid, message: Message<P>) {
    out.push(Effect::Send { to: to.clone(), message });
}
