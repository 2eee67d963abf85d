//! The migrations are embedded at compile time; a new folder must cause a build.
fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
