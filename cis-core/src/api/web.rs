//! Hosts and origins as HTTP writes them, and whether a request that names them may be answered (RFC 9110, 7.2;
//! RFC 6454; WHATWG fetch).
//!
//! A page in a browser can send requests to any address, with a name that its own server resolves anew at will (DNS
//! rebinding), but it can choose neither `Host` nor `Origin`.

use std::net::IpAddr;

/// The host of `HOST[:PORT]`, as it is compared: without its port, an IPv6 address without brackets, small letters,
/// no final point; none: that is no host.
#[must_use]
pub fn host_of(authority: &str) -> Option<String> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            (address, after.strip_prefix(':').or_else(|| after.is_empty().then_some("")))
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, Some("")),
        },
    };
    port?.bytes().all(|byte| byte.is_ascii_digit()).then_some(())?;
    host_name(host)
}

/// A name or an address of a machine, without a port, as it is compared.
#[must_use]
pub fn host_name(host: &str) -> Option<String> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Some(address.to_canonical().to_string());
    }
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let is_label = |label: &str| !label.is_empty() && label.len() <= 63 && label.bytes().all(plain);
    (name.len() <= 253 && name.split('.').all(is_label)).then_some(name)
}

/// An origin `SCHEME://HOST[:PORT]`, as it is compared; none: that is none, `null` among others.
#[must_use]
pub fn origin(text: &str) -> Option<String> {
    let (scheme, authority) = text.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let usual = match scheme.as_str() {
        "https" => ":443",
        "http" => ":80",
        _ => return None,
    };
    host_of(authority)?;
    let authority = authority.to_ascii_lowercase();
    Some(format!("{scheme}://{}", authority.strip_suffix(usual).unwrap_or(&authority)))
}

/// By which names a listener may be called, and by pages of which origins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Callers {
    hosts: Vec<String>,
    origins: Vec<String>,
}

impl Callers {
    /// Those of the configuration; what is none is left out.
    #[must_use]
    pub fn new(hosts: &[String], origins: &[String]) -> Self {
        Self {
            hosts: hosts.iter().filter_map(|host| host_name(host)).collect(),
            origins: origins.iter().filter_map(|text| origin(text)).collect(),
        }
    }

    /// Whether somebody who connected to `local` may call it `authority`: by that address, by a name that was
    /// configured, and, on this machine, by `localhost`. The port may be another one: that of a tunnel.
    #[must_use]
    pub fn may_say(&self, authority: &str, local: IpAddr) -> bool {
        let Some(host) = host_of(authority) else { return false };
        let local = local.to_canonical();
        host == local.to_string()
            || (local.is_loopback() && host == "localhost")
            || self.hosts.contains(&host)
    }

    /// Whether a page of `from` may call what was called by `authority`: one of that very origin, or one that was
    /// configured.
    #[must_use]
    pub fn may_come(&self, from: &str, authority: &str) -> bool {
        let Some(from) = origin(from) else { return false };
        self.origins.contains(&from) || origin(&format!("https://{authority}")) == Some(from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: &str = "127.0.0.1";

    fn says(callers: &Callers, authority: &str, local: &str) -> bool {
        callers.may_say(authority, local.parse().unwrap())
    }

    #[test]
    fn a_listener_is_called_by_its_address_or_a_configured_name() {
        let callers = Callers::new(&["Node.Example.org".to_owned(), "10.0.0.7".to_owned()], &[]);
        for (authority, local) in [
            ("127.0.0.1:7443", HOME),
            ("127.0.0.1", HOME),
            ("127.0.0.1", "::ffff:127.0.0.1"),
            ("[::1]:7443", "::1"),
            ("localhost:1", HOME),
            ("LOCALHOST.", "::1"),
            ("192.0.2.1:7443", "192.0.2.1"),
            ("node.example.org:7443", "192.0.2.1"),
            ("NODE.example.ORG.", HOME),
            ("10.0.0.7:80", "192.0.2.1"),
        ] {
            assert!(says(&callers, authority, local), "{authority} at {local}");
        }
        for (authority, local) in [
            ("evil.example", HOME),
            ("evil.example:7443", HOME),
            ("localhost", "192.0.2.1"),
            ("localhost.evil.example", HOME),
            ("127.0.0.1.evil.example", HOME),
            ("192.0.2.2", "192.0.2.1"),
            ("127.0.0.1", "192.0.2.1"),
            ("", HOME),
            (":7443", HOME),
            ("a@127.0.0.1", HOME),
            ("127.0.0.1:x", HOME),
            ("[::1", "::1"),
            ("[::1]x", "::1"),
            ("[127.0.0.1]", HOME),
            ("127.0.0.1 ", HOME),
            ("node.example.org/x", HOME),
        ] {
            assert!(!says(&callers, authority, local), "{authority} at {local}");
        }
    }

    #[test]
    fn pages_of_other_origins_may_not_call() {
        let callers = Callers::new(&[], &["https://Board.example.org:443".to_owned()]);
        let may = |from: &str| callers.may_come(from, "127.0.0.1:7443");
        for from in ["https://board.example.org", "https://BOARD.example.org:443", "https://127.0.0.1:7443"] {
            assert!(may(from), "{from}");
        }
        for from in [
            "null",
            "",
            "https://evil.example",
            "http://board.example.org",
            "https://board.example.org:8443",
            "https://board.example.org.evil.example",
            "https://board.example.org/",
            "https://127.0.0.1",
            "http://127.0.0.1:7443",
            "file://",
            "https://board.example.org https://evil.example",
        ] {
            assert!(!may(from), "{from}");
        }
        assert!(!Callers::default().may_come("https://board.example.org", "x"));
    }
}
