//! The work that is measured: DAG files of many tiny tasks, and the folder that all of it lies in.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::Outcome;

/// How the tasks hang together.
#[derive(Clone, Copy)]
pub(crate) enum Shape {
    /// So many, none needs another.
    Wide(u32),
    /// So many, each needs the one before.
    Chain(u32),
}

impl Shape {
    /// How many tasks.
    pub(crate) fn count(self) -> u32 {
        match self {
            Self::Wide(n) | Self::Chain(n) => n,
        }
    }

    /// For file names.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Wide(_) => "wide",
            Self::Chain(_) => "chain",
        }
    }

    /// For the table.
    pub(crate) fn words(self) -> String {
        match self {
            Self::Wide(n) => format!("{n} independent, 2 at a time,"),
            Self::Chain(n) => format!("chain of {n}"),
        }
    }
}

/// What the tasks' standard streams are.
#[derive(Clone, Copy)]
pub(crate) enum Terminal {
    /// Pipes.
    Pipes,
    /// A PTY each.
    Pty,
}

/// Writes the DAG file and gives its path.
pub(crate) fn write_dag(folder: &Path, shape: Shape, terminal: Terminal) -> Outcome<PathBuf> {
    let (name, tty) = match terminal {
        Terminal::Pipes => ("pipes", false),
        Terminal::Pty => ("pty", true),
    };
    let mut text = format!(
        "version = 1\n\n[dag]\nid = \"bench-{}\"\nmax_parallel = 2\n\n[dag.defaults]\ntty = {tty}\n",
        shape.name()
    );
    for n in 0..shape.count() {
        let _ = write!(text, "\n[[tasks]]\nid = \"t{n}\"\nscript = \"true && :\"\n");
        if let (Shape::Chain(_), 1..) = (shape, n) {
            let _ = writeln!(text, "needs = [\"t{}\"]", n - 1);
        }
    }
    let path = folder.join(format!("{}-{name}.toml", shape.name()));
    std::fs::write(&path, text).map_err(|e| format!("cannot write {}: {e}", path.display()))?;
    Ok(path)
}

/// A folder of our own, removed at the end.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Makes it.
    pub(crate) fn new() -> Outcome<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("cis-bench-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).map_err(|e| format!("cannot make {}: {e}", path.display()))?;
        Ok(Self(path))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(e) = std::fs::remove_dir_all(&self.0) {
            eprintln!("xtask: cannot remove {}: {e}", self.0.display());
        }
    }
}
