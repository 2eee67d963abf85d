//! The program `tideline`: the allocator, and the command line (`cli/`).

use std::io;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> io::Result<ExitCode> {
    tideline::cli::run()
}
