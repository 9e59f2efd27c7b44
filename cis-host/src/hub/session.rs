//! One session, as the hub sees it: its model, and those who watch.

mod monitored;
mod resting;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

use super::env::Env;
use super::follow::context_bytes;
use super::saved;
use super::sighting::HubNews;
use super::typing::Typing;
use super::viewer::{Missed, Viewer};
use super::{AttachOutput, Ended, HubError, Reach, Redactors, SessionInfo, wire};
use crate::log::{Chunk, LogReader};
use crate::protocol::ToHost;
use cis_core::api::{Attach, AttachControl, AttachNotice, TermSize};
use cis_core::ids::SessionId;
use cis_core::monitor::Idle;
use cis_core::policy::redact::Redactor;
use cis_core::terminal::sanitizer::Form;
use cis_core::terminal::screen::{self, Screen};

pub(super) use monitored::Tell;
pub use monitored::{Answer, Monitoring};
use monitored::{Monitored, is_pressed};

/// With so much on its way to the host, answers of models are dropped, bytes: a program that asks and
/// does not read cannot fill memory.
const REPLIES_OUT_MAX: usize = 1 << 20;

/// Maximum number of lines that scrolled out of the screen of an agent with a task, and are kept for its answer.
const ANSWER_LINES_MAX: usize = 500;
/// The same of their cells: a wide terminal keeps fewer lines. About 1 MB.
const ANSWER_CELLS_MAX: usize = 40_000;

/// How far it is with the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Watch {
    /// Nothing was asked (pipes), or there is no connection.
    Off,
    /// The host was asked how much output there is.
    Probing,
    /// Output comes.
    On,
}

#[derive(Debug)]
pub(super) struct Model {
    pub(super) screen: Screen,
    /// Last output or viewer.
    touched: Instant,
    /// Output that the newest file shows, or is being written to show.
    saved: u64,
    /// A file is being written.
    saving: bool,
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) tty: bool,
    size: TermSize,
    log: PathBuf,
    pub(super) redactor: Arc<Redactor>,
    /// The redactor for followers. `None`: there was no follower yet.
    followers: Option<watch::Sender<Arc<Redactor>>>,
    /// Queries are answered from this byte on; none: it is not known yet.
    pub(super) live_from: Option<u64>,
    /// The next byte of output.
    pub(super) next: u64,
    pub(super) watch: Watch,
    confirmed: bool,
    pub(super) model: Option<Box<Model>>,
    /// A file shows the output up to here.
    on_disk: Option<u64>,
    /// There may be a file, of whatever kind.
    file: bool,
    viewers: Vec<Viewer>,
    pub(super) ended: Option<Ended>,
    /// It was closed, and stays for its last output.
    pub(super) closing: Option<Ended>,
    monitored: Option<Box<Monitored>>,
    /// Its program is an agent with a task, whose answer may be longer than the screen.
    keeps_answers: bool,
    pub(super) typing: Typing,
}

impl Session {
    pub(super) fn new(info: SessionInfo, env: &mut Env) -> Self {
        let SessionInfo { id, tty, size, log, live_from, redactor, monitor } = info;
        // One that this node starts has no screen of earlier.
        let earlier = if tty && live_from != Some(0) { saved::read(&log) } else { None };
        let on_disk = earlier.map(|saved| saved.offset);
        let answers = monitor.as_ref().is_some_and(|how| how.profile.idle == Idle::Done);
        Self {
            id,
            tty,
            size: screen::clamp(size),
            log,
            redactor,
            followers: None,
            live_from,
            next: on_disk.unwrap_or(0),
            watch: Watch::Off,
            confirmed: false,
            model: None,
            on_disk,
            file: tty && live_from != Some(0),
            viewers: Vec::new(),
            ended: None,
            closing: None,
            monitored: monitor.filter(|_| tty).map(|how| Monitored::new(id, how, env)),
            keeps_answers: answers,
            typing: Typing::default(),
        }
    }

    /// Whether the host has shown that it knows the session since the connection was made.
    pub(super) fn is_confirmed(&self) -> bool {
        self.confirmed
    }

    /// Asks the host for its output. Without `live_from` the first question is how much there is.
    pub(super) fn connect(&mut self, env: &mut Env) {
        self.confirmed = false;
        if let Some(monitored) = &mut self.monitored {
            monitored.reconnected();
            env.judge.push(self.id);
        }
        if !self.tty || self.ended.is_some() {
            return;
        }
        if self.live_from.is_none() {
            self.watch = Watch::Probing;
            self.ask(env);
        } else {
            self.watch = Watch::On;
            env.say(&ToHost::Watch { session: self.id, from: self.next });
        }
    }

    /// There was so much output when this node took over; `u64::MAX`: the session is over.
    pub(super) fn probed(&mut self, output_bytes: u64, env: &mut Env) {
        if self.watch == Watch::Probing {
            self.live_from = Some(output_bytes);
            if self.next > output_bytes {
                // The file is not of this output.
                (self.next, self.on_disk, self.model) = (0, None, None);
                self.viewers.iter_mut().for_each(Viewer::repaint);
            }
            self.connect(env);
        }
    }

    pub(super) fn has_model(&self) -> bool {
        self.model.is_some()
    }

    pub(super) fn viewers(&self) -> usize {
        self.viewers.len()
    }

    pub(super) fn output(&mut self, offset: u64, data: &[u8], env: &mut Env) {
        self.confirmed = true;
        let skip = self.next.saturating_sub(offset);
        if self.watch != Watch::On || offset > self.next || skip >= data.len() as u64 {
            // Of a watch that was replaced: what is missing comes.
            return;
        }
        let Some(model) = self.ready(env) else { return };
        let (from, data) = (self.next, &data[skip as usize..]);
        let live_from = self.live_from.unwrap_or(u64::MAX);
        let earlier = live_from.saturating_sub(from).min(data.len() as u64) as usize;
        let (earlier, now) = data.split_at(earlier);
        let model = self.model.insert(model);
        model.touched = Instant::now();
        if let Some(monitored) = &mut self.monitored {
            let at = env.clock.now();
            monitored.output(earlier, false, &self.redactor, at);
            monitored.output(now, true, &self.redactor, at);
            if env.judge.last() != Some(&self.id) {
                env.judge.push(self.id);
            }
        }
        let until = from + data.len() as u64;
        let mut stale = false;
        if !earlier.is_empty() {
            model.screen.replay(earlier);
            self.viewers.iter_mut().for_each(Viewer::missed);
            stale = !self.viewers.is_empty();
        }
        if !now.is_empty() {
            let replies = model.screen.feed(now);
            if !replies.is_empty() && env.out.len() < REPLIES_OUT_MAX {
                wire::put_report(&mut env.out, self.id, &replies);
                self.typing.sent(&replies);
            }
            for viewer in &mut self.viewers {
                stale |= viewer.bytes(now, until);
            }
        }
        self.next = until;
        let due = self.next - model.saved >= env.limits.save_every_bytes;
        if stale {
            self.mark_dirty(env);
        }
        if due {
            self.save(env);
        }
        self.weigh(env);
    }

    /// Bytes that are in no log.
    pub(super) fn gap(&mut self, from: u64, to: u64, env: &mut Env) {
        self.confirmed = true;
        if self.watch != Watch::On || from != self.next || to <= from {
            return;
        }
        if let Some(mut model) = self.ready(env) {
            // What they would have ended is over.
            model.screen.replay(b"\x18");
            self.model = Some(model);
            self.next = to;
            self.viewers.iter_mut().for_each(Viewer::repaint);
            self.mark_dirty(env);
            self.weigh(env);
        }
    }

    fn mark_dirty(&self, env: &mut Env) {
        if env.dirty.last() != Some(&self.id) {
            env.dirty.push(self.id);
        }
    }

    /// Takes the model out, made or made again if need be; none where the host is asked for the
    /// output from its beginning.
    pub(super) fn ready(&mut self, env: &mut Env) -> Option<Box<Model>> {
        env.models = true;
        if let Some(model) = self.model.take() {
            return Some(model);
        }
        let mut screen = self.screen_of(self.size);
        if self.next > 0 {
            let saved = if self.on_disk == Some(self.next) { saved::read(&self.log) } else { None };
            let Some(saved) = saved.filter(|saved| saved.offset == self.next) else {
                self.start_over(env);
                return None;
            };
            screen = self.screen_of(saved.size);
            screen.replay(&saved.paint);
            screen.resize(self.size);
        }
        let (touched, saved) = (Instant::now(), self.next);
        Some(Box::new(Model { screen, touched, saved, saving: false }))
    }

    /// An empty screen.
    fn screen_of(&self, size: TermSize) -> Screen {
        let lines = (ANSWER_CELLS_MAX / usize::from(size.cols).max(1)).min(ANSWER_LINES_MAX);
        Screen::with_history(size, if self.keeps_answers { lines } else { 0 })
    }

    /// The file is gone or damaged: everything is read again, silently, since its queries were answered.
    fn start_over(&mut self, env: &mut Env) {
        self.live_from = self.live_from.map(|live| live.max(self.next));
        (self.next, self.on_disk) = (0, None);
        if self.watch == Watch::On {
            env.say(&ToHost::Watch { session: self.id, from: 0 });
        }
    }

    fn model(&mut self, env: &mut Env) -> &mut Model {
        let model = match self.ready(env) {
            Some(model) => model,
            // From the beginning: now it is empty.
            None => Box::new(Model {
                screen: self.screen_of(self.size),
                touched: Instant::now(),
                saved: 0,
                saving: false,
            }),
        };
        self.model.insert(model)
    }

    pub(super) fn text(&mut self, env: &mut Env) -> Result<String, HubError> {
        if !self.tty {
            return Err(HubError::NotATerminal { id: self.id });
        }
        let redactor = Arc::clone(&self.redactor);
        let model = self.model(env);
        model.touched = Instant::now();
        Ok(model.screen.text_redacted(&redactor))
    }

    pub(super) fn attach(
        &mut self,
        number: u64,
        how: Attach,
        reach: Reach,
        env: &mut Env,
    ) -> Arc<super::queue::Queue> {
        let size = how.cols.zip(how.rows).map(|(cols, rows)| screen::clamp(TermSize { cols, rows }));
        let waiting_max = match reach {
            Reach::Near => env.limits.viewer_bytes,
            Reach::Far => env.limits.far_viewer_bytes,
        };
        let viewer = Viewer::new(number, how.read_only, size, waiting_max, &self.redactor);
        let queue = Arc::clone(&viewer.queue);
        self.viewers.push(viewer);
        let before = self.size;
        self.fit(env, Some(number));
        let (redactor, session_size) = (Arc::clone(&self.redactor), self.size);
        self.model(env);
        // A terminal that shows the session as it was at another size shows something else.
        let missed = how.from.filter(|_| before == session_size).and_then(|from| self.missed(from, env));
        let last = if missed.is_none() { self.last_output() } else { None };
        let next = self.next;
        if let (Some(model), Some(viewer)) = (&mut self.model, self.viewers.last_mut()) {
            viewer.resized(session_size);
            let missed = missed.filter(|_| viewer.shows_the_session());
            queue.notice(AttachNotice::Attached {
                session: self.id.to_string(),
                size: session_size,
                read_only: how.read_only,
                offset: Some(next),
                resumed: missed.is_some(),
            });
            match missed {
                Some(missed) => viewer.resume(&missed, next),
                None => viewer.paint(&mut model.screen, &redactor, next, last.as_deref()),
            }
        }
        if let Some(ended) = self.ended.clone() {
            self.end_viewers(&ended);
        }
        queue
    }

    /// Returns the output from the byte `from` to now. `None`: it is too much for a viewer, or not in the log.
    fn missed(&self, from: u64, env: &Env) -> Option<Missed> {
        let length = usize::try_from(self.next.checked_sub(from)?).ok()?;
        if length > env.limits.viewer_bytes || self.watch != Watch::On {
            return None;
        }
        let first = from.saturating_sub(context_bytes(&self.redactor, Form::Screen));
        let mut before = self.logged(first, self.next)?;
        let bytes = before.split_off(usize::try_from(from - first).ok()?);
        Some(Missed { before, bytes })
    }

    /// Returns the last output, in which a secret or an escape sequence may have begun. `None`: there is no secret, or it is not
    /// in the log.
    fn last_output(&self) -> Option<Vec<u8>> {
        let context = context_bytes(&self.redactor, Form::Screen);
        let is_known = self.watch == Watch::On && !self.redactor.is_empty();
        is_known.then(|| self.logged(self.next.saturating_sub(context), self.next)).flatten()
    }

    /// Reads the output from the byte `from` to the byte `to`. `None`: something is cut from the log, or not in it yet.
    fn logged(&self, from: u64, to: u64) -> Option<Vec<u8>> {
        let length = usize::try_from(to - from).ok()?;
        let (mut reader, mut output) = (LogReader::open(&self.log).ok()?, Vec::with_capacity(length));
        while output.len() < length {
            let next = from + output.len() as u64;
            match reader.read(next, length - output.len()).ok()? {
                Chunk::Data { offset, bytes } if offset == next => output.extend(bytes),
                _ => return None,
            }
        }
        Some(output)
    }

    pub(super) fn detach(&mut self, number: u64, env: &mut Env) {
        self.viewers.retain(|viewer| viewer.number != number);
        if let Some(model) = &mut self.model {
            model.touched = Instant::now();
            env.models = true;
        }
        self.fit(env, None);
    }

    /// Gives the session the size that those who type need. `quiet`: is not told, it learns otherwise.
    fn fit(&mut self, env: &mut Env, quiet: Option<u64>) {
        let typing =
            || self.viewers.iter().filter(|viewer| !viewer.read_only).filter_map(|viewer| viewer.size);
        let Some(cols) = typing().map(|size| size.cols).min() else { return };
        let Some(rows) = typing().map(|size| size.rows).min() else { return };
        let size = TermSize { cols, rows };
        if size == self.size || self.ended.is_some() {
            return;
        }
        self.size = size;
        env.say(&ToHost::Resize { session: self.id, size });
        env.news.push(HubNews::Resized { session: self.id, size });
        self.model(env).screen.resize(size);
        if let Some(monitored) = &mut self.monitored {
            monitored.resized(env.clock.now());
            env.judge.push(self.id);
        }
        for viewer in &mut self.viewers {
            if quiet != Some(viewer.number) {
                viewer.queue.notice(AttachNotice::Resized(size));
                viewer.resized(size);
            }
        }
        self.mark_dirty(env);
    }

    pub(super) fn control(&mut self, number: u64, control: AttachControl, env: &mut Env) {
        let session = self.size;
        let Some(viewer) = self.viewers.iter_mut().find(|viewer| viewer.number == number) else { return };
        match control {
            AttachControl::Repaint => viewer.repaint(),
            AttachControl::Resize(size) => {
                viewer.size = Some(screen::clamp(size));
                viewer.resized(session);
                self.fit(env, None);
            }
        }
        self.mark_dirty(env);
    }

    /// What a viewer typed, without what its terminal answered.
    pub(super) fn typed(&mut self, number: u64, bytes: &[u8], env: &mut Env) {
        let viewer = self.viewers.iter_mut().find(|viewer| viewer.number == number && !viewer.read_only);
        if let Some(viewer) = viewer.filter(|_| self.ended.is_none()) {
            let typed = viewer.type_bytes(bytes);
            let put = if is_pressed(&typed) { wire::put_typed } else { wire::put_report };
            put(&mut env.out, self.id, &typed);
            self.typing.sent(&typed);
            self.note_typed(&typed, env);
        }
    }

    /// Somebody typed this: the monitor counts that.
    pub(super) fn note_typed(&mut self, bytes: &[u8], env: &mut Env) {
        if let Some(monitored) = &mut self.monitored {
            monitored.somebody_typed(bytes, &self.redactor, env.clock.now());
            env.judge.push(self.id);
        }
    }

    /// Paints for the viewers that need it.
    pub(super) fn refresh(&mut self, env: &mut Env) {
        let redactor = Arc::clone(&self.redactor);
        if self.viewers.is_empty() {
            return;
        }
        self.model(env);
        // Pictures of another size are not followed by bytes.
        let needs_last = |viewer: &Viewer| viewer.needs_picture() && viewer.shows_the_session();
        let last = if self.viewers.iter().any(needs_last) { self.last_output() } else { None };
        if let Some(model) = &mut self.model {
            let (until, last) = (self.next, last.as_deref());
            for viewer in self.viewers.iter_mut().filter(|viewer| viewer.needs_picture()) {
                viewer.paint(&mut model.screen, &redactor, until, last);
            }
        }
    }

    /// Changes which values are hidden in its output from now on.
    pub(super) fn redact(&mut self, redactor: Arc<Redactor>, env: &mut Env) {
        if let Some(followers) = &self.followers {
            followers.send_replace(Arc::clone(&redactor));
        }
        self.redactor = redactor;
        self.viewers.iter_mut().for_each(Viewer::repaint);
        self.refresh(env);
    }

    /// Returns its redactor, now and after each change.
    pub(super) fn redactors(&mut self) -> Redactors {
        let made = || watch::Sender::new(Arc::clone(&self.redactor));
        self.followers.get_or_insert_with(made).subscribe()
    }

    /// It ended, and all its output is here.
    pub(super) fn end(&mut self, ended: Ended) {
        if self.ended.is_none() {
            self.end_viewers(&ended);
            self.ended = Some(ended);
            self.fail_answers(&HubError::NoSuchSession { id: self.id });
        }
        self.watch = Watch::Off;
    }

    fn end_viewers(&mut self, ended: &Ended) {
        for mut viewer in self.viewers.drain(..) {
            let screen = self.model.as_mut().map(|model| &mut model.screen);
            viewer.end(screen, &self.redactor, ended, self.next);
        }
    }

    /// The connection to the host broke.
    pub(super) fn lost(&mut self, why: &HubError) {
        self.watch = Watch::Off;
        self.typing.lost();
        self.fail_answers(why);
        for viewer in self.viewers.drain(..) {
            viewer.queue.close(AttachOutput::Lost(why.clone()));
        }
    }
}
