//! What can be said of a text of a file before there are values: the names in it, and what is wrong with it.

use std::collections::BTreeSet;
use std::ops::Range;

use super::compare::{self, Operand};
use super::expr::{Expr, ExprError, Kind, Name};
use super::scan::{Scan, Site, scan};
use super::{MAX_ITEMS, MAX_ITEMS_BYTES, decide, eval, parser};
use crate::dag::model::ValueType;

/// Where in a task a text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dag) enum Place<'a> {
    /// What is rendered at the start of a try.
    Start(Site<'a>),
    /// The question of an approval.
    Question,
    /// What is said of a session that waits.
    Prompt,
    /// `if`: no braces.
    Condition,
    /// `foreach`: no braces.
    List,
}

/// A name in a text.
#[derive(Debug)]
pub(in crate::dag) struct Used {
    /// Bytes of the text.
    pub(in crate::dag) range: Range<usize>,
    /// It.
    pub(in crate::dag) name: Name,
    /// The expression says what holds where it has no value.
    pub(in crate::dag) guarded: bool,
    /// The expression is this name and nothing else.
    pub(in crate::dag) whole: bool,
}

/// One side of a comparison whose type the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::dag) enum Side {
    /// A name.
    Name(Name),
    /// A value of this type.
    Type(ValueType),
}

/// Two values that are compared, in a text.
#[derive(Debug)]
pub(in crate::dag) struct Compared {
    /// Bytes of the text.
    pub(in crate::dag) range: Range<usize>,
    /// `<`, `==` …
    pub(in crate::dag) operator: String,
    /// What stands before and behind it.
    pub(in crate::dag) sides: [Side; 2],
}

/// What a text says.
#[derive(Debug, Default)]
pub(in crate::dag) struct Checked {
    /// All names in it.
    pub(in crate::dag) used: Vec<Used>,
    /// Comparisons of values whose types can be looked up.
    pub(in crate::dag) compared: Vec<Compared>,
    /// What is wrong with it.
    pub(in crate::dag) errors: Vec<ExprError>,
}

/// Code that the engine takes, names left out: many tasks of a file have the same few.
#[derive(Debug, Default)]
pub(in crate::dag) struct Compiled(BTreeSet<String>);

impl Compiled {
    fn check(&mut self, expr: &Expr) -> Result<(), String> {
        match &expr.kind {
            Kind::Code(code) if !self.0.contains(code) => {
                eval::check(expr)?;
                if self.0.len() < MAX_COMPILED {
                    self.0.insert(code.clone());
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// More kinds of code than a file of people has.
const MAX_COMPILED: usize = 10_000;

/// All names in a text, what it compares, and what is wrong with it. If the file is that of a run, nothing is evaluated, and
/// places in scripts are not judged: what an earlier version accepted can fail now, and then only its task fails.
pub(in crate::dag) fn check(
    text: &str,
    place: Place<'_>,
    compiled: &mut Compiled,
    is_accepted: bool,
) -> Checked {
    let (exprs, mut errors) = match place {
        Place::Start(site) => texts(text, site, is_accepted),
        Place::Question | Place::Prompt => texts(text, Site::Plain, is_accepted),
        Place::Condition | Place::List => match parser::parse_bare(text) {
            Ok(expr) => (vec![expr], Vec::new()),
            Err(error) => (Vec::new(), vec![error]),
        },
    };
    let (mut used, mut compared) = (Vec::new(), Vec::new());
    for expr in exprs {
        let evaluated = |()| if is_accepted { Ok(()) } else { constant(&expr, place) };
        if let Err(message) = compiled.check(&expr).and_then(evaluated) {
            errors.push(ExprError { range: expr.range.clone(), message, help: None, resume: None });
        }
        if place == Place::Prompt {
            errors.extend(expr.references.iter().filter_map(decide::without_logs));
        } else if !matches!(place, Place::Start(_)) {
            errors.extend(expr.references.iter().filter_map(decide::too_early));
        }
        compared.extend(compared_in(text, &expr));
        let whole = matches!(expr.kind, Kind::Name(_));
        let guarded = expr.guarded;
        let names = expr.references.into_iter();
        used.extend(names.map(|it| Used { range: it.range, name: it.name, guarded, whole }));
    }
    Checked { used, compared, errors }
}

/// Each two neighbors of the comparisons whose types can be looked up.
fn compared_in<'a>(text: &'a str, expr: &'a Expr) -> impl Iterator<Item = Compared> + 'a {
    let side = |range: &Range<usize>| match compare::operand(text, range, &expr.references) {
        Operand::Name(index) => expr.references.get(index).map(|it| Side::Name(it.name.clone())),
        Operand::Literal(ty) => Some(Side::Type(ty)),
        Operand::Unknown => None,
    };
    expr.comparisons.iter().flat_map(move |comparison| {
        let pairs = comparison.operands.windows(2).zip(&comparison.operators);
        pairs.filter_map(move |(pair, operator)| {
            let [left, right] = pair else { return None };
            let operator = compare::operator(&text[operator.clone()]);
            if compare::is_containment(operator) {
                return None;
            }
            let sides = [side(left)?, side(right)?];
            Some(Compared { range: left.start..right.end, operator: operator.to_owned(), sides })
        })
    })
}

fn texts(text: &str, site: Site<'_>, is_accepted: bool) -> (Vec<Expr>, Vec<ExprError>) {
    let Scan { found, mut errors, misplaced } = scan(text, site);
    errors.extend(misplaced.into_iter().filter(|_| !is_accepted));
    errors.extend(block(text).map(|range| ExprError {
        message: "only {{ … }} can stand here, no blocks and no comments".to_owned(),
        help: Some(format!("to have this text itself, write {{{{ \"{}\" }}}}", &text[range.clone()])),
        range,
        resume: None,
    }));
    (found.into_iter().map(|found| found.expr).collect(), errors)
}

/// What has no names has its value already, and fails now if ever.
fn constant(expr: &Expr, place: Place<'_>) -> Result<(), String> {
    if !expr.references.is_empty() {
        return Ok(());
    }
    match place {
        Place::Start(_) | Place::Question | Place::Prompt => eval::text(expr, &|_| None).map(drop),
        Place::Condition => eval::boolean(expr, &|_| None).map(drop),
        Place::List => eval::list(expr, &|_| None, (MAX_ITEMS, MAX_ITEMS_BYTES)).map(drop),
    }
}

/// What is wrong with a value of this type being the whole of an expression.
pub(in crate::dag) fn mismatch(ty: ValueType, place: Place<'_>) -> Option<String> {
    let found = match ty {
        ValueType::String => "a text",
        ValueType::Integer | ValueType::Number => "a number",
        ValueType::Boolean => "true or false",
        ValueType::List => "a list",
        ValueType::Json => return None,
    };
    match place {
        Place::Condition if ty != ValueType::Boolean => Some(eval::not_boolean(found)),
        Place::List if ty != ValueType::List => Some(eval::not_list(found)),
        _ => None,
    }
}

/// The start of a `{% … %}` or `{# … #}`. `${#name}` is the shell's.
fn block(text: &str) -> Option<Range<usize>> {
    let start = |open: &str, close: &str| {
        let last = text.rfind(close)?;
        let opens = |(at, _): &(usize, &str)| !text[..*at].ends_with('$') && at + 2 <= last;
        text.match_indices(open).find(opens).map(|(at, _)| at..at + 2)
    };
    start("{%", "%}").or_else(|| start("{#", "#}"))
}

/// Whether a text has a block as [`check`] refuses it.
pub(in crate::dag) fn has_block(text: &str) -> bool {
    block(text).is_some()
}
