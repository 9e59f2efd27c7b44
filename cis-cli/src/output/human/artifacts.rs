//! Files that tasks left.

use cis_core::text;

use crate::commands::dag::artifacts::Artifact;
use crate::output::table::{Table, plain};

/// `cis dag artifacts`.
pub(crate) fn artifacts(all: &[Artifact]) -> String {
    if all.is_empty() {
        return "No artifacts. A task with `artifacts = [\"out/**\"]` keeps files when it ends well.\n"
            .to_owned();
    }
    let mut table = Table::new(&["TASK", "SIZE", "PATH"]);
    for one in all {
        let size = text::bytes(one.file.size);
        table.row(vec![plain(one.task.as_str()), plain(size), plain(&one.file.path)]);
    }
    table.render()
}
