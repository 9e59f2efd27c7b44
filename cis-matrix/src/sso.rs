//! Logging in through a browser: where it begins. It ends at an address of the caller's, with a token for [`crate::Proof`].

use matrix_sdk::ruma::api::client::session::get_login_types::v3::LoginType;

use crate::account::{builder, no_homeserver};
use crate::{Answer, Client, MatrixError, answer};

impl Client {
    /// The address to open in a browser. When somebody has logged in there, the browser is sent to `redirect`, with a
    /// `loginToken` in its query.
    #[must_use]
    pub fn sso_address(homeserver: &str, redirect: &str) -> Answer<String> {
        let (homeserver, redirect) = (homeserver.to_owned(), redirect.to_owned());
        answer(async move {
            let sdk = builder(&homeserver)?.build().await?;
            let auth = sdk.matrix_auth();
            let offered =
                auth.get_login_types().await.map_err(|error| no_homeserver(error.into(), &homeserver))?.flows;
            if !offered.iter().any(|flow| matches!(flow, LoginType::Sso(_))) {
                let names: Vec<&str> = offered.iter().map(LoginType::login_type).collect();
                return Err(no_sso(sdk.homeserver().as_str(), &names));
            }
            Ok(auth.get_sso_login_url(&redirect, None).await?)
        })
    }
}

fn no_sso(homeserver: &str, offered: &[&str]) -> MatrixError {
    let offers = if offered.is_empty() {
        "it offers no way to log in".to_owned()
    } else {
        // Another's words.
        let names: Vec<String> = offered.iter().map(|name| name.escape_debug().take(60).collect()).collect();
        format!("it offers {}", names.join(", "))
    };
    let detail = format!("{homeserver} offers no login through a browser (m.login.sso); {offers}");
    MatrixError::BadInput { detail }
}

#[cfg(test)]
mod tests {
    use super::no_sso;

    #[test]
    fn a_refusal_says_what_is_offered() {
        let text = no_sso("https://x/", &["m.login.password", "m\x1b[2J"]).to_string();
        assert!(text.contains("it offers m.login.password, m\\u{1b}[2J"), "{text}");
        assert!(no_sso("https://x/", &[]).to_string().contains("no way to log in"));
    }
}
