//! The commands, one file each.

mod ci;
mod corpus;
mod coverage;
mod deny;
mod docs;
mod fresh;
mod fuzz;
mod links;
mod lint;
mod modules;
mod previous;
mod simulate;
mod test;

use crate::Outcome;

const HELP: &str = "\
cargo xtask COMMAND

  test [ARGS]  build, then run every test (installs cargo-nextest where it is missing);
               ARGS go to `cargo nextest run`
  test-all     the same with the heavy tests: long simulations, soak, many random kills, an earlier version;
               then `fresh`
  fresh [--keep] [--command LINE]…
               the README's commands, or LINE, in a Debian root with only what the README asks for;
               needs root, an hour and 20 GB; --keep keeps the root
  agents       the agents that tests start, into the target directory (test does it by itself)
  previous     the program of an earlier version, for the tests of updates (test-all does it by itself)
  lint         rustfmt, clippy, which crates and modules may import which
  deny         licences, sources, banned and unused dependencies
  docs         the code's documentation without warnings, links of the written one, and whether
               the generated reference is up to date
  reference [--update]
               the pages of docs/reference that are made from the code; --update writes them
  corpus record [PROGRAM | PROGRAM/SCENARIO ...]
               plays the scenarios of the monitor's corpus and keeps their recordings
               (docs/guide/corpus.md)
  coverage     the share of lines that the tests of the libraries run, by part of the code; fails if a part is
               below its gate (installs cargo-tarpaulin where it is missing)
  fuzz [SECONDS]
               every fuzzer for so long (60 s)
  simulate [--seeds N]
               walks N seeds (1,000,000) of the simulation of nodes, in as many processes as there are processors;
               says how a seed that fails is replayed
  bench [PART …] [--update]
               the figures of docs/benchmarks.md, all or some parts of them (`bench help` lists
               those); --update writes them there
  ci           what .ci/run calls: test, lint, deny, docs
";

/// Runs the command that `arguments` name.
pub(crate) fn dispatch(arguments: &[String]) -> Outcome {
    let rest = arguments.get(1..).unwrap_or_default();
    match arguments.first().map(String::as_str) {
        Some("test") => test::test(rest),
        Some("test-all") => test::test_all(rest),
        Some("agents") => crate::agents::ensure(),
        Some("previous") => previous::ensure(),
        Some("lint") => lint::lint(),
        Some("deny") => deny::deny(),
        Some("docs") => docs::docs(),
        Some("reference") => crate::reference::reference(rest),
        Some("corpus") => corpus::corpus(rest),
        Some("coverage") => coverage::coverage(rest),
        Some("fresh") => fresh::fresh(rest),
        // The helper process of `fresh`; people do not call it.
        Some("fresh-removal") => fresh::remove_when_left(rest),
        Some("fuzz") => fuzz::fuzz(rest),
        Some("simulate") => simulate::simulate(rest),
        Some("bench") => crate::bench::bench(rest),
        Some("ci") => ci::ci(),
        None | Some("help" | "--help" | "-h") => {
            print!("{HELP}");
            Ok(())
        }
        Some(other) => Err(format!("there is no command `{other}`\n\n{HELP}")),
    }
}
