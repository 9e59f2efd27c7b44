//! A hundred nodes of a room in one process: what a task costs in messages, and its coordinator in memory.

use serde_json::Value;

use super::report::{Report, Row};
use crate::Outcome;
use crate::process::{cargo, stdout_of};

pub(crate) fn measure(report: &mut Report) -> Outcome {
    let told = stdout_of(cargo(&["bench", "--locked", "-p", "cis-core", "--bench", "nodes"]))?;
    let figures: Vec<Value> = told.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let of = |what: &str| {
        figures
            .iter()
            .find(|figure| figure["what"] == what)
            .ok_or_else(|| format!("there is no figure `{what}`"))
    };
    let number = |figure: &Value, name: &str| figure[name].as_f64().unwrap_or(f64::NAN);
    for (what, words) in [("sole", "one coordinator"), ("voters", "another coordinator follows")] {
        let figure = of(what)?;
        report.add(Row::figure(
            &format!("100 nodes, 100,000 tasks, {words}: messages of a task"),
            number(figure, "messages"),
            "",
            (6.0, 3.0),
            format!("{} envelopes, {} bytes", figure["envelopes"], figure["bytes"]),
        ));
    }
    report.add(Row::figure(
        "the same: most memory of coordinator and nodes together",
        number(of("voters")?, "peak_mb"),
        "MB",
        (600.0, 300.0),
        String::new(),
    ));
    Ok(())
}
