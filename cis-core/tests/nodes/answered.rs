//! Whether the answers of people to questions of sessions are linearizable: the first one of each question counts, once.
//!
//! Each prompt is one object, with a state that its own story shows (`OfPrompt`): it stands, an answer counts, the answer is typed, it
//! is over. Only an answer that counts changes it, and the story has the moment of that. All other requests change nothing, so each
//! has its place wherever its response holds: there is an order of all of them exactly if each has a moment between its
//! beginning and its response in which it does.

use std::collections::BTreeMap;

use cis_core::api::{AnswerReceipt, Problem, ProblemKind};
use cis_core::federation::control::{ControlOutcome, Verb};
use cis_core::ids::{InboxId, InputId, SessionId};

use crate::history::{History, Moment, OfPrompt, Op};
use crate::world::World;

/// How a prompt stands.
#[derive(Debug, Clone, Default)]
struct Prompt {
    stands: bool,
    is_over: bool,
    /// The answer that counts, and whose it is.
    counts: Option<(InputId, String)>,
    typed: Option<InputId>,
}

/// A prompt with all that it went through.
#[derive(Debug, Default)]
struct Story {
    states: Vec<(Moment, Prompt)>,
    /// Answers that counted, and that ceased to.
    took: BTreeMap<InputId, Moment>,
    void: BTreeMap<InputId, Moment>,
    /// Whose answer counted when.
    by: BTreeMap<String, Moment>,
}

impl Story {
    fn newest(&self) -> Prompt {
        self.states.last().map(|(_, prompt)| prompt.clone()).unwrap_or_default()
    }

    /// How it stands in the interval.
    fn within(&self, (from, until): (Moment, Moment)) -> impl Iterator<Item = &Prompt> {
        let first = self.states.partition_point(|(at, _)| *at <= from).saturating_sub(1);
        self.states[first..].iter().take_while(move |(at, _)| *at <= until).map(|(_, prompt)| prompt)
    }

    fn at(&self, moment: Moment) -> Prompt {
        let until = self.states.partition_point(|(at, _)| *at <= moment);
        until.checked_sub(1).map(|at| self.states[at].1.clone()).unwrap_or_default()
    }

    /// Takes what happens next.
    fn take(&mut self, at: Moment, item: &InboxId, shown: &OfPrompt) -> Result<(), String> {
        let mut prompt = self.newest();
        match shown {
            OfPrompt::Stands { .. } => prompt.stands = true,
            OfPrompt::Gone { .. } => (prompt.stands, prompt.is_over) = (false, true),
            OfPrompt::Took { input, by, .. } => {
                if let Some((first, _)) = &prompt.counts {
                    return Err(format!("{item}: {input} counts, and {first} does"));
                }
                prompt.counts = Some((*input, by.clone()));
                self.took.insert(*input, at);
                self.by.insert(by.clone(), at);
            }
            OfPrompt::Void { input, .. } => {
                if prompt.typed == Some(*input) {
                    return Err(format!("{item}: {input} is void, and was typed"));
                }
                prompt.counts.take_if(|(first, _)| first == input);
                self.void.insert(*input, at);
            }
            OfPrompt::Typed { input, .. } => {
                if prompt.counts.as_ref().map(|(first, _)| first) != Some(input) {
                    return Err(format!("{item}: {input} is typed, and {:?} counts", prompt.counts));
                }
                if let Some(before) = prompt.typed.replace(*input) {
                    return Err(format!("{item}: {input} is typed after {before}"));
                }
            }
        }
        self.states.push((at, prompt));
        Ok(())
    }
}

/// What a response says of its request.
enum Said<'a> {
    Answered(&'a AnswerReceipt),
    /// Nobody knows whether it was typed, or may be yet.
    Maybe,
    Refused(&'a Problem),
}

impl Said<'_> {
    fn of(outcome: &ControlOutcome) -> Option<Said<'_>> {
        Some(match outcome {
            ControlOutcome::Done { .. } => return None,
            ControlOutcome::Answered { receipt } => Said::Answered(receipt),
            ControlOutcome::Refused { why } => {
                let is_open =
                    ["it may still do this", "it may have been typed", "whether it was typed before"];
                let is_maybe = is_open.iter().any(|words| why.detail.contains(words));
                if is_maybe { Said::Maybe } else { Said::Refused(why) }
            }
        })
    }
}

/// A request, as one answer.
struct Given<'a> {
    op: &'a Op,
    session: SessionId,
    item: &'a InboxId,
    input: InputId,
}

fn given(op: &Op) -> Option<Given<'_>> {
    let Verb::Answer { session, item, answer, .. } = &op.verb else { return None };
    Some(Given { op, session: *session, item, input: answer.input })
}

fn stories(history: &History, answers: &[Given<'_>]) -> Result<BTreeMap<InboxId, Story>, String> {
    let mut stories: BTreeMap<InboxId, Story> = BTreeMap::new();
    for (at, shown) in &history.prompts {
        let (session, item) = match shown {
            OfPrompt::Stands { session, episode }
            | OfPrompt::Gone { session, episode }
            | OfPrompt::Typed { session, episode, .. } => (*session, InboxId::of_prompt(*session, *episode)),
            OfPrompt::Took { session, item, .. } | OfPrompt::Void { session, item, .. } => {
                (*session, item.clone())
            }
        };
        if let OfPrompt::Took { input, .. } | OfPrompt::Typed { input, .. } = shown {
            let is_it = |given: &&Given<'_>| {
                given.input == *input
                    && given.session == session
                    && *given.item == item
                    && given.op.invoked < *at
            };
            if !answers.iter().any(|given| is_it(&given)) {
                return Err(format!("{shown:?}: nobody gave this answer to {item}"));
            }
        }
        stories.entry(item.clone()).or_default().take(*at, &item, shown)?;
    }
    Ok(stories)
}

/// Checks the answers of a walk that is over.
pub(crate) fn check(world: &mut World, history: &History) -> Result<(), String> {
    let answers: Vec<Given<'_>> = history.ops.iter().filter_map(given).collect();
    let stories = stories(history, &answers).map_err(|wrong| format!("answers: {wrong}"))?;
    let none = Story::default();
    for one in &answers {
        let story = stories.get(one.item).unwrap_or(&none);
        count(world, one, story);
        response(one, story)
            .map_err(|wrong| format!("answers: person {}: {wrong}: {:?}", one.op.uid, one.op))?;
    }
    // What was refused each time did nothing.
    let mut by_input: BTreeMap<InputId, Vec<&Given<'_>>> = BTreeMap::new();
    answers.iter().for_each(|one| by_input.entry(one.input).or_default().push(one));
    for (input, all) in by_input {
        let is_refused = |one: &&Given<'_>| {
            let outcome = one.op.reply.as_ref().map(|(_, outcome)| outcome);
            matches!(outcome.and_then(Said::of), Some(Said::Refused(_)))
        };
        let counts = all.first().and_then(|one| stories.get(one.item)).is_some_and(|story| {
            let newest = story.newest();
            newest.typed == Some(input) || newest.counts.is_some_and(|(first, _)| first == input)
        });
        if counts && all.iter().all(is_refused) {
            let replies: Vec<_> = all.iter().map(|one| (one.op.uid, &one.op.reply)).collect();
            return Err(format!("answers: {input} was refused each time, and counts: {replies:?}"));
        }
    }
    Ok(())
}

/// Whether the response to an answer holds at some moment between its beginning and the response.
fn response(one: &Given<'_>, story: &Story) -> Result<(), String> {
    said_once(one)?;
    let Some((reply, outcome)) = &one.op.reply else { return Ok(()) };
    let interval = (one.op.invoked, *reply);
    let took = story.took.get(&one.input);
    match Said::of(outcome) {
        None => Err("an answer is no change of a run".to_owned()),
        Some(Said::Maybe) => Ok(()),
        Some(Said::Answered(receipt)) => {
            let is_first = took.is_some_and(|at| at < reply && (receipt.repeated || *at > one.op.invoked));
            if !is_first {
                return Err(format!("it was answered, and counted at {took:?}"));
            }
            let then = story.at(*reply);
            let is_typed = then.typed == Some(one.input);
            // The same answer again, to a prompt that is over: it counted, and that it was typed is not said.
            let was_recorded = receipt.repeated && receipt.output_offset.is_none() && then.is_over;
            if is_typed || was_recorded {
                Ok(())
            } else {
                Err(format!("it was answered, and not typed: {then:?}"))
            }
        }
        Some(Said::Refused(why)) => refusal(one, story, interval, why),
    }
}

fn refusal(
    one: &Given<'_>,
    story: &Story,
    interval: (Moment, Moment),
    Problem { kind, detail, .. }: &Problem,
) -> Result<(), String> {
    let holds = |so: &dyn Fn(&Prompt) -> bool| story.within(interval).any(so);
    // The coordinator's attempt is over, though its session may still stand at a worker that nobody reaches. What a node does not
    // know of says nothing about the prompt either.
    let others = ["coordinated by", "2 minutes old", "its session or run has ended"];
    if *kind == ProblemKind::NotFound || others.iter().any(|words| detail.contains(words)) {
        return Ok(());
    }
    let is_true = if let Some((_, by)) = detail.split_once("was answered by ") {
        // Who counts an attempt as lost does not hear that its answer is void.
        story.by.get(by).is_some_and(|at| *at < interval.1)
    } else if detail.contains("and is void") {
        story.void.get(&one.input).is_some_and(|at| *at < interval.1)
    } else if detail.contains("nobody waits for it") {
        story.void.get(&one.input).is_some_and(|at| *at < interval.1)
    } else {
        holds(&|prompt| !prompt.stands)
    };
    if is_true { Ok(()) } else { Err(format!("it was refused for a reason that does not hold: {detail}")) }
}

/// However often a request comes, it is not answered at one time and refused at another.
fn said_once(one: &Given<'_>) -> Result<(), String> {
    let outcomes: Vec<Said<'_>> =
        one.op.came_to.iter().filter_map(|(outcome, ..)| Said::of(outcome)).collect();
    let is_answered = outcomes.iter().any(|said| matches!(said, Said::Answered(_)));
    let is_refused = outcomes.iter().any(|said| matches!(said, Said::Refused(_)));
    if is_answered && is_refused {
        return Err(format!("it is answered and refused: {:?}", one.op.came_to));
    }
    Ok(())
}

/// For the test that what is checked does happen.
fn count(world: &mut World, one: &Given<'_>, story: &Story) {
    if one.op.at != one.op.to {
        world.reached.insert("forwarded answer");
    }
    if story.void.contains_key(&one.input) {
        world.reached.insert("answer void");
    }
    let Some((_, outcome)) = &one.op.reply else { return };
    world.reached.insert(match Said::of(outcome) {
        Some(Said::Answered(receipt)) if receipt.repeated => "answered again",
        Some(Said::Answered(_)) | None => "answered",
        Some(Said::Maybe) => "maybe answered",
        Some(Said::Refused(why)) if why.detail.contains("was answered by") => "too late",
        Some(Said::Refused(_)) => "question over",
    });
}
