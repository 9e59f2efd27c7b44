//! Draws characters that no font has, with the bitmaps of GNU Unifont: text of any language and the symbols that agents
//! draw do not become boxes.
//!
//! Owns which bitmap is drawn and at which size. The built-in fonts and the fonts of the system are asked first: they
//! look better.

use std::sync::{LazyLock, Mutex, PoisonError};

use eframe::egui::epaint::text::{GlyphBitmap, GlyphRasterizer, GlyphRasterizerRequest, RasterizedGlyph};
use eframe::egui::{self, Color32, ColorImage, FontFamily, Vec2, vec2};
use unicode_width::UnicodeWidthChar as _;
use unifont_bitmap::Unifont;

/// Number of rows of a bitmap.
const ROWS: u8 = 16;
/// Number of rows above the baseline.
const ABOVE: f32 = 14.0;
/// Number of columns of a narrow character. A wide character has twice as many.
const NARROW: f32 = 8.0;
/// Width of a terminal cell in the built-in monospaced font, as a fraction of the font size.
const CELL: f32 = 0.602;
/// A scale this close to a whole number of pixels per dot is rounded, so that the dots stay sharp.
const SHARP: f32 = 0.15;

/// The bitmaps, decompressed on demand.
static UNIFONT: LazyLock<Mutex<Unifont>> = LazyLock::new(|| Mutex::new(Unifont::open()));

/// Adds the bitmaps as the last fallback of `ctx`.
pub fn install(ctx: &egui::Context) {
    ctx.add_glyph_rasterizer(GlyphRasterizer::new("cis_gui::unifont", rasterize));
}

fn rasterize(request: &GlyphRasterizerRequest<'_>) -> Option<RasterizedGlyph> {
    let c = request.cluster.chars().next()?;
    let dots = Dots::of(c)?;
    let exact = request.font_size_px * CELL / NARROW;
    let sharp = exact >= 1.0 - SHARP && (exact - exact.round()).abs() <= SHARP;
    let scale = if sharp { exact.round() } else { exact };
    let drawn = f32::from(dots.columns) / NARROW;
    // A terminal program expects this number of cells for the character.
    let cells = match request.family {
        FontFamily::Monospace if c.width() == Some(2) => 2.0,
        FontFamily::Monospace => 1.0,
        FontFamily::Proportional | FontFamily::Name(_) => drawn,
    };
    let image = dots.drawn(vec2(scale * (cells / drawn).min(1.0), scale));
    let advance_px = cells * NARROW * exact;
    let offset_px = vec2(0.0, -(ABOVE * scale).round());
    Some(RasterizedGlyph { bitmap: GlyphBitmap { image, offset_px, is_color: false }, advance_px })
}

/// The bitmap of one character.
#[derive(Debug, PartialEq, Eq)]
struct Dots {
    columns: u8,
    /// The leftmost column is the highest bit.
    rows: [u16; ROWS as usize],
}

impl Dots {
    /// Returns the bitmap of a character; none: Unifont lacks it, or it is invisible.
    fn of(c: char) -> Option<Self> {
        if c.is_control() || c.is_whitespace() || is_ignorable(c) {
            return None;
        }
        let mut font = UNIFONT.lock().unwrap_or_else(PoisonError::into_inner);
        // Unifont returns the replacement character for a character that it lacks.
        let missing = font.load_bitmap(u32::from(char::REPLACEMENT_CHARACTER)).get_bytes().to_vec();
        let bitmap = font.load_bitmap(u32::from(c));
        let bytes = bitmap.get_bytes();
        if bytes == missing.as_slice() && c != char::REPLACEMENT_CHARACTER {
            return None;
        }
        let mut rows = [0; ROWS as usize];
        let columns = if bitmap.is_wide() { 16 } else { 8 };
        for (row, bytes) in rows.iter_mut().zip(bytes.chunks(usize::from(columns) / 8)) {
            *row = match bytes {
                [left, right] => u16::from_be_bytes([*left, *right]),
                [left] => u16::from_be_bytes([*left, 0]),
                _ => 0,
            };
        }
        Some(Self { columns, rows })
    }

    fn is_set(&self, column: u8, row: u8) -> bool {
        column < self.columns
            && self.rows.get(usize::from(row)).is_some_and(|dots| dots & (0x8000 >> column) != 0)
    }

    /// Renders the bitmap with `scale` pixels per dot. The alpha of a pixel is the share that dots cover.
    fn drawn(&self, scale: Vec2) -> ColorImage {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "pixels of a letter")]
        let pixels = |dots: u8, scale: f32| (f32::from(dots) * scale).round().max(1.0) as usize;
        let (width, height) = (pixels(self.columns, scale.x), pixels(ROWS, scale.y));
        let mut image = ColorImage::filled([width, height], Color32::TRANSPARENT);
        let columns = covered(width, self.columns);
        let rows = covered(height, ROWS);
        for (y, row) in rows.iter().enumerate() {
            for (x, column) in columns.iter().enumerate() {
                let mut cover = 0.0;
                for (dot_y, part_y) in row {
                    for (dot_x, part_x) in column {
                        if self.is_set(*dot_x, *dot_y) {
                            cover += part_x * part_y;
                        }
                    }
                }
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 255")]
                let strength = (cover * 255.0).round().clamp(0.0, 255.0) as u8;
                image[(x, y)] = Color32::from_white_alpha(strength);
            }
        }
        image
    }
}

/// Returns for each pixel the dots that it overlaps, and which share of the pixel each dot covers.
fn covered(pixels: usize, dots: u8) -> Vec<Vec<(u8, f32)>> {
    #[allow(clippy::cast_precision_loss, reason = "pixels of a letter")]
    let one = f32::from(dots) / pixels as f32;
    (0..pixels)
        .map(|pixel| {
            #[allow(clippy::cast_precision_loss, reason = "pixels of a letter")]
            let from = pixel as f32 * one;
            let to = from + one;
            let part = |dot: u8| (to.min(f32::from(dot) + 1.0) - from.max(f32::from(dot))).max(0.0) / one;
            (0..dots).map(|dot| (dot, part(dot))).filter(|(_, part)| *part > 0.0).collect()
        })
        .collect()
}

/// Whether a character is invisible. Unifont draws the name of such a character in a box.
fn is_ignorable(c: char) -> bool {
    matches!(c,
        '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}'
        | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
        | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFF8}'
        | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_of_agents_hangul_and_emoji_have_bitmaps() {
        for (c, columns) in
            [('⎿', 8), ('⠋', 8), ('✻', 16), ('⏺', 16), ('한', 16), ('漢', 16), ('🎨', 16), ('👩', 16)]
        {
            let dots = Dots::of(c).unwrap_or_else(|| panic!("{c} has no bitmap"));
            assert_eq!(dots.columns, columns, "{c}");
            assert!(dots.rows.iter().any(|row| *row != 0), "{c} is not empty");
        }
        for c in ['\t', '\u{A0}', '\u{200D}', '\u{FE0F}', '\u{10FFFF}'] {
            assert_eq!(Dots::of(c), None, "{c:?}");
        }
    }

    #[test]
    fn a_character_is_as_wide_as_its_terminal_cells() {
        let advance = |cluster: &str, family: &FontFamily| {
            let request =
                GlyphRasterizerRequest { cluster, family, font_size_px: 13.0, subpixel_offset_px: 0.0 };
            rasterize(&request).expect("a glyph").advance_px
        };
        let cell = 13.0 * CELL;
        for (cluster, cells) in [("⎿", 1.0), ("✻", 1.0), ("한", 2.0), ("👩\u{200D}💻", 2.0)] {
            let is = advance(cluster, &FontFamily::Monospace);
            assert!((is - cells * cell).abs() < 0.01, "{cluster}: {is}");
        }
        assert!((advance("✻", &FontFamily::Proportional) - 2.0 * cell).abs() < 0.01);
    }

    #[test]
    fn scaling_keeps_the_covered_area() {
        let corner = Dots::of('⎿').expect("a bitmap");
        let sharp = corner.drawn(Vec2::splat(1.0));
        assert_eq!(sharp.size, [8, 16]);
        assert!(sharp.pixels.iter().all(|pixel| matches!(pixel.a(), 0 | 255)), "sharp dots");
        assert_eq!(sharp[(2, 1)], Color32::WHITE);
        for scale in [0.3, 1.37, 2.0] {
            let image = corner.drawn(Vec2::splat(scale));
            let ink = |image: &ColorImage| {
                let sum: f32 = image.pixels.iter().map(|pixel| f32::from(pixel.a())).sum();
                #[allow(clippy::cast_precision_loss, reason = "pixels of a letter")]
                let all = image.pixels.len() as f32;
                sum / all
            };
            assert!((ink(&image) - ink(&sharp)).abs() < 3.0, "covered area at {scale}");
        }
    }
}
