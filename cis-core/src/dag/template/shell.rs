//! Where in a shell script a `{{` stands: outside quotes, inside double quotes, in a here-document,
//! or where no reference to a variable would give its value verbatim.
//!
//! Follows the quoting of POSIX shells (POSIX.1-2024, XCU 2.2 to 2.7) and of bash, zsh and ksh. Where
//! shells disagree, or the text is past what is followed here, the position is refused: a value must
//! arrive as it is or not at all. The value itself is never in the script: its reference cannot end the
//! quotes around it. But a shell runs a value that is given to it, or to `eval`, as code, so that a wrong
//! answer here can run the value. What commands do with their words, [`super::command`] knows. Knows
//! nothing of expressions.

use super::command::{Within, begins_compound, ends_compound, is_before_command};
use super::heredoc;
use super::position::{Dialect, Position, Refusal};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Frame {
    /// `(`, `$(`, `<(`; with what to go back to.
    Paren {
        word: Word,
        within: Within,
        /// What commands in it begin with.
        inner: Within,
        /// None: behind it stands a command, as behind the `)` of a pattern and of a function's name.
        words: Option<u32>,
    },
    Double,
    Single,
    /// `$'…'`.
    Ansi,
    /// `${…}`.
    Param {
        quoted: bool,
    },
    Arithmetic {
        depth: u32,
    },
    Backtick,
    Heredoc {
        end: usize,
        refusal: Option<Refusal>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Word {
    start: Option<usize>,
    brackets: u32,
    redirection: Redirection,
}

/// Whether a word belongs to the redirection before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Redirection {
    #[default]
    None,
    /// `<`, `>`.
    Of,
    /// `<<<`.
    OfText,
    /// `<<<` of a shell, which runs it.
    OfScript,
}

/// The present pipeline up to here: a shell that comes in it runs what was given to it.
#[derive(Debug, Default)]
struct Pipeline {
    /// Templates whose values it gets.
    printed: Vec<usize>,
    /// The same of all pipelines between these parentheses.
    all: Vec<usize>,
    /// How many of those stand before each compound command that is open.
    compounds: Vec<usize>,
    /// Its `|` was read, and no word behind it.
    goes_on: bool,
    /// How many of the pending here-documents belong to earlier ones.
    heredocs: usize,
    /// A shell runs what it prints: `sh <(…)`.
    is_script: bool,
}

/// Reads a script from template to template.
#[derive(Debug)]
pub(super) struct Lexer<'a> {
    bytes: &'a [u8],
    dialect: Dialect,
    at: usize,
    stack: Vec<Frame>,
    word: Word,
    within: Within,
    /// Here-documents whose bodies start at the next newline, and how deep their commands stand.
    pending: Vec<heredoc::Heredoc>,
    pending_depth: usize,
    lost: Option<usize>,
    /// Words of the present command so far.
    words: u32,
    pipeline: Pipeline,
    /// Those around it, outside of parentheses.
    around: Vec<Pipeline>,
    /// Templates whose values a shell runs that came after them.
    run_later: Vec<usize>,
    /// How often templates were given to another command of a pipeline.
    given: usize,
}

/// A script in which templates are given to other commands more often than this is not followed further: hostile ones would take
/// quadratic time and memory.
const GIVEN_MAX: usize = 1 << 20;

impl<'a> Lexer<'a> {
    pub(super) fn new(script: &'a str, dialect: Dialect) -> Self {
        Self {
            bytes: script.as_bytes(),
            dialect,
            at: 0,
            stack: Vec::new(),
            word: Word::default(),
            within: Within::COMMAND,
            pending: Vec::new(),
            pending_depth: 0,
            lost: None,
            words: 0,
            pipeline: Pipeline::default(),
            around: Vec::new(),
            run_later: Vec::new(),
            given: 0,
        }
    }

    /// Where templates stand whose values are printed for a shell that came after them. All are known at the end of the script.
    pub(super) fn run_later(&self) -> &[usize] {
        &self.run_later
    }

    /// The next `{{` outside of comments.
    pub(super) fn next_template(&mut self) -> Option<(usize, Position)> {
        while self.at < self.bytes.len() {
            if let Some(since) = self.lost {
                let found = memchr::memmem::find(&self.bytes[self.at..], b"{{")?;
                self.at += found;
                return Some((self.at, Position::Refused(Refusal::Lost(since))));
            }
            if self.is_template(0) {
                self.note_printed();
                return Some((self.at, self.position()));
            }
            if let Some(refusal) = self.step() {
                return Some((self.at, Position::Refused(refusal)));
            }
        }
        if self.lost.is_none() {
            self.end_word();
            self.end_stage(false);
        }
        None
    }

    /// Remembers a template whose value the present command gives to the next one of its pipeline.
    fn note_printed(&mut self) {
        let in_body = matches!(self.stack.last(), Some(Frame::Heredoc { .. }));
        let is_printed = match self.word.redirection {
            // Of other bodies it is known before they are read.
            _ if in_body => self.pipeline.goes_on,
            Redirection::None => self.within.prints(),
            Redirection::OfText => true,
            Redirection::Of | Redirection::OfScript => false,
        };
        if is_printed {
            self.pipeline.printed.push(self.at);
            self.pipeline.all.push(self.at);
        }
    }

    /// Goes on after the template, which ends at `end`.
    pub(super) fn resume(&mut self, end: usize) {
        if matches!(self.stack.last(), None | Some(Frame::Paren { .. })) {
            self.word.start.get_or_insert(self.at);
        }
        self.at = end;
    }

    fn position(&self) -> Position {
        // A here-document is no word of the command that comes after it.
        let in_body = matches!(self.stack.last(), Some(Frame::Heredoc { .. }));
        let part = self.word.start.map_or(&b""[..], |start| &self.bytes[start..self.at]);
        let refusal = match self.word.redirection {
            Redirection::None if in_body => None,
            Redirection::None => self.within.refuses(part),
            Redirection::Of | Redirection::OfText => None,
            Redirection::OfScript => Some(Refusal::Program),
        };
        if let Some(refusal) = refusal.filter(|refusal| *refusal != Refusal::Operand) {
            return Position::Refused(refusal);
        }
        if self.word.brackets > 0 {
            return Position::Refused(Refusal::Subscript);
        }
        // What encloses the innermost quotes counts too, up to the innermost command.
        let mut position = Position::Bare;
        for frame in self.stack.iter().rev() {
            let refusal = match frame {
                Frame::Paren { .. } => break,
                Frame::Double => {
                    position = Position::Quoted;
                    continue;
                }
                Frame::Heredoc { refusal: None, .. } => return Position::Quoted,
                Frame::Heredoc { refusal: Some(refusal), .. } => *refusal,
                Frame::Single | Frame::Ansi => Refusal::SingleQuotes,
                Frame::Param { .. } => Refusal::Parameter,
                Frame::Arithmetic { .. } => Refusal::Arithmetic,
                Frame::Backtick => Refusal::Backticks,
            };
            return Position::Refused(refusal);
        }
        match refusal {
            Some(refusal) => Position::OnlyId { is_quoted: position == Position::Quoted, refusal },
            None => position,
        }
    }

    /// Takes one thing. Some: a template comes next, in a place that the thing before it spoils.
    fn step(&mut self) -> Option<Refusal> {
        let byte = self.bytes[self.at];
        match self.stack.last().copied() {
            None | Some(Frame::Paren { .. }) => return self.command(byte),
            Some(Frame::Heredoc { end, .. }) => return self.heredoc(byte, end),
            Some(Frame::Single) => self.until(byte, b'\''),
            Some(Frame::Ansi) if byte == b'\\' => return self.escape(),
            Some(Frame::Ansi) => self.until(byte, b'\''),
            Some(Frame::Backtick) if byte == b'\\' => return self.escape(),
            Some(Frame::Backtick) => self.until(byte, b'`'),
            Some(Frame::Double) => return self.double(byte),
            Some(Frame::Param { quoted }) => return self.parameter(byte, quoted),
            Some(Frame::Arithmetic { depth }) => return self.arithmetic(byte, depth),
        }
        None
    }

    fn command(&mut self, byte: u8) -> Option<Refusal> {
        match byte {
            b' ' | b'\t' => self.separator(),
            // A line goes on: neither part of a word nor the end of one.
            b'\\' if self.byte(1) == Some(b'\n') => self.at += 2,
            b'\n' => {
                self.end_word();
                self.end_command(self.pipeline.goes_on);
                self.newline();
            }
            b'|' => {
                let is_pipe = self.byte(1) != Some(b'|');
                self.end_command(is_pipe);
                // `||`, or `|&`, which is a pipe.
                self.at += if matches!(self.byte(1), Some(b'|' | b'&')) { 2 } else { 1 };
            }
            // `&>`: an output of bash. In other shells the command ends before the `>`.
            b'&' if self.byte(1) == Some(b'>') => {
                self.end_word();
                self.at += 1;
                self.greater();
            }
            b';' | b'&' => {
                self.end_command(false);
                self.at += 1;
            }
            b'>' => self.greater(),
            b'<' => {
                self.end_word();
                self.less();
            }
            b'#' if self.word.start.is_none() => {
                self.at +=
                    memchr::memchr(b'\n', &self.bytes[self.at..]).unwrap_or(self.bytes.len() - self.at);
            }
            b'(' if self.word.start.is_none() && self.byte(1) == Some(b'(') => match self.dialect {
                Dialect::Extended => self.push(Frame::Arithmetic { depth: 2 }, 2),
                Dialect::Posix => self.lose(),
            },
            b'(' => {
                self.end_word();
                let before = &self.bytes[..self.at];
                let (is_list, is_file) = (before.ends_with(b"="), before.ends_with(b"<"));
                let is_script = is_file && (self.within.runs_file() || self.within.reads_script());
                // The first command of a subshell reads what is piped to it.
                let goes_on = self.pipeline.goes_on && self.may_give(self.pipeline.printed.len());
                let printed = if goes_on { self.pipeline.printed.clone() } else { Vec::new() };
                self.open_command(1, self.within.in_parentheses());
                (self.pipeline.is_script, self.pipeline.printed) = (is_script, printed);
                // The first word of `names=(…)` is no command.
                self.words = u32::from(is_list);
            }
            b')' => {
                self.end_word();
                self.close_command();
            }
            _ => {
                self.word.start.get_or_insert(self.at);
                return self.word_byte(byte);
            }
        }
        None
    }

    fn word_byte(&mut self, byte: u8) -> Option<Refusal> {
        match byte {
            b'\\' => return self.escape(),
            b'\'' => self.push(Frame::Single, 1),
            b'"' => self.push(Frame::Double, 1),
            b'`' => self.push(Frame::Backtick, 1),
            b'$' => return self.dollar(false),
            b'[' => {
                self.word.brackets += 1;
                self.at += 1;
            }
            b']' => {
                self.word.brackets = self.word.brackets.saturating_sub(1);
                self.at += 1;
            }
            _ => self.at += 1,
        }
        None
    }

    fn separator(&mut self) {
        self.end_word();
        self.at += 1;
    }

    fn end_command(&mut self, is_pipe: bool) {
        self.end_word();
        self.end_stage(is_pipe);
        self.word = Word::default();
        if !self.within.is_condition() {
            // The values of an array go over lines: `declare -ia a=(`.
            self.within = match self.stack.last() {
                Some(Frame::Paren { inner, .. }) if inner.is_evaluated() => *inner,
                _ => Within::COMMAND,
            };
        }
        self.words = 0;
    }

    /// Ends a command of the pipeline; with it the pipeline, unless there `is_pipe` behind it.
    fn end_stage(&mut self, is_pipe: bool) {
        if self.within.reads_script() || (self.pipeline.is_script && !is_pipe) {
            self.run_later.append(&mut self.pipeline.printed);
            for heredoc in self.pending.iter_mut().skip(self.pipeline.heredocs) {
                heredoc.is_script = true;
            }
        }
        self.pipeline.goes_on = is_pipe;
        if !is_pipe {
            self.pipeline.printed.clear();
            self.pipeline.heredocs = self.pending.len();
        }
    }

    fn end_word(&mut self) {
        // The word of a redirection may come after blanks.
        let Some(start) = self.word.start else { return };
        let Word { redirection, .. } = std::mem::take(&mut self.word);
        let (word, rest) = (&self.bytes[start..self.at], &self.bytes[self.at..]);
        let is_descriptor = matches!(rest, [b'<' | b'>', ..]) && is_descriptor(word);
        if redirection != Redirection::None || is_descriptor {
            return;
        }
        let is_first = self.words == 0;
        self.pipeline.goes_on = false;
        // The brace of `function f {` is not the first word.
        if word == b"{" || (is_first && begins_compound(word)) {
            self.pipeline.compounds.push(self.pipeline.all.len());
        } else if is_first
            && ends_compound(word)
            && let Some(begin) = self.pipeline.compounds.pop()
            && self.may_give(self.pipeline.all.len().saturating_sub(begin))
        {
            // What was printed in it goes to the next command of the pipeline.
            self.pipeline.printed = self.pipeline.all[begin..].to_vec();
        }
        if word == b"{" {
            self.words = 0;
        } else if !is_before_command(word) {
            self.words += 1;
        }
        // The name of a function is no command.
        if is_first && rest.starts_with(b"()") {
            return;
        }
        // Its patterns may end in a `)` that nothing opened.
        if word == b"case" && !self.within.is_declaring() && !self.stack.is_empty() {
            return self.lose();
        }
        self.within = self.within.after(word, is_first, self.dialect);
    }

    /// `>`, `>>`, `>|`, `>&`.
    fn greater(&mut self) {
        self.end_word();
        self.at += 1;
        if matches!(self.byte(0), Some(b'>' | b'|' | b'&')) {
            self.at += 1;
        }
        self.redirects(Redirection::Of);
    }

    /// The next word belongs to a redirection. In `[[ … ]]` there are comparisons, and `<(…)` is a word of its own.
    fn redirects(&mut self, redirection: Redirection) {
        if !self.within.is_condition() && self.byte(0) != Some(b'(') {
            self.word.redirection = redirection;
        }
    }

    /// `<`, `<<`, `<<<`, `<<-`.
    fn less(&mut self) {
        if self.byte(1) != Some(b'<') {
            self.at += if matches!(self.byte(1), Some(b'&' | b'>')) { 2 } else { 1 };
            self.redirects(Redirection::Of);
        } else if self.byte(2) == Some(b'<') {
            self.at += 3;
            let is_script = self.within.reads_script();
            self.redirects(if is_script { Redirection::OfScript } else { Redirection::OfText });
        } else if let Some((mut found, end)) = heredoc::operator(self.bytes, self.at) {
            found.is_script = self.within.reads_script();
            if self.pending.is_empty() {
                self.pending_depth = self.stack.len();
            }
            if self.pending_depth != self.stack.len() {
                return self.lose();
            }
            self.pending.push(found);
            self.at = end;
        } else {
            self.lose();
        }
    }

    fn newline(&mut self) {
        if self.pending.is_empty() {
            self.at += 1;
            return;
        }
        if self.pending_depth != self.stack.len() {
            return self.lose();
        }
        let mut from = self.at + 1;
        let mut bodies: Vec<Frame> = Vec::with_capacity(self.pending.len());
        for found in std::mem::take(&mut self.pending) {
            let Some(body) = found.body(self.bytes, from) else {
                return self.lose();
            };
            bodies.push(Frame::Heredoc { end: body.end, refusal: body.refusal });
            from = body.end;
        }
        self.pipeline.heredocs = 0;
        // The first body is read first.
        self.stack.extend(bodies.into_iter().rev());
        self.at += 1;
    }

    fn heredoc(&mut self, byte: u8, end: usize) -> Option<Refusal> {
        if self.at >= end {
            self.stack.pop();
            return None;
        }
        if self.is_template(1) && byte == b'$' {
            self.at += 1;
            return Some(Refusal::Dollar);
        }
        if byte == b'\\' {
            return self.escape();
        }
        self.at += 1;
        None
    }

    fn double(&mut self, byte: u8) -> Option<Refusal> {
        match byte {
            b'"' => self.pop(1),
            b'\\' => return self.escape(),
            b'$' => return self.dollar(true),
            b'`' => self.push(Frame::Backtick, 1),
            _ => self.quoted_byte(byte),
        }
        None
    }

    fn parameter(&mut self, byte: u8, quoted: bool) -> Option<Refusal> {
        match byte {
            b'}' => self.pop(1),
            b'\\' => return self.escape(),
            b'$' => return self.dollar(quoted),
            b'`' => self.push(Frame::Backtick, 1),
            // Inside double quotes shells disagree whether these still quote.
            b'\'' | b'"' if quoted => self.lose(),
            b'\'' => self.push(Frame::Single, 1),
            b'"' => self.push(Frame::Double, 1),
            b'{' => self.lose(),
            _ => self.quoted_byte(byte),
        }
        None
    }

    fn arithmetic(&mut self, byte: u8, depth: u32) -> Option<Refusal> {
        let set = |lexer: &mut Self, depth| {
            if let Some(top) = lexer.stack.last_mut() {
                *top = Frame::Arithmetic { depth };
            }
            lexer.at += 1;
        };
        match byte {
            b'(' => set(self, depth + 1),
            b')' if depth == 2 && self.byte(1) == Some(b')') => self.pop(2),
            // `$( (…) )` written as `$((…) )`: not arithmetic after all.
            b')' if depth == 2 => self.lose(),
            b')' => set(self, depth - 1),
            b'$' => return self.dollar(true),
            b'\'' | b'"' | b'`' | b'\\' => self.lose(),
            _ => self.quoted_byte(byte),
        }
        None
    }

    fn until(&mut self, byte: u8, end: u8) {
        if byte == end { self.pop(1) } else { self.quoted_byte(byte) }
    }

    /// A byte that means nothing; but a newline before the body of a here-document is not followed.
    fn quoted_byte(&mut self, byte: u8) {
        if byte == b'\n' && !self.pending.is_empty() {
            return self.lose();
        }
        self.at += 1;
    }

    /// A backslash and what it quotes.
    fn escape(&mut self) -> Option<Refusal> {
        if self.is_template(1) {
            self.at += 1;
            return Some(Refusal::Backslash);
        }
        self.at = (self.at + 2).min(self.bytes.len());
        None
    }

    fn dollar(&mut self, in_quotes: bool) -> Option<Refusal> {
        if self.is_template(1) {
            self.at += 1;
            return Some(Refusal::Dollar);
        }
        match self.byte(1) {
            Some(b'(') if self.byte(2) == Some(b'(') => self.push(Frame::Arithmetic { depth: 2 }, 3),
            Some(b'(') => self.open_command(2, Within::COMMAND),
            Some(b'{') => self.push(Frame::Param { quoted: in_quotes }, 2),
            // Arithmetic in bash, text in others.
            Some(b'[') => self.lose(),
            Some(b'\'') if !in_quotes => self.ansi(),
            Some(b'@' | b'*' | b'#' | b'?' | b'-' | b'$' | b'!' | b'0'..=b'9') => self.at += 2,
            _ => self.at += 1,
        }
        None
    }

    /// `$'…'`: with escapes in some shells, `$` and plain quotes in others.
    fn ansi(&mut self) {
        let inner = &self.bytes[self.at + 2..];
        let length = memchr::memchr(b'\'', inner).unwrap_or(inner.len());
        if !inner[..length].contains(&b'\\') {
            self.push(Frame::Single, 2);
        } else if self.dialect == Dialect::Extended {
            self.push(Frame::Ansi, 2);
        } else {
            self.lose();
        }
    }

    fn open_command(&mut self, length: usize, within: Within) {
        // Behind `$(…)` the command goes on.
        let words = (length > 1).then_some(self.words);
        self.push(Frame::Paren { word: self.word, within: self.within, inner: within, words }, length);
        let inner = Pipeline { heredocs: self.pending.len(), ..Pipeline::default() };
        self.around.push(std::mem::replace(&mut self.pipeline, inner));
        self.word = Word::default();
        self.within = within;
        self.words = 0;
    }

    fn close_command(&mut self) {
        if !self.pending.is_empty() && self.pending_depth == self.stack.len() && !self.stack.is_empty() {
            return self.lose();
        }
        self.at += 1;
        self.words = 0;
        self.end_stage(false);
        if let Some(Frame::Paren { word, within, words, .. }) = self.stack.last().copied() {
            self.stack.pop();
            self.word = word;
            self.within = within;
            self.words = words.unwrap_or_default();
            let inner = std::mem::replace(&mut self.pipeline, self.around.pop().unwrap_or_default());
            self.pipeline.goes_on = false;
            // Of a subshell, and of `echo $(…)`.
            if (words.is_none() || within.prints()) && self.may_give(inner.all.len()) {
                self.pipeline.printed.extend_from_slice(&inner.all);
                self.pipeline.all.extend(inner.all);
            }
        } else if !self.within.is_condition() {
            // Behind the pattern of a `case`, which is no command whatever its words are.
            self.within = Within::COMMAND;
        }
    }

    fn push(&mut self, frame: Frame, length: usize) {
        self.stack.push(frame);
        self.at += length;
    }

    fn pop(&mut self, length: usize) {
        self.stack.pop();
        self.at += length;
    }

    /// Whether so many templates may be given to another command. If not, a shell may run each of them.
    fn may_give(&mut self, count: usize) -> bool {
        self.given = self.given.saturating_add(count);
        if self.given > GIVEN_MAX {
            self.run_later.extend_from_slice(&self.pipeline.all);
            self.lose();
        }
        self.given <= GIVEN_MAX
    }

    fn lose(&mut self) {
        self.lost = Some(self.at.min(self.bytes.len().saturating_sub(1)));
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.at + ahead).copied()
    }

    fn is_template(&self, ahead: usize) -> bool {
        self.bytes[self.at + ahead..].starts_with(b"{{")
    }
}

/// Whether this word is part of a redirection behind it: `2>`, and `{name}>` of bash.
fn is_descriptor(word: &[u8]) -> bool {
    match word {
        [b'{', name @ .., b'}'] => name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_'),
        _ => word.iter().all(u8::is_ascii_digit),
    }
}
