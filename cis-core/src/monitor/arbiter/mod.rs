//! The arbiter: draws a verdict from the evidence of one session.
//!
//! Owns what counts, for how long, and when a prompt is over. Whoever gathers evidence calls
//! [`Arbiter::want`] after each piece of it and at [`Arbiter::poll_timeout`], gathers what is wanted, and
//! takes [`Arbiter::changes`]. What single layers know stands in the files beside.
//!
//! ```text
//!               evidence says so, for long enough
//!   at work ───────────────────────────────────────▶ waits (episode n, hash)
//!      ▲                                                │
//!      └── its prompt is gone, for the length of a hold ┘   another prompt: over, then episode n + 1
//! ```

mod candidates;
mod cells;
mod distrust;
mod explain;
mod kernel;
mod line;
mod markers;
mod moving;
mod readers;
mod schedule;
mod standing;
mod terminal;
mod what_if;

use std::sync::Arc;

use candidates::{Candidate, Source};
use cells::Cells;
use distrust::Distrust;
use kernel::Kernel;
use markers::Markers;
use moving::Moving;
use schedule::Schedule;
use standing::{Around, Held, Standing, Waiter};
use terminal::Terminal;

use super::clean;
use super::evidence::{KernelEvidence, Reader, ReaderHow, ScreenView, Signal};
use super::keys::TypedKeys;
use super::profile::{Found, Idle, Profile, Says};
use super::screen::{Above, Shown, is_carrier, is_shell_prompt};
use super::verdict::{Change, Verdict, Want};
use crate::event::{Layer, PromptKind, PromptOption, QUESTION_CHARS_MAX};
use crate::ids::TimestampMs;

/// A prompt that an earlier life knew must show itself again within so long, ms.
const SEED_MS: i64 = 8000;
/// An agent that was never seen at work counts as done when it has been at its prompt for so long, ms.
const DONE_UNSEEN_MS: i64 = 20_000;
/// An agent that is not seen to wait for its terminal counts as done when it has been at its prompt for so long, ms: not every kernel
/// shows who waits.
const DONE_UNREAD_MS: i64 = 60_000;

/// What an earlier life of the node knew of the session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seed {
    /// Number of its last prompt; 0: it had none.
    pub episode: u32,
    /// The hash of that prompt, where the session waits at it: found again, it is the same one.
    pub waiting: Option<String>,
    /// It is to be given its work when it is at its prompt first: then it waits for that, and is not done.
    pub work_due: bool,
}

/// Draws the verdict of one session.
#[derive(Debug, Clone)]
pub struct Arbiter {
    profile: Arc<Profile>,
    started_ms: TimestampMs,
    episode: u32,
    seeded: Option<String>,
    work_due: bool,
    cells: Cells,
    kernel: Kernel,
    terminal: Terminal,
    markers: Markers,
    /// What the profile's rules found on the last screen, and since when the same.
    found: Option<(Found, TimestampMs)>,
    /// Which rows above the prompt move by themselves.
    moving: Moving,
    schedule: Schedule,
    distrust: Distrust,
    /// When somebody last typed.
    typed_ms: Option<TimestampMs>,
    /// The process whose last prompt was answered; 0: none.
    answered: u32,
    standing: Option<Standing>,
    /// It was seen at work since it was last done.
    worked: bool,
    done: bool,
    changes: Vec<Change>,
    /// Something came that may change what follows.
    stale: bool,
    /// Time alone changes it then.
    next_ms: Option<TimestampMs>,
}

impl Arbiter {
    /// For a session that lives.
    #[must_use]
    pub fn new(profile: Arc<Profile>, seed: Seed, now: TimestampMs) -> Self {
        Self {
            profile,
            started_ms: now,
            episode: seed.episode,
            seeded: seed.waiting,
            work_due: seed.work_due,
            cells: Cells::new(now),
            kernel: Kernel::default(),
            terminal: Terminal::default(),
            markers: Markers::default(),
            found: None,
            moving: Moving::default(),
            schedule: Schedule::from(now),
            distrust: Distrust::default(),
            typed_ms: None,
            answered: 0,
            standing: None,
            worked: false,
            done: false,
            changes: Vec::new(),
            stale: true,
            next_ms: None,
        }
    }

    /// The program said something to its terminal beside text.
    pub fn signal(&mut self, signal: &Signal, now: TimestampMs) {
        if self.terminal.signal(signal, &self.profile, now) {
            self.stale = true;
            self.schedule.hurry();
        }
        if self.terminal.works() {
            self.works();
        }
        self.judge(now);
    }

    /// So many bytes arrived.
    pub fn output(&mut self, bytes: u64, now: TimestampMs) {
        if bytes == 0 {
            return;
        }
        // More of it only puts off what time would bring.
        self.stale |= self.cells.dirty_ms.is_none();
        self.cells.output(bytes, now);
        self.kernel.passed();
        if let Some(standing) = self.standing.as_mut().filter(|standing| standing.typed_ms.is_some()) {
            standing.answered_bytes = standing.answered_bytes.saturating_add(bytes);
        }
    }

    /// The terminal got another size.
    pub fn resized(&mut self, now: TimestampMs) {
        self.stale = true;
        self.cells.resized(now);
        self.schedule.look_now();
    }

    /// Something was typed, by whatever way, that may be an answer.
    pub fn typed(&mut self, now: TimestampMs) {
        self.typed_keys(TypedKeys::Answer, now);
    }

    /// Somebody typed such keys.
    pub fn typed_keys(&mut self, keys: TypedKeys, now: TimestampMs) {
        self.stale = true;
        self.schedule.typed(now);
        self.terminal.typed();
        self.distrust.typed();
        self.kernel.typed();
        self.moving.typed();
        self.typed_ms = Some(now);
        if std::mem::take(&mut self.work_due) && self.profile.idle == Idle::Done && self.at_rest() {
            self.over(true);
        }
        if let Some((_, since)) = &mut self.found {
            *since = now;
        }
        if let Some(standing) = &mut self.standing {
            standing.typed_ms = Some(now);
            standing.keys = standing.keys.max(keys);
            standing.answered_bytes = 0;
        }
    }

    /// Somebody wanted to answer a prompt that is not there any more: what is there instead is of interest now, also if the program
    /// resumes on its own now and then.
    pub fn answer_refused(&mut self) {
        self.stale = true;
        self.distrust.typed();
    }

    /// The screen, as wanted.
    pub fn screen(&mut self, view: ScreenView, now: TimestampMs) {
        self.stale = true;
        let is_asked = !self.profile.full_screen && self.kernel.is_awaited(now);
        if self.cells.screen(view, is_asked, now) {
            self.distrust.changed(self.cells.changed_ms);
        }
        self.schedule.screen_came();
        let Some(page) = self.cells.page.clone() else { return };
        self.kernel.place(&page);
        let found = self.profile.read(&page);
        if self.profile.markers {
            self.markers.read(&page.view.lines, &mut self.changes);
        }
        let changed = self.look_above(found.as_ref(), &page, now);
        let same = |old: &Found, new: &Found| old.rule == new.rule && old.hash == new.hash && !changed;
        self.found = match (found, self.found.take()) {
            (Some(new), Some((old, since))) if same(&old, &new) => Some((new, since)),
            (Some(new), _) => Some((new, now)),
            (None, _) => None,
        };
        if matches!(&self.found, Some((found, _)) if found.says == Says::Working) {
            self.works();
        }
        self.judge(now);
    }

    /// The kernel's evidence, as wanted: of the moment when as much output was there as has been told of. Where the
    /// screen of that moment was not looked at, it is wanted at once.
    pub fn kernel(&mut self, evidence: &KernelEvidence, now: TimestampMs) {
        self.stale = true;
        self.kernel.take(evidence, now);
        let polls = self.kernel.own().filter(|reader| reader.how == ReaderHow::Poll);
        self.distrust.polls(polls.map_or(0, |reader| reader.pid));
        match self.cells.present() {
            Some(page) => self.kernel.place(page),
            // Programs of the full screen listen in every state.
            None if self.kernel.tells(self.profile.full_screen) => self.schedule.look_now(),
            None => {}
        }
        self.schedule.kernel_came();
        self.judge(now);
    }

    /// What is to be gathered now. Asked after each piece of evidence and at [`Arbiter::poll_timeout`].
    pub fn want(&mut self, now: TimestampMs) -> Want {
        let ready = self.judge(now);
        let standing = self.standing.as_ref().map(|standing| standing.gone_ms);
        self.schedule.want(&self.cells, &self.kernel, standing, ready, now)
    }

    /// When [`Arbiter::want`] is to be asked again, at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<TimestampMs> {
        self.schedule.wake_ms()
    }

    /// What changed since the last call.
    pub fn changes(&mut self, now: TimestampMs) -> Vec<Change> {
        self.judge(now);
        std::mem::take(&mut self.changes)
    }

    /// The present verdict; none: it does not wait, as far as is known.
    #[must_use]
    pub fn verdict(&self) -> Option<&Verdict> {
        self.standing.as_ref().map(|standing| &standing.verdict)
    }

    /// The terminal collects lines, as far as is known.
    #[must_use]
    pub fn collects_lines(&self) -> bool {
        let modes = self.kernel.last.as_ref().and_then(|last| last.modes);
        modes.is_none_or(|modes| modes.canonical)
    }

    /// What the kernel showed last.
    #[must_use]
    pub fn evidence(&self) -> Option<&KernelEvidence> {
        self.kernel.last.as_ref()
    }

    /// The name of the profile that reads its screen.
    #[must_use]
    pub fn profile(&self) -> &str {
        &self.profile.name
    }

    /// The prompt is a line whose program takes each key as it comes: the second key of an answer may find another question.
    #[must_use]
    pub fn takes_keys(&self) -> bool {
        let is_line = self.standing.as_ref().is_some_and(|standing| standing.source == Source::Line);
        is_line && !self.collects_lines()
    }

    /// What is typed may go to another program than the one that asks: several terminals inside stand side by side, and a program outside
    /// passes on what is typed to one of them, or the question stands in a terminal inside and the cursor is not behind it (tmux).
    #[must_use]
    pub fn asks_elsewhere(&self, view: &ScreenView) -> bool {
        let Some(standing) = &self.standing else { return false };
        let nested = matches!(standing.source, Source::Nested { .. });
        let passes_on = |own: &Reader| is_carrier(&own.name) || own.how == ReaderHow::Poll;
        let several = self.kernel.beside() > 1 && (nested || self.kernel.own().is_some_and(passes_on));
        several || (view.alternate && standing.is_elsewhere(view))
    }

    /// The program that may pass on what is typed to one that is not seen, or is itself not seen to wait: nothing says then whether the
    /// question still stands.
    #[must_use]
    pub fn passes_out_of_sight(&self) -> Option<String> {
        self.kernel.passes_out_of_sight(self.is_plain()).map(str::to_owned)
    }

    /// Whether who waits at the present prompt still waits at this look, or after its end another process of its name, as of a script that
    /// reads by `dd`. `lives`: there is a process of this number. True where it was not known who waits.
    #[must_use]
    pub fn is_awaited(&self, look: &KernelEvidence, lives: impl Fn(u32) -> bool) -> bool {
        let Some(standing) = &self.standing else { return true };
        let waits = |waiter: &Waiter, nested: bool| {
            let is_it = |reader: &Reader| reader.pid == waiter.pid || !lives(waiter.pid);
            let is_there = |reader: &&Reader| reader.nested == nested && !reader.outer;
            let mut readers = look.readers.iter().filter(is_there);
            readers.any(|reader| reader.name == waiter.name && is_it(reader))
        };
        let plain = self.is_plain();
        let inside =
            standing.inside.as_ref().filter(|_| plain || matches!(standing.source, Source::Nested { .. }));
        if inside.is_some_and(|inside| !look.inside_opaque && !waits(inside, true)) {
            return false;
        }
        // Some programs inside are seen only after the prompt was told.
        if plain && standing.source == Source::Line && kernel::is_passed_to_nobody(look) {
            return false;
        }
        match &standing.reader {
            _ if look.opaque || matches!(standing.source, Source::Nested { .. }) => true,
            Some(reader) if plain => waits(reader, false),
            Some(_) => look.readers.iter().any(|reader| !reader.nested),
            None => true,
        }
    }

    /// Removes from the rows of the screen what is not compared when somebody answers the present prompt: people must not
    /// decide by it.
    pub fn mask(&self, rows: &mut Vec<String>) {
        if let Some(around) = self.standing.as_ref().and_then(|standing| standing.around.as_ref()) {
            around.shown.mask(rows, |at, row| around.motions.still(at, row));
        }
    }

    /// Its program is a command: what its screen shows is not read by the rules of an agent.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        !self.profile.has_rules()
    }

    /// An agent is at its prompt and shows it: what is typed now is its next task.
    #[must_use]
    pub fn at_rest(&self) -> bool {
        let rule = matches!(&self.found, Some((found, _)) if found.says == Says::Waits(PromptKind::Idle));
        rule || self.verdict().is_some_and(|verdict| verdict.kind == PromptKind::Idle)
    }

    /// What being at its prompt means now.
    fn idle_means(&self) -> Idle {
        if self.work_due { Idle::Ask } else { self.profile.idle }
    }

    fn works(&mut self) {
        self.worked = true;
        self.done = false;
    }

    /// Draws what follows, where anything came or is due. Gives when time alone will change it.
    fn judge(&mut self, now: TimestampMs) -> Option<TimestampMs> {
        if self.stale || self.next_ms.is_some_and(|next| next <= now) {
            self.stale = false;
            self.next_ms = self.draw(now).into_iter().chain(self.moving.rests_ms()).min();
        }
        self.next_ms
    }

    fn draw(&mut self, now: TimestampMs) -> Option<TimestampMs> {
        self.moving.pass(now);
        let mut all = self.candidates(now);
        let pending = all.iter().map(|one| one.ready_ms).filter(|at| *at > now).min();
        // What came since the screen was looked at may be another question. The look that is due draws again.
        let counts = |one: &Candidate| one.ready_ms <= now && self.cells.present().is_some();
        let first = all.iter().enumerate().filter(|(_, one)| counts(one)).min_by_key(|(_, one)| one.rank());
        let ready = first.map(|(at, _)| at).map(|at| all.swap_remove(at));
        let seed = self.seeded.as_ref().map(|_| (self.started_ms + SEED_MS).max(now + 1));
        let earliest = |a: Option<TimestampMs>, b: Option<TimestampMs>| a.into_iter().chain(b).min();
        match (self.still_stands(ready.as_ref(), now), ready) {
            (Held::Stands | Held::Unknown, _) => {}
            (Held::No, Some(candidate)) => {
                self.raise(candidate, now);
                // At its prompt, and not known to be done yet.
                let unsure = self.standing.is_none() && !self.done;
                return earliest(pending, unsure.then_some(now + 1000));
            }
            (Held::No, None) => {
                self.settle_seed(now);
                return earliest(pending, seed.filter(|_| self.seeded.is_some()));
            }
            (Held::Fading(until), None) | (Held::Changing(until), _) if until > now => {
                return earliest(pending, Some(until));
            }
            (Held::Fading(_), next) => {
                self.over(true);
                self.moving.forget();
                return self.follow(next, pending, now);
            }
            (held, next) => {
                let is_changing = matches!(held, Held::Changing(_));
                if is_changing {
                    self.moving.is_another();
                } else {
                    self.moving.refused();
                }
                let went_on = is_changing && self.may_have_gone_on();
                let again = || if went_on { None } else { self.again(all) };
                match next.or_else(again) {
                    Some(candidate) if !went_on && self.is_standing(&candidate) => {
                        self.replace(candidate, now)
                    }
                    candidate => {
                        self.over(went_on);
                        return self.follow(candidate, pending, now);
                    }
                }
            }
        }
        pending
    }

    /// Raises what was drawn while a prompt stood that is over now. With that one its report may be used up: what only the report
    /// speaks for would be taken back at once, and raised again by who reads.
    fn follow(
        &mut self,
        next: Option<Candidate>,
        pending: Option<TimestampMs>,
        now: TimestampMs,
    ) -> Option<TimestampMs> {
        match next {
            Some(next) if next.source == Source::Report && self.terminal.report.is_none() => {
                return self.draw(now);
            }
            Some(next) => self.raise(next, now),
            None => {}
        }
        pending
    }

    fn raise(&mut self, candidate: Candidate, now: TimestampMs) {
        let Candidate { mut verdict, source, place, why, .. } = candidate;
        if verdict.kind == PromptKind::Idle && self.idle_means() == Idle::Done {
            self.finish(now);
            return;
        }
        let hash = verdict.hash.clone();
        let mut list_rows = 0;
        let mut around = None;
        if let Some(page) = self.cells.page.clone()
            && let Some(reach) = self.reach(source, &place, verdict.kind, &page)
        {
            let (above, shown) = (Above::of(&page, reach), Shown::of(&page, reach));
            self.moving.look(&hash, above.clone(), shown.clone(), now);
            self.moving.begins(now);
            list_rows = page.row_of(&place).map_or(0, |row| row.saturating_sub(reach.row));
            let motions = self.moving.motions(&hash, now);
            verdict.hash = shown.hash(&hash, |at, row| motions.still(at, row));
            if motions.any()
                && let Some((found, _)) = self.found.as_ref().filter(|(found, _)| found.hash == hash)
            {
                // The rows around the question are told with it, and some of them are hidden.
                verdict.question = clean::text(&found.asks, QUESTION_CHARS_MAX);
            }
            around = Some(Around { above, shown, motions });
        }
        let seeded = self.seeded.take();
        if seeded.as_ref() == Some(&verdict.hash) {
            verdict.episode = self.episode;
        } else {
            if seeded.is_some() {
                self.changes.push(Change::Over { episode: self.episode });
            }
            self.episode += 1;
            verdict.episode = self.episode;
            verdict.at_shell = self.is_at_shell(verdict.kind);
            self.changes.push(Change::Blocked(Box::new(verdict.clone())));
        }
        let reader = self.kernel.own().map(Waiter::of);
        let inside = self.kernel.inside_waits().map(Waiter::of);
        self.standing = Some(Standing {
            reader,
            inside,
            verdict,
            hash,
            around,
            list_rows,
            source,
            place,
            why,
            raised_ms: now,
            typed_ms: None,
            keys: TypedKeys::Move,
            answered_bytes: 0,
            gone_ms: None,
            is_outdated: false,
            rows: self.cells.steady.clone(),
        });
    }

    /// Whether a prompt of this kind is the prompt of a shell.
    fn is_at_shell(&self, kind: PromptKind) -> bool {
        let (Some(reader), Some(page), Some(last)) = (self.kernel.own(), &self.cells.page, &self.kernel.last)
        else {
            return kind == PromptKind::Idle && self.terminal.prompts;
        };
        let modes = reader.modes.or(last.modes);
        kind == PromptKind::Idle
            && (self.terminal.prompts
                || modes.is_some_and(|modes| is_shell_prompt(&reader.name, modes, &page.lead)))
    }

    /// Reads the last answer of an agent from these lines. Those before `screen` have scrolled out of its screen.
    #[must_use]
    pub fn answer(&self, lines: &[String], screen: usize) -> String {
        self.profile.answer(lines, screen)
    }

    /// At its prompt, with its work done: told once.
    fn finish(&mut self, now: TimestampMs) {
        let rests = self.found.as_ref().map_or(now, |(_, since)| *since);
        if self.done || (!self.worked && now - rests < DONE_UNSEEN_MS) {
            return;
        }
        self.done = true;
        self.worked = false;
        let page = self.cells.page.as_ref();
        let text = page.map_or_else(String::new, |page| self.answer(&page.view.lines, 0));
        self.changes.push(Change::Done { text });
    }

    /// The same prompt stands on another screen: it is told anew. Where it offers something else now, people get all their time again.
    fn replace(&mut self, mut candidate: Candidate, now: TimestampMs) {
        if let Some(standing) = self.standing.take() {
            self.changes.push(Change::Over { episode: standing.verdict.episode });
            if offers_same(&standing.verdict.options, &candidate.verdict.options) {
                candidate.verdict.waited_ms = standing.verdict.waited_ms + (now - standing.raised_ms).max(0);
            }
        }
        self.raise(candidate, now);
    }

    /// `unanswered`: the program went on without an answer, as far as is known.
    fn over(&mut self, unanswered: bool) {
        let Some(standing) = self.standing.take() else { return };
        if standing.verdict.layer == Layer::Terminal
            && self.terminal.report.as_ref().is_some_and(|report| report.at_ms <= standing.raised_ms)
        {
            self.terminal.forget();
        }
        let looked_so = matches!(standing.source, Source::Line | Source::Menu);
        if looked_so && standing.typed_ms.is_some() {
            self.answered = standing.reader.as_ref().map_or(0, |reader| reader.pid);
        }
        if unanswered
            && looked_so
            && standing.typed_ms.is_none()
            && standing.verdict.kind != PromptKind::Password
        {
            self.distrust.went_on(standing.reader.as_ref().map_or(0, |reader| reader.pid));
        }
        if standing.source == Source::Marker && self.asked_by_marker().as_ref() == Some(&standing.hash) {
            self.markers.asks = None;
        }
        self.changes.push(Change::Over { episode: standing.verdict.episode });
    }

    /// Whether it still looks for the prompt of that number and hash, at which the session waited in an earlier life of
    /// the node.
    #[must_use]
    pub fn looks_for(&self, episode: u32, hash: &str) -> bool {
        self.episode == episode && self.seeded.as_deref() == Some(hash)
    }

    fn was_looked_at(&self) -> bool {
        self.kernel.at_ms.is_some() || self.cells.seen_ms.is_some()
    }

    /// The prompt that an earlier life knew is not there any more.
    fn settle_seed(&mut self, now: TimestampMs) {
        if self.seeded.is_some() && self.was_looked_at() && now - self.started_ms >= SEED_MS {
            self.seeded = None;
            self.changes.push(Change::Over { episode: self.episode });
        }
    }
}

/// Whether the same can be answered, whatever numbers in the labels count.
fn offers_same(was: &[PromptOption], is: &[PromptOption]) -> bool {
    let words = |label: &str| label.chars().filter(|c| !c.is_numeric()).collect::<String>();
    let mut pairs = was.iter().zip(is);
    was.len() == is.len() && pairs.all(|(was, is)| was.id == is.id && words(&was.label) == words(&is.label))
}

#[cfg(test)]
mod story;
#[cfg(test)]
mod tests;
