//! `cis matrix login`.

use std::io::{IsTerminal as _, Read as _};

use cis_core::api::{LoginMatrix, MatrixAccountView, MatrixProof};

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::clean::clean;
use crate::output::{self, human};
use crate::term::secret;

/// A longer text is no password and no token.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// Logs the node into a Matrix account
///
/// Give the node an account of its own: whoever controls the node speaks as that account. The password is asked on the
/// terminal, and kept nowhere: the homeserver gives a token in its place, which is kept in the node's files (0600).
/// Without a terminal, a password or an access token is read from standard input. Neither belongs into an
/// argument, as arguments are seen by others.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis matrix login --homeserver https://matrix.example.org --user cis
  cis matrix login --homeserver example.org --user @cis:example.org
  secret-tool lookup matrix bot | cis matrix login --homeserver https://matrix.example.org --user cis --password-stdin
  cat token | cis matrix login --homeserver http://localhost:8008 --user cis --token-stdin")]
#[command(group = clap::ArgGroup::new("proof").args(["password_stdin", "token_stdin"]))]
pub(crate) struct Args {
    /// URL of the homeserver, or the name behind the colon of its users
    #[arg(long, value_name = "URL")]
    homeserver: String,
    /// The account: `name` or `@name:server`
    #[arg(long, value_name = "NAME")]
    user: String,
    /// Read the password from standard input
    #[arg(long)]
    password_stdin: bool,
    /// Read an access token from standard input; nobody else may use it
    #[arg(long)]
    token_stdin: bool,
    /// What other devices of the account call this one [default: CIS on this machine]
    #[arg(long, value_name = "TEXT")]
    device_name: Option<String>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    if is_readable_on_the_way(&args.homeserver) {
        output::note(&human::warning(
            "http:// is not encrypted: whoever is between here and the homeserver reads the password and the token",
        ));
    }
    let proof = match (args.password_stdin, args.token_stdin) {
        (_, true) => MatrixProof::Token(from_stdin("access token")?),
        (true, _) => MatrixProof::Password(from_stdin("password")?),
        _ => MatrixProof::Password(secret::ask(&format!("Password of {}: ", clean(&args.user)))?),
    };
    let login = LoginMatrix {
        homeserver: args.homeserver.clone(),
        user: args.user.clone(),
        proof,
        device_name: args.device_name.clone(),
    };
    let client = context.client()?;
    context.block_on(async {
        let account = client.login_matrix(&login).await?;
        output::show(context, &account, human::matrix_login)?;
        if let Some(text) = somebodys_own(&account) {
            output::note(&human::warning(&text));
        }
        Ok(Exit::OK)
    })
}

/// An account with other devices is probably somebody's own.
fn somebodys_own(account: &MatrixAccountView) -> Option<String> {
    let others = account.other_devices.filter(|others| *others > 0)?;
    let devices = if others == 1 { "another device".to_owned() } else { format!("{others} other devices") };
    Some(format!(
        "{} has {devices}: it seems to be somebody's own account. Give the node one of its own: what the node says \
         there, that person says, and who answers in a room could not be told from the node. `cis matrix logout` ends \
         this login.",
        clean(&account.user_id)
    ))
}

/// What goes over a network in clear. What does not leave the machine may.
fn is_readable_on_the_way(address: &str) -> bool {
    let Some(rest) = address.trim().strip_prefix("http://") else { return false };
    let host = rest.split(['/', ':']).next().unwrap_or_default();
    let local = host == "localhost" || host.starts_with("127.") || rest.starts_with("[::1]");
    !local
}

/// The first line of standard input.
fn from_stdin(what: &str) -> Result<String, CliError> {
    if std::io::stdin().is_terminal() {
        return secret::ask(&format!("The {what}: "));
    }
    let mut text = String::new();
    std::io::stdin().lock().take(SECRET_BYTES_MAX).read_to_string(&mut text).map_err(|error| {
        CliError::bad_input(format!("no {what} could be read from standard input: {error}"))
    })?;
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        return Err(CliError::bad_input(format!("standard input holds no {what}: nothing was sent")));
    }
    Ok(line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_leaves_the_machine_unencrypted_is_warned_about() {
        for fine in [
            "https://example.org",
            "example.org",
            "http://localhost:8008",
            "http://127.0.0.1:1",
            "http://[::1]:1",
        ] {
            assert!(!is_readable_on_the_way(fine), "{fine}");
        }
        for not in ["http://example.org", " http://192.168.1.2:8008/", "http://localhost.example.org"] {
            assert!(is_readable_on_the_way(not), "{not}");
        }
    }

    #[test]
    fn an_account_of_the_nodes_own_is_not_warned_about() {
        let account = |other_devices| MatrixAccountView {
            user_id: "@ann:example.org".to_owned(),
            device_id: "ABC".to_owned(),
            homeserver: "https://example.org/".to_owned(),
            other_devices,
            away: None,
        };
        assert_eq!(somebodys_own(&account(Some(0))), None);
        assert_eq!(somebodys_own(&account(None)), None);
        assert!(somebodys_own(&account(Some(1))).unwrap().contains("has another device"));
        assert!(somebodys_own(&account(Some(2))).unwrap().contains("has 2 other devices"));
    }
}
