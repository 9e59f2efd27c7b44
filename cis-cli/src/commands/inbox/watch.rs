//! The inbox as it changes: drawn again on a terminal, a line for each change otherwise.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::pin::pin;
use std::time::Duration;

use cis_client::{Client, EventFrame, Followed};
use cis_core::api::{InboxItem, ListInbox};
use cis_core::ids::{InboxId, SessionId};
use cis_core::text::{self, cells};
use serde::Serialize;
use tokio::time::{Instant, interval, sleep_until};

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, human};
use crate::progress::screen::{self, Screen};
use crate::restart::FollowedNode;
use crate::signals::AnyLeaving;
use crate::term::raw;
use cis_local::now_ms;

/// What happens at once is told at once.
const GATHER: Duration = Duration::from_millis(100);
/// So often a drawing says anew since when things wait.
const REDRAW: Duration = Duration::from_secs(10);

/// Parts of the types of events after which the inbox may be another.
const TYPES: [&str; 5] = [".session.", ".task.status", ".task.approved", ".task.result", ".run."];

type Known = BTreeMap<(InboxId, Option<SessionId>), InboxItem>;

#[derive(Serialize)]
struct Line<'a> {
    change: &'static str,
    item: &'a InboxItem,
}

/// Shows the inbox until somebody leaves.
pub(super) async fn watch(context: &Context, client: Client, which: &ListInbox) -> Result<Exit, CliError> {
    let client = &context.follower(client);
    let mut node = FollowedNode::new(context, "cis inbox --watch");
    let mut leaving = AnyLeaving::new()?;
    let mut follower = match leaving.during(Box::pin(client.events(None, None))).await {
        Ok(follower) => follower?,
        Err(number) => return Ok(Exit::signal(number)),
    };
    let mut view = View::new(context);
    let mut tick = interval(REDRAW);
    let mut due = Some(Instant::now());
    loop {
        let mut said = pin!(follower.next());
        let outcome = loop {
            tokio::select! {
                biased;
                number = leaving.recv() => return Ok(view.leave(number)),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    due = None;
                    let updated = Box::pin(async {
                        match client.whole_inbox(which.clone()).await {
                            // The stream ends as well, and says whether the node was stopped.
                            Err(error) if error.is_disconnected() => Ok(()),
                            items => view.update(client, items?).await,
                        }
                    });
                    match leaving.during(updated).await {
                        Ok(done) => done?,
                        Err(number) => return Ok(view.leave(number)),
                    }
                }
                () = view.screen.suspended() => view.draw(""),
                _ = tick.tick() => view.draw(""),
                said = &mut said => break said,
            }
        };
        match outcome.map_err(|error| node.error(error))? {
            Followed::Frame(frame) if concerns(&frame)? => {
                due = due.or(Some(Instant::now() + GATHER));
            }
            Followed::Frame(_) => {}
            Followed::Lost { stopped } => {
                // Nothing can be read before the node is back.
                due = None;
                view.draw(node.lost(stopped));
            }
            Followed::Back => {
                node.back();
                due = Some(Instant::now());
            }
        }
    }
}

fn concerns(frame: &EventFrame) -> Result<bool, CliError> {
    let events = frame.views()?;
    Ok(events.iter().any(|event| TYPES.iter().any(|part| event.type_name.contains(part))))
}

struct View {
    json: bool,
    drawn: bool,
    known: Known,
    screen: Screen,
}

impl View {
    fn new(context: &Context) -> Self {
        let drawn = !context.json && std::io::stdout().is_terminal() && screen::can_draw();
        let screen = if drawn { Screen::new() } else { Screen::default() };
        Self { json: context.json, drawn, known: Known::new(), screen }
    }

    async fn update(&mut self, client: &Client, items: Vec<InboxItem>) -> Result<(), CliError> {
        let now: Known = items.into_iter().map(|item| ((item.id.clone(), item.session), item)).collect();
        let before = std::mem::replace(&mut self.known, now);
        if self.drawn {
            self.draw("");
            return Ok(());
        }
        for (key, item) in &self.known {
            match before.get(key) {
                None => self.tell("waits", item)?,
                Some(known) if known != item => self.tell("changed", item)?,
                Some(_) => {}
            }
        }
        for (key, item) in before.iter().filter(|(key, _)| !self.known.contains_key(key)) {
            // With how it ended, where that can be had.
            let closed = client.inbox_item(&key.0.0).await.ok().filter(|now| now.session == item.session);
            self.tell("over", closed.as_ref().unwrap_or(item))?;
        }
        Ok(())
    }

    fn tell(&self, change: &'static str, item: &InboxItem) -> Result<(), CliError> {
        if self.json {
            return output::json_line(&Line { change, item });
        }
        output::print(&human::inbox_item(item, now_ms()))
    }

    /// Draws the inbox, below the text `above`. Elsewhere than on a terminal only that text is shown.
    fn draw(&mut self, above: &str) {
        if !self.drawn {
            return output::note(above);
        }
        let mut items: Vec<InboxItem> = self.known.values().cloned().collect();
        items.sort_by_key(|item| item.since);
        let size = raw::size(rustix::stdio::stderr());
        let text = human::inbox(&items, now_ms());
        let mut lines: Vec<String> = text.lines().map(|line| cut(line, size.cols.into())).collect();
        // More than fits would scroll away and could not be drawn over.
        let room = usize::from(size.rows).saturating_sub(2).max(1);
        if lines.len() > room {
            lines.truncate(room - 1);
            lines.push(format!("… {} items wait: cis inbox", items.len()));
        }
        self.screen.draw(above, &lines);
    }

    fn leave(&mut self, signal: i32) -> Exit {
        self.screen.draw("", &[]);
        Exit::signal(signal)
    }
}

/// The line, one cell shorter than the width at most; one that is cut has no styles.
fn cut(line: &str, width: usize) -> String {
    let plain = anstream::adapter::strip_str(line).to_string();
    if cells(&plain) < width { line.to_owned() } else { text::cut(&plain, width.saturating_sub(1)) }
}
