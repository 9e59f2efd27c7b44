//! `cis man`: manual pages, made from the tree of commands.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap_mangen::Man;

use crate::error::{CliError, EXIT_CODES, Exit};
use crate::output;

/// Print the manual page of a command, or write the pages of all commands
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis man dag run | man -l -
  cis man --to ~/.local/share/man/man1")]
pub(crate) struct Args {
    /// The command [default: cis itself]
    #[arg(value_name = "COMMAND", conflicts_with = "to")]
    command: Vec<String>,
    /// Write a page for every command into this directory
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
}

/// `root` is the whole tree of commands.
pub(crate) fn run(args: &Args, mut root: clap::Command) -> Result<Exit, CliError> {
    root.build();
    match &args.to {
        Some(dir) => {
            let mut pages = Vec::new();
            all(&root, "cis", &mut pages)?;
            write_all(dir, &pages)?;
            output::print(&format!("Wrote {} pages to {}\n", pages.len(), dir.display()))?;
        }
        None => {
            let (command, name) = find(&root, &args.command)?;
            output::bytes(&page(command, &name)?)?;
        }
    }
    Ok(Exit::OK)
}

fn find<'c>(root: &'c clap::Command, words: &[String]) -> Result<(&'c clap::Command, String), CliError> {
    let mut at = (root, "cis".to_owned());
    for word in words {
        let Some(below) = at.0.find_subcommand(word).filter(|below| !below.is_hide_set()) else {
            return Err(CliError::bad_input(format!("`{}` has no command `{word}`", at.1.replace('-', " ")))
                .hint("`cis --help` lists the commands"));
        };
        at = (below, format!("{}-{word}", at.1));
    }
    Ok(at)
}

/// The pages of a command and of all below it, by their names.
fn all(command: &clap::Command, name: &str, pages: &mut Vec<(String, Vec<u8>)>) -> Result<(), CliError> {
    pages.push((format!("{name}.1"), page(command, name)?));
    for below in command.get_subcommands().filter(|one| !one.is_hide_set() && one.get_name() != "help") {
        all(below, &format!("{name}-{}", below.get_name()), pages)?;
    }
    Ok(())
}

fn page(command: &clap::Command, name: &str) -> Result<Vec<u8>, CliError> {
    render(command, name)
        .map_err(|error| CliError::unavailable(format!("cannot render the manual page: {error}")))
}

fn render(command: &clap::Command, name: &str) -> io::Result<Vec<u8>> {
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let bare = command.clone().after_help("");
    let source = concat!("CIS ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(bare).title(name.to_ascii_uppercase()).section("1").manual("CIS").source(source);
    let mut out = Vec::new();
    man.render_title(&mut out)?;
    man.render_name_section(&mut out)?;
    man.render_synopsis_section(&mut out)?;
    man.render_description_section(&mut out)?;
    if command.get_arguments().any(|argument| !argument.is_hide_set()) {
        man.render_options_section(&mut out)?;
    }
    if command.has_subcommands() {
        man.render_subcommands_section(&mut out)?;
    }
    let (notes, examples) = after.split_once("Examples:\n").unwrap_or((after.as_str(), ""));
    section(&mut out, "NOTES", &notes.replace(EXIT_CODES, ""));
    section(&mut out, "EXIT STATUS", EXIT_CODES);
    section(&mut out, "EXAMPLES", examples);
    Ok(out)
}

/// Lines as they are. Nothing of them is a request of roff (groff(7)).
fn section(out: &mut Vec<u8>, title: &str, text: &str) {
    if text.trim().is_empty() {
        return;
    }
    out.extend_from_slice(format!(".SH \"{title}\"\n.nf\n").as_bytes());
    for line in text.trim_matches('\n').lines() {
        let line = line.replace('\\', "\\e").replace('-', "\\-");
        // At the beginning of a line these two would be requests.
        let guard = if line.starts_with(['.', '\'']) { "\\&" } else { "" };
        out.extend_from_slice(format!("{guard}{line}\n").as_bytes());
    }
    out.extend_from_slice(b".fi\n");
}

fn write_all(dir: &Path, pages: &[(String, Vec<u8>)]) -> Result<(), CliError> {
    let cannot = |path: &Path, error: &io::Error| {
        CliError::unavailable(format!("cannot write {}: {error}", path.display()))
    };
    fs::create_dir_all(dir).map_err(|error| cannot(dir, &error))?;
    for (name, text) in pages {
        let path = dir.join(name);
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path);
        file.and_then(|mut file| file.write_all(text)).map_err(|error| cannot(&path, &error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn every_command_has_a_page_with_examples_and_exit_codes() {
        let mut root = crate::cli::Cli::command();
        root.build();
        let mut pages = Vec::new();
        all(&root, "cis", &mut pages).unwrap();
        assert!(pages.len() > 25, "{}", pages.len());
        for (name, text) in &pages {
            let text = String::from_utf8(text.clone()).unwrap();
            assert!(text.contains(".SH \"EXIT STATUS\""), "{name}");
            let groups = ["cis.1", "cis-dag.1", "cis-session.1", "cis-node.1", "cis-store.1", "cis-config.1"];
            let leaf = !groups.contains(&name.as_str()) && !text.contains(".SH SUBCOMMANDS");
            // It is a command by itself as well.
            let also = name == "cis-inbox.1";
            assert_eq!(text.contains(".SH \"EXAMPLES\""), leaf || also, "{name}");
            assert!(!text.contains("session\\-host"), "{name} shows what is hidden");
        }
        let run = &pages.iter().find(|(name, _)| name == "cis-dag-run.1").unwrap().1;
        assert!(String::from_utf8_lossy(run).contains("cis dag run"));
        let lost = find(&root, &["dag".to_owned(), "no".to_owned()]).unwrap_err();
        assert_eq!(lost.exit(), Exit(2));
    }

    #[test]
    fn no_line_of_an_example_is_a_request() {
        let mut out = Vec::new();
        section(&mut out, "EXAMPLES", ".so /etc/x\n'br\na \\d --b");
        assert_eq!(
            String::from_utf8(out).unwrap(),
            ".SH \"EXAMPLES\"\n.nf\n\\&.so /etc/x\n\\&'br\na \\ed \\-\\-b\n.fi\n"
        );
    }
}
