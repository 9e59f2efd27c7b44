//! This node's own policy: changes of its rules, and what they say of a task that another node grants.
//!
//! What a rule matches is `cis_core::policy::node_rules`' matter.

use std::collections::BTreeSet;

use super::super::Driver;
use crate::commands::{PolicyChange, Reply};
use crate::wrong::Wrong;
use cis_core::api::{Problem, ProblemKind};
use cis_core::event::{Actor, EventBody, EventDraft, NodeRule};
use cis_core::federation::private::PrivateSpec;
use cis_core::federation::protocol::message::Granted;
use cis_core::fence;
use cis_core::identity::Standing;
use cis_core::ids::{AttemptId, NodeDid, RunId, TimestampMs};
use cis_core::policy::node_rules::{Asked, BadRule, KeptRule};
use cis_local::now_ms;

impl Driver {
    /// Adds or removes a rule. What is running continues.
    pub(in crate::driver) fn change_policy(
        &mut self,
        change: PolicyChange,
        actor: &Actor,
        reply: Reply<KeptRule>,
        now: TimestampMs,
    ) {
        let changed = match change {
            PolicyChange::Add(rule) => self.add_rule(*rule, actor, now),
            PolicyChange::Remove(number) => self.remove_rule(number, actor, now),
        };
        match changed {
            Ok(kept) => self.turn.confirm(reply, Ok(kept)),
            Err(problem) => return drop(reply.send(Err(problem))),
        }
        // What waits for its turn at the session host was granted before: it is granted again, and decided anew.
        let runs: BTreeSet<RunId> = self.federation.held.keys().map(|attempt| attempt.run).collect();
        runs.into_iter().for_each(|run| self.parts.worker.withdraw(run));
        self.offer_changed();
        self.federate(now);
    }

    /// Adds a rule. The same rule again is the one that is there.
    fn add_rule(&mut self, rule: NodeRule, actor: &Actor, now: TimestampMs) -> Result<KeptRule, Problem> {
        if let Some(kept) = self.parts.rules.kept().find(|kept| kept.rule == rule) {
            return Ok(kept.clone());
        }
        let number = self.parts.rules.number_for(&rule).map_err(|bad| bad_rule(&bad))?;
        self.rule_changed(number, Some(rule), actor, now);
        let kept = self.parts.rules.get(number).cloned();
        kept.ok_or_else(|| Problem::new(ProblemKind::Internal, format!("rule {number} was not added")))
    }

    fn remove_rule(&mut self, number: u32, actor: &Actor, now: TimestampMs) -> Result<KeptRule, Problem> {
        let kept = self.parts.rules.get(number).cloned().ok_or_else(|| {
            Problem::new(ProblemKind::NotFound, format!("the policy has no rule {number}"))
                .hint("`cis node policy show` lists the rules with their numbers")
        })?;
        self.rule_changed(number, None, actor, now);
        Ok(kept)
    }

    fn rule_changed(&mut self, number: u32, rule: Option<NodeRule>, actor: &Actor, now: TimestampMs) {
        let by = actor.name.clone();
        self.parts.rules.apply(number, rule.clone(), &by, now);
        let body = EventBody::NodePolicy { number, rule: rule.map(Box::new), by };
        let actor = Some(actor.clone());
        self.turn.draft(EventDraft { run: None, at_ms: now, actor, cause: None, body });
    }

    /// Why the policy forbids a task that was granted; none: it does not. `tags`: those that its coordinator says that it asks for.
    /// A refusal is recorded, at most once an hour for each coordinator.
    pub(super) fn forbidden(
        &mut self,
        room: &str,
        granted: &Granted,
        tags: Option<&[String]>,
        private: &PrivateSpec,
        now: TimestampMs,
    ) -> Option<String> {
        let run = granted.attempt.run;
        let coordinator = self.federation.worker(room).and_then(|worker| worker.coordinator_of(run)).cloned();
        if self.is_own(&granted.attempt) && coordinator.as_ref() == Some(&self.parts.did) {
            return None;
        }
        let by = self.submitters(room, granted, coordinator.as_ref());
        // A secret is a variable too: it could be one that changes what is run.
        let mut env = private.spec.env.clone();
        env.extend(private.secrets.clone());
        let verdict = self.parts.rules.decide(&Asked {
            room: Some(room),
            by: &by,
            coordinator: coordinator.as_ref(),
            tags,
            program: &private.spec.program,
            env: &env,
        });
        if verdict.executes() {
            return None;
        }
        let detail = verdict.to_string();
        let said = format!("task `{}` of run {run}: {detail}", granted.attempt.task);
        if let Some(coordinator) = coordinator {
            self.refuse_message(room, &coordinator, (Wrong::Policy, said), now);
        }
        Some(detail)
    }

    /// The same of a task that this node holds, and whose session has not begun.
    pub(super) fn forbidden_held(&mut self, attempt: &AttemptId) -> Option<String> {
        let held = self.federation.held.get(attempt)?;
        let (room, granted, tags) = (held.room.clone(), held.granted.clone(), held.spec.tags.clone());
        // One that cannot be opened does not begin anyway.
        let private = self.private_spec(&held.spec, &granted, held.session).ok()?;
        self.forbidden(&room, &granted, tags.as_deref(), &private, now_ms())
    }

    /// Whether a task is one of a run that was submitted to this node, and no other node could have made it up.
    fn is_own(&self, attempt: &AttemptId) -> bool {
        let run = self.parts.machine.run(&attempt.run);
        run.is_some_and(|run| run.find(&attempt.task).is_some_and(|index| run.may_use_submitter(index)))
    }

    /// The keys of the node that submitted a run, as far as they are known: in the first term it coordinates its run itself;
    /// later, the journal of the run tells who began it.
    fn submitters(&self, room: &str, granted: &Granted, coordinator: Option<&NodeDid>) -> Vec<NodeDid> {
        let run = granted.attempt.run;
        if self.parts.rules.kept().all(|kept| kept.rule.by.is_none()) {
            return Vec::new();
        }
        let mut keys = Vec::new();
        if fence::epoch_of(granted.fence) == 0 {
            keys.extend(coordinator.cloned());
        }
        let room = self.federation.rooms.get(room);
        match room.and_then(|room| room.terms.submitter_of(run)) {
            Some(writer) => keys.push(writer.clone()),
            None if keys.is_empty() => keys.extend(self.stored_submitter(run)),
            None => {}
        }
        // The journal tells the first key of a node.
        let newer = keys.iter().filter_map(|key| match self.parts.identity.standing(key) {
            Standing::Replaced(newer) => Some(newer),
            _ => None,
        });
        let newer: Vec<NodeDid> = newer.collect();
        keys.extend(newer);
        keys
    }

    /// The node that began a run, if the store has the run.
    fn stored_submitter(&self, run: RunId) -> Option<NodeDid> {
        let reader = self.parts.readers.get();
        let events = reader.and_then(|reader| reader.events(0, Some(run), 1)).ok()?;
        match events.first()?.decode().ok()? {
            EventBody::RunCreated(facts) => Some(facts.owner),
            _ => None,
        }
    }
}

fn bad_rule(bad: &BadRule) -> Problem {
    let kind = if *bad == BadRule::Full { ProblemKind::Conflict } else { ProblemKind::BadInput };
    Problem::new(kind, bad.to_string())
}
