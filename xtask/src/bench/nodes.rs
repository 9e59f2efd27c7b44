//! Nodes of a room in one process: what a task costs a hundred of them in messages, and its coordinator in memory; and how long a run
//! takes that three of them share.

use super::figures::{number, of, values};
use super::report::{Report, Row};
use super::stats::{median, ratios};
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

pub(crate) fn measure_shared(report: &mut Report) -> Outcome {
    let told = stdout_of(cargo(&["bench", "--locked", "-p", "cis-cli", "--bench", "shared"]))?;
    let pairs = values(&told);
    let of = |name: &str| pairs.iter().map(|pair| number(pair, name)).collect::<Vec<f64>>();
    let (local, shared) = (of("local_s"), of("shared_s"));
    report.add(Row::ratio(
        "10,000 commands shared by 3 workers (in-memory carrier) / on one node",
        median(&ratios(&shared, &local)),
        (1.5, 1.1),
        format!("{:.2} s / {:.2} s; 6 at a time", median(&shared), median(&local)),
    ));
    Ok(())
}
