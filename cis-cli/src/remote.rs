//! Which node of another machine is meant, by what is given and by the environment, and how we come to it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use cis_client::{Client, Fingerprint, ServerTrust};
use clap::Args;

use crate::error::CliError;

/// Which node is meant, where it is not this machine's; before the command.
#[derive(Debug, Default, Args)]
pub(crate) struct Elsewhere {
    /// Use the node at this URL instead of the one on this machine; needs a token [env: CIS_URL]
    #[arg(long, value_name = "URL", help_heading = "Global options")]
    pub(crate) url: Option<String>,
    /// File with the token for --url, one line [env: CIS_TOKEN_FILE, or the token itself in CIS_API_TOKEN]
    #[arg(long, value_name = "FILE", help_heading = "Global options")]
    pub(crate) token_file: Option<PathBuf>,
    /// Expected SHA-256 fingerprint of the certificate of --url [env: CIS_FINGERPRINT] [default: accept a certificate
    /// that the authorities of this machine have signed for that host]
    #[arg(long, value_name = "HEX", help_heading = "Global options")]
    pub(crate) fingerprint: Option<String>,
}

/// A longer file is none of a token, bytes.
const TOKEN_FILE_BYTES_MAX: u64 = 4096;

/// A node of another machine. What is wrong with it is said by the command that wants to go there.
pub(crate) struct Remote {
    /// Where it is.
    pub(crate) url: String,
    token: Token,
    fingerprint: Option<String>,
}

/// Where the token is.
enum Token {
    File(PathBuf),
    Here(String),
    Nowhere,
}

impl Remote {
    /// None: the node of this machine is meant. What is given comes before the environment.
    pub(crate) fn of(given: &Elsewhere, variable: impl Fn(&str) -> Option<OsString>) -> Option<Self> {
        let text = |name: &str| variable(name).map(|text| text.to_string_lossy().into_owned());
        let url = given.url.clone().or_else(|| text("CIS_URL"))?;
        let token = match &given.token_file {
            Some(path) => Token::File(path.clone()),
            None => match text("CIS_API_TOKEN") {
                Some(token) => Token::Here(token),
                None => variable("CIS_TOKEN_FILE").map_or(Token::Nowhere, |path| Token::File(path.into())),
            },
        };
        let fingerprint = given.fingerprint.clone().or_else(|| text("CIS_FINGERPRINT"));
        Some(Self { url, token, fingerprint })
    }

    /// A client of it. Connects with its first call.
    pub(crate) fn client(&self) -> Result<Client, CliError> {
        let token = match &self.token {
            Token::File(path) => of_file(path)?,
            Token::Here(token) => token.trim().to_owned(),
            Token::Nowhere => {
                return Err(CliError::bad_input(format!("missing token for {}", self.url)).hint(
                    "create one on that machine with `cis node token create --role …`, and give it with --token-file FILE",
                ));
            }
        };
        let trust = match &self.fingerprint {
            None => ServerTrust::System,
            Some(text) => ServerTrust::Pinned(text.parse::<Fingerprint>().map_err(CliError::bad_input)?),
        };
        Ok(Client::remote(&self.url, &token, trust)?)
    }
}

fn of_file(path: &Path) -> Result<String, CliError> {
    use std::io::Read as _;
    let wrong = |why: &dyn std::fmt::Display| {
        CliError::bad_input(format!("cannot read the token in {}: {why}", path.display()))
    };
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(TOKEN_FILE_BYTES_MAX).read_to_string(&mut text))
        .map_err(|error| wrong(&error))?;
    let token = text.trim();
    if token.is_empty() || token.contains(char::is_whitespace) {
        return Err(wrong(&"it must contain one word"));
    }
    Ok(token.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_comes_before_the_environment() {
        let variable = |name: &str| match name {
            "CIS_URL" => Some("https://env:1".into()),
            "CIS_API_TOKEN" => Some("cist_env".into()),
            "CIS_TOKEN_FILE" => Some("/env".into()),
            _ => None,
        };
        assert!(Remote::of(&Elsewhere::default(), |_| None).is_none());
        let remote = Remote::of(&Elsewhere::default(), variable).unwrap();
        assert_eq!(remote.url, "https://env:1");
        assert!(matches!(remote.token, Token::Here(token) if token == "cist_env"));
        let given = Elsewhere {
            url: Some("https://given:1".into()),
            token_file: Some("/given".into()),
            ..Elsewhere::default()
        };
        let remote = Remote::of(&given, variable).unwrap();
        assert_eq!(remote.url, "https://given:1");
        assert!(matches!(remote.token, Token::File(path) if path == Path::new("/given")));
    }

    #[test]
    fn without_a_token_or_with_a_wrong_fingerprint_it_is_said() {
        let said = |given: &Elsewhere| {
            let remote = Remote::of(given, |_| None).unwrap();
            match remote.client() {
                Err(CliError::Problem(problem)) => problem.detail,
                other => panic!("{:?}", other.is_ok()),
            }
        };
        let mut given = Elsewhere { url: Some("https://a:1".into()), ..Elsewhere::default() };
        assert!(said(&given).contains("missing token"));
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        given.token_file = Some(file.clone());
        assert!(said(&given).contains("cannot read"));
        std::fs::write(&file, "two words\n").unwrap();
        assert!(said(&given).contains("must contain one word"));
        std::fs::write(&file, "cist_x\n").unwrap();
        given.fingerprint = Some("abc".into());
        assert!(said(&given).contains("64 hexadecimal digits"));
        given.fingerprint = Some("ab".repeat(32));
        assert!(Remote::of(&given, |_| None).unwrap().client().is_ok());
        given.url = Some("http://a".into());
        assert!(said(&given).contains("https://"));
    }
}
