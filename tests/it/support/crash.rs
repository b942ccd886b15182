//! A process that is this very test binary, told by the environment what to do, and killed by its parent.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Names the directory of its store to the child.
pub const CHILD: &str = "POUW_CRASH_CHILD";

/// A small generator, seeded by the round: a failure can be repeated.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// A line of the child's, whole and at once.
pub fn say(out: &Mutex<std::io::Stdout>, line: &str) {
    let mut out = out.lock().unwrap();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

/// `POUW_KILLS`, or what a test does without it.
pub fn kills(usually: u64) -> u64 {
    std::env::var("POUW_KILLS").map_or(usually, |kills| kills.parse().unwrap())
}

/// A child at work, and what it says.
pub struct Victim {
    child: Child,
    reader: BufReader<ChildStdout>,
}

impl Victim {
    /// Runs the test of this name on the store in `dir`, with more words in the environment.
    pub fn spawn<V: AsRef<OsStr>>(test: &str, dir: &Path, words: &[(&str, V)]) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture", "--test-threads=1"])
            .env(CHILD, dir)
            .envs(words.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let reader = BufReader::new(child.stdout.take().unwrap());
        Self { child, reader }
    }

    /// Passes lines on until `hear` has heard enough. False if the child ended before.
    pub fn listen(&mut self, mut hear: impl FnMut(&str) -> bool) -> bool {
        let mut line = String::new();
        while self.reader.read_line(&mut line).unwrap() > 0 {
            if hear(line.trim_end()) {
                return true;
            }
            line.clear();
        }
        false
    }

    /// Kills it after a while. What it had said and nobody had read yet was acknowledged as well; a line cut short was
    /// not.
    pub fn kill(mut self, spin: Duration, mut hear: impl FnMut(&str)) {
        let until = Instant::now() + spin;
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let mut line = String::new();
        while self.reader.read_line(&mut line).unwrap() > 0 && line.ends_with('\n') {
            hear(line.trim_end());
            line.clear();
        }
    }

    /// Lets it come to its end.
    pub fn end(mut self) {
        assert!(self.child.wait().unwrap().success());
    }
}
