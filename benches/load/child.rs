//! A server as a child process, that ends with its owner.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

/// A running server. Closing its standard input asks it to end; dropping this kills it.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    // Held open, so that what it says later does not fail.
    _said: BufReader<ChildStdout>,
}

impl Server {
    /// Starts it, and waits for a line that names the address it listens on.
    pub fn start(command: &mut Command) -> Self {
        let shown = format!("{command:?}");
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{shown}: {error}"));
        let mut said = BufReader::new(child.stdout.take().expect("it is piped"));
        let address = loop {
            let mut line = String::new();
            if said.read_line(&mut line).expect("its output can be read") == 0 {
                let _ = child.kill();
                let _ = child.wait();
                panic!("{shown} ended before it listened");
            }
            if let Some(address) = address_in(&line) {
                break address;
            }
        };
        Self { child, address, _said: said }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as a service manager does, and waits until it has ended well.
    pub fn terminate(mut self) {
        let id = self.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().expect("there is a kill command");
        assert!(sent.success(), "the server was there to be ended");
        let status = self.child.wait().expect("it can be waited for");
        assert!(status.success(), "the server ended with {status}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ends this process when its parent is gone.
pub fn end_with_parent() {
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
}

fn address_in(line: &str) -> Option<SocketAddr> {
    let from = &line[line.find("127.0.0.1:")?..];
    let end = from.find(|letter: char| !letter.is_ascii_digit() && !".:".contains(letter)).unwrap_or(from.len());
    from[..end].parse().ok()
}
