//! Following a run to its end: events in, progress out, signals obeyed.
//!
//! Ctrl+C cancels the run and waits for its end; a second one leaves, and says whether the node cancels it. A terminal
//! that closes, or SIGTERM, detaches. A node that goes away is waited for, and started where nobody else does.

use std::collections::BTreeSet;
use std::pin::{Pin, pin};
use std::time::Duration;

use cis_client::{Client, ClientError, EventFollower, EventFrame, Followed};
use cis_core::api::{CancelRun, ReadLog, ReadTime, RunView};
use cis_core::event::{RunState, TaskState};
use cis_core::ids::{Offset, RunId};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};

use crate::context::Context;
use crate::ctrl_c::{Cancel, CtrlC, Next};
use crate::error::{CliError, Exit};
use crate::output;
use crate::output::clean::clean;
use crate::progress::model::{Change, Failure, Index, Model};
use crate::progress::screen::{self, Screen};
use crate::progress::{draw, lines};
use crate::quiet_node::QuietNode;
use crate::restart::FollowedNode;
use crate::signals::Leaving;
use crate::term::raw;
use cis_local::now_ms;

/// Between two drawings.
const DRAW_EVERY: Duration = Duration::from_millis(100);
/// Between two looks for long tasks where nothing is drawn.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The end of a failed task's log is shown for so many tasks, and waited for so long.
const TAILS_MAX: u32 = 20;
const TAIL_TIME_MAX: Duration = Duration::from_secs(2);
const TAIL_BYTES: u64 = 4096;
/// A second Ctrl+C waits so long for the answer to the first one.
const CANCEL_TIME_MAX: Duration = Duration::from_secs(1);
/// Where the time went is said of runs that took so long, ms.
const TIMED_FROM_MS: i64 = 1000;

/// How much is printed while a run is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Volume {
    /// Progress, and a summary at the end.
    Normal,
    /// Only failures and what needs attention.
    Quiet,
}

/// What is told of a run that is followed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Telling {
    /// What happened up to this offset is taken in without being told.
    pub(crate) history: Offset,
    pub(crate) volume: Volume,
}

/// Follows `run` to its end. Ctrl+C that came while it was made counts.
pub(crate) async fn follow(
    context: &Context,
    client: Client,
    run: &RunView,
    Telling { history, volume }: Telling,
    mut ctrl_c: CtrlC,
) -> Result<Exit, CliError> {
    let client = &context.follower(client);
    let id = run.id.to_string();
    let listening = |error| CliError::unavailable(format!("cannot listen for signals: {error}"));
    let mut leaving = Leaving::new().map_err(listening)?;
    let opened = Box::pin(client.events(Some(&id), Some(0)));
    let note = "Cancelling the run when the node answers; Ctrl+C again leaves at once.\n";
    let Some(opened) = ctrl_c.unless_left(opened, note).await else {
        return Err(not_taken(ctrl_c.cancel(), &id));
    };
    let mut follower = opened?;
    let mut report = Report::new(context, run, history, volume);
    let mut steering = Steering::new(context, client, &id);
    steering.ask_to_cancel(ctrl_c.cancel());
    let mut quiet = QuietNode::new(client);
    loop {
        let step =
            next_step(&mut follower, &mut report, &mut steering, &mut quiet, &mut ctrl_c, &mut leaving).await;
        match step {
            Step::Said(Ok(Followed::Frame(frame))) => {
                quiet.told();
                if let Err(error) = report.print(&frame) {
                    if !matches!(error, CliError::OutputClosed) || !ctrl_c.ended_the_reader().await {
                        return Err(error);
                    }
                    // As on a terminal, the run is cancelled and its end waited for.
                    report.form = Form::Closed;
                    steering.cancel(&mut report, ctrl_c.cancel());
                }
                if report.take(&frame, client).await? {
                    return Ok(report.end(client).await);
                }
            }
            Step::Said(Ok(Followed::Lost { stopped })) => {
                let text = steering.node.lost(stopped);
                report.away(stopped, text);
            }
            Step::Said(Ok(Followed::Back)) => {
                steering.back(ctrl_c.cancel());
                report.back();
            }
            Step::Said(Err(error)) => {
                report.clear();
                let hint = format!("the run continues when a node starts: {}", execute(&id));
                return Err(steering.node.error(error).hint(hint));
            }
            Step::NotCancelled => {
                report.clear();
                let detail = "cannot cancel the run: the node was stopped";
                return Err(context.node_stopped(detail, &format!("cis dag cancel {id}")));
            }
            Step::NotTaken => {
                report.clear();
                return Err(not_taken(ctrl_c.cancel(), &id));
            }
            Step::Leave(exit) => {
                report.leave(ctrl_c.cancel(), &id);
                return Ok(exit);
            }
        }
    }
}

enum Step {
    Said(Result<Followed, ClientError>),
    Leave(Exit),
    /// Ctrl+C came, and the node cannot cancel the run because it was stopped.
    NotCancelled,
    /// Somebody leaves who wanted it cancelled, and the node did not say that it is.
    NotTaken,
}

/// What is told to somebody who leaves and wanted the run cancelled, where the node did not say that it is.
fn not_taken(cancel: Cancel, run: &str) -> CliError {
    let detail = match cancel {
        Cancel::Refused => format!("run {run} is not cancelled: the node refused"),
        _ => format!("it is not known whether run {run} is cancelled: the node has not answered"),
    };
    let hint = format!("look at it: cis dag show {run}; cancel it: cis dag cancel {run}");
    CliError::unavailable(detail).hint(hint)
}

/// The command that follows the run.
fn execute(run: &str) -> String {
    format!("cis dag execute --run-id {run}")
}

/// Waits for the stream while it draws, cancels and starts a node. The wait for the stream itself is
/// never dropped in between, so that a connection that is being made gets made.
async fn next_step(
    follower: &mut EventFollower<'_>,
    report: &mut Report,
    steering: &mut Steering<'_>,
    quiet: &mut QuietNode<'_>,
    ctrl_c: &mut CtrlC,
    leaving: &mut Leaving,
) -> Step {
    let mut said = pin!(follower.next());
    loop {
        tokio::select! {
            // In this order, so that a flood of events starves neither signals nor the drawing.
            biased;
            next = ctrl_c.next() => {
                if steering.node.is_stopped() && !matches!(ctrl_c.cancel(), Cancel::Taken(_)) {
                    return Step::NotCancelled;
                }
                match next {
                    Next::Nothing => {}
                    Next::Cancel => steering.cancel(report, ctrl_c.cancel()),
                    Next::Leave => return leave(steering, ctrl_c).await,
                }
            }
            number = leaving.recv() => {
                wait_for_cancel(steering, ctrl_c).await;
                return Step::Leave(Exit::signal(number));
            }
            answer = steering.answered() => match answer {
                Ok(_) => ctrl_c.taken(),
                // Asked again when the node is back.
                Err(error) if error.is_away() => {}
                Err(error) => {
                    ctrl_c.refused();
                    report.say(&format!("Cannot cancel the run: {error}\n"));
                }
            },
            warnings = quiet.warnings() => {
                for warning in warnings {
                    report.say(&format!("Warning of the node: {}\n", clean(&warning)));
                }
            }
            () = report.screen.suspended() => {}
            _ = report.tick.tick() => report.draw(),
            said = &mut said => return Step::Said(said),
        }
    }
}

type Cancelling<'a> = Pin<Box<dyn Future<Output = Result<RunView, ClientError>> + 'a>>;

/// What is done about the run and the node meanwhile.
struct Steering<'a> {
    client: &'a Client,
    run: &'a str,
    cancelling: Option<Cancelling<'a>>,
    node: FollowedNode<'a>,
}

impl<'a> Steering<'a> {
    fn new(context: &'a Context, client: &'a Client, run: &'a str) -> Self {
        let node = FollowedNode::new(context, execute(run));
        Self { client, run, cancelling: None, node }
    }

    /// Asks the node to cancel the run, if that is wanted and it has not done that.
    fn ask_to_cancel(&mut self, cancel: Cancel) {
        if let Cancel::Wanted(_) = cancel {
            self.cancelling = Some(Box::pin(self.client.cancel_run(self.run, CancelRun::default())));
        }
    }

    /// Does what follows from Ctrl+C, unless that is under way.
    fn cancel(&mut self, report: &mut Report, cancel: Cancel) {
        if self.cancelling.is_none() && matches!(cancel, Cancel::Wanted(_)) {
            self.ask_to_cancel(cancel);
            report.say("Cancelling the run; Ctrl+C again leaves at once.\n");
        }
    }

    fn back(&mut self, cancel: Cancel) {
        self.node.back();
        self.ask_to_cancel(cancel);
    }

    /// Returns when the node answered; waits for ever where nothing was asked.
    async fn answered(&mut self) -> Result<RunView, ClientError> {
        let Some(cancelling) = &mut self.cancelling else { return std::future::pending().await };
        let answer = cancelling.await;
        self.cancelling = None;
        answer
    }
}

/// Waits a moment for the answer that is on its way, as leaving would drop the request.
async fn wait_for_cancel(steering: &mut Steering<'_>, ctrl_c: &mut CtrlC) {
    if matches!(ctrl_c.cancel(), Cancel::Wanted(_))
        && let Ok(Ok(_)) = timeout(CANCEL_TIME_MAX, steering.answered()).await
    {
        ctrl_c.taken();
    }
}

async fn leave(steering: &mut Steering<'_>, ctrl_c: &mut CtrlC) -> Step {
    wait_for_cancel(steering, ctrl_c).await;
    match ctrl_c.cancel() {
        Cancel::Taken(_) => Step::Leave(Exit::CANCELLED),
        Cancel::No | Cancel::Wanted(_) | Cancel::Refused => Step::NotTaken,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Drawn,
    Lines,
    /// Prints only lines about failures and what needs attention.
    Quiet,
    Json,
    /// JSON that nobody reads any more: the command only waits for the end of the run.
    Closed,
}

/// Tells what happens, in one of these forms.
struct Report {
    form: Form,
    model: Model,
    run: RunId,
    history: Offset,
    changes: Vec<Change>,
    screen: Screen,
    tick: Interval,
    mentioned: BTreeSet<Index>,
    tails: u32,
    node_away: bool,
}

impl Report {
    fn new(context: &Context, run: &RunView, history: Offset, volume: Volume) -> Self {
        let form = match (context.json, volume, screen::can_draw()) {
            (true, ..) => Form::Json,
            (false, Volume::Quiet, _) => Form::Quiet,
            (false, Volume::Normal, true) => Form::Drawn,
            (false, Volume::Normal, false) => Form::Lines,
        };
        let every = if form == Form::Drawn { DRAW_EVERY } else { LOOK_EVERY };
        let mut tick = interval_at(Instant::now() + every, every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            form,
            model: Model::new(&run.dag),
            run: run.id,
            history,
            changes: Vec::new(),
            screen: if form == Form::Drawn { Screen::new() } else { Screen::default() },
            tick,
            mentioned: BTreeSet::new(),
            tails: 0,
            node_away: false,
        }
    }

    /// Prints events as JSON, in that form.
    fn print(&self, frame: &EventFrame) -> Result<(), CliError> {
        if self.form != Form::Json {
            return Ok(());
        }
        let mut lines_out = String::new();
        for line in frame.raw_after(self.history)? {
            lines_out.push_str(line);
            lines_out.push('\n');
        }
        output::json_lines(lines_out)
    }

    /// Takes events in; whether the run ended.
    async fn take(&mut self, frame: &EventFrame, client: &Client) -> Result<bool, CliError> {
        for event in frame.views()? {
            let told = self.changes.len();
            self.model
                .fold(&event, &mut self.changes)
                .map_err(|error| CliError::unavailable(format!("{}: {error}", event.type_name)))?;
            if event.offset <= self.history {
                self.changes.truncate(told);
            }
        }
        let changes = std::mem::take(&mut self.changes);
        let ended = changes.contains(&Change::RunEnded);
        if !matches!(self.form, Form::Json | Form::Closed) {
            self.tell(&changes, client).await;
        }
        self.changes = changes;
        self.changes.clear();
        Ok(ended)
    }

    async fn tell(&mut self, changes: &[Change], client: &Client) {
        let mut above = String::new();
        let is_told = |change: &&Change| self.form != Form::Quiet || lines::needs_attention(change);
        let changes: Vec<&Change> = changes.iter().filter(is_told).collect();
        for change in changes {
            if let Some(line) = lines::change(&self.model, change, self.form == Form::Drawn) {
                above.push_str(&line);
            }
            if let Change::Failed(failure) = change
                && matches!(failure.state, TaskState::Failed | TaskState::Error)
            {
                above.push_str(&self.tail(failure, client).await);
            }
        }
        if !above.is_empty() {
            self.say(&above);
        }
    }

    /// The end of the log of a failed try; nothing where it cannot be had quickly.
    async fn tail(&mut self, failure: &Failure, client: &Client) -> String {
        if failure.log_bytes == 0 || self.tails >= TAILS_MAX {
            return String::new();
        }
        self.tails += 1;
        let from = failure.log_bytes.saturating_sub(TAIL_BYTES);
        let how = ReadLog { from: Some(from), plain: true, ..ReadLog::default() };
        let read = async {
            let mut log = client.session_log(&failure.session, &how).await?;
            log.read_to_end(4 * TAIL_BYTES as usize).await
        };
        match timeout(TAIL_TIME_MAX, read).await {
            Ok(Ok(bytes)) => lines::log_tail(&bytes, from > 0),
            Ok(Err(_)) | Err(_) => String::new(),
        }
    }

    /// Says something above what is drawn.
    fn say(&mut self, text: &str) {
        match self.form {
            Form::Drawn => self.draw_below(text),
            Form::Lines | Form::Quiet | Form::Json | Form::Closed => output::note(text),
        }
    }

    /// Draws the progress anew, below this text.
    fn draw_below(&mut self, above: &str) {
        let size = raw::size(rustix::stdio::stderr());
        let frame = draw::frame(&self.model, now_ms(), size, self.node_away);
        self.screen.draw(above, &frame);
    }

    fn draw(&mut self) {
        match self.form {
            Form::Drawn => self.draw_below(""),
            Form::Lines => self.mention_long_ones(),
            Form::Quiet | Form::Json | Form::Closed => {}
        }
    }

    fn mention_long_ones(&mut self) {
        let now = now_ms();
        let model = &self.model;
        let is_long = |index: &&Index| now - model.task(**index).started_ms >= lines::LONG_MS;
        for index in model.running.iter().filter(is_long) {
            if self.mentioned.insert(*index) {
                output::note(&lines::long(model, *index, now));
            }
        }
    }

    fn away(&mut self, stopped: bool, text: &str) {
        self.node_away = true;
        // A node that was stopped is not back before somebody starts it.
        if stopped || self.form == Form::Lines {
            self.say(text);
        }
    }

    fn back(&mut self) {
        self.node_away = false;
        if self.form == Form::Lines {
            output::note("The node is back.\n");
        }
    }

    /// Erases what is drawn.
    fn clear(&mut self) {
        self.screen.draw("", &[]);
    }

    async fn end(&mut self, client: &Client) -> Exit {
        let is_told = match self.form {
            Form::Drawn | Form::Lines => true,
            Form::Quiet => self.model.state != RunState::Succeeded,
            Form::Json | Form::Closed => false,
        };
        if is_told {
            let mut summary = lines::summary(&self.model, self.run, now_ms());
            summary.push_str(&self.time_line(client).await);
            match self.form {
                Form::Drawn => self.screen.draw(&summary, &[]),
                Form::Lines | Form::Quiet | Form::Json | Form::Closed => output::note(&summary),
            }
        }
        self.model.state.exit_code().map_or(Exit::ERROR, Exit)
    }

    /// Where the time of a run went that was not over at once; nothing where that cannot be had quickly.
    async fn time_line(&self, client: &Client) -> String {
        let wall_ms = self.model.started_ms.zip(self.model.ended_ms).map_or(0, |(from, to)| to - from);
        if wall_ms < TIMED_FROM_MS {
            return String::new();
        }
        let run = self.run.to_string();
        match timeout(TAIL_TIME_MAX, client.run_time(&run, &ReadTime { totals: true })).await {
            Ok(Ok(view)) => lines::times(&view),
            Ok(Err(_)) | Err(_) => String::new(),
        }
    }

    fn leave(&mut self, cancel: Cancel, run: &str) {
        self.clear();
        let text = match cancel {
            Cancel::No => format!("the run continues: {}", execute(run)),
            Cancel::Taken(_) => format!("the run is still being cancelled: {}", execute(run)),
            Cancel::Refused => {
                format!("the run is not cancelled: the node refused; cancel it: cis dag cancel {run}")
            }
            Cancel::Wanted(_) => {
                format!("it is not known whether the run is cancelled; cancel it: cis dag cancel {run}")
            }
        };
        output::note(&format!("Detached; {text}\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_leaves_before_the_node_answers_is_told_of_which_run() {
        for (cancel, said) in [
            (
                Cancel::Wanted(Instant::now()),
                "it is not known whether run ID is cancelled: the node has not answered",
            ),
            (Cancel::Refused, "run ID is not cancelled: the node refused"),
        ] {
            let error = not_taken(cancel, "ID");
            assert_eq!((error.detail(), error.exit()), (said, Exit::ERROR));
        }
    }
}
