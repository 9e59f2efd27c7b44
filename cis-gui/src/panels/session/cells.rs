//! A line of a terminal as colored text: which cells are drawn together, and the palette.

use std::sync::Arc;

use cis_core::terminal::screen::{Colour, Drawn, Style};
use eframe::egui::text::{LayoutJob, TextFormat};
use eframe::egui::{self, Color32, FontId, Stroke, Ui};

/// Characters that are drawn together.
pub(super) struct Run {
    /// Columns.
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) galley: Arc<egui::Galley>,
    pub(super) ground: Option<Color32>,
}

/// A line in pieces that each begin at their column: a letter of another font is as wide as that font has it.
pub(super) fn line_runs(
    ui: &Ui,
    cells: &[Drawn],
    points: f32,
    width: f32,
    palette: &Palette,
    marks: impl Fn(usize, &mut String),
    marked: impl Fn(usize) -> Option<Color32>,
) -> Vec<Run> {
    let font = FontId::monospace(points);
    ui.ctx().fonts_mut(|fonts| {
        let mut runs = Vec::new();
        let mut text = String::new();
        let mut open: Option<(usize, (Style, Option<Color32>))> = None;
        let mut skip = false;
        for (col, cell) in cells.iter().enumerate() {
            if std::mem::replace(&mut skip, cell.wide) {
                continue;
            }
            let style = (cell.style, marked(col));
            let alone = cell.wide
                || cell.marked
                || (!cell.c.is_ascii() && (fonts.glyph_width(&font, cell.c) - width).abs() > 0.01);
            if let Some((from, before)) = open.take_if(|(_, before)| alone || *before != style) {
                runs.push(palette.run(fonts, from, col, &std::mem::take(&mut text), before, points));
            }
            if alone {
                let to = col + 1 + usize::from(cell.wide);
                let mut alone = String::from(cell.c);
                if cell.marked {
                    marks(col, &mut alone);
                }
                runs.push(palette.run(fonts, col, to, &alone, style, points));
            } else {
                open.get_or_insert((col, style));
                text.push(cell.c);
            }
        }
        if let Some((from, style)) = open {
            runs.push(palette.run(fonts, from, cells.len(), &text, style, points));
        }
        runs
    })
}

/// Colours of a terminal.
pub(super) struct Palette {
    pub(super) text: Color32,
    pub(super) ground: Color32,
    pub(super) selected: Color32,
    pub(super) found: Color32,
    dark: bool,
}

impl Palette {
    pub(super) fn new(dark: bool) -> Self {
        let (text, ground) = if dark {
            (Color32::from_rgb(0xd9, 0xdd, 0xe3), Color32::from_rgb(0x10, 0x12, 0x17))
        } else {
            (Color32::from_rgb(0x1f, 0x24, 0x2c), Color32::WHITE)
        };
        let selected = crate::theme::accent(dark).gamma_multiply(0.5);
        Self { text, ground, selected, found: Color32::from_rgb(0x8a, 0x6d, 0x1d), dark }
    }

    fn run(
        &self,
        fonts: &mut egui::epaint::FontsView<'_>,
        from: usize,
        to: usize,
        text: &str,
        (style, marked): (Style, Option<Color32>),
        points: f32,
    ) -> Run {
        let wrap = egui::text::TextWrapping::no_max_width();
        let mut job = LayoutJob { wrap, ..LayoutJob::default() };
        job.append(text, 0.0, self.format(style, points));
        let ground = marked.or_else(|| match style.ground {
            Colour::Ground => None,
            other => Some(self.colour(other, false)),
        });
        Run { from, to, galley: fonts.layout_job(job), ground }
    }

    fn format(&self, style: Style, points: f32) -> TextFormat {
        let mut color = self.colour(style.text, style.bold);
        if style.dim {
            color = color.gamma_multiply(0.6);
        }
        let line = |on: bool| if on { Stroke::new(1.0, color) } else { Stroke::NONE };
        TextFormat {
            font_id: FontId::monospace(points),
            color,
            italics: style.italic,
            underline: line(style.underline),
            strikethrough: line(style.strike),
            ..TextFormat::default()
        }
    }

    fn colour(&self, colour: Colour, bold: bool) -> Color32 {
        match colour {
            Colour::Text => self.text,
            Colour::Ground => self.ground,
            Colour::Rgb(r, g, b) => Color32::from_rgb(r, g, b),
            Colour::Indexed(index) => {
                let index = if bold && index < 8 { index + 8 } else { index };
                indexed(index, self.dark)
            }
        }
    }
}

/// Of the palette of 256: 16 colours, a cube, and greys (xterm's `256colres`).
fn indexed(index: u8, dark: bool) -> Color32 {
    const DARK: [u32; 16] = [
        0x002b_3039,
        0x00f8_5149,
        0x003f_b950,
        0x00d2_9922,
        0x0058_a6ff,
        0x00bc_8cff,
        0x0039_c5cf,
        0x00b1_bac4,
        0x006e_7681,
        0x00ff_7b72,
        0x0056_d364,
        0x00e3_b341,
        0x0079_c0ff,
        0x00d2_a8ff,
        0x0056_d4dd,
        0x00ff_ffff,
    ];
    const LIGHT: [u32; 16] = [
        0x0024_292f,
        0x00cf_222e,
        0x0011_6329,
        0x007d_4e00,
        0x0009_69da,
        0x0082_50df,
        0x001b_7c83,
        0x006e_7781,
        0x0057_606a,
        0x00a4_0e26,
        0x001a_7f37,
        0x0063_3c01,
        0x0021_8bff,
        0x00a4_75f9,
        0x0031_92aa,
        0x008c_959f,
    ];
    match index {
        0..=15 => {
            let [_, r, g, b] = (if dark { DARK } else { LIGHT })[usize::from(index)].to_be_bytes();
            Color32::from_rgb(r, g, b)
        }
        16..=231 => {
            let at = index - 16;
            let step = |n: u8| if n == 0 { 0 } else { 55 + 40 * n };
            Color32::from_rgb(step(at / 36), step(at / 6 % 6), step(at % 6))
        }
        grey => Color32::from_gray(8 + 10 * (grey - 232)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_palette_is_that_of_terminals() {
        assert_eq!(indexed(16, true), Color32::BLACK);
        assert_eq!(indexed(231, true), Color32::WHITE);
        assert_eq!(indexed(196, true), Color32::from_rgb(255, 0, 0));
        assert_eq!(indexed(255, false), Color32::from_gray(238));
    }
}
