//! The words of a shell's text: where they stand, what they say, and which are programs.
//!
//! Pure, and no more of a shell than that: what runs under which condition is not asked. What a word says only when it is
//! run (a command's output, a pattern, a template) has no value here.

use std::collections::BTreeSet;
use std::ops::Range;

/// Commands within commands, at most.
const DEPTH_MAX: usize = 32;

/// After these words comes a command.
const BEFORE_COMMANDS: [&str; 13] =
    ["if", "then", "else", "elif", "fi", "while", "until", "do", "done", "!", "{", "}", "time"];

/// One word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    /// Where it stands.
    pub(super) range: Range<usize>,
    /// What it says; none: that is known when it is run.
    pub(super) value: Option<String>,
    /// It has a template in it.
    pub(super) is_open: bool,
}

/// The simple commands of a text, also those within `$(…)` and the like: their words, the program first. Targets of
/// redirected output are none of them, nor are the texts of here-documents.
///
/// # Errors
/// It cannot be split: in words.
pub(super) fn commands(
    text: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<Vec<Word>>, String> {
    let mut reader = Reader {
        text,
        at: 0,
        depth: 0,
        variable,
        assigned: BTreeSet::new(),
        here: Vec::new(),
        commands: Vec::new(),
    };
    reader.commands(None)?;
    Ok(reader.commands)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    variable: &'a dyn Fn(&str) -> Option<String>,
    /// Variables that the text sets.
    assigned: BTreeSet<String>,
    /// Ends of here-documents that begin on the next line.
    here: Vec<String>,
    commands: Vec<Vec<Word>>,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn take(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn takes(&mut self, what: &str) -> bool {
        let is_there = self.rest().starts_with(what);
        self.at += if is_there { what.len() } else { 0 };
        is_there
    }

    /// Behind the next `end`.
    fn skip_to(&mut self, end: &str) -> Result<(), String> {
        let found = self.rest().find(end).ok_or_else(|| format!("a `{end}` is missing"))?;
        self.at += found + end.len();
        Ok(())
    }

    fn commands(&mut self, end: Option<char>) -> Result<(), String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err("there are too many commands within commands".to_owned());
        }
        let mut words = Vec::new();
        let mut is_target = false;
        loop {
            let Some(next) = self.peek() else {
                self.commands.extend((!words.is_empty()).then_some(words));
                self.depth -= 1;
                return end.map_or(Ok(()), |end| Err(format!("a `{end}` is missing")));
            };
            match next {
                ' ' | '\t' | '\r' => drop(self.take()),
                '\\' if self.takes("\\\n") => {}
                '#' => self.at += self.rest().find('\n').unwrap_or(self.rest().len()),
                _ if end == Some(next) => {
                    self.take();
                    self.commands.extend((!words.is_empty()).then_some(words));
                    self.depth -= 1;
                    return Ok(());
                }
                // A pattern of `case`.
                ')' => {
                    self.take();
                    words.clear();
                }
                '\n' | ';' | '&' | '|' | '(' => {
                    self.take();
                    if next == '&' && self.peek() == Some('>') {
                        continue;
                    }
                    self.commands.extend((!words.is_empty()).then(|| std::mem::take(&mut words)));
                    match next {
                        '\n' => self.skip_here_documents()?,
                        '(' => self.commands(Some(')'))?,
                        _ => {}
                    }
                }
                '<' | '>' => is_target = self.redirection()?,
                _ => {
                    let word = self.word(end)?;
                    let is_fd = self.text[word.range.clone()].bytes().all(|byte| byte.is_ascii_digit());
                    let is_dropped = is_fd && matches!(self.peek(), Some('<' | '>'));
                    if !std::mem::take(&mut is_target) && !is_dropped {
                        self.push(&mut words, word);
                    }
                }
            }
        }
    }

    fn push(&mut self, words: &mut Vec<Word>, word: Word) {
        let raw = &self.text[word.range.clone()];
        if words.is_empty() {
            let name =
                raw.split_once('=').map(|(name, _)| name.trim_end_matches('+')).filter(|name| is_name(name));
            if let Some(name) = name {
                self.assigned.insert(name.to_owned());
                return;
            }
            if BEFORE_COMMANDS.contains(&raw) {
                return;
            }
        } else if words.len() == 1 && words[0].value.as_deref() == Some("for") {
            self.assigned.insert(raw.to_owned());
        }
        words.push(word);
    }

    /// Whether the next word is the target of output.
    fn redirection(&mut self) -> Result<bool, String> {
        if self.takes("<(") || self.takes(">(") {
            self.commands(Some(')'))?;
            return Ok(false);
        }
        if self.takes("<<<") {
            return Ok(false);
        }
        if self.takes("<<") {
            self.takes("-");
            while matches!(self.peek(), Some(' ' | '\t')) {
                self.take();
            }
            let word = self.word(None)?;
            let raw = &self.text[word.range];
            self.here.push(raw.chars().filter(|c| !"'\"\\".contains(*c)).collect());
            return Ok(false);
        }
        if self.takes("<&") || self.takes(">&") {
            return Ok(true);
        }
        let is_output = self.take() == Some('>') || self.peek() == Some('>');
        let _ = self.takes(">") || self.takes("|");
        Ok(is_output)
    }

    fn skip_here_documents(&mut self) -> Result<(), String> {
        for end in std::mem::take(&mut self.here) {
            loop {
                if self.rest().is_empty() {
                    return Err(format!("the line `{end}` is missing"));
                }
                let length = self.rest().find('\n').map_or(self.rest().len(), |at| at + 1);
                let is_end = self.rest()[..length].trim_matches(['\t', '\n', '\r']) == end;
                self.at += length;
                if is_end {
                    break;
                }
            }
        }
        Ok(())
    }

    fn word(&mut self, end: Option<char>) -> Result<Word, String> {
        let begin = self.at;
        let mut says = Says { value: Some(String::new()), is_open: false };
        while let Some(next) = self.peek() {
            if " \t\r\n;&|<>()".contains(next) || end == Some(next) {
                break;
            }
            if self.expansion(&mut says)? {
                continue;
            }
            let ahead = self.rest().split(char::is_whitespace).next().unwrap_or_default();
            let is_braces = ahead.contains('}') && (ahead.contains(',') || ahead.contains(".."));
            let is_pattern = match next {
                '*' | '?' => true,
                '[' => ahead.contains(']'),
                '{' => is_braces,
                _ => false,
            };
            self.take();
            match next {
                '\\' => says.add(self.take().filter(|c| *c != '\n')),
                '\'' => {
                    let from = self.at;
                    self.skip_to("'")?;
                    let text = self.text;
                    if text[from..self.at].contains("{{") {
                        says.is_open = true;
                        says.value = None;
                    }
                    text[from..self.at - 1].chars().for_each(|c| says.add(Some(c)));
                }
                '"' => self.quoted(&mut says)?,
                '~' if self.at == begin + 1 => match (self.variable)("HOME") {
                    Some(home) if matches!(self.peek(), None | Some('/')) => {
                        home.chars().for_each(|c| says.add(Some(c)));
                    }
                    _ => says.value = None,
                },
                _ if is_pattern => says.value = None,
                _ => says.add(Some(next)),
            }
        }
        if self.at == begin {
            return Err("something is missing after an operator".to_owned());
        }
        Ok(Word { range: begin..self.at, value: says.value, is_open: says.is_open })
    }

    fn quoted(&mut self, says: &mut Says) -> Result<(), String> {
        loop {
            if self.expansion(says)? {
                continue;
            }
            match self.take().ok_or("a `\"` is missing")? {
                '"' => return Ok(()),
                '\\' => match self.take().ok_or("a `\"` is missing")? {
                    '\n' => {}
                    c if "$`\"\\".contains(c) => says.add(Some(c)),
                    c => ['\\', c].into_iter().for_each(|c| says.add(Some(c))),
                },
                c => says.add(Some(c)),
            }
        }
    }

    /// What stands for something else, if it is next.
    fn expansion(&mut self, says: &mut Says) -> Result<bool, String> {
        if self.takes("{{") {
            self.skip_to("}}")?;
            says.is_open = true;
        } else if self.takes("`") {
            self.commands(Some('`'))?;
        } else if self.takes("$((") {
            self.skip_to("))")?;
        } else if self.takes("$(") {
            self.commands(Some(')'))?;
        } else if self.takes("$'") {
            self.skip_to("'")?;
        } else if self.peek() == Some('$') {
            self.take();
            let is_braced = self.takes("{");
            let from = self.at;
            let length = self.rest().find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            self.at += length.unwrap_or(self.rest().len());
            let name = self.text[from..self.at].to_owned();
            let is_plain = !is_braced || self.takes("}");
            if !is_plain {
                self.skip_to("}")?;
            } else if is_name(&name) && !self.assigned.contains(&name) {
                if let Some(value) = (self.variable)(&name) {
                    value.chars().for_each(|c| says.add(Some(c)));
                    return Ok(true);
                }
            } else if name.is_empty() && !is_braced && self.peek().is_some_and(|c| "@*#?-$!".contains(c)) {
                self.take();
            }
        } else {
            return Ok(false);
        }
        says.value = None;
        Ok(true)
    }
}

struct Says {
    value: Option<String>,
    is_open: bool,
}

impl Says {
    fn add(&mut self, c: Option<char>) {
        if let (Some(value), Some(c)) = (&mut self.value, c) {
            value.push(c);
        }
    }
}

fn is_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        let variable = |name: &str| (name == "HOME").then(|| "/h".to_owned());
        let commands = match commands(text, &variable) {
            Ok(commands) => commands,
            Err(why) => return why,
        };
        let word =
            |word: &Word| word.value.clone().unwrap_or_else(|| format!("<{}>", &text[word.range.clone()]));
        let command = |words: &Vec<Word>| words.iter().map(word).collect::<Vec<_>>().join(" ");
        commands.iter().map(command).collect::<Vec<_>>().join(" / ")
    }

    #[test]
    fn words_are_split_as_shells_do() {
        for (text, expected) in [
            ("\"./tell.sh\" now", "./tell.sh now"),
            ("#!/bin/sh\nset -e\nexec './a b'\\c x", "set -e / exec ./a bc x"),
            ("A=1 ./x; . ./y && ./z &", "./x / . ./y / ./z"),
            ("if ! ./a; then ./b; else { ./c; }; fi", "./a / ./b / ./c"),
            ("echo \"$(./a \"b c\")\" `./d`", "./a b c / ./d / echo <\"$(./a \"b c\")\"> <`./d`>"),
            ("sh < ./in > ./out 2>> log 2>&1 &> all", "sh ./in"),
            ("cat <<'END' | ./x\ndon't ./y\nEND\n./z", "cat / ./x / ./z"),
            ("\"$HOME\"/x ${HOME}/y ~/z $OTHER/w", "/h/x /h/y /h/z <$OTHER/w>"),
            ("HOME=./x; $HOME", "<$HOME>"),
            ("for x in ./a; do ./b; done", "for x in ./a / ./b"),
            ("case $1 in ./a) ./b;; *) ./c;; esac", "./b / ./c / esac"),
            (
                "[ -e x ] && ./t*.sh {{ task.id }} \"{{ a }}\"",
                "[ -e x ] / <./t*.sh> <{{ task.id }}> <\"{{ a }}\">",
            ),
            ("x=$((1 << 2)) ./a", "./a"),
            ("'./a", "a `'` is missing"),
            ("$(./a", "a `)` is missing"),
            ("", ""),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
        assert!(read(&"$(".repeat(99)).contains("too many"));
    }
}
