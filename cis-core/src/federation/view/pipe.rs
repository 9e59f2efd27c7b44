//! Both directions of a view between two nodes, over messages that may be lost, repeated and reordered.
//!
//! Owns the numbers of segments, acknowledgements, sending again, and how often something is sent. Frames come out exactly
//! once and in order.
//!
//! ```text
//!   push(frame) ──▶ poll_transmit(now) ──▶ a segment for the other end's handle(segment, now) ──▶ frames
//!                          ▲
//!   wait until poll_timeout(), or until something comes
//! ```
//!
//! What is sent while the pace allows nothing waits, and goes into one segment later. Whoever shows output looks at
//! [`Pipe::takes`] first: what is read at the last moment is newest.

use std::collections::{BTreeMap, VecDeque};

use super::{Frame, Segment, ViewId};
use crate::federation::protocol::BootMs;
use crate::rate::{Bucket, Rate};

/// Data in one segment, bytes.
pub const SEGMENT_BYTES_MAX: usize = 24 << 10;
/// Frames in one segment.
const SEGMENT_FRAMES_MAX: usize = 256;
/// Segments that are under way in one direction.
const WINDOW: u64 = 8;
/// Frames that wait to be sent, bytes, until the other end has taken some.
const WAITING_BYTES_MAX: usize = 256 << 10;
/// What came is acknowledged so much later, ms, if nothing that is sent does it before.
const ACKNOWLEDGE_MS: BootMs = 700;
/// Or once so many segments came.
const ACKNOWLEDGE_AFTER: u32 = 4;
/// A segment that is not acknowledged is sent again after this time, ms, and then twice as late each time.
const AGAIN_MS: BootMs = 1_500;
/// But never later than this, ms.
const AGAIN_MAX_MS: BootMs = 8_000;
/// Where later segments have come and one has not, it is sent again after this time, ms.
const GAP_MS: BootMs = 150;
/// A viewer that hears nothing for so long asks whether the other end is there, ms; and again so much later.
const ASK_MS: BootMs = 20_000;
/// An end from which nothing is heard for so long is gone, ms.
const GONE_MS: BootMs = 60_000;

/// What this end of a pipe is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The viewer's node. What is typed goes at once: 12 segments, then 8 a second.
    Viewer {
        /// The life of the view at the other end, once it is known.
        life: Option<u64>,
    },
    /// The session's node.
    Session {
        /// Names this life of the view: nobody can guess it before.
        life: u64,
        /// What it shows.
        pace: Pace,
    },
}

/// How often a session's node sends something new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Screens, the newest of which counts: 4 segments at once, then 6 a second.
    Screens,
    /// All of a log: 64 segments at once, then 12 a second.
    Whole,
}

impl Role {
    const fn rate(self) -> Rate {
        match self {
            Self::Viewer { .. } => Rate::new(12, 125),
            Self::Session { pace: Pace::Screens, .. } => Rate::new(4, 167),
            Self::Session { pace: Pace::Whole, .. } => Rate::new(64, 83),
        }
    }

    const fn is_viewer(self) -> bool {
        matches!(self, Self::Viewer { .. })
    }

    const fn life(self) -> Option<u64> {
        match self {
            Self::Viewer { life } => life,
            Self::Session { life, .. } => Some(life),
        }
    }
}

/// A segment that is not acknowledged.
#[derive(Debug)]
struct UnderWay {
    frames: Vec<Frame>,
    sent_at: BootMs,
    /// How often it was sent again.
    again: u32,
    /// The other end has later ones.
    is_missed: bool,
}

impl UnderWay {
    fn due(&self) -> BootMs {
        let after = if self.is_missed && self.again == 0 {
            GAP_MS
        } else {
            AGAIN_MS.saturating_mul(1 << self.again.min(8)).min(AGAIN_MAX_MS)
        };
        self.sent_at.saturating_add(after)
    }
}

/// See the module.
#[derive(Debug)]
pub struct Pipe {
    view: ViewId,
    role: Role,
    bucket: Bucket,
    waiting: VecDeque<Frame>,
    waiting_bytes: usize,
    /// The oldest first; their numbers end below `number`.
    under_way: VecDeque<UnderWay>,
    /// Of the next new segment.
    number: u64,
    /// A last frame was pushed.
    is_closed: bool,
    /// The next segment of the other end.
    expected: u64,
    /// Those that came too early.
    early: BTreeMap<u64, Vec<Frame>>,
    /// Segments that came and are not acknowledged.
    unacknowledged: u32,
    acknowledge_at: Option<BootMs>,
    heard_at: BootMs,
    ask_at: BootMs,
}

impl Pipe {
    /// One end, at its beginning.
    #[must_use]
    pub fn new(view: ViewId, role: Role, now: BootMs) -> Self {
        Self {
            view,
            role,
            bucket: Bucket::default(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            under_way: VecDeque::new(),
            number: 0,
            is_closed: false,
            expected: 0,
            early: BTreeMap::new(),
            unacknowledged: 0,
            acknowledge_at: None,
            heard_at: now,
            ask_at: now.saturating_add(ASK_MS),
        }
    }

    /// Takes a frame to be sent. Nothing is taken after a last one.
    pub fn push(&mut self, frame: Frame) {
        if self.is_closed {
            return;
        }
        self.is_closed = frame.is_last();
        for frame in pieces(frame) {
            self.waiting_bytes += frame.size();
            self.waiting.push_back(frame);
        }
    }

    /// Whether something pushed now is sent at once.
    #[must_use]
    pub fn takes(&self, now: BootMs) -> bool {
        self.waiting.is_empty() && self.may_send(now)
    }

    /// Whether more may be pushed that does not have to be new.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.waiting_bytes < WAITING_BYTES_MAX
    }

    /// Whether the last frame was pushed, and all that was sent has come.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.is_closed && self.waiting.is_empty() && self.under_way.is_empty()
    }

    /// Whether this viewer's end knows that the other end has its first segment.
    #[must_use]
    pub fn is_heard(&self) -> bool {
        self.role.life().is_some()
    }

    /// Whether the other end is gone.
    #[must_use]
    pub fn is_gone(&self, now: BootMs) -> bool {
        now.saturating_sub(self.heard_at) >= GONE_MS
    }

    /// Takes what came; gives the frames that are next.
    pub fn handle(&mut self, segment: Segment, now: BootMs) -> Vec<Frame> {
        if !self.is_of_this_life(&segment) {
            return Vec::new();
        }
        self.heard_at = now;
        self.ask_at = now.saturating_add(ASK_MS);
        self.acknowledged(segment.next);
        if segment.asks {
            self.acknowledge_at = Some(now);
        }
        let Some(number) = segment.number else { return Vec::new() };
        // Also what came before: its acknowledgement was lost. And what leaves a gap is to be known soon.
        self.unacknowledged = self.unacknowledged.saturating_add(1);
        let is_next = number == self.expected;
        let late = if is_next && self.unacknowledged < ACKNOWLEDGE_AFTER { ACKNOWLEDGE_MS } else { 0 };
        let at = now.saturating_add(late);
        self.acknowledge_at = Some(self.acknowledge_at.map_or(at, |known| known.min(at)));
        if number < self.expected || number >= self.expected.saturating_add(WINDOW) {
            return Vec::new();
        }
        self.early.insert(number, segment.frames);
        let mut frames = Vec::new();
        while let Some(more) = self.early.remove(&self.expected) {
            self.expected += 1;
            frames.extend(more);
        }
        frames
    }

    /// What is to be sent now, one segment after the other until there is none.
    pub fn poll_transmit(&mut self, now: BootMs) -> Option<Segment> {
        let first = self.number - self.under_way.len() as u64;
        if let Some((index, again)) =
            self.under_way.iter_mut().enumerate().find(|(_, sent)| sent.due() <= now)
        {
            again.sent_at = now;
            again.again += 1;
            let frames = again.frames.clone();
            return Some(self.segment(Some(first + index as u64), frames, false));
        }
        if !self.waiting.is_empty()
            && self.window_is_open()
            && self.bucket.take(self.role.rate(), now).is_ok()
        {
            let frames = self.take_waiting();
            let number = self.number;
            self.number += 1;
            self.under_way.push_back(UnderWay {
                frames: frames.clone(),
                sent_at: now,
                again: 0,
                is_missed: false,
            });
            return Some(self.segment(Some(number), frames, false));
        }
        let asks = self.role.is_viewer() && self.ask_at <= now;
        if asks {
            self.ask_at = now.saturating_add(ASK_MS);
        }
        let acknowledges = self.acknowledge_at.is_some_and(|at| at <= now);
        (asks || acknowledges).then(|| self.segment(None, Vec::new(), asks))
    }

    /// When [`Self::poll_transmit`] or [`Self::is_gone`] has something new to say, if nothing happens before.
    #[must_use]
    pub fn poll_timeout(&self, now: BootMs) -> BootMs {
        let again = self.under_way.iter().map(UnderWay::due);
        let sends = (!self.waiting.is_empty() && self.window_is_open()).then(|| self.sends_at(now));
        let asks = self.role.is_viewer().then_some(self.ask_at);
        let others = [sends, asks, self.acknowledge_at].into_iter().flatten();
        again.chain(others).fold(self.heard_at.saturating_add(GONE_MS), BootMs::min)
    }

    /// When [`Self::takes`] says yes, if nothing comes before; none: not before the other end acknowledges.
    #[must_use]
    pub fn takes_at(&self, now: BootMs) -> Option<BootMs> {
        (self.waiting.is_empty() && self.window_is_open()).then(|| self.sends_at(now))
    }

    /// Whether a segment is meant for this life of the view. A viewer takes the first one that it hears of.
    fn is_of_this_life(&mut self, segment: &Segment) -> bool {
        match &mut self.role {
            Role::Session { life, .. } => segment.life == Some(*life) || segment.number == Some(0),
            Role::Viewer { life } => match (segment.life, &life) {
                (Some(said), None) => {
                    *life = Some(said);
                    true
                }
                (said, known) => said == **known,
            },
        }
    }

    fn may_send(&self, now: BootMs) -> bool {
        self.window_is_open() && self.sends_at(now) <= now
    }

    /// Besides, a viewer says nothing more until it knows to which life of the view.
    fn window_is_open(&self) -> bool {
        (self.under_way.len() as u64) < WINDOW && (self.number == 0 || self.role.life().is_some())
    }

    /// When the pace allows the next segment.
    fn sends_at(&self, now: BootMs) -> BootMs {
        let mut bucket = self.bucket;
        bucket.take(self.role.rate(), now).err().unwrap_or(now)
    }

    fn acknowledged(&mut self, next: u64) {
        let first = self.number - self.under_way.len() as u64;
        // What was never sent cannot have come.
        let come = next.min(self.number).saturating_sub(first);
        self.under_way.drain(..usize::try_from(come).unwrap_or_default());
        // The other end says so early only where something is missing, or asked.
        if come == 0
            && self.under_way.len() > 1
            && let Some(oldest) = self.under_way.front_mut()
        {
            oldest.is_missed = true;
        }
    }

    fn take_waiting(&mut self) -> Vec<Frame> {
        let (mut frames, mut bytes) = (Vec::new(), 0);
        while let Some(frame) = self.waiting.front() {
            let size = frame.size();
            if !frames.is_empty() && (bytes + size > SEGMENT_BYTES_MAX || frames.len() == SEGMENT_FRAMES_MAX)
            {
                break;
            }
            bytes += size;
            frames.extend(self.waiting.pop_front());
        }
        self.waiting_bytes -= bytes;
        frames
    }

    fn segment(&mut self, number: Option<u64>, frames: Vec<Frame>, asks: bool) -> Segment {
        self.acknowledge_at = None;
        self.unacknowledged = 0;
        Segment { view: self.view, number, next: self.expected, life: self.role.life(), asks, frames }
    }
}

/// The same as frames that fit into segments.
fn pieces(frame: Frame) -> Vec<Frame> {
    let split = |data: &[u8], make: &dyn Fn(Vec<u8>, bool) -> Frame| {
        let count = data.len().div_ceil(SEGMENT_BYTES_MAX);
        let chunks = data.chunks(SEGMENT_BYTES_MAX).enumerate();
        chunks.map(|(index, chunk)| make(chunk.to_vec(), index + 1 == count)).collect()
    };
    match frame {
        Frame::Output { data, next } if data.len() > SEGMENT_BYTES_MAX => {
            split(&data, &|data, is_last| Frame::Output { data, next: next.filter(|_| is_last) })
        }
        Frame::Typed { data } if data.len() > SEGMENT_BYTES_MAX => {
            split(&data, &|data, _| Frame::Typed { data })
        }
        frame => vec![frame.fitting(SEGMENT_BYTES_MAX)],
    }
}

#[cfg(test)]
mod tests;
