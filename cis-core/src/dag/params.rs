//! Values for a file's parameters: what was given as text, defaults for the rest.

use std::collections::BTreeMap;

use serde_json::Value;

use super::diagnose::{nearest, quoted};
use super::model::Dag;
use super::value;

/// The value of every parameter of `dag`, from what was typed (`--param name=text`) and the defaults.
///
/// # Errors
/// One sentence for each parameter that is unknown, missing, or not of its type.
pub fn resolve_params(
    dag: &Dag,
    given: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, Value>, Vec<String>> {
    let mut wrong: Vec<String> =
        given.keys().filter(|name| !dag.params.contains_key(*name)).map(|name| unknown(dag, name)).collect();
    let mut values = BTreeMap::new();
    for (name, param) in &dag.params {
        let value = match (given.get(name), &param.default) {
            (Some(text), _) if text.contains('\0') => {
                Err(format!("parameter `{name}` holds a NUL byte, which no argument and no variable can"))
            }
            (Some(text), _) => value::parse(text, param.ty)
                .map_err(|why| format!("parameter `{name}` cannot be {}: {why}", quoted(text))),
            (None, Some(default)) => Ok(default.clone()),
            (None, None) => Err(match &param.description {
                Some(said) => format!("parameter `{name}` ({said}) is missing: give --param {name}=…"),
                None => format!("parameter `{name}` is missing: give --param {name}=…"),
            }),
        };
        match value {
            Ok(value) => drop(values.insert(name.clone(), value)),
            Err(why) => wrong.push(why),
        }
    }
    if wrong.is_empty() { Ok(values) } else { Err(wrong) }
}

fn unknown(dag: &Dag, name: &str) -> String {
    let names = || dag.params.keys().map(String::as_str);
    let what = match nearest(name, names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if dag.params.is_empty() => format!("DAG `{}` has no parameters", dag.id),
        None => format!("DAG `{}` has {}", dag.id, names().collect::<Vec<_>>().join(", ")),
    };
    format!("no parameter {}: {what}", quoted(name))
}
