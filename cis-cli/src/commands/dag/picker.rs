//! A list of which a person picks one by its number.

use std::io::BufRead as _;

use crate::error::CliError;
use crate::output;

/// A table with its rows numbered from 1, and the question below it.
pub(super) fn menu(table: &str, question: &str) -> String {
    let mut text = String::new();
    for (number, line) in table.lines().enumerate() {
        // The first line is its head.
        let number = if number == 0 { String::new() } else { number.to_string() };
        text.push_str(&format!("{number:>3}  {line}\n"));
    }
    text + question
}

/// The one that the answer names, where it names one.
pub(super) fn chosen<'a, T>(several: &'a [T], answer: &str) -> Option<&'a T> {
    let number: usize = answer.trim().parse().ok()?;
    several.get(number.checked_sub(1)?)
}

/// Shows the menu, and reads the line that is typed then.
pub(super) fn ask(menu: &str) -> Result<String, CliError> {
    output::note(menu);
    let mut answer = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| CliError::bad_input(format!("cannot read the answer: {error}")))?;
    Ok(answer.trim().to_owned())
}

/// What was typed is no number of the list.
pub(super) fn not_in_list(answer: &str) -> CliError {
    CliError::bad_input(format!("`{answer}` is not in the list"))
}
