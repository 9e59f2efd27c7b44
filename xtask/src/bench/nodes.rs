//! A hundred nodes of a room in one process: what a task costs in messages, and its coordinator in memory.

use super::figures::{number, of, values};
use super::report::{Report, Row};
use crate::Outcome;
use crate::process::{cargo, stdout_of};

pub(crate) fn measure(report: &mut Report) -> Outcome {
    let told = stdout_of(cargo(&["bench", "--locked", "-p", "cis-core", "--bench", "nodes"]))?;
    let figures = values(&told);
    for (what, words) in [("sole", "one coordinator"), ("voters", "another coordinator follows")] {
        let figure = of(&figures, what)?;
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
        number(of(&figures, "voters")?, "peak_mb"),
        "MB",
        (600.0, 300.0),
        String::new(),
    ));
    Ok(())
}
