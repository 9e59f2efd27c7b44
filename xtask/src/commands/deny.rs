//! `deny`: what we may depend on, and whether we use what we depend on.

use crate::Outcome;
use crate::process::{cargo, run};
use crate::tools::{DENY, MACHETE};

/// Licences, sources and bans by `deny.toml`; unused dependencies by cargo-machete.
pub(crate) fn deny() -> Outcome {
    MACHETE.ensure()?;
    run(cargo(&["machete"]))?;
    DENY.ensure()?;
    run(cargo(&["deny", "--locked", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"]))
}
