//! A login through a browser: opens it, and waits until it, or somebody who pastes its address, brings the login token.

mod callback;

use std::process::{Command, Stdio};
use std::time::Duration;

use cis_client::Client;
use cis_core::api::{BeginMatrixSso, LoginMatrix, MatrixAccountView, MatrixProof};
use tokio::signal::unix::SignalKind;
use tokio::time::{Instant, sleep_until};

use callback::Callback;

use crate::error::{CliError, Exit};
use crate::output;
use crate::output::clean::clean;
use crate::signals::AnyLeaving;
use crate::term::typed::{Line, Typed, line};

/// What comes of it.
pub(super) enum Came {
    /// The account, logged in.
    Account(Box<MatrixAccountView>),
    /// Somebody left.
    Left(Exit),
}

/// Who is to log in, where, and how long it may take.
pub(super) struct Wanted {
    pub(super) homeserver: String,
    /// Empty: whoever the browser logs in.
    pub(super) user: String,
    pub(super) device_name: Option<String>,
    pub(super) timeout: Duration,
}

pub(super) async fn login(
    client: &Client,
    wanted: Wanted,
    leaving: &mut AnyLeaving,
) -> Result<Came, CliError> {
    let failed = |error| CliError::unavailable(format!("cannot listen on 127.0.0.1: {error}"));
    let mut callback = Callback::listen().await.map_err(failed)?;
    let begin =
        BeginMatrixSso { homeserver: wanted.homeserver.clone(), redirect: callback.place().redirect() };
    let address = match leaving.during(Box::pin(client.begin_matrix_sso(&begin))).await {
        Ok(begun) => begun?.address,
        Err(number) => return Ok(Came::Left(Exit::signal(number))),
    };
    output::note(&format!("Open this address in a browser, and log in there:\n\n  {}\n\n", clean(&address)));
    open(&callback.leading_to(&address));
    let token = match token(callback, wanted.timeout, leaving).await? {
        Ok(token) => token,
        Err(exit) => return Ok(Came::Left(exit)),
    };
    let login = LoginMatrix {
        homeserver: wanted.homeserver,
        user: wanted.user,
        proof: MatrixProof::LoginToken(token),
        device_name: wanted.device_name,
    };
    match leaving.during(Box::pin(client.login_matrix(&login))).await {
        Ok(account) => Ok(Came::Account(Box::new(account?))),
        Err(number) => {
            output::note("The node has not answered and may still log in: `cis matrix whoami` tells.\n");
            Ok(Came::Left(Exit::signal(number)))
        }
    }
}

/// The token, or how to leave.
async fn token(
    callback: Callback,
    timeout: Duration,
    leaving: &mut AnyLeaving,
) -> Result<Result<String, Exit>, CliError> {
    let until = Instant::now() + timeout;
    let known = callback.place();
    let mut typed = paste();
    let mut came = std::pin::pin!(callback.token());
    loop {
        tokio::select! {
            biased;
            number = leaving.recv() => return Ok(Err(Exit::signal(number))),
            token = &mut came => {
                return token.map(Ok).map_err(|error| CliError::unavailable(format!("cannot receive the result from the browser: {error}")));
            }
            line = line(&mut typed) => match line {
                Line::Text(text) => match known.token_of(&text) {
                    Some(token) => return Ok(Ok(token)),
                    None => {
                        drop(typed.take());
                        output::note(&format!(
                            "This is not the address of the browser's last page: that address begins with {} and contains a loginToken.\n",
                            known.redirect()
                        ));
                        typed = paste();
                    }
                },
                Line::Cancelled => return Ok(Err(Exit::signal(SignalKind::interrupt().as_raw_value()))),
                Line::Gone => typed = None,
            },
            () = sleep_until(until) => {
                return Err(CliError::Failed {
                    detail: format!("nobody logged in within {}: nothing was changed", humantime::format_duration(timeout)),
                    hint: "try again, or use a longer --timeout".to_owned(),
                });
            }
        }
    }
}

/// Where the browser is on another machine, its last address is brought by hand. Without a terminal nobody can.
fn paste() -> Option<Typed> {
    Typed::ask_silently(
        "Waiting for the browser. Is it on another machine? Then it ends at a page that does not load: paste that page's \
         address here (it is not shown): ",
    )
    .ok()
}

/// Opens a browser, where there is one. Where not, the address that was shown does.
fn open(address: &str) {
    let var = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let has_display = var("DISPLAY").or_else(|| var("WAYLAND_DISPLAY")).is_some();
    let program = match var("BROWSER") {
        // Several are separated by colons, first the one that is meant.
        Some(all) => all.split(':').find(|one| !one.is_empty()).map(str::to_owned),
        None => has_display.then(|| "xdg-open".to_owned()),
    };
    let Some(program) = program else { return };
    let mut words = program.split_whitespace();
    let Some(name) = words.next() else { return };
    let mut command = Command::new(name);
    let mut placed = false;
    for word in words {
        placed |= word.contains("%s");
        command.arg(word.replace("%s", address));
    }
    if !placed {
        command.arg(address);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match command.spawn() {
        // It may stay as long as its window does.
        Ok(child) => drop(cis_local::reap(child)),
        Err(error) => output::note(&format!("Cannot start `{}`: {error}\n", clean(name))),
    }
}
