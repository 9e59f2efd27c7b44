//! Figures in JSON that others print: benchmarks of other packages, and binaries of several versions.

use serde_json::Value;

use crate::Outcome;

/// Since when an item of the inbox waits, Unix ms. Binaries before `v1` of the API, which are compared with this one, say `since`.
pub(crate) fn since_ms(item: &Value) -> Option<f64> {
    item["since_ms"].as_f64().or_else(|| item["since"].as_f64())
}

/// The figures in what a benchmark printed: a JSON object in a line each.
pub(crate) fn values(text: &str) -> Vec<Value> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The figure of that name.
pub(crate) fn of<'a>(figures: &'a [Value], what: &str) -> Outcome<&'a Value> {
    figures.iter().find(|figure| figure["what"] == what).ok_or_else(|| format!("there is no figure `{what}`"))
}

/// A number of a figure; NaN where there is none.
pub(crate) fn number(figure: &Value, name: &str) -> f64 {
    figure[name].as_f64().unwrap_or(f64::NAN)
}
