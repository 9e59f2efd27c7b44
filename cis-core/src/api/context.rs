//! What a task gets to know of those that it needs, and the environment variables made of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::event::TaskState;
use crate::ids::TaskId;

/// The names of all needs in one variable: no longer than this, bytes.
const NAMES_BYTES_MAX: usize = 32 << 10;

/// A longer value is in the file alone, bytes.
const VALUE_BYTES_MAX: usize = 16 << 10;

/// All of these variables together, bytes: arguments and environment of a process share 2 MiB with the
/// usual stack limit (execve(2)), and the submitter's environment is in there too.
const ALL_BYTES_MAX: usize = 128 << 10;

/// What a task gets to know of those that it needs: the JSON of the file `CIS_CONTEXT`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskContext {
    /// The run.
    pub run: String,
    /// `[dag] id`.
    pub dag: String,
    /// The task.
    pub task: TaskId,
    /// What it needs.
    pub needs: BTreeMap<TaskId, NeedContext>,
}

/// What a task gets to know of one that it needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NeedContext {
    /// How it ended.
    pub state: TaskState,
    /// Its outputs, real values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, Value>,
    /// The end of its log as text, redacted; at most 64 KiB.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub output: String,
    /// Paths of its artifacts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<String>,
    /// Something of it is left out or has secrets replaced, as all that one task gets is bounded.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub incomplete: bool,
}

impl TaskContext {
    /// A task that it needs left something, or did not succeed: worth a file.
    #[must_use]
    pub fn says_something(&self) -> bool {
        self.needs.values().any(|need| {
            need.state != TaskState::Succeeded
                || !need.outputs.is_empty()
                || !need.output.is_empty()
                || !need.artifacts.is_empty()
                || need.incomplete
        })
    }

    /// `CIS_NEEDS`, and `CIS_NEED_TASK_OUTPUT` for each output: upper case, with `_` for what no name of a
    /// variable has. Where two outputs would have the same name, neither is set; what is long is left to
    /// the file.
    #[must_use]
    pub fn variables(&self) -> BTreeMap<String, String> {
        let mut variables = BTreeMap::new();
        let names: Vec<&str> = self.needs.keys().map(TaskId::as_str).collect();
        let names = names.join(" ");
        if names.is_empty() {
            return variables;
        }
        let mut left = ALL_BYTES_MAX;
        if names.len() <= NAMES_BYTES_MAX {
            left -= names.len();
            variables.insert("CIS_NEEDS".to_owned(), names);
        }
        let mut named: BTreeMap<String, Option<&Value>> = BTreeMap::new();
        for (task, need) in &self.needs {
            for (output, value) in &need.outputs {
                let name = variable(task.as_str(), output);
                named.entry(name).and_modify(|taken| *taken = None).or_insert(Some(value));
            }
        }
        for (name, value) in named {
            let Some(value) = value else { continue };
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let bytes = name.len() + text.len() + 2;
            if text.len() <= VALUE_BYTES_MAX && bytes <= left && !text.contains('\0') {
                left -= bytes;
                variables.insert(name, text);
            }
        }
        variables
    }
}

/// The variable of an output.
fn variable(task: &str, output: &str) -> String {
    let mut name = format!("CIS_NEED_{task}_{output}").to_ascii_uppercase();
    let strange = |c: char| !c.is_ascii_alphanumeric() && c != '_';
    if name.contains(strange) {
        name = name.replace(strange, "_");
    }
    name
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn context(needs: &[(&str, &[(&str, Value)])]) -> TaskContext {
        let need = |outputs: &[(&str, Value)]| NeedContext {
            state: TaskState::Succeeded,
            outputs: outputs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
            output: String::new(),
            artifacts: Vec::new(),
            incomplete: false,
        };
        TaskContext {
            run: "r".to_owned(),
            dag: "d".to_owned(),
            task: TaskId::new("t").unwrap(),
            needs: needs.iter().map(|(id, outputs)| (TaskId::new(id).unwrap(), need(outputs))).collect(),
        }
    }

    #[test]
    fn each_output_has_a_variable_of_its_own_or_none() {
        let found = context(&[
            ("build-it", &[("version", json!("1.2 beta")), ("sizes", json!({"a": 1}))]),
            ("a-b", &[("c", json!("hidden by the next"))]),
            ("a_b", &[("c", json!("hides the one before"))]),
            ("many.1", &[("n", json!(7)), ("nul", json!("a\0b"))]),
            ("plain", &[]),
        ]);
        let variables: Vec<String> = found.variables().into_iter().map(|(n, v)| format!("{n}={v}")).collect();
        assert_eq!(
            variables,
            [
                "CIS_NEEDS=a-b a_b build-it many.1 plain",
                "CIS_NEED_BUILD_IT_SIZES={\"a\":1}",
                "CIS_NEED_BUILD_IT_VERSION=1.2 beta",
                "CIS_NEED_MANY_1_N=7",
            ]
        );
        assert!(context(&[]).variables().is_empty());
        assert!(!context(&[("plain", &[])]).says_something());
        assert!(found.says_something());
    }

    #[test]
    fn variables_are_bounded() {
        let long = json!("x".repeat(VALUE_BYTES_MAX));
        let longer = json!("x".repeat(VALUE_BYTES_MAX + 1));
        let names: Vec<String> = (0..20).map(|n| format!("o{n:02}")).collect();
        let mut outputs: Vec<(&str, Value)> =
            names.iter().map(|name| (name.as_str(), long.clone())).collect();
        outputs.push(("longer", longer));
        let variables = context(&[("a", &outputs)]).variables();
        assert!(!variables.contains_key("CIS_NEED_A_LONGER"));
        let bytes: usize = variables.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
        assert_eq!(variables.len(), 1 + 7, "as many as fit");
        assert!(bytes <= ALL_BYTES_MAX + 16);
    }
}
