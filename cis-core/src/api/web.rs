//! Hosts and origins as HTTP writes them, and whether a request that names them may be answered (RFC 9110, 7.2;
//! RFC 6454; WHATWG fetch).
//!
//! A page in a browser can send requests to any address, with a name that its own server resolves anew at will (DNS
//! rebinding), but it can choose neither `Host` nor `Origin`.

use std::net::IpAddr;

/// Returns the host of `HOST[:PORT]` in the form in which hosts are compared: lower case, without port, brackets of an
/// IPv6 address and final dot. `None`: the host is malformed.
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

/// Returns a host name or address without a port in the form in which hosts are compared. `None`: it is malformed.
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

/// Returns an origin `SCHEME://HOST[:PORT]` in the form in which origins are compared. `None`: it is malformed, or `null`.
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

/// Accepted names of a listener, and accepted origins of pages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Callers {
    hosts: Vec<String>,
    origins: Vec<String>,
}

impl Callers {
    /// Takes the names and origins of the configuration. Malformed ones are left out.
    #[must_use]
    pub fn new(hosts: &[String], origins: &[String]) -> Self {
        Self {
            hosts: hosts.iter().filter_map(|host| host_name(host)).collect(),
            origins: origins.iter().filter_map(|text| origin(text)).collect(),
        }
    }

    /// Whether a request that arrived at `local` may name the host `authority`: that address, a configured name, or
    /// `localhost` on this machine. Its port is not compared: it may be that of a tunnel.
    #[must_use]
    pub fn is_host(&self, authority: &str, local: IpAddr) -> bool {
        let Some(host) = host_of(authority) else { return false };
        let local = local.to_canonical();
        host == local.to_string()
            || (local.is_loopback() && host == "localhost")
            || self.hosts.contains(&host)
    }

    /// Whether a page of the origin `from` may call the host `authority`: its own origin, or a configured one.
    #[must_use]
    pub fn allows_origin(&self, from: &str, authority: &str) -> bool {
        let Some(from) = origin(from) else { return false };
        self.origins.contains(&from) || origin(&format!("https://{authority}")) == Some(from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: &str = "127.0.0.1";

    fn says(callers: &Callers, authority: &str, local: &str) -> bool {
        callers.is_host(authority, local.parse().unwrap())
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
        let may = |from: &str| callers.allows_origin(from, "127.0.0.1:7443");
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
        assert!(!Callers::default().allows_origin("https://board.example.org", "x"));
    }
}
