//! The dashboard: the real window on a display of its own, read as screen readers do, worked with keyboard and mouse,
//! and what that does to the node. Pictures of every step are kept in `target/dashboard`.

mod answers;
mod away;
mod law;
mod terminals;
mod views;

/// A run whose only task asks, on its screen.
const ASKS: &str = "version = 1\n[dag]\nid = \"paint\"\n[[tasks]]\nid = \"wall\"\nscript = '''\nprintf 'Paint it? [y/n] '; read -r x; echo \"got $x\" | tee \"$E2E_WORK/said\"\n'''\n";

/// One that stays until the test lets it go on.
const STAYS: &str = "version = 1\n[dag]\nid = \"stays\"\n[[tasks]]\nid = \"a\"\nscript = 'echo begun; while [ ! -e \"$E2E_WORK/go\" ]; do sleep 0.05; done; echo over'\n[[tasks]]\nid = \"b\"\nneeds = [\"a\"]\nscript = 'true'\n";
