//! A folder of its own for each test, and the built command run in it.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

pub struct Sandbox {
    dir: tempfile::TempDir,
}

impl Sandbox {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file, and the folders above it.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// The command, to be run in this folder. Arguments are separated by spaces.
    pub fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pouw"));
        command.current_dir(self.dir.path()).args(arguments.split_whitespace());
        command
    }

    pub fn run(&self, arguments: &str) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs it to a good end and returns stdout.
    pub fn ok(&self, arguments: &str) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(0), "pouw {arguments}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// As [`ok`](Self::ok), with `--json`.
    #[allow(dead_code)]
    pub fn json(&self, arguments: &str) -> Value {
        let stdout = self.ok(&format!("{arguments} --json"));
        serde_json::from_str(&stdout)
            .unwrap_or_else(|e| panic!("pouw {arguments} printed no JSON document: {e}\n{stdout}"))
    }

    /// Runs it to a bad end and returns what it says behind `pouw: `, which contains all of `says`.
    pub fn refused(&self, code: i32, arguments: &str, says: &[&str]) -> String {
        let output = self.run(arguments);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "pouw {arguments}: {stderr}");
        assert!(stderr.lines().next().is_some_and(|line| line.starts_with("pouw: ")), "pouw {arguments}: {stderr}");
        assert!(!stderr.contains("panicked"), "pouw {arguments}: {stderr}");
        for word in says {
            assert!(stderr.contains(word), "pouw {arguments} does not say {word:?}: {stderr}");
        }
        stderr
    }

    /// Three files and a link: two blocks and a bit, nothing, a few bytes in a folder.
    #[allow(dead_code)]
    pub fn with_files() -> Self {
        let sandbox = Self::new();
        sandbox.write("in/cat.jpg", pattern(10_000));
        sandbox.write("in/empty", "");
        sandbox.write("in/sub/note.txt", "hello\n");
        sandbox
    }
}

/// Bytes that differ from block to block.
#[allow(dead_code)]
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 % 251 + i / 512) as u8).collect()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
