//! What a directory has of an object that is being written: a file beside it, with its name and a suffix.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

/// Removes what was begun of an object and has not become it. The store itself does so unless its process is killed.
pub(super) fn remove(root: &Path, object: &Path) -> io::Result<()> {
    let (Some(dir), Some(name)) = (object.parent(), object.file_name()) else {
        return Ok(());
    };
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let (path, found) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        let suffix = found.as_encoded_bytes();
        let suffix = suffix.strip_prefix(name.as_encoded_bytes());
        if suffix.is_some_and(|suffix| suffix.starts_with(b"#")) {
            match fs::remove_file(path) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    // With an object the store removes the directories that it leaves empty.
    let dirs = dir.ancestors().take_while(|one| *one != root);
    let _not_empty = dirs.map(fs::remove_dir).find(Result::is_err);
    Ok(())
}
