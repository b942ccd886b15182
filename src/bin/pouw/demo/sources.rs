//! What the demo runs on by default: the sources this program was built from.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

const PACKAGE: &str = env!("CARGO_MANIFEST_DIR");
/// The folders of the package, without builds and history.
const FOLDERS: [&str; 5] = ["src", "tests", "benches", "examples", "clients"];

/// Copies the package's sources to `to`, so that they do not change during the ingest.
pub fn copy_own(to: &Path) -> Result<PathBuf, Failure> {
    let package = Path::new(PACKAGE);
    if !package.join("src").join("lib.rs").is_file() {
        return Err(Failure::Usage(format!(
            "the sources of this program are no longer in {PACKAGE}; name other files: pouw demo PATH"
        )));
    }
    let fail = |error: io::Error| Failure::Failed(format!("the sources in {PACKAGE} cannot be copied: {error}"));
    copy_own_to(package, to).map_err(fail)?;
    Ok(to.to_owned())
}

fn copy_own_to(package: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(package)? {
        let entry = entry?;
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        let wanted = name.to_str().is_some_and(|name| FOLDERS.contains(&name));
        if kind.is_file() && !name.as_encoded_bytes().starts_with(b".") {
            fs::copy(entry.path(), to.join(name))?;
        } else if kind.is_dir() && wanted {
            copy_folder(&entry.path(), &to.join(name))?;
        }
    }
    Ok(())
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() && entry.file_name() != "node_modules" {
            copy_folder(&entry.path(), &target)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
