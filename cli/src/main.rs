//! `nest`: see the library.

/// A relayed call makes some hundred small allocations on one thread and frees half of them on another, which is what
/// glibc's allocator does worst: a fifth of the edge's time, and memory that is never given back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    nest_cli::main()
}
