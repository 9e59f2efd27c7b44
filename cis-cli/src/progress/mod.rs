//! Progress of a run: a fold of its events ([`model`]), and how that is drawn ([`draw`], [`lines`]).

pub(crate) mod draw;
pub(crate) mod lines;
pub(crate) mod model;
pub(crate) mod screen;
