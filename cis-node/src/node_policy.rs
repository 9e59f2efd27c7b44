//! What stands behind the API's policy of the node: rooms by their names, and files compared with the rules.

use std::collections::BTreeSet;

use crate::commands::{Command, PolicyChange};
use crate::node::Node;
use crate::problems::blocking;
use crate::server::PolicyApi;
use cis_core::api::{
    CheckPolicy, PolicyCheckView, PolicyRuleView, PolicyTaskView, PolicyView, Problem, ProblemKind,
};
use cis_core::dag;
use cis_core::event::NodeRule;
use cis_core::identity::key_of;
use cis_core::ids::TaskId;
use cis_core::policy::node_rules::{Forecast, KeptRule, NodeRules, forecast};
use cis_core::policy::{Permit, act};

type Outcome<T> = Result<T, Problem>;

impl Node {
    async fn node_rules(&self) -> Outcome<NodeRules> {
        self.driver.ask(|reply| Command::Policy { reply }).await
    }

    /// The id of a room that a person named.
    async fn room_id(&self, room: String) -> Outcome<String> {
        if room.starts_with('!') {
            return Ok(room);
        }
        let _viewer = self.viewer();
        crate::matrix::resolved(&self.opened().await?, &room).await
    }
}

impl PolicyApi for Node {
    async fn policy(&self, _: Permit<act::See>) -> Outcome<PolicyView> {
        let rules = self.node_rules().await?;
        let federation = &self.config.settings.federation;
        Ok(PolicyView {
            room: federation.room.clone().filter(|_| federation.role.works()),
            agents: federation.agents.clone(),
            rules: rules.kept().map(view).collect(),
        })
    }

    async fn add_rule(
        &self,
        permit: Permit<act::ControlPolicy>,
        mut rule: NodeRule,
    ) -> Outcome<PolicyRuleView> {
        if let Some(room) = rule.room.take() {
            rule.room = Some(self.room_id(room).await?);
        }
        let change = PolicyChange::Add(Box::new(rule));
        let kept = self.driver.ask(|reply| Command::ChangePolicy { change, permit, reply }).await?;
        Ok(view(&kept))
    }

    async fn remove_rule(&self, permit: Permit<act::ControlPolicy>, number: u32) -> Outcome<PolicyRuleView> {
        let change = PolicyChange::Remove(number);
        let kept = self.driver.ask(|reply| Command::ChangePolicy { change, permit, reply }).await?;
        Ok(view(&kept))
    }

    async fn check_policy(&self, _: Permit<act::See>, request: CheckPolicy) -> Outcome<PolicyCheckView> {
        let CheckPolicy { text, source, room, by } = request;
        if let Some(by) = &by {
            key_of(by).map_err(|error| Problem::new(ProblemKind::BadInput, error.to_string()))?;
        }
        let federation = &self.config.settings.federation;
        let room = match room.or_else(|| federation.room.clone()) {
            Some(room) => Some(self.room_id(room).await?),
            None => None,
        };
        let rules = self.node_rules().await?;
        let lent: BTreeSet<String> = federation.agents.iter().cloned().collect();
        blocking(move || {
            let dag = dag::parse(text.as_bytes(), &source).map_err(|found| {
                let mut problem = Problem::new(ProblemKind::BadInput, found.summary(&source));
                problem.diagnostics = found.findings;
                problem
            })?;
            let tasks = forecast(&rules, &dag, room.as_deref(), by.as_ref(), &lent);
            let executes_all = tasks.iter().all(|(_, forecast)| forecast.executes());
            let tasks = tasks.into_iter().map(|(task, forecast)| task_view(task, &forecast)).collect();
            Ok(PolicyCheckView { executes_all, tasks })
        })
        .await?
    }
}

fn view(kept: &KeptRule) -> PolicyRuleView {
    let KeptRule { number, rule, added_by, added_ms } = kept.clone();
    PolicyRuleView { number, rule, added_by, added_ms }
}

fn task_view(task: TaskId, forecast: &Forecast) -> PolicyTaskView {
    let (rule, why, depends_on_values) = match forecast {
        Forecast::Stays => (None, "it stays on the submitting node".to_owned(), false),
        Forecast::AgentNotLent(agent) => {
            (None, format!("`federation.agents` of the node does not name agent `{agent}`"), false)
        }
        Forecast::Decided { verdict, by_values } => (verdict.rule(), verdict.to_string(), *by_values),
    };
    PolicyTaskView { task, executes: forecast.executes(), rule, why, depends_on_values }
}
