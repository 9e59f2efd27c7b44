//! Every help text as a snapshot, and the shape of the tree.

use clap::CommandFactory as _;

use super::*;

#[test]
fn the_tree_is_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn every_help() {
    fn visit(command: &mut clap::Command, path: &str) {
        let text = command.render_long_help().to_string();
        insta::assert_snapshot!(path.replace(' ', "_"), text);
        let names: Vec<String> = command
            .get_subcommands()
            .filter(|sub| !sub.is_hide_set() && sub.get_name() != "help")
            .map(|sub| sub.get_name().to_owned())
            .collect();
        for name in names {
            if let Some(sub) = command.find_subcommand_mut(&name) {
                visit(sub, &format!("{path} {name}"));
            }
        }
    }
    // No environment variable and no terminal decides how the text looks.
    let mut root = Cli::command().term_width(100);
    root.build();
    visit(&mut root, "cis");
}

#[test]
fn arguments_are_read() {
    let cli = |line: &str| Cli::try_parse_from(line.split_whitespace());
    for good in [
        "cis dag run f.toml --param a=1 --param b=x=y",
        "cis dag run - --create-only --json",
        "cis dag execute --run-id x --local --detach",
        "cis dag retry x --from build",
        "cis dag logs build -f --plain --attempt 2 --run r",
        "cis dag unblock s --keys C-c",
        "cis dag attach --read-only",
        "cis session create --name n --no-tty -- sh -c true",
        "cis session exec s text --wait-for done --timeout 30m",
        "cis node stop --kill-sessions",
        "cis --home /x status --no-color",
    ] {
        assert!(cli(good).is_ok(), "{good}: {}", cli(good).unwrap_err());
    }
    for bad in [
        "cis",
        "cis dag run",
        "cis dag run f --param novalue",
        "cis dag run f --create-only --detach",
        "cis dag execute",
        "cis dag execute f --run-id x",
        "cis dag retry x --failed --from y",
        "cis dag unblock s",
        "cis dag unblock s --text a --keys b",
        "cis session create",
        "cis session exec s text --timeout 31m",
    ] {
        assert_eq!(cli(bad).unwrap_err().exit_code(), 2, "{bad}");
    }
}
