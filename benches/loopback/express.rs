//! The Express server: its packages, at the versions of the lock file beside this, and the command for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const FILES: [(&str, &str); 4] = [
    ("package.json", include_str!("package.json")),
    ("package-lock.json", include_str!("package-lock.json")),
    (".npmrc", include_str!(".npmrc")),
    ("server.js", include_str!("server.js")),
];

/// An installed Express server, below the target directory.
pub struct Express(PathBuf);

impl Express {
    /// Installs it unless it is there; why it cannot be.
    pub fn install() -> Result<Self, String> {
        version("node")?;
        version("npm")?;
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("loopback-express");
        fs::create_dir_all(&place).map_err(|error| format!("{}: {error}", place.display()))?;
        let done = place.join("node_modules/.package-lock.json");
        let same = |(name, text): &(&str, &str)| fs::read_to_string(place.join(name)).is_ok_and(|own| own == *text);
        let installed = done.exists() && FILES[..2].iter().all(same);
        for (name, text) in FILES {
            fs::write(place.join(name), text).map_err(|error| format!("{name}: {error}"))?;
        }
        if !installed {
            let mut npm = Command::new("npm");
            npm.current_dir(&place).args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
            let output = npm.output().map_err(|error| format!("npm: {error}"))?;
            if !output.status.success() {
                return Err(format!("npm ci failed: {}", String::from_utf8_lossy(&output.stderr)));
            }
        }
        Ok(Self(place))
    }

    /// The command for a server with this limit, or without a limiter.
    pub fn command(&self, limit: Option<u32>, window_ms: u64) -> Command {
        let mut node = Command::new("node");
        node.current_dir(&self.0).env("NODE_ENV", "production").arg("server.js");
        node.arg(limit.map_or("none".to_owned(), |limit| limit.to_string())).arg(window_ms.to_string());
        node
    }

    /// Versions of what is measured.
    pub fn describe(&self) -> String {
        let package: serde_json::Value = serde_json::from_str(FILES[0].1).unwrap_or_default();
        let own = |name: &str| package["dependencies"][name].as_str().unwrap_or("?").to_owned();
        let node = version("node").unwrap_or_default();
        format!("node {node}, express {}, express-rate-limit {}", own("express"), own("express-rate-limit"))
    }
}

fn version(program: &str) -> Result<String, String> {
    let output = Command::new(program).arg("--version").output().map_err(|error| format!("{program}: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
