//! What the monitor knows of one session: its arbiter, and what it is given of the hub.
//!
//! Owns when the arbiter is asked what it wants, how the terminal's signals reach it, and answers that
//! are typed only into the prompt that they are for. Judges nothing itself.

mod answers;
mod hands;
mod in_parts;

use std::sync::Arc;

use super::{Session, Watch};
use crate::hub::env::Env;
use crate::hub::share::Share;
use crate::hub::sighting::{HubNews, Sighting};
use crate::hub::signals::Signals;
use crate::os;
use crate::protocol::ToHost;
use cis_core::api::InputReceipt;
use cis_core::event::SCREEN_CHARS_MAX;
use cis_core::ids::{SessionId, TimestampMs};
use cis_core::monitor::recording::Still;
use cis_core::monitor::{
    Arbiter, Change, Explanation, KernelEvidence, Profile, ScreenView, Seed, Signal, Tap, TypedKeys, Verdict,
};
use cis_core::policy::redact::Redactor;
use cis_core::terminal::screen::Look;
use cis_core::text::{lowest_rows, pieces};

pub use answers::Answer;
use answers::Pending;
pub(in crate::hub) use answers::Tell;
use hands::Hands;
pub(super) use hands::is_pressed;

/// A session that ends within this time is not judged, ms: most tasks do, and nobody could answer them.
const YOUNG_MS: i64 = 250;
/// So often the arbiter is asked in a row what it wants.
const LOOKS_MAX: usize = 3;

/// How a session is monitored.
#[derive(Debug, Clone)]
pub struct Monitoring {
    /// What is known of its program.
    pub profile: Arc<Profile>,
    /// What an earlier life of the node knew of it.
    pub seed: Seed,
}

/// Signals of earlier: of each state the newest. What rang then is over.
#[derive(Debug, Default)]
struct Earlier {
    title: Option<Signal>,
    status: Option<Signal>,
    shell: Option<Signal>,
    brackets: Option<Signal>,
}

impl Earlier {
    fn keep(&mut self, signal: Signal) {
        match signal {
            Signal::Title { .. } => self.title = Some(signal),
            Signal::Status { .. } => self.status = Some(signal),
            Signal::Shell { .. } => self.shell = Some(signal),
            Signal::PasteBrackets { .. } => self.brackets = Some(signal),
            Signal::Notification { .. } | Signal::Bell | Signal::StatusQuery => {}
        }
    }

    fn take(&mut self) -> impl Iterator<Item = Signal> + use<> {
        [self.title.take(), self.shell.take(), self.status.take(), self.brackets.take()].into_iter().flatten()
    }
}

#[derive(Debug)]
pub(super) struct Monitored {
    arbiter: Arbiter,
    tap: Tap,
    /// Found by the tap; its memory is used again.
    found: Vec<Signal>,
    signals: Signals,
    share: Share,
    earlier: Earlier,
    /// It is not judged before.
    begins: TimestampMs,
    /// Where it stands in the [`Wakes`](crate::hub::clock::Wakes).
    wake: Option<TimestampMs>,
    /// The host was asked for the kernel's evidence.
    probing: bool,
    /// Evidence that is ahead of the output that came.
    ahead: Option<KernelEvidence>,
    /// The newest evidence of the kernel, and how often some came.
    newest: Option<KernelEvidence>,
    looks: u64,
    /// Somebody had begun a line at the last look, and not ended it.
    line_begun: bool,
    answers: Vec<Pending>,
    hands: Hands,
    /// Which prompt was answered, by which input.
    answered: Option<(u32, cis_core::ids::InputId)>,
    /// The newest answer that was typed.
    written: Option<(cis_core::ids::InputId, InputReceipt)>,
}

impl Monitored {
    pub(super) fn new(id: SessionId, how: Monitoring, env: &mut Env) -> Box<Self> {
        let now = env.clock.now();
        let begins = now + YOUNG_MS;
        env.wakes.insert((begins, id));
        Box::new(Self {
            arbiter: Arbiter::new(how.profile, how.seed, now),
            tap: Tap::default(),
            found: Vec::new(),
            signals: Signals::default(),
            share: Share::default(),
            earlier: Earlier::default(),
            begins,
            wake: Some(begins),
            probing: false,
            ahead: None,
            newest: None,
            looks: 0,
            line_begun: false,
            answers: Vec::new(),
            hands: Hands::default(),
            answered: None,
            written: None,
        })
    }

    /// Output that came: of earlier, or of now.
    pub(super) fn output(&mut self, bytes: &[u8], live: bool, redactor: &Redactor, now: TimestampMs) {
        self.tap.feed(bytes, &|text| redactor.redact(text), &mut self.found);
        if live {
            self.earlier.take().for_each(|signal| self.arbiter.signal(&signal, now));
            self.arbiter.output(bytes.len() as u64, now);
            if self.found.iter().any(says_it_waits) {
                self.begins = self.begins.min(now);
            }
            self.found.drain(..).for_each(|signal| self.signals.put(signal));
            return self.hear_due(redactor, now);
        }
        for mut signal in self.found.drain(..) {
            redact(&mut signal, redactor);
            self.earlier.keep(signal);
        }
    }

    /// The terminal got another size.
    pub(super) fn resized(&mut self, now: TimestampMs) {
        self.arbiter.resized(now);
    }

    /// Judges the signals whose time has come.
    fn hear_due(&mut self, redactor: &Redactor, now: TimestampMs) {
        if self.share.free_at(now) <= now {
            let due = self.signals.take(now);
            self.hear(due, redactor, now);
        }
    }

    fn hear(&mut self, signals: Vec<Signal>, redactor: &Redactor, now: TimestampMs) {
        for mut signal in signals {
            redact(&mut signal, redactor);
            self.arbiter.signal(&signal, now);
        }
    }

    /// Something was typed: what the program said before that is not said after it.
    fn typed(&mut self, keys: TypedKeys, redactor: &Redactor, now: TimestampMs) {
        let before = self.signals.take_all();
        self.hear(before, redactor, now);
        self.arbiter.typed_keys(keys, now);
    }

    /// Somebody typed this, and no answer.
    pub(super) fn somebody_typed(&mut self, bytes: &[u8], redactor: &Redactor, now: TimestampMs) {
        if is_pressed(bytes) {
            let prompt = self.verdict().map(|verdict| verdict.episode);
            self.hands.typed(prompt, now);
            self.typed(TypedKeys::of(bytes), redactor, now);
        }
    }

    /// Somebody typed at another connection: what is not known.
    fn others_typed(&mut self, redactor: &Redactor, now: TimestampMs) {
        self.somebody_typed(b"\r", redactor, now);
    }

    /// The connection to the host is new, or gone.
    pub(super) fn reconnected(&mut self) {
        (self.probing, self.ahead) = (false, None);
    }

    fn rearm(&mut self, id: SessionId, env: &mut Env) {
        let now = env.clock.now();
        let looks = if now < self.begins {
            Some(self.begins)
        } else {
            let free = self.share.free_at(now);
            let next = self.arbiter.poll_timeout().into_iter().chain(self.signals.due()).min();
            next.map(|at| at.max(free))
        };
        // Answers wait for no share.
        let next = looks.into_iter().chain(self.answers_due()).min();
        if next != self.wake {
            self.sleep(id, env);
            env.wakes.extend(next.map(|at| (at, id)));
            self.wake = next;
        }
    }

    /// It is not to be woken any more.
    fn sleep(&mut self, id: SessionId, env: &mut Env) {
        if let Some(at) = self.wake.take() {
            env.wakes.remove(&(at, id));
        }
    }
}

/// A program that says so is no short command: it is judged at once, however young.
fn says_it_waits(signal: &Signal) -> bool {
    matches!(signal, Signal::Status { state, .. } if matches!(state.as_str(), "blocked" | "error"))
}

fn redact(signal: &mut Signal, redactor: &Redactor) {
    if redactor.is_empty() {
        return;
    }
    let hide = |text: &mut String| *text = redactor.redact(text);
    match signal {
        Signal::Title { text } | Signal::Notification { text } => hide(text),
        Signal::Status { state, app, kind, message } => {
            hide(state);
            [app, kind, message].into_iter().flatten().for_each(hide);
        }
        Signal::Bell | Signal::Shell { .. } | Signal::PasteBrackets { .. } | Signal::StatusQuery => {}
    }
}

impl Session {
    /// Its model shows what there is: what it said before this node took over was replayed.
    fn is_current(&self) -> bool {
        self.watch == Watch::On && self.live_from.is_some_and(|live| self.next >= live)
    }

    /// The screen as the monitor reads it; none while that is not known.
    fn view(&mut self, env: &mut Env) -> Option<ScreenView> {
        if !self.is_current() {
            return None;
        }
        let model = self.ready(env)?;
        let view = model.screen.view(&self.redactor);
        self.model = Some(model);
        Some(view)
    }

    /// The last answer of an agent, also what has scrolled out of its screen; none while that is not known.
    fn agents_answer(&mut self, arbiter: &Arbiter, env: &mut Env) -> Option<String> {
        if !self.is_current() {
            return None;
        }
        let model = self.ready(env)?;
        let (lines, screen) = model.screen.kept_lines_redacted(&self.redactor);
        self.model = Some(model);
        Some(arbiter.answer(&lines, screen))
    }

    /// Gives the monitor what it wants, and notes what changed.
    pub(in crate::hub) fn judge(&mut self, env: &mut Env) {
        let Some(mut monitored) = self.monitored.take() else { return };
        let now = env.clock.now();
        // The bell has rung.
        if monitored.wake.is_some_and(|at| at <= now) {
            monitored.sleep(self.id, env);
        }
        if self.ended.is_none() {
            if now >= monitored.begins && monitored.share.free_at(now) <= now {
                let began = os::cpu_us();
                self.gather(&mut monitored, now, env);
                monitored.share.use_up(os::cpu_us() - began, now);
            }
            self.advance_answers(&mut monitored, now, env);
            let mut changes = monitored.arbiter.changes(now);
            for change in &mut changes {
                if let Change::Done { text } = change {
                    *text = self.agents_answer(&monitored.arbiter, env).unwrap_or(std::mem::take(text));
                }
            }
            if !changes.is_empty() {
                let screen = self.lowest_rows(|rows| monitored.arbiter.mask(rows), env);
                env.news.extend(changes.into_iter().map(|change| {
                    HubNews::Seen(Sighting { session: self.id, change, screen: screen.clone() })
                }));
            }
            monitored.rearm(self.id, env);
        }
        self.monitored = Some(monitored);
    }

    fn gather(&mut self, monitored: &mut Monitored, now: TimestampMs, env: &mut Env) {
        if self.is_current() {
            monitored.earlier.take().for_each(|signal| monitored.arbiter.signal(&signal, now));
        }
        monitored.hear_due(&self.redactor, now);
        if let Some(evidence) = monitored.ahead.take_if(|ahead| ahead.output_bytes <= self.next) {
            monitored.probing = false;
            // With more output than it is of, who read then says nothing of this screen: it is asked for again.
            if evidence.output_bytes == self.next {
                monitored.arbiter.kernel(&evidence, now);
            }
        }
        for _ in 0..LOOKS_MAX {
            let want = monitored.arbiter.want(now);
            if want.kernel {
                self.probe(monitored, env);
            }
            let Some(view) = want.screen.then(|| self.view(env)).flatten() else { break };
            monitored.arbiter.screen(view, now);
        }
    }

    /// Has who reads looked at for the monitor, unless that is under way.
    fn probe(&mut self, monitored: &mut Monitored, env: &mut Env) {
        if !monitored.probing && self.watch == Watch::On {
            monitored.probing = true;
            self.ask(env);
        }
    }

    /// The same for an answer, which waits for no share: a look that is still to be judged is replaced by a newer one.
    fn probe_anew(&mut self, monitored: &mut Monitored, env: &mut Env) {
        if monitored.ahead.take().is_some() {
            monitored.probing = false;
        }
        self.probe(monitored, env);
    }

    /// Asks the host what the kernel shows, and how much output and input there is.
    pub(super) fn ask(&mut self, env: &mut Env) {
        self.typing.asked();
        env.say(&ToHost::Probe { session: self.id });
    }

    /// What the kernel shows, and how much input there was. It waits for the output that was there then.
    pub(in crate::hub) fn evidence(
        &mut self,
        evidence: KernelEvidence,
        input_bytes: Option<u64>,
        line_begun: bool,
        env: &mut Env,
    ) {
        let others = self.typing.told(input_bytes);
        let Some(monitored) = &mut self.monitored else { return };
        monitored.line_begun = line_begun;
        if others {
            monitored.others_typed(&self.redactor, env.clock.now());
        }
        if monitored.probing {
            monitored.looks += 1;
            monitored.newest = Some(evidence.clone());
            monitored.ahead = Some(evidence);
            if !monitored.answers.is_empty() {
                env.judge.push(self.id);
            }
            self.weigh(env);
        }
    }

    /// Looks at evidence in the moment when its output is here, before more comes: the screen is then the one on
    /// which somebody read.
    pub(super) fn weigh(&mut self, env: &mut Env) {
        let ahead = self.monitored.as_ref().and_then(|monitored| monitored.ahead.as_ref());
        if ahead.is_some_and(|ahead| ahead.output_bytes <= self.next) {
            self.judge(env);
        }
    }

    /// The lowest rows of the screen without what `mask` takes out of them, as many as an event holds; empty while that is not
    /// known.
    fn lowest_rows(&mut self, mask: impl Fn(&mut Vec<String>), env: &mut Env) -> String {
        if !self.is_current() {
            return String::new();
        }
        let Some(model) = self.ready(env) else { return String::new() };
        let (mut rows, cols) =
            (model.screen.lines_redacted(&self.redactor), usize::from(model.screen.size().cols));
        self.model = Some(model);
        mask(&mut rows);
        // Whole rows are shown, and the lowest one may be as long as the screen.
        let rows: Vec<String> = rows.iter().flat_map(|row| pieces(row, cols)).collect();
        lowest_rows(rows.join("\n").trim_end_matches('\n'), SCREEN_CHARS_MAX).to_owned()
    }

    /// Wakes the monitor no more: the session is forgotten.
    pub(in crate::hub) fn sleep(&mut self, env: &mut Env) {
        if let Some(monitored) = &mut self.monitored {
            monitored.sleep(self.id, env);
        }
    }

    /// What it shows, and what the kernel shows of it; none: it is not monitored.
    pub(in crate::hub) fn still(&mut self, env: &mut Env) -> Option<Still> {
        let monitored = self.monitored.as_ref()?;
        let evidence = monitored.newest.clone().or_else(|| monitored.arbiter.evidence().cloned());
        let profile = monitored.arbiter.profile().to_owned();
        let redactor = Arc::clone(&self.redactor);
        let screen = &mut self.model(env).screen;
        let painted = screen.paint_for(&Look { redactor: Some(&redactor), ..Look::default() });
        let painted = String::from_utf8_lossy(&painted).into_owned();
        Some(Still { size: screen.size(), profile, painted, evidence })
    }

    /// Why the monitor thinks of it what it does; none: it is not monitored.
    pub(in crate::hub) fn explain(&self, now: TimestampMs) -> Option<Explanation> {
        self.monitored.as_ref().map(|monitored| monitored.arbiter.explain(now))
    }
}

impl Monitored {
    fn verdict(&self) -> Option<&Verdict> {
        self.arbiter.verdict()
    }
}
