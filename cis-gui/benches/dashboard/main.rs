//! What the dashboard costs, without a window: `cargo xtask bench dashboard` runs this and holds the figures
//! against their limits.
//!
//! `layout`, `frames`, `flood MB/S SECONDS`: on their own. `follow SOCKET SECONDS` folds a node's events, `watch SOCKET
//! SESSION SECONDS` a session's output, `spew MB/S` is such a session. Each figure is a line of JSON.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it measures"
)]

mod frames;
mod layout;
mod live;
mod shapes;
mod stage;

use std::process::ExitCode;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).filter(|word| *word != "--bench").collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Outcome {
    match words {
        ["layout"] => layout::measure(),
        ["frames"] => frames::measure(),
        ["flood", rate, seconds] => live::flood(rate.parse()?, seconds.parse()?),
        ["follow", socket, seconds] => live::follow(socket, seconds.parse()?),
        ["watch", socket, session, seconds] => live::watch(socket, session, seconds.parse()?),
        ["spew", rate] => live::spew(rate.parse()?),
        // `cargo test --benches` and its likes list tests: there are none.
        _ => Ok(()),
    }
}

/// One figure out of many values, ms.
fn say(what: &str, values: &[f64]) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = |percent: f64| {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let at = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
        sorted.get(at.max(1) - 1).copied().unwrap_or(f64::NAN)
    };
    let (median, p95, p99, max) = (rank(50.0), rank(95.0), rank(99.0), rank(100.0));
    println!(
        "{}",
        serde_json::json!({ "what": what, "samples": sorted.len(), "median": median, "p95": p95, "p99": p99, "max": max })
    );
}
