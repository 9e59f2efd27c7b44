//! The words of expressions. A test holds them against the template engine.

/// Names start with one of these.
pub(super) const ROOTS: &[&str] = &["params", "tasks", "run", "dag", "task", "attempt", "item"];

/// Words that stand for themselves.
pub(super) const KEYWORDS: &[&str] =
    &["true", "false", "none", "True", "False", "None", "and", "or", "not", "in", "is", "if", "else"];

/// What can be called.
pub(super) const FUNCTIONS: &[&str] = &["dict", "range"];

/// What can follow `|`, besides `raw`.
pub(super) const FILTERS: &[&str] = &[
    "abs",
    "attr",
    "bool",
    "capitalize",
    "chain",
    "count",
    "d",
    "default",
    "dictsort",
    "first",
    "float",
    "groupby",
    "int",
    "items",
    "join",
    "last",
    "length",
    "lines",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "select",
    "selectattr",
    "sort",
    "split",
    "string",
    "sum",
    "title",
    "trim",
    "unique",
    "upper",
    "zip",
];

/// Filters of the engine that make much of little, or are for other uses: it does not have them here.
pub(super) const UNBOUNDED: &[&str] =
    &["batch", "e", "escape", "format", "indent", "pprint", "safe", "slice", "tojson", "urlencode"];

/// What can follow `is`.
pub(super) const TESTS: &[&str] = &[
    "boolean",
    "defined",
    "divisibleby",
    "endingwith",
    "eq",
    "equalto",
    "even",
    "false",
    "float",
    "ge",
    "greaterthan",
    "gt",
    "in",
    "int",
    "integer",
    "iterable",
    "le",
    "lessthan",
    "lower",
    "lt",
    "mapping",
    "ne",
    "none",
    "number",
    "odd",
    "sameas",
    "sequence",
    "startingwith",
    "string",
    "true",
    "undefined",
    "upper",
];
