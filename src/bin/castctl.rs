//! The castctl binary: parses the command line, runs one command, turns its answer into an exit
//! code.

fn main() -> std::process::ExitCode {
    castctl::cmd::main(std::env::args_os()).into()
}
