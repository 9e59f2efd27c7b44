//! `cis completions`.

use clap::Command;
use clap_complete::Shell;

use crate::error::{CliError, Exit};
use crate::output;

/// Print a shell completion script
///
/// The script contains the commands and options of this version: generate it again after an upgrade.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Where it goes:
  bash        ~/.local/share/bash-completion/completions/cis
  zsh         a file _cis in a directory of $fpath, before compinit runs
  fish        ~/.config/fish/completions/cis.fish
  elvish      ~/.config/elvish/lib/cis.elv, and `use cis` in rc.elv
  powershell  at the end of the file that $PROFILE names

Examples:
  cis completions bash > ~/.local/share/bash-completion/completions/cis
  cis completions zsh > ~/.zfunc/_cis
  cis completions fish > ~/.config/fish/completions/cis.fish")]
pub(crate) struct Args {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// `root` is the whole tree of commands.
pub(crate) fn run(args: &Args, root: &Command) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut visible(root), "cis", &mut script);
    output::bytes(&script)?;
    Ok(Exit::OK)
}

/// The tree without what is hidden: commands of ours that nobody types.
fn visible(command: &Command) -> Command {
    let shown = command.get_subcommands().filter(|one| !one.is_hide_set()).map(visible);
    let copy = Command::new(command.get_name().to_owned())
        .allow_missing_positional(command.is_allow_missing_positional_set())
        .args(command.get_arguments().cloned());
    let copy = command.get_about().map_or(copy.clone(), |about| copy.about(about.clone()));
    copy.subcommands(shown)
}
