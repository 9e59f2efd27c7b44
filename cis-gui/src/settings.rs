//! What somebody sets for their own dashboard; it is kept beside the window's place and the sizes of its parts.

use eframe::egui;
use serde::{Deserialize, Serialize};

/// The key under which it is kept.
pub const KEY: &str = "settings";
/// How large everything may be drawn.
pub const SCALES: std::ops::RangeInclusive<f32> = 0.6..=2.5;

/// Settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// How large everything is drawn; 1: as the system says.
    pub scale: f32,
    /// Which colours.
    pub colours: Colours,
    /// The desktop is told of what begins to wait.
    pub notify: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { scale: 1.0, colours: Colours::default(), notify: true }
    }
}

/// Which colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Colours {
    /// Those of the desktop.
    #[default]
    System,
    /// Light ones.
    Light,
    /// Dark ones.
    Dark,
}

impl Colours {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::System, Self::Light, Self::Dark];

    /// In a word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::System => "As the desktop",
            Self::Light => "Light",
            Self::Dark => "Dark",
        }
    }
}

impl Settings {
    /// What was kept, made whole: a file that somebody changed by hand makes nothing unusable.
    #[must_use]
    pub fn sound(mut self) -> Self {
        self.scale =
            if self.scale.is_finite() { self.scale.clamp(*SCALES.start(), *SCALES.end()) } else { 1.0 };
        self
    }

    /// Makes it so.
    pub fn apply(&self, ctx: &egui::Context) {
        ctx.set_zoom_factor(self.scale);
        ctx.set_theme(match self.colours {
            Colours::System => egui::ThemePreference::System,
            Colours::Light => egui::ThemePreference::Light,
            Colours::Dark => egui::ThemePreference::Dark,
        });
    }

    /// What was changed by keys (Ctrl and +, -, 0) counts as set.
    pub fn follow(&mut self, ctx: &egui::Context) {
        self.scale = ctx.zoom_factor();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_sound_and_may_lack_what_is_new() {
        let of = |text: &str| serde_json::from_str::<Settings>(text).unwrap().sound();
        assert_eq!(of("{}"), Settings::default());
        assert!(!of(r#"{"notify":false}"#).notify);
        assert_eq!(of(r#"{"scale":1e9}"#).scale.to_bits(), 2.5_f32.to_bits());
        assert_eq!(of(r#"{"colours":"dark"}"#).colours, Colours::Dark);
        let nan = Settings { scale: f32::NAN, ..Settings::default() };
        assert_eq!(nan.sound(), Settings::default());
    }
}
