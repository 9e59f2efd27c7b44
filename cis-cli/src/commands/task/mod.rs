//! `cis task`: what a program in a session says by itself, with the rights of that session alone.

mod ask;
mod complete;
mod output;
mod review;
mod say;

use cis_core::event::{AskType, SaidKind, Urgency};
use clap::Subcommand;
use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser as _;

use crate::context::Context;
use crate::error::{CliError, Exit};

/// What a session can say.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Ask(ask::Args),
    RequestPermission(review::Permission),
    Review(review::Review),
    Notify(say::Notify),
    Progress(say::Progress),
    Respond(say::Respond),
    Output(output::Args),
    Complete(complete::Args),
}

pub(crate) fn run(context: &Context, command: &Command) -> Result<Exit, CliError> {
    if !context.in_session() {
        return Err(CliError::bad_input("`cis task` only works inside a session")
            .hint("outside of sessions, use `cis inbox` and `cis answer`"));
    }
    match command {
        Command::Ask(args) => ask::run(context, args),
        Command::RequestPermission(args) => review::permission(context, args),
        Command::Review(args) => review::review(context, args),
        Command::Notify(args) => say::notify(context, args),
        Command::Progress(args) => say::progress(context, args),
        Command::Respond(args) => say::respond(context, args),
        Command::Output(args) => output::run(args),
        Command::Complete(args) => complete::run(context, args),
    }
}

/// How much it matters.
fn urgency() -> impl clap::builder::TypedValueParser<Value = Urgency> {
    let names = Urgency::ALL.iter().map(|urgency| urgency.as_str());
    PossibleValuesParser::new(names).map(|name| Urgency::parse(&name).unwrap_or_default())
}

/// Why it is asked.
fn ask_type() -> impl clap::builder::TypedValueParser<Value = AskType> {
    let names = AskType::ALL.iter().map(|ask_type| ask_type.as_str());
    PossibleValuesParser::new(names).map(|name| AskType::parse(&name).unwrap_or(AskType::Clarification))
}

/// The word for what is told.
fn word(kind: SaidKind) -> &'static str {
    match kind {
        SaidKind::Notice => "notice",
        SaidKind::Progress => "progress",
        SaidKind::Response => "response",
        SaidKind::Error => "error",
    }
}
