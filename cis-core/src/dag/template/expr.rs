//! What is known of one expression once it is read. Knows nothing of how it is read or evaluated.

use std::ops::Range;

/// What an expression can refer to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::dag) enum Name {
    /// `params.NAME`.
    Param(String),
    /// `tasks.ID.outputs.NAME`.
    Output {
        /// The task's id as written.
        task: String,
        /// The output.
        output: String,
    },
    /// `tasks.ID.output`: the end of its log. The task's id as written.
    Tail(String),
    /// `item`; what follows it is the engine's.
    Item,
    /// `run.id`.
    RunId,
    /// `dag.id`.
    DagId,
    /// `task.id`.
    TaskId,
    /// `attempt`.
    Attempt,
}

/// A name where it stands.
#[derive(Debug, Clone)]
pub(in crate::dag) struct Reference {
    /// Bytes of the whole text.
    pub(in crate::dag) range: Range<usize>,
    /// What it means.
    pub(in crate::dag) name: Name,
}

/// A comparison; more than two operands: `1 < x < 5`.
#[derive(Debug, Clone)]
pub(super) struct Comparison {
    /// Bytes of the whole text, without the blanks around them.
    pub(super) operands: Vec<Range<usize>>,
    /// Those between them.
    pub(super) operators: Vec<Range<usize>>,
}

impl Comparison {
    pub(super) fn range(&self) -> Range<usize> {
        let first = self.operands.first().map_or(0, |range| range.start);
        first..self.operands.last().map_or(first, |range| range.end)
    }
}

/// An expression.
#[derive(Debug, Clone)]
pub(in crate::dag) struct Expr {
    /// With its braces where it has them, bytes of the whole text.
    pub(in crate::dag) range: Range<usize>,
    /// The names in it, in order.
    pub(in crate::dag) references: Vec<Reference>,
    /// The comparisons in it.
    pub(super) comparisons: Vec<Comparison>,
    /// It ends in `| raw`.
    pub(in crate::dag) raw: bool,
    /// It says what holds where a name has no value: `default`, `is defined`.
    pub(in crate::dag) guarded: bool,
    /// What it evaluates.
    pub(super) kind: Kind,
}

/// How an expression is evaluated.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// One name and nothing else.
    Name(Name),
    /// A string literal and nothing else: the way to write `{{` itself.
    Literal(String),
    /// Source for minijinja, in which the n-th reference reads `vN` (from 0).
    Code(String),
}

/// What is wrong with an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::dag) struct ExprError {
    /// Bytes of the whole text.
    pub(in crate::dag) range: Range<usize>,
    /// What is wrong.
    pub(in crate::dag) message: String,
    /// What to do.
    pub(in crate::dag) help: Option<String>,
    /// Where the expression ends, if that is known: what follows can be read on.
    pub(in crate::dag) resume: Option<usize>,
}

impl Expr {
    /// The text, where the expression is nothing but a string.
    pub(super) fn literal(&self) -> Option<&str> {
        match &self.kind {
            Kind::Literal(text) => Some(text),
            Kind::Name(_) | Kind::Code(_) => None,
        }
    }

    /// Whether it is an id or the number of the attempt, and nothing else. Such a value has only letters, digits, `_`, `-` and `.`, so it
    /// is no code, wherever it stands.
    pub(super) fn is_id(&self) -> bool {
        matches!(self.kind, Kind::Name(Name::RunId | Name::DagId | Name::TaskId | Name::Attempt))
    }
}
