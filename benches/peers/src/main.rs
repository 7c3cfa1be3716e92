//! The same work on stratalog, on other logs, and on plain writes, measured side by side.
//!
//! Invariant: a figure stands only beside figures of the same class, that is of systems whose
//! acknowledgement means the same: in memory, in the page cache, or on the disk.
//!
//! 1. A *round* does one work once on each system, each in a directory of its own. Rounds are
//!    interleaved and each begins with another system, so that a drift of the machine meets all.
//! 2. What a round prepares (directories, preallocation, logs to be opened) is not timed, and a
//!    system's own preparations are waited for before the clock starts. What it does in the
//!    background after that is its own matter: `append-long` goes through several segments.
//! 3. The table gives the median and the minimum of the rounds, and the median of each round's
//!    ratio to `raw` of the same round. `raw` is no log: it is finished frames in a zero-filled
//!    file by plain `pwrite` and `fdatasync`, and a mapped scan that checks CRC-32C.

mod arguments;
mod child;
mod measure;
mod system;
mod systems;
mod table;
mod works;

use arguments::{Arguments, Mode};
use system::Outcome;

fn main() -> Outcome {
    let arguments = match arguments::parse(std::env::args().skip(1)) {
        Ok(Mode::Run(arguments)) => arguments,
        Ok(Mode::Child(order)) => return child::run(&order),
        Ok(Mode::Help) => {
            println!("{}", arguments::HELP);
            return Ok(());
        }
        Err(message) => {
            eprintln!("{message}\n\n{}", arguments::HELP);
            std::process::exit(2);
        }
    };
    run(&arguments)
}

fn run(arguments: &Arguments) -> Outcome {
    let systems = systems::all();
    let directory = tempfile::tempdir_in(&arguments.directory)?;
    table::preamble(arguments, &systems);
    for work in works::all(arguments.quick) {
        if arguments.includes(work.name) {
            let rows = measure::work(&work, &systems, arguments, directory.path())?;
            table::print(&work, &rows, &systems, arguments.markdown);
        }
    }
    println!("\n{}", table::load("at the end"));
    Ok(())
}
