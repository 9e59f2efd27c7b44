//! What a node says of the machine that it is on.

use crate::config::settings::FederationSettings;

/// Its name (`uname -n`).
pub(crate) fn name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// What other nodes call this one.
pub(crate) fn name_in(settings: &FederationSettings) -> String {
    if settings.name.is_empty() { name() } else { settings.name.clone() }
}

/// Runnable processes per processor over the last minute, in thousandths (sysinfo(2)).
pub(crate) fn load_permille() -> u32 {
    const ONE: u64 = 1 << 16;
    let load = rustix::system::sysinfo().loads[0];
    let processors = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    u32::try_from(load * 1000 / ONE / processors).unwrap_or(u32::MAX)
}
