//! A GPU node by itself; `nest node` runs the same.

use std::process::ExitCode;

fn main() -> ExitCode {
    let exit_with_parent = std::env::args().skip(1).any(|it| it == "--exit-with-parent");
    gpu_node::run(|name| std::env::var(name).ok(), exit_with_parent)
}
