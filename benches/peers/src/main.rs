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
//!    ratio to `raw` and to `stratalog` of the same round. `raw` is no log: it is finished frames in
//!    a zero-filled file by plain `pwrite` and `fdatasync`, and a mapped scan that checks CRC-32C.
//! 4. Where several threads append durably, each notes how long its single appends take, in memory
//!    that was touched before. That costs one reading of the clock an append, which the preamble
//!    prices; it is the same for all systems, and below a hundredth of what an append takes. The
//!    percentiles are medians of those of the rounds.
//! 5. Records for each sync are told for stratalog, by its own figures. For another system count them
//!    in a run of its own, `strace -f --seccomp-bpf -c -e trace=fdatasync,fsync stratalog-peers
//!    durable-32 --system okaywal --rounds 1`. Each thread appends a twentieth more than its share to
//!    warm up, and at least 64. Syncs are slower under strace and their groups larger: such a count
//!    stands beside others of its kind only, one for stratalog too.
//! 6. `replay-cold` drops the machine's page cache before each round, which takes root, or else the
//!    pages of the log's files; that the bytes came from the device is checked in every round. It is
//!    skipped where neither does anything.

mod appending;
mod arguments;
mod child;
mod machine;
mod measure;
mod reading;
mod report;
mod statistics;
mod stillness;
mod system;
mod systems;
mod works;

use std::iter;

use arguments::{Arguments, Mode};
use report::Preamble;
use system::Outcome;

fn main() -> Outcome {
    match arguments::parse(std::env::args().skip(1)) {
        Ok(Mode::Run(arguments)) => run(&arguments),
        Ok(Mode::Child(order)) => child::run(&order),
        Ok(Mode::List) => {
            print!("{}", arguments::list());
            Ok(())
        }
        Ok(Mode::Help) => {
            println!("{}", arguments::HELP);
            Ok(())
        }
        Err(message) => {
            eprintln!("{message}\n\n{}", arguments::HELP);
            std::process::exit(2);
        }
    }
}

fn run(arguments: &Arguments) -> Outcome {
    let mut systems = systems::all();
    if !arguments.systems.is_empty() {
        systems.retain(|system| arguments.systems.iter().any(|name| name == system.name()));
    }
    let directory = tempfile::tempdir_in(&arguments.directory)?;
    let preamble = Preamble::new(arguments, &systems);
    print!("{}", preamble.text(arguments.markdown));
    let mut all = Vec::new();
    for work in &arguments.works {
        let measured = measure::work(work, &systems, arguments.rounds, directory.path())?;
        print!("{}", report::table(&measured, arguments.markdown));
        all.push(measured);
    }
    print!("{}", report::summary(&all, &systems, arguments.markdown));
    println!("\n{}", machine::load("at the end"));
    if let Some(path) = &arguments.markdown_file {
        let tables = all.iter().map(|measured| report::table(measured, true));
        let parts = iter::once(preamble.text(true)).chain(tables);
        let parts = parts.chain([report::summary(&all, &systems, true)]);
        std::fs::write(path, parts.collect::<String>())?;
    }
    if let Some(path) = &arguments.svg {
        std::fs::write(path, report::draw(&preamble, &all))?;
    }
    Ok(())
}
