//! Colours and attributes: what is set before characters are printed.

use std::fmt::Write as _;

use alacritty_terminal::term::cell::{Cell, Flags};
use alacritty_terminal::vte::ansi::{Color, NamedColor};

use super::Painter;

/// What belongs to the pen.
const PEN: Flags = Flags::INVERSE
    .union(Flags::BOLD)
    .union(Flags::DIM)
    .union(Flags::ITALIC)
    .union(Flags::HIDDEN)
    .union(Flags::STRIKEOUT)
    .union(Flags::ALL_UNDERLINES);

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pen {
    fg: Color,
    bg: Color,
    flags: Flags,
    underline: Option<Color>,
}

impl Pen {
    pub(super) const PLAIN: Self = Self {
        fg: Color::Named(NamedColor::Foreground),
        bg: Color::Named(NamedColor::Background),
        flags: Flags::empty(),
        underline: None,
    };

    pub(super) fn of(cell: &Cell) -> Self {
        Self {
            fg: cell.fg,
            bg: cell.bg,
            flags: cell.flags.intersection(PEN),
            underline: cell.underline_color(),
        }
    }
}

impl Painter<'_> {
    pub(super) fn set_pen(&mut self, pen: Pen) {
        if pen == self.pen {
            return;
        }
        self.pen = pen;
        self.out.push_str("\x1b[0");
        for (flag, code) in [
            (Flags::BOLD, ";1"),
            (Flags::DIM, ";2"),
            (Flags::ITALIC, ";3"),
            (Flags::UNDERLINE, ";4"),
            (Flags::DOUBLE_UNDERLINE, ";4:2"),
            (Flags::UNDERCURL, ";4:3"),
            (Flags::DOTTED_UNDERLINE, ";4:4"),
            (Flags::DASHED_UNDERLINE, ";4:5"),
            (Flags::INVERSE, ";7"),
            (Flags::HIDDEN, ";8"),
            (Flags::STRIKEOUT, ";9"),
        ] {
            if pen.flags.contains(flag) {
                self.out.push_str(code);
            }
        }
        self.color(pen.fg, 30);
        self.color(pen.bg, 40);
        match pen.underline {
            Some(Color::Spec(rgb)) => {
                let _ = write!(self.out, ";58:2::{}:{}:{}", rgb.r, rgb.g, rgb.b);
            }
            Some(Color::Indexed(index)) => {
                let _ = write!(self.out, ";58:5:{index}");
            }
            Some(Color::Named(_)) | None => {}
        }
        self.out.push('m');
    }

    fn color(&mut self, color: Color, base: usize) {
        let _ = match color {
            Color::Named(name) => match name as usize {
                n @ 0..8 => write!(self.out, ";{}", base + n),
                n @ 8..16 => write!(self.out, ";{}", base + 60 + n - 8),
                _ => Ok(()),
            },
            Color::Indexed(index) => write!(self.out, ";{};5;{index}", base + 8),
            Color::Spec(rgb) => write!(self.out, ";{};2;{};{};{}", base + 8, rgb.r, rgb.g, rgb.b),
        };
    }
}
