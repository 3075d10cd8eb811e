//! The program `undertone-gateway`.

use std::alloc::System;
use std::process::ExitCode;
use undertone_gateway::cli;
use undertone_gateway::wiping_allocator::WipingAllocator;

#[global_allocator]
static ALLOCATOR: WipingAllocator<System> = WipingAllocator(System);

fn main() -> ExitCode {
    ExitCode::from(cli::run())
}
