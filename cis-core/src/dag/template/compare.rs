//! Comparisons in an expression: where they are, and which values can be compared. The template engine orders values of different
//! types by their type, so that a text is greater than each number. Here that is an error.

use std::ops::Range;

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, State, Value};

use super::expr::{Comparison, Reference};
use crate::dag::model::ValueType;
use crate::text::clean::MASK;

/// The function that stands for comparisons in the source for the engine. Its arguments are operands with an operator
/// between each two. No expression of a file can call it.
pub(super) const FUNCTION: &str = "cis_compare";

/// A token that says how far an operand of a comparison goes.
#[derive(Debug, Clone)]
pub(super) struct Mark {
    /// Bytes of the whole text.
    pub(super) range: Range<usize>,
    pub(super) kind: MarkKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MarkKind {
    Open,
    Close,
    /// Binds less than a comparison: `and`, `if`, a comma …
    Split,
    /// `<`, `==` …
    Operator,
    /// `in`, or the `not` before it: binds as a comparison does, so that both can be in one chain.
    In,
    /// `+` or `-` between two values: binds less than `~`.
    Sum,
    /// `~`.
    Concat,
}

/// What stands on one side of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operand {
    /// A name alone, by its number in the expression.
    Name(usize),
    /// A text, a number, true or false.
    Literal(ValueType),
    /// The result of more than that.
    Unknown,
}

/// Finds the comparisons of an expression. One that is no complete expression is left out: the engine says what is wrong.
pub(super) fn find(text: &str, expression: Range<usize>, marks: &[Mark]) -> Vec<Comparison> {
    struct Part {
        start: usize,
        operators: Vec<Range<usize>>,
    }
    let part = |start| Part { start, operators: Vec::new() };
    let mut found = Vec::new();
    let mut finish = |part: Part, end: usize| {
        // `in` alone compares values of different types on purpose: it remains the engine's.
        if part.operators.iter().all(|range| is_containment(&text[range.clone()])) {
            return;
        }
        let starts = std::iter::once(part.start).chain(part.operators.iter().map(|range| range.end));
        let ends = part.operators.iter().map(|range| range.start).chain(std::iter::once(end));
        let operands: Vec<_> = starts.zip(ends).map(|(start, end)| trimmed(text, start..end)).collect();
        if operands.iter().all(|operand| !operand.is_empty()) {
            found.push(Comparison { operands, operators: part.operators });
        }
    };
    let mut outer = Vec::new();
    let mut now = part(expression.start);
    for Mark { range, kind } in marks.iter().filter(|mark| mark.range.end <= expression.end) {
        match kind {
            MarkKind::Open => outer.push(std::mem::replace(&mut now, part(range.end))),
            MarkKind::Close => {
                let Some(before) = outer.pop() else { break };
                finish(std::mem::replace(&mut now, before), range.start);
            }
            MarkKind::Split => finish(std::mem::replace(&mut now, part(range.end)), range.start),
            MarkKind::Operator => now.operators.push(range.clone()),
            MarkKind::In => match now.operators.last_mut() {
                // `not in` is one operator of two words.
                Some(last) if text[last.clone()] == *"not" => last.end = range.end,
                _ => now.operators.push(range.clone()),
            },
            MarkKind::Sum | MarkKind::Concat => {}
        }
    }
    finish(now, expression.end);
    found
}

/// The operator of these words, for [`compare`]. There can be blanks in what is written.
pub(super) fn operator(written: &str) -> &str {
    if written.starts_with("not") { "not in" } else { written }
}

/// Whether an operator asks if a value is in another one.
pub(super) fn is_containment(written: &str) -> bool {
    matches!(operator(written), "in" | "not in")
}

fn trimmed(text: &str, range: Range<usize>) -> Range<usize> {
    let inner = &text[range.clone()];
    let start = range.start + (inner.len() - inner.trim_start().len());
    start..start + inner.trim().len()
}

/// Tells what an operand is, if that is known without its value.
pub(super) fn operand(text: &str, range: &Range<usize>, references: &[Reference]) -> Operand {
    if let Some(index) = references.iter().position(|reference| reference.range == *range) {
        return Operand::Name(index);
    }
    let word = &text[range.clone()];
    let is_text = |quote: char| {
        let inner = word.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
        inner.is_some_and(|inner| !inner.contains([quote, '\\']))
    };
    if is_text('"') || is_text('\'') {
        Operand::Literal(ValueType::String)
    } else if matches!(word, "true" | "True" | "false" | "False") {
        Operand::Literal(ValueType::Boolean)
    } else if word.starts_with(|c: char| c.is_ascii_digit() || c == '-') && word.parse::<f64>().is_ok() {
        Operand::Literal(ValueType::Number)
    } else {
        Operand::Unknown
    }
}

/// What is wrong with comparing values of these types, and what to do; none where it is possible or not known.
pub(in crate::dag) fn mismatch(
    operator: &str,
    left: ValueType,
    right: ValueType,
) -> Option<(String, &'static str)> {
    let kind = |ty| match ty {
        ValueType::String => Some(ValueKind::String),
        ValueType::Integer | ValueType::Number => Some(ValueKind::Number),
        ValueType::Boolean => Some(ValueKind::Bool),
        ValueType::List => Some(ValueKind::Seq),
        ValueType::Json => None,
    };
    refused(operator, kind(left)?, kind(right)?)
}

/// Why values of these kinds cannot be compared. Whether they are equal can be asked of more of them: none is a value of each
/// type, and a list or an object of JSON often stands where there could be something else.
fn refused(operator: &str, left: ValueKind, right: ValueKind) -> Option<(String, &'static str)> {
    let (left, right) = (general(left), general(right));
    let is_order = !matches!(operator, "==" | "!=");
    let is_scalar = |kind| matches!(kind, ValueKind::String | ValueKind::Number | ValueKind::Bool);
    let has_order = left == right && (is_scalar(left) || left == ValueKind::Seq);
    let can = if is_order { has_order } else { left == right || !is_scalar(left) || !is_scalar(right) };
    if can {
        return None;
    }
    let said = format!("cannot compare {} with {} (`{operator}`)", named(left), named(right));
    let help = match (left, right) {
        (ValueKind::String, ValueKind::Number) | (ValueKind::Number, ValueKind::String) => {
            "convert the text with `| int` or `| float`, or declare the output with type = \"integer\""
        }
        (ValueKind::Bool, _) | (_, ValueKind::Bool) => "a boolean is compared with true or false",
        (ValueKind::Seq | ValueKind::Map, _) | (_, ValueKind::Seq | ValueKind::Map) => {
            "compare its length: `(… | length) > 0`"
        }
        _ => "add `| default(…)` for where it is none",
    };
    Some((said, help))
}

fn general(kind: ValueKind) -> ValueKind {
    match kind {
        ValueKind::Iterable => ValueKind::Seq,
        ValueKind::Bytes => ValueKind::String,
        other => other,
    }
}

fn named(kind: ValueKind) -> &'static str {
    if kind == ValueKind::Bool { "a boolean" } else { kind_of(kind) }
}

/// A kind of values in a sentence.
pub(super) fn kind_of(kind: ValueKind) -> &'static str {
    match kind {
        ValueKind::None | ValueKind::Undefined => "none",
        ValueKind::Bool => "true or false",
        ValueKind::Number => "a number",
        ValueKind::String | ValueKind::Bytes => "a text",
        ValueKind::Seq | ValueKind::Iterable => "a list",
        _ => "an object",
    }
}

/// The engine's function [`FUNCTION`].
pub(super) fn compare(state: &State<'_, '_>, arguments: &[Value]) -> Result<bool, Error> {
    let mut values = arguments.iter().step_by(2);
    let operators = arguments.iter().skip(1).step_by(2);
    let Some(mut left) = values.next() else { return Ok(true) };
    for (right, operator) in values.zip(operators) {
        let holds = match operator.as_str().unwrap_or_default() {
            "in" => contains(state, right, left)?,
            "not in" => !contains(state, right, left)?,
            operator => pair(left, operator, right)?,
        };
        if !holds {
            return Ok(false);
        }
        left = right;
    }
    Ok(true)
}

/// Whether the engine finds the value in the container. It offers this only as an operator.
fn contains(state: &State<'_, '_>, container: &Value, value: &Value) -> Result<bool, Error> {
    if container.is_undefined() || value.is_undefined() {
        return Err(ErrorKind::UndefinedError.into());
    }
    let names = [("container", container.clone()), ("value", value.clone())];
    let found = state.env().compile_expression("value in container")?.eval(Value::from_pairs(names))?;
    Ok(found.is_true())
}

/// A test of the engine, such as `is lessthan`, which `select` uses too.
pub(super) fn test(operator: &'static str) -> impl Fn(&Value, &Value) -> Result<bool, Error> {
    move |left, right| {
        // `selectattr` asks for equality also where an item does not have the attribute.
        let is_absent = left.is_undefined() || right.is_undefined();
        match operator {
            "==" if is_absent => Ok(left == right),
            "!=" if is_absent => Ok(left != right),
            _ => pair(left, operator, right),
        }
    }
}

fn pair(left: &Value, operator: &str, right: &Value) -> Result<bool, Error> {
    if left.is_undefined() || right.is_undefined() {
        return Err(ErrorKind::UndefinedError.into());
    }
    let is_secret = |value: &Value| value.as_str() == Some(MASK);
    // A secret is never empty, nor none: this much is known of it.
    let is_nothing = |value: &Value| value.is_none() || value.as_str() == Some("");
    let hidden = (is_secret(left) && !is_nothing(right)) || (is_secret(right) && !is_nothing(left));
    let is_order = !matches!(operator, "==" | "!=");
    if hidden || (is_order && (is_secret(left) || is_secret(right))) {
        let said = "cannot compare a value that is a secret: here it is only `***`; compare it in that task, and write the \
                    result to an output of its own";
        return Err(incomparable(said.to_owned()));
    }
    if let Some((said, help)) = refused(operator, left.kind(), right.kind()) {
        return Err(incomparable(format!("{said}; {help}")));
    }
    Ok(match operator {
        "==" => left == right,
        "!=" => left != right,
        "<" => left < right,
        "<=" => left <= right,
        ">" => left > right,
        ">=" => left >= right,
        _ => return Err(ErrorKind::InvalidOperation.into()),
    })
}

/// Two values that cannot be compared, and why.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Incomparable(String);

fn incomparable(said: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, said.clone()).with_source(Incomparable(said))
}
