//! Why a running task gets nowhere: what its session waits for, what comes of that, and that it is being
//! stopped.

use super::{Answer, span};
use crate::dag::BlockedAction;
use crate::event::PromptKind;
use crate::ids::TimestampMs;
use crate::scheduler::live::{Live, Prompt, Stop};
use crate::scheduler::prompts::PromptDue;
use crate::scheduler::state::Run;

/// What stands beside a task that others wait for.
pub(super) fn note(prompt: &Prompt, now: TimestampMs) -> String {
    format!("{} for {}", what(prompt.kind), span(now - prompt.since_ms))
}

/// What a person types about a session that waits.
pub(super) fn commands(live: &Live, prompt: &Prompt, answer: &mut Answer) {
    match prompt.kind {
        PromptKind::Password | PromptKind::Editor | PromptKind::Stalled | PromptKind::RateLimit => {}
        PromptKind::Question | PromptKind::Idle | PromptKind::Unknown => {
            answer.try_command(format!("cis answer {} --text TEXT", prompt.item));
        }
        PromptKind::Pager => answer.try_command(format!("cis answer {} --keys q", prompt.item)),
        _ => answer.try_command(format!("cis answer {} OPTION", prompt.item)),
    }
    answer.try_command(format!("cis dag attach {}", live.session));
}

/// The prompt that the session of a task waits at, and what is due of it.
pub(super) fn waits(run: &Run, index: u32, live: &Live, now: TimestampMs, answer: &mut Answer) {
    let Some(prompt) = &live.blocked else { return };
    let quoted =
        if prompt.question.is_empty() { String::new() } else { format!(": “{}”", prompt.question) };
    let slot = if prompt.kind.frees_slot() { "it holds no slot meanwhile" } else { "it keeps its slot" };
    answer.say(format!(
        "Its session {} for {} ({}; item {}; {slot}){quoted}.",
        what(prompt.kind),
        span(now - prompt.since_ms),
        prompt.kind,
        prompt.item
    ));
    commands(live, prompt, answer);
    if let Some(why) = run.withheld_default(index, prompt.kind) {
        answer.say(format!("CIS gives no default answer, and it waits until a person answers: {why}."));
    }
    let rule = run.spec(index).on_blocked.as_deref().filter(|rule| rule.speaks_of(prompt.kind));
    let Some((at_ms, due)) = run.prompt_due(index) else { return };
    let left = span(at_ms - now);
    let given = run.index.defaults.contains_key(&index);
    answer.say(match due {
        PromptDue::Tell => format!("People are told that it waits in {left}."),
        PromptDue::Answer => {
            let default = rule.and_then(|rule| rule.default.as_deref()).unwrap_or_default();
            format!("When nobody has answered in {left}, the answer is its default: {default}.")
        }
        PromptDue::Fail if given => {
            format!("Its default was given; when it still waits in {left}, it fails.")
        }
        PromptDue::Fail => format!("It fails when nobody has answered in {left}."),
    });
    if rule.is_some_and(|rule| matches!(rule.action, BlockedAction::Run(_))) {
        answer.say("Its on_blocked has run a command for this prompt.".to_owned());
    }
}

/// That it is being stopped.
pub(super) fn stopping(live: &Live, answer: &mut Answer) {
    match &live.stopping {
        Some(Stop::For(reason)) => answer.say(format!("It is being stopped: {reason}.")),
        Some(Stop::HandedIn { .. }) => {
            answer
                .say("It has handed in its result: its session is being ended, and it succeeds.".to_owned());
        }
        None => {}
    }
}

fn what(kind: PromptKind) -> &'static str {
    match kind {
        PromptKind::Stalled => "shows nothing but a spinner",
        PromptKind::RateLimit => "waits for its provider",
        _ => "waits for a human",
    }
}
