//! What the API asks of the driver.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::attention::Attention;
use super::turn::{Beside, typed_into};
use super::{COMMANDS_PER_TURN_MAX, Driver, HeldKill, Stopping, idempotency};
use crate::again;
use crate::bound_tasks::BoundTasks;
use crate::commands::{AskedOfRun, Command, DriverStatus, NewRun, Reply, RunVerb, Taken, taken_with};
use crate::problems::{not_in, starting, store_problem, unconnected};
use crate::restore;
use crate::upkeep::cancels::UnrecordedCancel;
use crate::victims::Victims;
use cis_core::api::{Decide, Problem, ProblemKind, TimeView, WhyView};
use cis_core::dag::{SecretSource, Task};
use cis_core::event::ExecutionMode;
use cis_core::event::{Actor, EventBody, EventDraft, TaskState};
use cis_core::ids::{BlobId, InputId, RunId, SessionId, TaskId, TimestampMs};
use cis_core::people::Allowed;
use cis_core::policy::redact::Redactor;
use cis_core::policy::{Denied, Principal, authorize_decision, authorize_room_change};
use cis_core::scheduler::{Input, InputKind, LiveAttempt, Rejected, Run, TaskEntry};
use cis_host::protocol::ToHost;
use cis_store::TaskSeed;

impl Driver {
    pub(super) fn take_commands(&mut self, now: TimestampMs) {
        for taken in 0..=COMMANDS_PER_TURN_MAX {
            if taken == COMMANDS_PER_TURN_MAX {
                // More may wait: come back at once.
                let _ = rustix::io::write(&self.parts.wake, &1u64.to_ne_bytes());
                return;
            }
            match self.parts.commands.try_recv() {
                Ok(sent) => self.obey(sent.take(), now),
                Err(_) => return,
            }
        }
    }

    pub(super) fn obey(&mut self, command: Command, now: TimestampMs) {
        match command {
            Command::Create { new, permit, reply } => self.create_run(*new, permit.actor(), reply, now),
            Command::Run { asked, reply } => self.run_verb(asked, reply, now),
            Command::Allowed { run, task, reply } => {
                let _ = reply.send(Ok(self.allowed(run, &task).cloned()));
            }
            Command::BoundTasks { run, reply } => {
                let known = self.parts.machine.run(&run);
                let _ = reply.send(Ok(known.and_then(|run| BoundTasks::of(run, &self.parts.identity))));
            }
            Command::HeldByRoom { run, reply } => {
                let held = self.parts.machine.run(&run).and_then(held_by_room);
                let _ = reply.send(Ok(held.cloned()));
            }
            Command::Why { run, task, reply } => {
                let _ = reply.send(self.why(run, &task, now));
            }
            Command::Times { run, totals, reply } => {
                let _ = reply.send(Ok(self.times(run, totals, now)));
            }
            Command::Groups { reply } => {
                let _ = reply.send(Ok(self.parts.machine.group_views()));
            }
            Command::SetGroup { name, group, permit, reply } => {
                let kind = InputKind::SetGroup { name, group };
                self.handle_for(Input { kind, actor: Some(permit.actor()), cause: None }, reply, now);
            }
            Command::Policy { reply } => drop(reply.send(Ok(self.parts.rules.clone()))),
            Command::ChangePolicy { change, permit, reply } => {
                self.change_policy(change, &permit.actor(), reply, now);
            }
            Command::CreateSession { session, new, permit, reply } => {
                self.create_session(session, new, permit.actor(), reply);
            }
            Command::Kill { permit, grace_ms, reply } => {
                self.kill(permit.target(), grace_ms, permit.actor(), reply, now)
            }
            Command::Expose { session, reply } => self.expose(session, reply),
            Command::HeldFor { session, reply } => {
                let _ = reply.send(Ok(self.held_for(session)));
            }
            Command::Typing { permit, input, bytes, reply } => {
                self.typing(permit.target(), input, bytes, permit.actor(), reply, now);
            }
            Command::Seen(sighting) => self.seen(*sighting, now),
            Command::Resized { session, size } => self.turn.resize(session, size),
            Command::NotTyped(lost) => self.not_typed(*lost, now),
            Command::Waiting { session, reply } => {
                let waiting = self.attention.get(session).map(Attention::waiting).unwrap_or_default();
                let _ = reply.send(Ok(waiting));
            }
            Command::Ask { permit, ask, reply } => {
                self.ask(permit.target(), *ask, permit.actor(), reply, now);
            }
            Command::StillWaiting { session, item } => self.still_waiting(session, &item, now),
            Command::WaitsNoMore { session, item } => self.waits_no_more(session, &item, now),
            Command::WithdrawAsk { permit, item, reply } => {
                self.withdraw(permit.target(), &item, permit.actor(), now);
                self.turn.confirm(reply, Ok(()));
            }
            Command::Say { permit, say, reply } => {
                self.say(permit.target(), *say, permit.actor(), reply, now);
            }
            Command::HandIn { permit, result, reply } => {
                self.hand_in(permit.target(), result, permit.actor(), reply, now);
            }
            Command::Answer { given, permit, reply } => self.answer(&given, permit.actor(), reply, now),
            Command::AnswerHeld(held) => self.answer_held(*held, now),
            Command::DefaultRefused { attempt, item, detail } => {
                self.refuse_default(attempt, item, detail, now);
            }
            Command::Denied { action, detail, actor } => self.deny(action, detail, actor, now),
            Command::Record { body, actor, reply } => {
                let draft =
                    EventDraft { run: None, at_ms: now, actor: Some(actor), cause: None, body: *body };
                self.turn.draft(draft);
                self.turn.confirm(reply, Ok(()));
            }
            Command::TakeInput { input, event, reply } => {
                let with = taken_with(&event);
                let taken = self.made_by(input).map(|known| match known {
                    None => Taken::Now,
                    Some(known) if known == with => Taken::BySame,
                    Some(_) => Taken::ByAnother,
                });
                if matches!(taken, Ok(Taken::Now)) {
                    self.turn.make(input, with);
                }
                self.turn.confirm(reply, taken);
            }
            Command::Cleaning { victims, actor, reply } => self.cleaning(victims, &actor, reply, now),
            Command::Recover { run, replaces, reply } => self.recover(*run, replaces, reply),
            Command::Observe { drafts, journal, reply } => self.observe(drafts, journal, reply),
            Command::Rooms { writes, reply } => {
                self.journal_written(&writes, now);
                self.turn.keep(writes);
                self.turn.confirm(reply, Ok(()));
            }
            Command::RoomReplaced { old, new, reply } => self.room_replaced(&old, &new, reply, now),
            Command::Sync { reply } => {
                // What this turn adds is for the next one.
                let unsynced = self.parts.writer.unsynced();
                let _ = reply.send(unsynced.map_err(|error| store_problem(&error)));
            }
            Command::Begin { input, digest, reply } => {
                let _ = reply.send(self.begin_keyed(input, digest));
            }
            Command::End { input } => self.end_keyed(input),
            Command::RoomServed { name, room } => self.room_served(&name, &room, now),
            Command::RoomRead { room, at, heads, term } => self.room_read(&room, at, (heads, term), now),
            Command::RoomsAway => self.rooms_away(),
            Command::Forked { room, run, fork, lost } => self.forked(&room, run, &fork, lost, now),
            Command::Overtaken { run, reply } => self.overtaken(run, reply),
            Command::TakeOver { permit, room, reply } => {
                self.take_over(permit.target(), room.as_deref(), reply, now);
            }
            Command::ServeRoom { room } => self.serve_room(&room),
            Command::Drain { draining, reply } => self.drain(draining, reply, now),
            Command::Pause { paused, reply } => self.pause(paused, reply, now),
            Command::Nodes { reply } => drop(reply.send(Ok(self.room_nodes(now)))),
            Command::Twin { room } => self.twin_found(&room, now),
            Command::NodeFound => self.node_found(now),
            Command::Refused { key, text, reply } => {
                self.turn.make(key, text);
                self.turn.confirm(reply, Ok(()));
            }
            Command::Disregarded { room, from, wrong, detail } => {
                self.refuse_message(&room, &from, (wrong, detail), now);
            }
            Command::Federated { room, from, message } => self.federated(&room, &from, *message, now),
            Command::Files(done) => self.files_done(*done, now),
            Command::Status { reply } => {
                let _ = reply.send(Ok(self.status()));
            }
            Command::Stop { kill_sessions, reason, reply } => self.stop(kill_sessions, reason, reply),
        }
    }

    fn create_run(&mut self, new: NewRun, actor: Actor, reply: Reply<RunId>, now: TimestampMs) {
        match self.made_by(new.input) {
            Ok(None) => {}
            Ok(Some(made)) => {
                // It may be of this very turn: then it is not durable yet.
                let answer = made.parse().map_err(|_| taken(new.input));
                self.turn.confirm(reply, answer);
                return;
            }
            Err(problem) => {
                let _ = reply.send(Err(problem));
                return;
            }
        }
        let tasks = TaskSeed::all_of(&new.dag);
        let input = Input {
            kind: InputKind::Submit {
                run: new.run,
                facts: Box::new(new.facts),
                dag: new.dag,
                start: new.start,
            },
            actor: Some(actor),
            cause: Some(new.input),
        };
        match self.give(input, now) {
            Ok(()) => {
                let mut events = self.parts.machine.drain_events();
                if let Some(created) = events.next() {
                    self.turn.draft_with(created, Beside::Tasks(tasks));
                }
                self.turn.draft_all(events);
                self.serve_room_of(new.run);
                self.turn.make(new.input, new.run.to_string());
                self.turn.confirm(reply, Ok(new.run));
            }
            Err(rejected) => {
                let _ = reply.send(Err(problem(&rejected)));
            }
        }
    }

    fn run_verb(&mut self, asked: AskedOfRun, reply: Reply<()>, now: TimestampMs) {
        let (run, verb, input, who) = asked.into_parts();
        let input = match input.zip(verb.made(run)) {
            Some((input, makes)) => match self.made_by(input) {
                Ok(None) => Some((input, makes)),
                // The same again, maybe of this very turn: then it is not durable yet.
                Ok(Some(made)) if made == makes => {
                    return self.turn.confirm(reply, Ok(()));
                }
                Ok(Some(_)) => return drop(reply.send(Err(taken(input)))),
                Err(problem) => return drop(reply.send(Err(problem))),
            },
            None => None,
        };
        // The machine has let go of runs that ended: only with its state it can say so, or retry it.
        if self.parts.machine.run(&run).is_none() {
            let loaded = if self.unread.has_run(run) {
                self.read_again(run, matches!(verb, RunVerb::Cancel { .. }), now)
            } else {
                let agents = &self.parts.config.settings.agents;
                restore::load_run(&self.parts.readers, &self.parts.blobs, agents, run)
                    .map(|folded| self.parts.machine.restore(folded))
            };
            if let Err(error) = loaded {
                let _ = reply.send(Err(error.problem()));
                return;
            }
        }
        if let Err((action, denied)) = self.authorize_verb(&who, run, &verb) {
            self.deny(action, denied.reason.clone(), who.actor(), now);
            let problem = Problem::new(ProblemKind::Denied, denied.reason);
            return self.turn.confirm(reply, Err(problem));
        }
        if let (RunVerb::Retry(scope), Some(folded)) = (&verb, self.parts.machine.run(&run))
            && let Err(gone) = again::keep_for(&self.parts.readers, &self.parts.blobs, folded, scope)
        {
            let _ = reply.send(Err(gone));
            return;
        }
        let kind = match verb {
            RunVerb::Start => InputKind::Start { run },
            RunVerb::Pause => InputKind::Pause { run },
            RunVerb::Resume => InputKind::Resume { run },
            RunVerb::Cancel { now } => InputKind::Cancel { run, now },
            RunVerb::Retry(scope) => InputKind::Retry { run, scope },
            RunVerb::Mode(mode, room) => InputKind::ModeChanged { run, mode, room },
            RunVerb::Decide(task, Decide { approve, reason }) => {
                match reason.map(|reason| self.redacted_for(run, &reason)).transpose() {
                    Ok(reason) => InputKind::Decide { run, task, approve, reason },
                    Err(unknown) => return drop(reply.send(Err(unknown))),
                }
            }
        };
        let cause = input.as_ref().map(|(input, _)| *input);
        let cancels = if let InputKind::Cancel { now, .. } = kind { Some(now) } else { None };
        let is_done = self.handle_for(Input { kind, actor: Some(who.actor()), cause }, reply, now);
        if let Some(now) = cancels.filter(|_| is_done) {
            self.want_ends_of(UnrecordedCancel { run, actor: who.actor(), input: cause, now });
        }
        self.serve_room_of(run);
        if let Some((input, made)) = input.filter(|_| is_done) {
            self.turn.make(input, made);
        }
    }

    /// Replaces the secrets of a run in what a person writes about it.
    fn redacted_for(&mut self, run: RunId, text: &str) -> Result<String, Problem> {
        self.redactor_of_run(run).map(|redactor| redactor.redact(text)).map_err(|why| {
            let detail = format!("cannot hide the secrets of run {run} in the reason: {why}");
            Problem::new(ProblemKind::Unavailable, detail).hint("decide without a reason")
        })
    }

    /// Returns the redactor of all secrets of an open run.
    ///
    /// # Errors
    /// Why the values are unknown.
    pub(super) fn redactor_of_run(&mut self, run: RunId) -> Result<Arc<Redactor>, String> {
        let Some(known) = self.parts.machine.run(&run) else { return Ok(Arc::default()) };
        let (base, sources) = secrets_of(known);
        self.parts.worker.redactor_of_run(run, base.as_ref(), &sources)
    }

    /// Finds the secrets of a run that was submitted here, before a task of it runs here as a task of its room.
    pub(super) fn learn_secrets_of(&mut self, run: RunId) {
        let Some(known) = self.parts.machine.run(&run).filter(|run| !run.facts().is_foreign()) else {
            return;
        };
        let (base, sources) = secrets_of(known);
        if let Err(why) = self.parts.worker.learn_secrets(run, base.as_ref(), &sources) {
            tracing::warn!(%run, why, "the secrets of a run are not known");
        }
    }

    /// Authorizes requests whose rights depend on the run: decisions of approvals, and moves to another room.
    /// Everything else was authorized before.
    fn authorize_verb(&self, who: &Principal, run: RunId, verb: &RunVerb) -> Result<(), (String, Denied)> {
        match verb {
            RunVerb::Decide(task, ..) => authorize_decision(who, run, self.allowed(run, task))
                .map_err(|denied| (format!("decide {task} of {run}"), denied)),
            RunVerb::Mode(_, Some(room)) => {
                let Some(known) = self.parts.machine.run(&run) else { return Ok(()) };
                let held =
                    held_by_room(known).filter(|_| known.facts().room.as_deref() != Some(room.as_str()));
                authorize_room_change(who, run, held)
                    .map_err(|denied| (format!("move {run} to {room}"), denied))
            }
            _ => Ok(()),
        }
    }

    /// Takes open runs from one room to another, by this node itself.
    fn room_replaced(&mut self, old: &str, new: &str, reply: Reply<()>, now: TimestampMs) {
        let is_there = |run: &&Run| run.facts().room.as_deref() == Some(old);
        let runs: Vec<RunId> = self.parts.machine.open_runs().filter(is_there).map(Run::id).collect();
        for run in runs {
            let mode = self.parts.machine.run(&run).map_or(ExecutionMode::Hybrid, |run| run.facts().mode);
            let room = Some(new.to_owned());
            let kind = InputKind::ModeChanged { run, mode, room };
            // One that another node coordinates is that one's to take there.
            match self.give(Input { kind, actor: None, cause: None }, now) {
                Ok(()) => self.collect(),
                Err(rejected) => {
                    tracing::warn!(%run, %rejected, "a run stays with the room that was replaced")
                }
            }
        }
        self.turn.confirm(reply, Ok(()));
    }

    pub(super) fn allowed(&self, run: RunId, task: &TaskId) -> Option<&Allowed> {
        let (spec, _) = self.parts.machine.run(&run)?.task(task)?;
        spec.approval.as_ref()?.allowed.as_deref()
    }

    /// Why a task is where it is; none: its run is not open.
    pub(super) fn why(
        &self,
        run: RunId,
        task: &TaskId,
        now: TimestampMs,
    ) -> Result<Option<WhyView>, Problem> {
        let Some(known) = self.parts.machine.run(&run) else { return Ok(None) };
        let why = self.parts.machine.why(&run, task, now);
        let why = why.map_err(|rejected| match rejected {
            Rejected::NoTask { .. } => not_in(known, task),
            other => problem(&other),
        })?;
        let mut why = Some(why);
        if let Some(view) = &mut why
            && let Some(frozen) = self.why_frozen(run, task)
        {
            view.because.insert(0, frozen);
            view.try_this.insert(0, "cis node status".to_owned());
        }
        if let Some(view) = &mut why
            && view.state == TaskState::Queued
            && let Some(held) = self.why_held(run)
        {
            view.because.push(held);
        }
        if let (Some(view), Some(trouble)) = (&mut why, &self.host.trouble)
            && !view.state.is_terminal()
        {
            view.because.insert(0, trouble.clone());
        }
        Ok(why)
    }

    pub(super) fn times(&self, run: RunId, totals: bool, now: TimestampMs) -> Option<TimeView> {
        if let Some(run) = self.parts.machine.run(&run) {
            return Some(run.times(now, totals));
        }
        self.ended_times.iter().find(|view| totals && view.run == run).cloned()
    }

    /// Handles an input that somebody waits for. True where it was taken.
    fn handle_for(&mut self, input: Input, reply: Reply<()>, now: TimestampMs) -> bool {
        match self.give(input, now) {
            Ok(()) => {
                self.collect();
                self.turn.confirm(reply, Ok(()));
                true
            }
            Err(rejected) => {
                let _ = reply.send(Err(problem(&rejected)));
                false
            }
        }
    }

    fn kill(
        &mut self,
        session: SessionId,
        grace_ms: Option<u64>,
        actor: Actor,
        reply: Reply<()>,
        now: TimestampMs,
    ) {
        let is_it = |live: &LiveAttempt| live.session == session && self.is_elsewhere(live);
        let elsewhere = self.parts.machine.live_attempts().find(is_it);
        if let Some(LiveAttempt { attempt, .. }) = elsewhere {
            let kind = InputKind::KillTask { attempt, grace_ms };
            self.handle_for(Input { kind, actor: Some(actor), cause: None }, reply, now);
            return;
        }
        if self.host.fd().is_none() {
            if self.stuck.is_none() && self.host.may_come_back(now) {
                self.kills_without_host.push(HeldKill { session, grace_ms, actor, reply });
                return;
            }
            // Without the host nothing can end, and nothing is known of sessions that started before this node.
            let why = self.host.trouble.as_deref().unwrap_or("no session host");
            let detail = format!("cannot end session {session}: {why}");
            let problem = Problem::new(ProblemKind::Unavailable, detail);
            let _ = reply.send(Err(problem.hint("`cis node status` shows more; then try again")));
            return;
        }
        if let Some(attempt) = self.parts.worker.attempt_of(session).cloned() {
            let kind = InputKind::KillTask { attempt, grace_ms };
            if self.handle_for(Input { kind, actor: Some(actor), cause: None }, reply, now) {
                self.ends.want(session, grace_ms);
            }
        } else if self.loners.contains(session) || self.unread.sessions.contains_key(&session) {
            self.loners.queue(ToHost::Kill { session, grace_ms });
            self.ends.want(session, grace_ms);
            let _ = reply.send(Ok(()));
        } else {
            let _ = reply.send(Err(self.not_live(session, format!("session {session} has ended"))));
        }
    }

    /// Carries out the kills that came without a host, or refuses them when it does not come back.
    pub(super) fn kill_held(&mut self, now: TimestampMs) {
        let waits = self.stuck.is_none() && self.host.fd().is_none() && self.host.may_come_back(now);
        if self.kills_without_host.is_empty() || waits {
            return;
        }
        for HeldKill { session, grace_ms, actor, reply } in std::mem::take(&mut self.kills_without_host) {
            // Who has given up may not want it any more.
            if !reply.is_closed() {
                self.kill(session, grace_ms, actor, reply, now);
            }
        }
    }

    fn expose(&mut self, session: SessionId, reply: Reply<()>) {
        let known = self.parts.worker.expose(session) || self.loners.contains(session);
        let answer = if let Some(why) = self.parts.worker.withheld(session) {
            let detail = format!("what session {session} shows is withheld: {why}");
            Err(Problem::new(ProblemKind::Unavailable, detail))
        } else if known {
            Ok(())
        } else if self.host.fd().is_some() && self.is_starting(session) {
            Err(starting(session))
        } else {
            Err(self.not_live(session, format!("session {session} is not live")))
        };
        self.turn.confirm(reply, answer);
    }

    /// Whether a session is asked for, or waits for what it needs from other nodes.
    fn is_starting(&self, session: SessionId) -> bool {
        self.parts.worker.is_starting(session) || self.federation.is_to_start(session)
    }

    /// What is said of a session that neither the worker nor the standalone sessions have. The store is behind: one that
    /// ended in this turn still lives there. So where the session host has told of its sessions, one that it has not has ended.
    pub(super) fn not_live(&self, session: SessionId, ended: String) -> Problem {
        let Ok(reader) = self.parts.readers.get() else { return Problem::new(ProblemKind::Conflict, ended) };
        if reader.session(session).is_ok_and(|known| known.state.is_live()) {
            let node = reader.node_of(session).ok().flatten();
            if let Some(node) = node.filter(|node| !self.parts.identity.is_or_was(node)) {
                let detail = format!("session {session} runs on {node}");
                return Problem::new(ProblemKind::Conflict, detail)
                    .hint("attach to it, or read its log, on that machine; `cis answer` works here");
            }
            if self.host.fd().is_none() || self.unread.sessions.contains_key(&session) {
                return unconnected(session);
            }
        }
        Problem::new(ProblemKind::Conflict, ended)
    }

    /// Records what is about to be typed: the answer comes before the first byte is, so that none is
    /// ever typed without a trace. The same input again is typed once by the host, and recorded once.
    fn typing(
        &mut self,
        session: SessionId,
        input: InputId,
        bytes: u32,
        actor: Actor,
        reply: Reply<()>,
        now: TimestampMs,
    ) {
        let answer = match self.made_by(input) {
            Ok(None) => {
                let (run, task) = self.names_of(session);
                let body = EventBody::SessionInput { session, task, input, bytes };
                let draft = EventDraft { run, at_ms: now, actor: Some(actor), cause: Some(input), body };
                self.turn.draft(draft);
                self.turn.make(input, typed_into(session));
                Ok(())
            }
            Ok(Some(made)) if made == typed_into(session) => Ok(()),
            Ok(Some(_)) => Err(taken(input)),
            Err(problem) => Err(problem),
        };
        self.turn.confirm(reply, answer);
    }

    /// What an input made before, in this turn too.
    pub(super) fn made_by(&self, input: InputId) -> Result<Option<String>, Problem> {
        if let Some(made) = self.turn.made_by(input) {
            return Ok(Some(made.clone()));
        }
        // Without the answer nothing may be made: it could be the second.
        let noted = self.parts.writer.find_input(input).map_err(|error| store_problem(&error))?;
        Ok(noted.map(|noted| idempotency::made(&noted).to_owned()))
    }

    fn cleaning(
        &mut self,
        mut all: Vec<Victims>,
        actor: &Actor,
        reply: Reply<Vec<Victims>>,
        now: TimestampMs,
    ) {
        // Somebody may have asked for a retry since they were chosen.
        let open: BTreeSet<RunId> = self.parts.machine.open_runs().map(Run::id).collect();
        for victims in &mut all {
            victims.runs.retain(|run| !open.contains(run));
            for body in victims.events() {
                let draft =
                    EventDraft { run: None, at_ms: now, actor: Some(actor.clone()), cause: None, body };
                self.turn.draft(draft);
            }
        }
        self.turn.confirm_cleaning(reply, all);
    }

    pub(super) fn deny(&mut self, action: String, detail: String, actor: Actor, now: TimestampMs) {
        if self.denials.admit(&actor, &action, now) {
            tracing::warn!(action, detail, who = actor.name, "refused");
            self.draft_denied(action, detail, actor, now);
        }
    }

    fn draft_denied(&mut self, action: String, detail: String, actor: Actor, now: TimestampMs) {
        let body = EventBody::AccessDenied { action, detail };
        let draft = EventDraft { run: None, at_ms: now, actor: Some(actor), cause: None, body };
        self.turn.draft(draft);
    }

    /// Records how many refusals were not recorded one by one.
    pub(super) fn tell_withheld(&mut self, now: TimestampMs) {
        for withheld in self.denials.close(now) {
            let detail = withheld.detail();
            tracing::warn!(action = withheld.action, detail, who = withheld.actor.name, "refused");
            self.draft_denied(withheld.action, detail, withheld.actor, now);
        }
    }

    pub(super) fn status(&self) -> DriverStatus {
        let live = self.parts.worker.live_count() + self.loners.live_count() + self.unread.sessions.len();
        let open = self.parts.machine.open_runs().count() + self.unread.run_count();
        let mut warnings = Vec::new();
        warnings.extend(
            self.stuck.as_ref().map(|(why, _)| format!("nothing starts and nothing can be changed: {why}")),
        );
        let gone = !self.parts.writer.is_in_place();
        warnings.extend(gone.then(|| {
            "the database was removed or replaced while the node runs: what happens now is lost when the node ends. \
             Restore a backup: stop the node, then `cis store restore FILE`"
                .to_owned()
        }));
        warnings.extend(self.twin_warning());
        warnings.extend(self.stranded_warnings());
        warnings.extend(self.vote_warnings());
        warnings.extend(self.frozen_warnings());
        warnings.extend(self.submitter_warnings());
        warnings.extend(self.host.trouble.clone());
        warnings.extend(self.log_trouble.clone());
        warnings.extend(self.unread.warnings());
        warnings.extend(self.parts.start_checks.warning(self.unread.unknown()));
        warnings.extend(self.notices.trouble());
        DriverStatus {
            paused: self.parts.machine.is_paused(),
            host_pid: self.host.pid(),
            open_runs: u32::try_from(open).unwrap_or(u32::MAX),
            live_sessions: u32::try_from(live).unwrap_or(u32::MAX),
            warnings,
        }
    }

    fn stop(&mut self, kill_sessions: bool, reason: String, reply: Option<Reply<()>>) {
        self.stopping = Some(Stopping { kill_sessions, reason });
        if let Some(reply) = reply {
            // It stops in every case, also where that cannot be recorded.
            self.turn.confirm_by(Box::new(move |_| {
                let _ = reply.send(Ok(()));
            }));
        }
    }
}

/// Returns a task whose approval is undecided, now or later, and whose `allowed` depends on the power levels of the
/// run's room.
fn held_by_room(run: &Run) -> Option<&TaskId> {
    let is_held = |(task, entry): &(&Task, &TaskEntry)| {
        let allowed = task.approval.as_ref().and_then(|approval| approval.allowed.as_ref());
        allowed.is_some_and(|allowed| allowed.depends_on_room())
            && !entry.state.is_terminal()
            && entry.approved_by().is_none()
    };
    run.tasks().find(is_held).map(|(task, _)| &task.id)
}

pub(super) fn taken(input: InputId) -> Problem {
    Problem::new(ProblemKind::Conflict, format!("the input id {} was used for something else", input.0))
        .hint("give each request an id of its own")
}

/// What the scheduler refuses, as the API says it.
pub(super) fn problem(rejected: &Rejected) -> Problem {
    let kind = match rejected {
        Rejected::NoRun(_) | Rejected::NoTask { .. } | Rejected::NoGroup(_) => ProblemKind::NotFound,
        Rejected::Invalid(_) => ProblemKind::BadInput,
        Rejected::State(_) | Rejected::Stale(_) => ProblemKind::Conflict,
    };
    Problem::new(kind, rejected.to_string())
}

/// The environment of a run, and the sources of the secrets of all its tasks.
fn secrets_of(run: &Run) -> (Option<BlobId>, Vec<SecretSource>) {
    let workdir = Path::new(&run.facts().workdir);
    let sources = run.secret_sources().iter().map(|source| source.below(workdir)).collect();
    (run.facts().base_env.clone(), sources)
}
