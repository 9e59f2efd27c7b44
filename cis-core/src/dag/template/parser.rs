//! One expression, in `{{ … }}` or alone: where it ends, which names it uses, and the same expression
//! over plain variables.
//!
//! Owns the syntax of names (`params.x`, `tasks.my-task.outputs.x` …). All names are known before
//! anything is evaluated: what is not a name, a literal, a filter or an operator is refused here.
//! Does not know which parameters and tasks there are.

use std::ops::Range;

use super::compare::{self, Mark, MarkKind};
use super::expr::{Comparison, Expr, ExprError, Kind, Name, Reference};
use super::strict;
use super::words::{FILTERS, FUNCTIONS, KEYWORDS, ROOTS, TESTS};
use crate::dag::diagnose::{nearest, quoted};

/// Operators, filters and brackets in one expression: the engine recurses over them, and each may build
/// something.
const MAX_OPERATIONS: usize = 100;

const LITERAL_HELP: &str = "to have the two braces themselves, write {{ \"{{\" }}";

/// Reads the expression whose `{{` stands at `start`.
pub(in crate::dag) fn parse_at(text: &str, start: usize) -> Result<Expr, ExprError> {
    let mut parser = Parser::new(text, start);
    let result = parser.run();
    result.map_err(|mut error| {
        // A mistake inside must not hide what is wrong after it.
        error.resume =
            error.resume.or_else(|| text[error.range.end..].find("}}").map(|at| error.range.end + at + 2));
        error
    })
}

/// Reads a text that is one expression, without braces.
pub(in crate::dag) fn parse_bare(text: &str) -> Result<Expr, ExprError> {
    let mut parser = Parser { at: 0, bare: true, ..Parser::new(text, 0) };
    let start = text.len() - text.trim_start().len();
    if text[start..].starts_with("{{") {
        let help = "write it without the braces";
        return Err(parser.error(start..start + 2, "this is an expression already", help));
    }
    let expr = parser.run()?;
    if let Some(at) = parser.raw {
        let help = "leave it out: no shell reads this value";
        return Err(parser.error(at..at + 3, "`raw` is for scripts", help));
    }
    Ok(expr)
}

/// What the token before the present one was.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Other,
    Dot,
    Pipe,
    Is,
    Operand,
}

struct Parser<'a> {
    text: &'a str,
    start: usize,
    at: usize,
    /// The text is nothing but the expression.
    bare: bool,
    open: Vec<u8>,
    before: Before,
    references: Vec<Reference>,
    raw: Option<usize>,
    guarded: bool,
    last_pipe: usize,
    tokens: usize,
    operations: usize,
    literal: Option<Range<usize>>,
    /// What says where comparisons begin and end.
    marks: Vec<Mark>,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, start: usize) -> Self {
        Self {
            text,
            start,
            at: start + 2,
            bare: false,
            open: Vec::new(),
            before: Before::Other,
            references: Vec::new(),
            raw: None,
            guarded: false,
            last_pipe: 0,
            tokens: 0,
            operations: 0,
            literal: None,
            marks: Vec::new(),
        }
    }

    fn run(&mut self) -> Result<Expr, ExprError> {
        if !self.bare
            && matches!(self.byte(0), Some(b'-' | b'+'))
            && !self.byte(1).is_some_and(|b| b.is_ascii_digit())
        {
            return Err(self.error(
                self.at..self.at + 1,
                "templates have no whitespace control",
                LITERAL_HELP,
            ));
        }
        loop {
            self.skip_blanks();
            let Some(byte) = self.byte(0) else {
                if self.bare {
                    return self.finish();
                }
                let range = self.start..self.start + 2;
                return Err(self.error(range, "this {{ has no }}", LITERAL_HELP));
            };
            if !self.bare && byte == b'}' && self.byte(1) == Some(b'}') && self.open.last() != Some(&b'{') {
                return self.finish();
            }
            if let Some(at) = self.raw {
                return Err(self.error(
                    at..at + 3,
                    "`raw` is not the last filter",
                    "write it last: {{ … | raw }}",
                ));
            }
            self.tokens += 1;
            self.token(byte)?;
        }
    }

    fn token(&mut self, byte: u8) -> Result<(), ExprError> {
        match byte {
            b'"' | b'\'' => {
                let range = self.string(byte)?;
                self.literal = Some(range);
                self.before = Before::Operand;
            }
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => return self.word(),
            b'0'..=b'9' => {
                let plain = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
                self.at += self.rest().iter().take_while(|b| plain(b)).count();
                self.before = Before::Operand;
            }
            b'(' | b'[' | b'{' => {
                self.operation()?;
                self.open.push(byte);
                self.mark(MarkKind::Open, 1);
                self.before = Before::Other;
            }
            b')' | b']' | b'}' => {
                let wanted = match byte {
                    b')' => b'(',
                    b']' => b'[',
                    _ => b'{',
                };
                if self.open.pop() != Some(wanted) {
                    let said = format!("unexpected `{}`", byte as char);
                    return Err(self.error(self.at..self.at + 1, said, LITERAL_HELP));
                }
                self.mark(MarkKind::Close, 1);
                self.before = Before::Operand;
            }
            b'|' => {
                self.operation()?;
                self.last_pipe = self.at;
                self.at += 1;
                self.before = Before::Pipe;
            }
            b'.' if self.before == Before::Operand => {
                self.operation()?;
                self.at += 1;
                self.before = Before::Dot;
            }
            b'.' => return Err(self.foreign()),
            b'*' => {
                // It would repeat texts and lists as well, a hundred million times.
                let help = "let the task that makes the number multiply it";
                return Err(self.error(self.at..self.at + 1, "expressions do not multiply", help));
            }
            b',' | b':' => {
                self.mark(MarkKind::Split, 1);
                self.before = Before::Other;
            }
            b'=' | b'!' | b'<' | b'>' => {
                self.operation()?;
                let kind = match (byte, self.byte(1)) {
                    (b'=' | b'!', Some(b'=')) | (b'<' | b'>', _) => MarkKind::Operator,
                    // The engine says that this is no operator.
                    _ => MarkKind::Split,
                };
                self.mark(kind, if self.byte(1) == Some(b'=') { 2 } else { 1 });
                self.before = Before::Other;
            }
            b'+' | b'-' | b'/' | b'%' | b'~' => {
                self.operation()?;
                match byte {
                    b'~' => self.mark(MarkKind::Concat, 1),
                    // Otherwise it is the sign of a number.
                    b'+' | b'-' if self.before == Before::Operand => self.mark(MarkKind::Sum, 1),
                    _ => self.at += 1,
                }
                self.before = Before::Other;
            }
            _ => {
                let c = self.text[self.at..].chars().next().map_or(1, char::len_utf8);
                let range = self.at..self.at + c;
                let said = format!("unexpected {}", quoted(&self.text[range.clone()]));
                return Err(self.error(range, said, LITERAL_HELP));
            }
        }
        Ok(())
    }

    /// Records a token of this many bytes, and moves behind it.
    fn mark(&mut self, kind: MarkKind, length: usize) {
        let range = self.at..self.at + length;
        self.at = range.end;
        self.marks.push(Mark { range, kind });
    }

    fn operation(&mut self) -> Result<(), ExprError> {
        self.operations += 1;
        if self.operations <= MAX_OPERATIONS {
            return Ok(());
        }
        let said = format!("there are more than {MAX_OPERATIONS} operators, filters and brackets in it");
        Err(self.error(self.at..self.at + 1, said, "let a task work it out, and use its output"))
    }

    fn word(&mut self) -> Result<(), ExprError> {
        let range = self.at..self.at + identifier(self.rest());
        let word = &self.text[range.clone()];
        let before = std::mem::replace(&mut self.before, Before::Operand);
        self.at = range.end;
        match before {
            Before::Dot => Ok(()),
            Before::Pipe if word == "raw" => {
                if !self.open.is_empty() {
                    return Err(self.error(
                        range,
                        "`raw` stands inside brackets",
                        "write it last: {{ … | raw }}",
                    ));
                }
                self.raw = Some(range.start);
                Ok(())
            }
            Before::Pipe => {
                self.guarded |= matches!(word, "default" | "d");
                self.one_of(range, "filter", FILTERS)
            }
            Before::Is if word == "not" => {
                self.before = Before::Is;
                Ok(())
            }
            Before::Is => {
                self.guarded |= matches!(word, "defined" | "undefined");
                self.one_of(range, "test", TESTS)
            }
            _ if KEYWORDS.contains(&word) => {
                self.operation()?;
                self.before = if word == "is" { Before::Is } else { Before::Other };
                let kind = match word {
                    "in" => Some(MarkKind::In),
                    "not" if self.is_next_word("in") => Some(MarkKind::In),
                    "and" | "or" | "not" | "if" | "else" => Some(MarkKind::Split),
                    _ => None,
                };
                self.marks.extend(kind.map(|kind| Mark { range, kind }));
                Ok(())
            }
            _ if ROOTS.contains(&word) => self.path(range),
            _ if self.is_keyword_argument() || (FUNCTIONS.contains(&word) && self.peek() == Some(b'(')) => {
                Ok(())
            }
            _ => Err(self.unknown_word(range)),
        }
    }

    fn is_next_word(&self, word: &str) -> bool {
        let rest = self.text[self.at..].trim_start();
        &rest[..identifier(rest.as_bytes())] == word
    }

    /// `name=` inside a call; not `==`.
    fn is_keyword_argument(&self) -> bool {
        let rest = self.text[self.at..].trim_start().as_bytes();
        self.open.last() == Some(&b'(') && rest.first() == Some(&b'=') && rest.get(1) != Some(&b'=')
    }

    fn one_of(&self, range: Range<usize>, what: &str, known: &[&str]) -> Result<(), ExprError> {
        let word = &self.text[range.clone()];
        if known.contains(&word) {
            return Ok(());
        }
        let help = match nearest(word, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are {}", known.join(", ")),
        };
        Err(self.error(range, format!("no {what} {}", quoted(word)), help))
    }

    /// The templates of other programs start with a dot.
    fn foreign(&self) -> ExprError {
        if self.bare {
            let range = self.at..self.at + 1;
            return self.error(range, "nothing stands before this dot", LITERAL_HELP);
        }
        let end = self.text[self.at..].find("}}").map_or(self.at + 1, |at| self.at + at + 2);
        let whole = &self.text[self.start..end];
        let help = if whole.ends_with("}}") && !whole.contains(['"', '\\', '\n']) {
            format!("if it is for another program, write {{{{ \"{whole}\" }}}}")
        } else {
            LITERAL_HELP.to_owned()
        };
        self.error(self.at..self.at + 1, "an expression cannot start with a dot", help)
    }

    fn unknown_word(&self, range: Range<usize>) -> ExprError {
        let word = &self.text[range.clone()];
        let help = match nearest(word, ROOTS.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "there are params.NAME, tasks.ID.outputs.NAME, tasks.ID.output, item, run.id, dag.id, \
                     task.id and attempt; a text stands in quotes"
                .to_owned(),
        };
        self.error(range, format!("unknown name {}", quoted(word)), help)
    }

    fn path(&mut self, root: Range<usize>) -> Result<(), ExprError> {
        let name = match &self.text[root.clone()] {
            "attempt" => Some(Name::Attempt),
            "item" => Some(Name::Item),
            "params" => self.step(false).map(Name::Param),
            "tasks" => self.output_path(),
            "run" => self.fixed("id").then_some(Name::RunId),
            "dag" => self.fixed("id").then_some(Name::DagId),
            _ => self.fixed("id").then_some(Name::TaskId),
        };
        let range = root.start..self.at;
        let Some(name) = name else {
            let said = format!("{} is not a value", quoted(&self.text[range.clone()]));
            let help = match &self.text[root] {
                "params" => "write params.NAME",
                "tasks" => "write tasks.ID.outputs.NAME, or tasks.ID.output for the end of its log",
                "run" => "write run.id",
                "dag" => "write dag.id",
                _ => "write task.id",
            };
            return Err(self.error(range, said, help));
        };
        self.references.push(Reference { range, name });
        Ok(())
    }

    fn output_path(&mut self) -> Option<Name> {
        let task = self.step(true)?;
        match self.step(false)?.as_str() {
            "outputs" => Some(Name::Output { task, output: self.step(false)? }),
            "output" => Some(Name::Tail(task)),
            _ => None,
        }
    }

    fn fixed(&mut self, wanted: &str) -> bool {
        let before = self.at;
        let found = self.step(false).is_some_and(|step| step == wanted);
        if !found {
            self.at = self.at.max(before);
        }
        found
    }

    /// One `.name` or `["name"]`. Ids of tasks may hold dashes.
    fn step(&mut self, dashes: bool) -> Option<String> {
        let from = self.at;
        self.skip_blanks();
        let found = match self.byte(0) {
            Some(b'.') => {
                self.at += 1;
                self.skip_blanks();
                let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || (dashes && b == b'-');
                let length = self.rest().iter().take_while(|b| plain(**b)).count();
                let word = &self.text[self.at..self.at + length];
                self.at += length;
                (!word.is_empty()).then(|| word.to_owned())
            }
            Some(b'[') => self.subscript(),
            _ => None,
        };
        if found.is_none() {
            self.at = from;
        }
        found
    }

    fn subscript(&mut self) -> Option<String> {
        self.at += 1;
        self.skip_blanks();
        let quote = self.byte(0).filter(|b| matches!(b, b'"' | b'\''))?;
        let inner = self.string(quote).ok()?;
        let word = &self.text[inner];
        self.skip_blanks();
        (self.byte(0) == Some(b']') && !word.contains('\\')).then_some(())?;
        self.at += 1;
        Some(word.to_owned())
    }

    /// Skips a string; what is between its quotes.
    fn string(&mut self, quote: u8) -> Result<Range<usize>, ExprError> {
        let start = self.at;
        let mut at = start + 1;
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(at) {
                Some(b'\\') => at += 2,
                Some(b) if *b == quote => break,
                Some(_) => at += 1,
                None => return Err(self.error(start..start + 1, "this string does not end", LITERAL_HELP)),
            }
        }
        self.at = at + 1;
        Ok(start + 1..at)
    }

    fn finish(&mut self) -> Result<Expr, ExprError> {
        let braces = if self.bare { 0 } else { 2 };
        let end = self.at + braces;
        let range = self.start..end;
        let inner_start = self.start + braces;
        let inner_end = if self.raw.is_some() { self.last_pipe } else { self.at };
        let inner = self.text[inner_start..inner_end].trim();
        if inner.is_empty() {
            return Err(ExprError {
                resume: Some(end),
                ..self.error(range, "there is nothing in it", LITERAL_HELP)
            });
        }
        let whole = |range: &Range<usize>| self.text[range.clone()].len() == inner.len();
        let plain_tokens = self.tokens - if self.raw.is_some() { 2 } else { 0 };
        let kind = match (&self.references[..], &self.literal) {
            ([only], _) if whole(&only.range) => Kind::Name(only.name.clone()),
            ([], Some(text)) if plain_tokens == 1 && !self.text[text.clone()].contains('\\') => {
                Kind::Literal(self.text[text.clone()].to_owned())
            }
            _ => Kind::Code(String::new()),
        };
        let mut comparisons = Vec::new();
        let kind = match kind {
            Kind::Code(_) => {
                comparisons = compare::find(self.text, inner_start..inner_end, &self.marks);
                Kind::Code(self.rewritten(inner_start..inner_end, &comparisons))
            }
            plain => plain,
        };
        let references = std::mem::take(&mut self.references);
        Ok(Expr { range, references, comparisons, raw: self.raw.is_some(), guarded: self.guarded, kind })
    }

    /// The source with each name replaced by a variable that minijinja can read, each comparison by a call, and a filter that
    /// checks each operand of `~`.
    fn rewritten(&self, range: Range<usize>, comparisons: &[Comparison]) -> String {
        let names = self.references.iter().enumerate();
        let mut edits: Vec<(Range<usize>, String)> =
            names.map(|(index, reference)| (reference.range.clone(), format!("v{index}"))).collect();
        // Before the comparisons: an operand that ends where one ends stands inside of it.
        let concatenated = strict::concatenated(self.text, range.clone(), &self.marks);
        edits.extend(concatenated.into_iter().map(|end| (end..end, format!("|{}", strict::COMPLETE))));
        for comparison in comparisons {
            let Range { start, end } = comparison.range();
            edits.push((start..start, format!("{}(", compare::FUNCTION)));
            let operators = comparison.operators.iter();
            edits.extend(operators.map(|it| {
                let operator = compare::operator(&self.text[it.clone()]);
                (it.clone(), format!(", \"{operator}\", "))
            }));
            edits.push((end..end, ")".to_owned()));
        }
        edits.sort_by_key(|(range, _)| (range.start, range.end));
        let mut code = String::with_capacity(range.len());
        let mut at = range.start;
        for (range, new) in edits {
            code.push_str(&self.text[at..range.start]);
            code.push_str(&new);
            at = range.end;
        }
        code.push_str(&self.text[at..range.end]);
        code.trim().to_owned()
    }

    fn error(&self, range: Range<usize>, message: impl Into<String>, help: impl Into<String>) -> ExprError {
        let mut help = help.into();
        if self.bare && help == LITERAL_HELP {
            help = "there are names, numbers, texts in quotes, operators and filters".to_owned();
        }
        ExprError { range, message: message.into(), help: Some(help), resume: None }
    }

    fn rest(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.at..]
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    fn peek(&self) -> Option<u8> {
        self.rest().iter().copied().find(|b| !b.is_ascii_whitespace())
    }

    fn skip_blanks(&mut self) {
        self.at += self.rest().iter().take_while(|b| b.is_ascii_whitespace()).count();
    }
}

fn identifier(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count()
}
