//! Programs that run a command, or code, that they get in their arguments: which of their words are options, and where the command
//! or the code stands.

/// A program in front of a command that it runs, as `sudo` and `timeout` are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dag) struct Prefix {
    /// Options whose value is the next word, letters.
    pub(super) values: &'static [u8],
    /// How many words stand between the options and the command.
    pub(super) operands: u8,
    /// In the place of the command, a script can stand after `-c`.
    pub(super) takes_script: bool,
}

impl Prefix {
    /// Nothing: the next word is the command.
    pub(super) const NONE: Self = Self::new(b"", 0);

    const fn new(values: &'static [u8], operands: u8) -> Self {
        Self { values, operands, takes_script: false }
    }

    /// The one of that name.
    pub(super) fn of(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"sudo" => Self::new(b"ughpCDRrtTU", 0),
            b"doas" => Self::new(b"uC", 0),
            b"env" => Self::new(b"uCS", 0),
            b"timeout" => Self::new(b"ks", 1),
            b"nice" => Self::new(b"n", 0),
            b"ionice" => Self::new(b"cnp", 0),
            b"stdbuf" => Self::new(b"ioe", 0),
            b"xargs" => Self::new(b"IndPLaEs", 0),
            b"nohup" | b"setsid" | b"busybox" => Self::NONE,
            b"chroot" | b"taskset" | b"chrt" | b"gosu" | b"su-exec" => Self::new(b"", 1),
            b"flock" => Self { takes_script: true, ..Self::new(b"wE", 1) },
            _ => return None,
        })
    }
}

/// An interpreter of a language that is no shell's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dag) struct Interpreter {
    /// Options before code, letters. They can stand at the end of a word with several.
    code: &'static [u8],
    /// Options whose value is the next word, letters.
    values: &'static [u8],
    /// Options whose value is the rest of their word, letters.
    attached: &'static [u8],
}

/// What a word of an interpreter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Argument {
    /// An option.
    Option,
    /// An option, and the next word is its value.
    OptionWithValue,
    /// Code is the next word.
    BeforeCode,
    /// The code is read from standard input.
    Stdin,
    /// The file with the code, or a module: what follows is for the program in it.
    File,
}

impl Interpreter {
    /// The one of that name, whatever its version is.
    pub(super) fn of(name: &[u8]) -> Option<Self> {
        let length =
            name.iter().rposition(|byte| !byte.is_ascii_digit() && *byte != b'.').map_or(0, |at| at + 1);
        Some(match &name[..length] {
            b"python" | b"pypy" => Self::new(b"c", b"WX", b"mWX"),
            b"perl" => Self::new(b"eE", b"I", b"iIMmFxDCVd"),
            b"ruby" => Self::new(b"e", b"IrCE", b"iIrxFKTCEWS"),
            b"node" | b"nodejs" | b"bun" => Self::new(b"ep", b"rC", b""),
            b"php" => Self::new(b"rBRE", b"cdfFtSz", b"d"),
            b"lua" | b"luajit" => Self::new(b"e", b"l", b""),
            _ => return None,
        })
    }

    const fn new(code: &'static [u8], values: &'static [u8], attached: &'static [u8]) -> Self {
        Self { code, values, attached }
    }

    /// What this word is, if it comes before the code.
    pub(super) fn argument(self, word: &[u8]) -> Argument {
        match word {
            b"-" | b"/dev/stdin" => Argument::Stdin,
            b"--eval" | b"--print" => Argument::BeforeCode,
            [b'-', b'-', ..] => Argument::Option,
            [b'-', letter] if self.values.contains(letter) => Argument::OptionWithValue,
            [b'-', first, ..] if self.attached.contains(first) => Argument::Option,
            [b'-', .., last] if self.code.contains(last) => Argument::BeforeCode,
            [b'-', ..] => Argument::Option,
            _ => Argument::File,
        }
    }

    /// Whether this is the beginning of a word that is an option with its code.
    pub(super) fn begins_code(self, part: &[u8]) -> bool {
        matches!(part, [b'-', first, ..] if self.code.contains(first))
            || part.starts_with(b"--eval=")
            || part.starts_with(b"--print=")
    }
}
