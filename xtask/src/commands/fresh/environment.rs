//! Variables and configuration files that a root gets from this machine, so that package clients reach their
//! registries.

use std::path::{Path, PathBuf};

/// Variables that package clients and TLS libraries read.
const NAMES: &[&str] = &[
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "no_proxy",
    "all_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
];
/// Prefixes of names of such variables.
const BEGINNINGS: &[&str] = &[
    "CARGO_HTTP_",
    "CARGO_NET_",
    "CARGO_REGISTR",
    "CARGO_SOURCE_",
    "CARGO_BUILD_JOBS",
    "PIP_",
    "npm_config_",
];

/// Configuration files of package clients, below the home directory and with absolute paths.
const HOME_FILES: &[&str] = &[".config/pip/pip.conf", ".pip/pip.conf", ".npmrc"];
const FILES: &[&str] = &["/etc/pip.conf", "/etc/npmrc", "/etc/resolv.conf", "/etc/hosts"];

/// Directories of Debian's programs.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Returns the environment of a command in a root, as `NAME=VALUE`.
pub(super) fn variables(toolchain: &Path) -> Vec<String> {
    let path = format!("{}/bin:/root/.cargo/bin:{PATH}", toolchain.display());
    let own = [
        "HOME=/root".to_owned(),
        "LANG=C.UTF-8".to_owned(),
        "TERM=xterm-256color".to_owned(),
        format!("PATH={path}"),
    ];
    own.into_iter().chain(passed().map(|(name, value)| format!("{name}={value}"))).collect()
}

/// Returns the variables of this process that are passed on.
fn passed() -> impl Iterator<Item = (String, String)> {
    // Variables that are not UTF-8 configure no package client.
    let ours = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    ours.filter(|(name, _)| is_passed(name))
}

fn is_passed(name: &str) -> bool {
    let begins = |begin: &&str| name.get(..begin.len()).is_some_and(|head| head.eq_ignore_ascii_case(begin));
    NAMES.iter().any(|known| known.eq_ignore_ascii_case(name)) || BEGINNINGS.iter().any(begins)
}

/// Returns the existing files and directories to copy, each with its path in the root.
pub(super) fn files() -> Vec<(PathBuf, PathBuf)> {
    let home = PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    let cargo_home = std::env::var_os("CARGO_HOME").map_or_else(|| home.join(".cargo"), PathBuf::from);
    let same = |path: &Path| (path.to_path_buf(), path.to_path_buf());
    let mut found: Vec<_> = FILES.iter().map(|file| same(Path::new(file))).collect();
    found.extend(HOME_FILES.iter().map(|file| (home.join(file), Path::new("/root").join(file))));
    for file in ["config.toml", "config"] {
        found.push((cargo_home.join(file), Path::new("/root/.cargo").join(file)));
    }
    // Certificates and other files that variables name.
    found.extend(
        passed()
            .map(|(_, value)| PathBuf::from(value))
            .filter(|path| path.is_absolute())
            .map(|path| same(&path)),
    );
    found.extend(["/etc/ssl/certs", "/usr/local/share/ca-certificates"].map(|path| same(Path::new(path))));
    found.extend(apt_settings().into_iter().map(|path| same(&path)));
    found.retain(|(from, _)| from.exists());
    found
}

/// Returns the files of apt's configuration about downloads. Other files may name programs that the root does
/// not have.
fn apt_settings() -> Vec<PathBuf> {
    let folder =
        std::fs::read_dir("/etc/apt/apt.conf.d").into_iter().flatten().flatten().map(|entry| entry.path());
    let about_downloads = |path: &PathBuf| {
        std::fs::read_to_string(path).is_ok_and(|text| text.to_lowercase().contains("acquire"))
    };
    folder.chain(["/etc/apt/apt.conf".into()]).filter(about_downloads).collect()
}

#[cfg(test)]
mod tests {
    use super::is_passed;

    #[test]
    fn variables_of_package_clients_are_passed_and_others_are_not() {
        assert!(
            ["HTTPS_PROXY", "https_proxy", "PIP_INDEX_URL", "CARGO_HTTP_CAINFO", "NPM_CONFIG_REGISTRY"]
                .into_iter()
                .all(is_passed)
        );
        assert!(
            !["CARGO_TARGET_DIR", "CARGO_HOME", "CARGO_MANIFEST_DIR", "RUSTFLAGS", "CIS_HOME"]
                .into_iter()
                .any(is_passed)
        );
    }
}
