//! One viewer of a terminal, as the hub sees it: what it may see, and whether it keeps up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::queue::Queue;
use super::{AttachOutput, Ended};
use cis_core::api::{AttachNotice, TermSize};
use cis_core::policy::redact::{Mask, Redactor};
use cis_core::terminal::filter::TypedFilter;
use cis_core::terminal::sanitizer::{Form, Sanitizer};
use cis_core::terminal::screen::{Look, Screen};

/// How long after a keystroke output can be its echo.
const ECHO_TIME: Duration = Duration::from_secs(1);

/// Output that a viewer missed.
#[derive(Debug)]
pub(super) struct Missed {
    /// Output before `bytes`, in which a secret or an escape sequence may have begun.
    pub(super) before: Vec<u8>,
    pub(super) bytes: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Viewer {
    pub(super) number: u64,
    pub(super) queue: Arc<Queue>,
    pub(super) read_only: bool,
    /// Of its terminal, where it is known.
    pub(super) size: Option<TermSize>,
    /// More bytes than this do not wait for it: it gets a picture instead.
    waiting_max: usize,
    typed: TypedFilter,
    /// When it typed last.
    typed_at: Option<Instant>,
    output: Sanitizer,
    /// It gets pictures, never bytes: its terminal has another size than the session.
    mirror: bool,
    /// It needs a picture before anything else.
    stale: bool,
    /// Its terminal shows a picture of this screen (alternate or not), and got nothing else since.
    shows: Option<bool>,
}

impl Viewer {
    pub(super) fn new(
        number: u64,
        read_only: bool,
        size: Option<TermSize>,
        waiting_max: usize,
        redactor: &Arc<Redactor>,
    ) -> Self {
        Self {
            number,
            queue: Arc::default(),
            read_only,
            size,
            waiting_max,
            typed: TypedFilter::default(),
            typed_at: None,
            output: sanitizer(redactor),
            mirror: false,
            stale: true,
            shows: None,
        }
    }

    /// It needs a picture; none of what it shows now is relied on.
    pub(super) fn repaint(&mut self) {
        self.stale = true;
        self.shows = None;
    }

    /// The session has this size now.
    pub(super) fn resized(&mut self, session: TermSize) {
        self.mirror = self.size.is_some_and(|own| own != session);
        self.repaint();
    }

    /// Bytes of the session that come now, up to the byte `until` of its output. True where it needs a picture instead.
    pub(super) fn bytes(&mut self, bytes: &[u8], until: u64) -> bool {
        if self.mirror || self.stale {
            self.stale = true;
            return true;
        }
        let out = self.pass(bytes);
        if !out.is_empty() {
            self.shows = None;
        }
        self.stale = !self.queue.push(out, self.waiting_max, self.settled_at(until));
        self.stale
    }

    /// Bytes of the session of earlier: it does not see them run by.
    pub(super) fn missed(&mut self) {
        self.stale = true;
    }

    /// Continues on a terminal that shows the output up to the first of these bytes. They are the output up to the byte
    /// `until`.
    pub(super) fn resume(&mut self, missed: &Missed, until: u64) {
        self.stale = false;
        // The viewer said where it stopped: that may be inside of a secret.
        self.output.prime(&missed.before);
        let out = self.pass(&missed.bytes);
        self.queue.push(out, usize::MAX, self.settled_at(until));
    }

    /// It gets the session's own bytes.
    pub(super) fn shows_the_session(&self) -> bool {
        !self.mirror
    }

    /// Where a viewer that has everything so far can go on: the byte `until`, unless something before it is held back.
    fn settled_at(&self, until: u64) -> Option<u64> {
        (!self.mirror && self.output.is_settled()).then_some(until)
    }

    /// Takes what was read from its terminal. Returns what was typed.
    pub(super) fn type_bytes(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.typed_at = Some(Instant::now());
        self.typed.push(bytes)
    }

    fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        self.output.push(bytes, &mut out);
        // A person who types must see each character, even if a secret begins with it. Without that, one character
        // is enough: the last one of a prompt.
        let is_echo = self.typed_at.is_some_and(|at| at.elapsed() < ECHO_TIME);
        self.output.flush_idle(if is_echo { u64::MAX } else { 1 }, &mut out);
        out
    }

    /// Whether it needs a picture and has taken what came before.
    pub(super) fn needs_picture(&self) -> bool {
        self.stale && self.queue.is_ready()
    }

    /// Adds a picture of the output up to the byte `until`. Bytes go on from there: what is open at the end of the picture (a secret, an
    /// escape sequence, a character) is known to the filters. `last`: the output before `until` in which it may have begun;
    /// `None`: the screen shows it.
    pub(super) fn paint(
        &mut self,
        screen: &mut Screen,
        redactor: &Arc<Redactor>,
        until: u64,
        last: Option<&[u8]>,
    ) {
        let alternate = screen.is_alternate();
        let viewer = self.size.filter(|_| self.mirror);
        let again = self.shows == Some(alternate);
        let mut out = screen.paint_for(&Look { redactor: Some(redactor), viewer, again });
        self.stale = false;
        self.shows = Some(alternate);
        self.output = sanitizer(redactor);
        match last {
            _ if self.mirror => {}
            Some(last) => self.output.prime(last),
            None => {
                if !redactor.is_empty() {
                    let before = screen.before_cursor();
                    self.output.prime(&before.as_bytes()[before.len().saturating_sub(redactor.longest())..]);
                }
                let begun = self.pass(screen.unfinished());
                out.extend_from_slice(&begun);
            }
        }
        self.queue.push(out, usize::MAX, self.settled_at(until));
    }

    /// The session ended: the rest, and the last word.
    pub(super) fn end(
        &mut self,
        screen: Option<&mut Screen>,
        redactor: &Arc<Redactor>,
        ended: &Ended,
        until: u64,
    ) {
        let mut rest = Vec::new();
        let text = screen.as_ref().map(|screen| screen.text_redacted(redactor));
        match screen {
            Some(screen) if self.stale => self.paint(screen, redactor, until, None),
            _ => self.output.finish(&mut rest),
        }
        self.queue.push(rest, usize::MAX, Some(until));
        self.queue.close(AttachOutput::Notice(AttachNotice::Ended {
            detail: ended.detail.clone(),
            exit_code: ended.exit_code,
            screen: text.filter(|text| !text.is_empty()),
        }));
    }
}

fn sanitizer(redactor: &Arc<Redactor>) -> Sanitizer {
    Sanitizer::new(Form::Screen, Arc::clone(redactor), Mask::SameWidth)
}
