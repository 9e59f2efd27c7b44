//! `cis dag events`.

mod row;

use cis_client::Client;
use cis_core::api::{Problem, ProblemKind, RunView};
use cis_core::event::Event;
use cis_core::ids::{Offset, TaskId};

use self::row::TypeFilter;
use super::run_or_newest;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output;
use crate::restart::FollowedNode;

/// List the events of a run, open or ended
///
/// Events are everything that happened to the run, its tasks and sessions, in order. Without --follow the list ends
/// with the newest event.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis dag events
  cis dag events 4r1xec --task deploy --type task.result
  cis dag events --follow --type session
  cis dag events 4r1xec --json | jq -r 'select(.actor) | .type'")]
pub(crate) struct Args {
    /// The run [default: the newest]
    #[arg(value_name = "RUN")]
    run: Option<String>,
    /// Only events of this task or of its items
    #[arg(long, value_name = "TASK")]
    task: Option<TaskId>,
    /// Only events of this type (`task.result`) or kind (`run`, `task`, `session`); may be given several times
    #[arg(long = "type", value_name = "TYPE", value_parser = TypeFilter::parse)]
    types: Vec<TypeFilter>,
    /// Only events after this offset
    #[arg(long, value_name = "OFFSET", default_value_t = 0, hide_default_value = true)]
    after: Offset,
    /// Continue until the run ends
    #[arg(short, long)]
    follow: bool,
}

impl Args {
    fn wants(&self, event: &Event) -> bool {
        let type_fits =
            self.types.is_empty() || self.types.iter().any(|filter| filter.fits(&event.type_name));
        type_fits && self.task.as_ref().is_none_or(|task| row::concerns(event, task))
    }
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let client = context.client()?;
    context.block_on(async {
        let name = run_or_newest(&client, args.run.as_deref()).await?;
        let detail = client.run(&name).await?;
        if let Some(task) = &args.task
            && !detail.tasks.iter().any(|known| known.id.is_or_is_item_of(task))
        {
            let what = format!("run {} has no task `{task}`", detail.run.id.short());
            return Err(CliError::from(Problem::new(ProblemKind::NotFound, what))
                .hint(format!("`cis dag show {}` lists its tasks", detail.run.id.short())));
        }
        let run = detail.run;
        if !context.json {
            output::print(&row::head())?;
        }
        list(context, client, &run, args).await?;
        Ok(Exit::OK)
    })
}

/// Prints the events up to the newest one that the run has now, or to its end.
async fn list(context: &Context, client: Client, run: &RunView, args: &Args) -> Result<(), CliError> {
    let follow = args.follow && !run.state.is_terminal();
    if args.after >= run.last_offset && !follow {
        return Ok(());
    }
    let id = run.id.to_string();
    let client = context.follower(client);
    let mut node = FollowedNode::new(context, format!("cis dag events --follow {id}"));
    let mut follower = client.events(Some(&id), Some(args.after)).await?;
    loop {
        let Some(frame) = node.next(&mut follower).await? else { continue };
        let mut out = String::new();
        let mut over = false;
        for raw in frame.raw_after(args.after)? {
            let event: Event = serde_json::from_str(raw).map_err(|error| {
                CliError::unavailable(format!("cannot read an event that the node sent: {error}"))
            })?;
            let is_past = event.offset > run.last_offset;
            if is_past && !follow {
                over = true;
                break;
            }
            over |= if follow { is_past && row::ends_run(&event) } else { event.offset == run.last_offset };
            if !args.wants(&event) {
                continue;
            }
            if context.json {
                out.push_str(raw);
                out.push('\n');
            } else {
                out.push_str(&row::row(&event));
            }
        }
        if context.json {
            output::json_lines(out)?
        } else {
            output::print(&out)?
        }
        if over {
            return Ok(());
        }
    }
}
