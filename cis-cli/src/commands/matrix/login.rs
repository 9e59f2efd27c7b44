//! `cis matrix login`.

use std::time::Duration;

use cis_client::Client;
use cis_core::api::{LoginMatrix, MatrixAccountView, MatrixProof};

use super::sso;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::clean::clean;
use crate::output::{self, human};
use crate::settings;
use crate::signals::AnyLeaving;
use crate::term::secret;

/// Log the node in to a Matrix account
///
/// Give the node its own account, because everybody who controls the node can send messages as that account. The
/// command asks for the password on the terminal and does not store it: the homeserver issues a token, which is
/// stored in the node's files (0600). Without a terminal, the command reads a password or an access token from
/// standard input. Neither can be an argument, because other users can see arguments. With --sso you log in through a
/// browser. If the browser is on another machine, paste the address of its last page.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis matrix login --homeserver https://matrix.example.org --user cis
  cis matrix login --homeserver example.org --user @cis:example.org
  secret-tool lookup matrix bot | cis matrix login --homeserver https://matrix.example.org --user cis --password-stdin
  cat token | cis matrix login --homeserver http://localhost:8008 --user cis --token-stdin
  cis matrix login --sso --homeserver example.org")]
#[command(group = clap::ArgGroup::new("proof").args(["password_stdin", "token_stdin", "sso"]))]
pub(crate) struct Args {
    #[arg(
        long,
        value_name = "URL",
        help = "URL of the homeserver, or the server name of its users [default: the server of `--user @name:server`]"
    )]
    homeserver: Option<String>,
    /// The account: `name` or `@name:server`; not needed with --sso
    #[arg(long, value_name = "NAME", required_unless_present = "sso")]
    user: Option<String>,
    /// Read the password from standard input
    #[arg(long)]
    password_stdin: bool,
    /// Read an access token from standard input; no other program may use this token
    #[arg(long)]
    token_stdin: bool,
    /// Log in through a browser
    #[arg(long)]
    sso: bool,
    /// Time to wait for the browser
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = settings::duration, requires = "sso")]
    timeout: Duration,
    /// Name of this device in the account's list of devices [default: CIS on this machine]
    #[arg(long, value_name = "TEXT")]
    device_name: Option<String>,
}

pub(super) fn run(context: &Context, args: Args) -> Result<Exit, CliError> {
    let user = args.user.unwrap_or_default();
    let homeserver = homeserver(args.homeserver, &user)?;
    if is_readable_on_the_way(&homeserver) {
        output::note(&human::warning(
            "http:// is not encrypted: the network between here and the homeserver can read the password and the token",
        ));
    }
    let device_name = args.device_name;
    if args.sso {
        let wanted = sso::Wanted { homeserver, user, device_name, timeout: args.timeout };
        let client = context.client()?;
        return context.block_on(async {
            let mut leaving = AnyLeaving::new()?;
            match sso::login(&client, wanted, &mut leaving).await? {
                sso::Came::Account(account) => {
                    let told = leaving.during(Box::pin(tell(context, &client, &account))).await;
                    told.unwrap_or_else(|number| Ok(Exit::signal(number)))
                }
                sso::Came::Left(exit) => Ok(exit),
            }
        });
    }
    let proof = match (args.password_stdin, args.token_stdin) {
        (_, true) => MatrixProof::Token(secret::from_stdin("access token")?),
        (true, _) => MatrixProof::Password(secret::from_stdin("password")?),
        _ => MatrixProof::Password(secret::ask(&format!("Password of {}: ", clean(&user)))?),
    };
    let login = LoginMatrix { homeserver, user, proof, device_name };
    let client = context.client()?;
    context.block_on(async {
        let account = client.login_matrix(&login).await?;
        tell(context, &client, &account).await
    })
}

async fn tell(context: &Context, client: &Client, account: &MatrixAccountView) -> Result<Exit, CliError> {
    output::show(context.json, account, human::matrix_login)?;
    if let Some(text) = somebodys_own(account) {
        output::note(&human::warning(&text));
    }
    // What cannot be told now, `cis matrix verify` tells.
    if client.matrix_standing().await.is_ok_and(|standing| !standing.signed) {
        output::note(&human::warning(
            "the account has not signed this device, so others may hold what it says in encrypted rooms for somebody else's. \
             `cis matrix verify` says what to do.",
        ));
    }
    Ok(Exit::OK)
}

/// The one that is named, or that of `@name:server`.
fn homeserver(named: Option<String>, user: &str) -> Result<String, CliError> {
    let of_user = || user.trim().strip_prefix('@')?.split_once(':').map(|(_, server)| server.to_owned());
    named.or_else(of_user).ok_or_else(|| {
        CliError::bad_input("missing homeserver").hint("give --homeserver URL or --user @name:server")
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
    let address = address.trim().to_ascii_lowercase();
    let Some(rest) = address.strip_prefix("http://") else { return false };
    let host = rest.split(['/', ':']).next().unwrap_or_default();
    let is_loopback = host.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| ip.is_loopback());
    !(host == "localhost" || is_loopback || rest.starts_with("[::1]"))
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
        for not in [
            "http://example.org",
            " http://192.168.1.2:8008/",
            "http://localhost.example.org",
            "HTTP://127.evil.example",
        ] {
            assert!(is_readable_on_the_way(not), "{not}");
        }
    }

    #[test]
    fn a_whole_name_says_where_its_homeserver_is() {
        assert_eq!(homeserver(None, "@cis:example.org:8448").unwrap(), "example.org:8448");
        assert_eq!(homeserver(Some("x".to_owned()), "@cis:example.org").unwrap(), "x");
        for nowhere in ["", "cis", "@cis"] {
            assert!(homeserver(None, nowhere).is_err(), "{nowhere}");
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
