//! A port of this machine through which programs that know no Unix sockets reach a node: bytes, unchanged.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

/// Listens as long as the test's process lives; gives the address.
pub fn relay(socket: PathBuf) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(node) = UnixStream::connect(&socket) else { continue };
            let (Ok(client_too), Ok(node_too)) = (client.try_clone(), node.try_clone()) else { continue };
            pass(client, node, |node| node.shutdown(Shutdown::Write));
            pass(node_too, client_too, |client| client.shutdown(Shutdown::Both));
        }
    });
    address
}

/// Copies from one to the other until either ends, and then closes what is written to.
pub(super) fn pass<R, W>(from: R, to: W, close: impl FnOnce(&W) -> io::Result<()> + Send + 'static)
where
    R: Send + 'static,
    W: Send + 'static,
    for<'a> &'a R: io::Read,
    for<'a> &'a W: io::Write,
{
    std::thread::spawn(move || {
        // Either side may go at any time.
        let _ = copy(&from, &to);
        let _ = close(&to);
    });
}

fn copy<R, W>(mut from: &R, mut to: &W) -> io::Result<()>
where
    for<'a> &'a R: io::Read,
    for<'a> &'a W: io::Write,
{
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            length => to.write_all(&buffer[..length])?,
        }
    }
}
