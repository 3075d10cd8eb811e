//! The program `undertone-gateway`.

use clap::Parser;
use std::alloc::System;
use std::process::ExitCode;
use undertone_gateway::cli;
use undertone_gateway::wiping_allocator::WipingAllocator;

#[global_allocator]
static ALLOCATOR: WipingAllocator<System> = WipingAllocator(System);

fn main() -> ExitCode {
    // Help and version end here with 0, wrong arguments with 2, both in clap's words.
    ExitCode::from(cli::run(&cli::arguments::Arguments::parse()))
}
