//! The view alive: the node, the person and the terminal. One loop; whatever happens, the terminal is given
//! back as it was.

mod wishes;

use std::sync::Arc;
use std::time::Duration;

use cis_client::Client;
use cis_core::ids::SessionId;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::{Instant, sleep_until};

use super::board::Board;
use super::canvas::Canvas;
use super::feed::{Errand, Line, Said};
use super::ui::log::Log;
use super::ui::press::Wish;
use super::ui::{Message, Over, Ui};
use super::view::{self, Output, Scene};
use crate::context::Context;
use crate::error::CliError;
use crate::progress::model::Index;
use crate::restart::Restarts;
use crate::signals::TerminalSignals;
use crate::term::keys::Keys;
use crate::term::raw::{RawTerminal, unusable};
use cis_local::now_ms;

/// Between two frames.
const FRAME_EVERY: Duration = Duration::from_millis(40);
/// Between two frames in which only clocks move.
const CLOCK_EVERY: Duration = Duration::from_secs(1);
/// Keys that begin with Escape come within this time.
const ESCAPE_TIME_MAX: Duration = Duration::from_millis(50);
/// What the node says waits here while the terminal is slow; beyond this it waits at the node.
const SAID_HELD_MAX: usize = 64;
/// So much is done in answer to keys at a time; what is older has been answered or will not be.
const ERRANDS_MAX: usize = 16;

/// How it was left.
pub(super) enum Left {
    /// By key; the exit code of the run's outcome, where it has ended.
    Quit(Option<u8>),
    /// By this signal.
    Signal(i32),
}

/// Shows the run until the person leaves.
/// `keys` detach from a session.
pub(super) async fn watch(
    context: &Context,
    client: &Arc<Client>,
    run: &str,
    keys: &str,
) -> Result<Left, CliError> {
    // Refusals come before the screen is touched.
    let detail = client.run(run).await?;
    let board = Board::of(&detail, now_ms());
    drop(detail);
    let mut signals = TerminalSignals::new().map_err(unusable)?;
    let (to, mut said) = channel(SAID_HELD_MAX);
    let line = Line { client: Arc::clone(client), to, run: board.run.to_string().into() };
    let mut view = View::new(context, line, board);
    loop {
        match view.serve(&mut said, &mut signals).await? {
            Step::Left(left) => return Ok(left),
            Step::Attach(index) => {
                if let Some(left) = view.attach(index, keys, &mut said).await? {
                    return Ok(left);
                }
            }
        }
    }
}

enum Step {
    Left(Left),
    Attach(Index),
}

struct View<'a> {
    context: &'a Context,
    line: Line,
    board: Board,
    ui: Ui,
    output: Output,
    keys: Keys,
    away: bool,
    /// Something is to be drawn that is not yet.
    stale: bool,
    /// The list is to be made anew first.
    changed: bool,
    drawn_at: Instant,
    escape_by: Option<Instant>,
    restarts: Restarts,
    /// What is printed by the chosen task.
    printing: Option<Printing>,
    /// The log that is read.
    reading: Option<Errand>,
    /// The events, and what else is asked of the node. Their dropping ends them.
    others: Vec<Errand>,
}

/// What the chosen task prints is followed; another try of it, or its end, is another one.
struct Printing {
    of: (Index, Option<SessionId>, bool),
    _errand: Option<Errand>,
}

impl<'a> View<'a> {
    fn new(context: &'a Context, line: Line, board: Board) -> Self {
        let others = vec![line.events(board.offset), line.inbox(), line.times()];
        let now = Instant::now();
        Self {
            context,
            line,
            board,
            ui: Ui::default(),
            output: Output::default(),
            keys: Keys::default(),
            away: false,
            stale: true,
            changed: true,
            drawn_at: now.checked_sub(FRAME_EVERY).unwrap_or(now),
            escape_by: None,
            restarts: Restarts::default(),
            printing: None,
            reading: None,
            others,
        }
    }

    /// Shows it until the person leaves or goes to a session.
    async fn serve(
        &mut self,
        said: &mut Receiver<Said>,
        signals: &mut TerminalSignals,
    ) -> Result<Step, CliError> {
        let terminal = RawTerminal::enter().map_err(unusable)?;
        let colours = anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never;
        let mut canvas = Canvas::new(terminal.size(), colours);
        canvas.afresh();
        (self.stale, self.changed) = (true, true);
        let (mut typed, mut out) = ([0; 4096], Vec::new());
        loop {
            self.follow_choice();
            if self.stale && out.is_empty() && self.drawn_at.elapsed() >= FRAME_EVERY {
                out = self.frame(&mut canvas);
            }
            let draw_at = self.draw_at().filter(|_| out.is_empty());
            tokio::select! {
                // In this order, so that a flood of events starves neither signals nor keys nor the drawing.
                biased;
                number = signals.ending.recv() => return Ok(Step::Left(Left::Signal(number))),
                _ = signals.resized.recv() => {
                    out.clear();
                    canvas.resize(terminal.size());
                    self.stale = true;
                }
                _ = signals.continued.recv() => {
                    terminal.reenter().map_err(unusable)?;
                    out.clear();
                    canvas.resize(terminal.size());
                    self.stale = true;
                }
                read = terminal.read(&mut typed) => {
                    // A terminal that is gone has nobody at it.
                    let Some(count) = read.ok().filter(|count| *count > 0) else {
                        return Ok(Step::Left(self.quit()));
                    };
                    if let Some(step) = self.typed(Some(&typed[..count])) {
                        return Ok(step);
                    }
                }
                () = at(self.escape_by) => {
                    if let Some(step) = self.typed(None) {
                        return Ok(step);
                    }
                }
                written = terminal.write(&out), if !out.is_empty() => match written {
                    Ok(count) => drop(out.drain(..count)),
                    Err(_) => return Ok(Step::Left(self.quit())),
                },
                () = at(draw_at) => self.stale = true,
                Some(said) = said.recv() => self.take(said)?,
            }
        }
    }

    /// When the next frame is due: soon where something changed, and every second where clocks run.
    fn draw_at(&self) -> Option<Instant> {
        if self.stale {
            return Some(self.drawn_at + FRAME_EVERY);
        }
        (self.board.ticks() || self.away).then(|| self.drawn_at + CLOCK_EVERY)
    }

    fn frame(&mut self, canvas: &mut Canvas) -> Vec<u8> {
        if std::mem::take(&mut self.changed) {
            self.ui.refresh(&self.board);
        }
        let mut scene = Scene {
            board: &self.board,
            ui: &mut self.ui,
            output: &self.output,
            now: now_ms(),
            away: self.away,
        };
        let bytes = canvas.frame(|buf| view::draw(buf, &mut scene));
        self.stale = false;
        self.drawn_at = Instant::now();
        bytes
    }

    fn quit(&self) -> Left {
        Left::Quit(self.board.model.state.exit_code())
    }

    /// Takes what was typed; none: nothing followed an Escape.
    fn typed(&mut self, bytes: Option<&[u8]>) -> Option<Step> {
        let keys = match bytes {
            Some(bytes) => self.keys.feed(bytes),
            None => self.keys.close(),
        };
        self.escape_by = self.keys.is_open().then(|| Instant::now() + ESCAPE_TIME_MAX);
        self.stale |= !keys.is_empty();
        for key in keys {
            if std::mem::take(&mut self.changed) {
                // A key means what is there, not what was drawn before.
                self.ui.refresh(&self.board);
            }
            let Some(wish) = self.ui.press(&self.board, &key) else { continue };
            match wish {
                Wish::Quit => return Some(Step::Left(self.quit())),
                Wish::Attach(index) => return Some(Step::Attach(index)),
                other => self.grant(other),
            }
        }
        None
    }

    fn take(&mut self, said: Said) -> Result<(), CliError> {
        self.stale = true;
        match said {
            Said::Events(frame) => {
                let open = !self.board.model.state.is_terminal();
                for event in frame.views()? {
                    self.board.fold(&event);
                }
                self.changed = true;
                if let Some(what) = self.board.unread.take() {
                    self.ui.message =
                        Some(Message::bad(format!("This version cannot read all that happened: {what}")));
                }
                if open && self.board.model.state.is_terminal() {
                    let errand = self.line.times();
                    self.keep(errand);
                }
            }
            Said::Away { stopped } => {
                self.away = true;
                self.restarts.begin(self.context, stopped);
            }
            Said::Back => {
                (self.away, self.printing) = (false, None);
                self.restarts.end();
            }
            Said::Deaf(error) => return Err(self.restarts.error(self.context, error)),
            Said::Output { task, lines } => {
                self.output = Output { task: Some(task), lines: lines.into(), none: None };
            }
            Said::NoOutput { task, why } => {
                self.output = Output { task: Some(task), lines: Vec::new().into(), none: Some(why) };
            }
            Said::Log { task, bytes } => {
                if let Some(log) = self.log_of(task) {
                    log.push(&bytes);
                }
            }
            Said::LogEnded { task, trouble } => {
                if let Some(log) = self.log_of(task) {
                    log.ended = true;
                }
                self.ui.message = trouble.map(Message::bad).or(self.ui.message.take());
            }
            Said::Inbox(items) => {
                self.board.take_inbox(items);
                self.changed = true;
            }
            Said::Times(view) => self.board.take_times(&view, now_ms()),
            Said::Did(message) => self.ui.message = Some(message),
        }
        Ok(())
    }

    fn log_of(&mut self, task: Index) -> Option<&mut Log> {
        match &mut self.ui.over {
            Some(Over::Log(log)) if log.task == task => Some(log),
            _ => None,
        }
    }

    /// What the chosen task prints is followed, and nothing else.
    fn follow_choice(&mut self) {
        if self.changed || self.away {
            return;
        }
        let chosen = self.ui.task().map(|index| {
            (index, self.board.more[index].session, self.board.model.task(index).state.is_terminal())
        });
        if chosen == self.printing.as_ref().map(|printing| printing.of) {
            return;
        }
        self.printing = chosen.map(|of| {
            let (index, session, _) = of;
            let errand = session.map(|session| self.line.output(index, session.to_string()));
            if errand.is_none() {
                self.output = Output { task: Some(index), ..Output::default() };
            }
            Printing { of, _errand: errand }
        });
    }
}

/// Waits until then; without a time, for ever.
async fn at(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => std::future::pending().await,
    }
}
