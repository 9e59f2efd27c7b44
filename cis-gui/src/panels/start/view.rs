//! The form of a file's parameters: pure.

use std::collections::BTreeMap;

use cis_core::dag::{Dag, ValueType, resolve_params};

/// A parameter, as it is filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    /// Its name.
    pub name: String,
    /// What it is for; empty: the file does not say.
    pub about: String,
    /// How it is typed.
    pub kind: Kind,
    /// What counts where nothing is typed; none: something must be.
    pub default: Option<String>,
}

/// How a value is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// In one line.
    Line,
    /// `true` or `false`.
    Choice,
    /// In several lines: JSON.
    Lines,
}

/// The form of a file.
#[must_use]
pub(super) fn fields(dag: &Dag) -> Vec<Field> {
    let field = |(name, param): (&String, &cis_core::dag::Param)| Field {
        name: name.clone(),
        about: param.description.clone().unwrap_or_default(),
        kind: match param.ty {
            ValueType::Boolean => Kind::Choice,
            ValueType::List | ValueType::Json => Kind::Lines,
            ValueType::String | ValueType::Integer | ValueType::Number => Kind::Line,
        },
        default: param
            .default
            .as_ref()
            .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)),
    };
    dag.params.iter().map(field).collect()
}

/// The values that are sent: what was typed. An empty field takes its default.
#[must_use]
pub(super) fn given(dag: &Dag, typed: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let counts = |(name, text): &(&String, &String)| !text.is_empty() && dag.params.contains_key(*name);
    typed.iter().filter(counts).map(|(name, text)| (name.clone(), text.clone())).collect()
}

/// Why it cannot be started so, a sentence each.
#[must_use]
pub(super) fn wrong(dag: &Dag, typed: &BTreeMap<String, String>) -> Vec<String> {
    let told = |why: String| match why.split_once(": give --param") {
        Some((why, _)) => why.to_owned(),
        None => why,
    };
    resolve_params(dag, &given(dag, typed)).err().unwrap_or_default().into_iter().map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dag() -> Dag {
        let text = r#"
version = 1
[dag]
id = "x"
[dag.params]
branch = { type = "string", description = "What is built" }
jobs = { type = "integer", default = 4 }
fast = { type = "boolean", default = false }
hosts = { type = "list", default = ["a"] }
[[tasks]]
id = "a"
command = ["true"]
"#;
        cis_core::dag::parse(text.as_bytes(), "x.toml").unwrap()
    }

    fn typed(values: &[(&str, &str)]) -> BTreeMap<String, String> {
        values.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn a_field_is_typed_as_its_type_wants_and_knows_its_default() {
        let all = fields(&dag());
        let told: Vec<_> =
            all.iter().map(|field| (field.name.as_str(), field.kind, field.default.as_deref())).collect();
        assert_eq!(
            told,
            [
                ("branch", Kind::Line, None),
                ("jobs", Kind::Line, Some("4")),
                ("fast", Kind::Choice, Some("false")),
                ("hosts", Kind::Lines, Some("[\"a\"]")),
            ]
        );
        assert_eq!(all[0].about, "What is built");
    }

    #[test]
    fn what_is_missing_or_not_of_its_type_is_said_before_it_is_sent() {
        let dag = dag();
        let missing = wrong(&dag, &typed(&[]));
        assert_eq!(missing, ["parameter `branch` (What is built) is missing"]);
        let other = wrong(&dag, &typed(&[("branch", "main"), ("jobs", "many")]));
        assert!(matches!(&other[..], [why] if why.contains("`jobs`")), "{other:?}");
        // A cleared field takes its default.
        assert!(wrong(&dag, &typed(&[("branch", "main"), ("jobs", "")])).is_empty());
        let given = given(&dag, &typed(&[("branch", "main"), ("jobs", ""), ("gone", "x")]));
        assert_eq!(given, typed(&[("branch", "main")]));
    }
}
