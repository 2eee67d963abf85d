//! Prepares the files that the program contains: it rebuilds when the migrations change, and compresses the served files once,
//! each with a tag by which a browser detects changes.

#![expect(
    clippy::disallowed_methods,
    reason = "cargo says where to write by a variable"
)]

use flate2::Compression;
use flate2::write::GzEncoder;
use std::error::Error;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};
use zip::ZipArchive;

/// Folders with served files, and the document of the API.
const SERVED: [&str; 3] = ["web", "sdk/javascript/src", "openapi"];

/// Entries of these folders that are not served.
const NOT_SERVED: [&str; 2] = ["test", "node_modules"];

/// The files of Swagger UI that its page loads.
const DOCS: [&str; 7] = [
    "favicon-16x16.png",
    "favicon-32x32.png",
    "index.css",
    "index.html",
    "swagger-ui-bundle.js",
    "swagger-ui-standalone-preset.js",
    "swagger-ui.css",
];

fn main() -> Result<(), Box<dyn Error>> {
    // A new migration must cause a build, and so must a new served file, which these two sources name.
    for path in [
        "build.rs",
        "migrations",
        "src/http/pages/web.rs",
        "src/http/pages/docs.rs",
    ] {
        println!("cargo:rerun-if-changed={path}");
    }
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    for folder in SERVED {
        folder_of(Path::new(folder), &out)?;
    }
    let mut zip = ZipArchive::new(Cursor::new(utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED))?;
    for at in 0..zip.len() {
        let mut file = zip.by_index(at)?;
        let name = file.name()?.into_owned();
        if let Some((_, name)) = name.split_once("/dist/")
            && DOCS.contains(&name)
        {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            keep(&out.join("docs").join(name), &bytes)?;
        }
    }
    Ok(())
}

fn folder_of(folder: &Path, out: &Path) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if NOT_SERVED.iter().any(|name| path.ends_with(name)) {
            continue;
        }
        if path.is_dir() {
            folder_of(&path, out)?;
        } else {
            println!("cargo:rerun-if-changed={}", path.display());
            keep(&out.join(&path), &fs::read(&path)?)?;
        }
    }
    Ok(())
}

/// Writes a file, its compressed form, and its tag.
fn keep(path: &Path, bytes: &[u8]) -> Result<(), Box<dyn Error>> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(bytes)?;
    // This hasher has no key, so the hash is the same in every build by one compiler.
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    let name = path.display();
    fs::write(path, bytes)?;
    fs::write(format!("{name}.gz"), gzip.finish()?)?;
    Ok(fs::write(
        format!("{name}.tag"),
        format!("{:016x}", hasher.finish()),
    )?)
}
