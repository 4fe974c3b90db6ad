//! `nest` under another name, so that cargo builds it for the tests of this package.

use std::process::ExitCode;

fn main() -> ExitCode {
    nest_cli::main()
}
