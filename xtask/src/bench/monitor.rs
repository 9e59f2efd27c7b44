//! The monitor over the recordings that nobody writes rules by.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::report::{Report, Row};
use crate::Outcome;
use crate::process::{run, stdout_of};
use crate::workspace::root;

/// Prints the whole table, with the rules of others beside, and holds the measured part against the gates.
pub(crate) fn measure(binary: &Path, report: &mut Report) -> Outcome {
    let corpus = root().join("tests/corpus/recordings");
    let test = || {
        let mut command = Command::new(binary);
        command.args(["monitor", "test", "--corpus"]).arg(&corpus);
        command
    };
    let mut command = test();
    command.arg("--compare");
    run(command)?;
    let mut command = test();
    command.arg("--json");
    let text = stdout_of(command)?;
    let answer: Value =
        serde_json::from_str(&text).map_err(|error| format!("the answer is no JSON: {error}"))?;
    let ours = answer["items"]
        .as_array()
        .and_then(|items| items.iter().find(|item| item["part"] == "measured" && item["detector"] == "cis"))
        .ok_or("the answer has no figures of the measured part")?;
    // What is missing of each share: less is better, as everywhere in the table.
    for (field, what, limits) in [
        ("precision", "calls of the monitor that find no prompt", (3.0, 1.0)),
        ("recall", "prompts that the monitor does not find", (5.0, 2.0)),
        ("kind_right", "found prompts of the wrong kind", (10.0, 3.0)),
    ] {
        let of = &ours[field];
        let missing = (1.0 - number(&of["share"])?) * 100.0;
        let interval = &of["interval_95"];
        let (low, high) =
            ((1.0 - number(&interval["high"])?) * 100.0, (1.0 - number(&interval["low"])?) * 100.0);
        let beside = format!("{} of {} right; 95 %: {low:.1} to {high:.1} %", of["hits"], of["of"]);
        report.add(Row::figure(what, missing, "%", limits, beside));
    }
    let hours = number(&ours["working_hours"])?;
    let beside = format!("{} in {hours:.2} h", ours["false_calls"]);
    let rate = number(&ours["false_calls_per_hour"])?;
    report.add(Row::figure("false calls in an hour of work", rate, "", (2.0, 0.0), beside));
    for delays in ours["delays"].as_array().into_iter().flatten() {
        let (what, limits) = match delays["class"].as_str() {
            Some("terminal") => ("said by the program", (500.0, 200.0)),
            Some("read") => ("read of a terminal, password", (1500.0, 1100.0)),
            _ => ("poll, full screen", (6000.0, 3000.0)),
        };
        if let Some(p95) = delays["p95_ms"].as_f64() {
            let beside = format!("{} prompts, median {} ms", delays["prompts"], delays["p50_ms"]);
            report.add(Row::figure(
                &format!("prompt shown to verdict, p95: {what}"),
                p95,
                "ms",
                limits,
                beside,
            ));
        }
    }
    Ok(())
}

fn number(value: &Value) -> Outcome<f64> {
    value.as_f64().ok_or_else(|| format!("expected a number, found {value}"))
}
