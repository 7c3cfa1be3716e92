//! [`Preamble`]: what a reader needs before any figure.

use crate::arguments::Arguments;
use crate::machine;
use crate::system::System;

/// The circumstances of a run.
#[derive(Debug)]
pub(crate) struct Preamble {
    pub(super) date: String,
    pub(super) command: String,
    pub(super) machine: String,
    pub(super) storage: String,
    /// With versions.
    pub(super) systems: String,
    pub(super) rounds: usize,
    quick: bool,
    load: String,
    clock_nanos: u128,
}

impl Preamble {
    pub(crate) fn new(arguments: &Arguments, systems: &[Box<dyn System>]) -> Self {
        let named = systems.iter().map(|system| {
            let name = system.name();
            machine::version(name).map_or(name.to_owned(), |version| format!("{name} {version}"))
        });
        Self {
            date: machine::date(),
            command: machine::command(),
            machine: machine::machine(),
            storage: machine::storage(&arguments.directory),
            systems: named.collect::<Vec<String>>().join(", "),
            rounds: arguments.rounds,
            quick: arguments.quick,
            load: machine::load("at the start"),
            clock_nanos: machine::clock_nanos(),
        }
    }

    pub(crate) fn text(&self, markdown: bool) -> String {
        let mut lines = vec![
            format!("Date: {}.", self.date),
            format!("Command: {}", self.command),
            format!("Machine: {}.", self.machine),
            format!("Storage: {}.", self.storage),
            format!("Systems: {}.", self.systems),
            format!("Rounds: {}. One reading of the clock: {} ns.", self.rounds, self.clock_nanos),
            self.load.clone(),
            "x raw, x stratalog: the median over the rounds of the ratio in the same round; below 1 \
             is faster."
                .to_owned(),
        ];
        if self.quick {
            let quick =
                "Quick: works and logs are 32 times smaller, and their figures mean little.";
            lines.push(quick.to_owned());
        }
        let mark = if markdown { "- " } else { "" };
        lines.iter().flat_map(|line| [mark, line, "\n"]).collect()
    }

    #[cfg(test)]
    pub(super) fn sample() -> Self {
        Self {
            date: "2026-01-02 03:04 UTC".to_owned(),
            command: "peers <all> & \"more\"".to_owned(),
            machine: "machine".to_owned(),
            storage: "ext4 on /dev/sda".to_owned(),
            systems: "raw, stratalog 0.1.0".to_owned(),
            rounds: 3,
            quick: true,
            load: "Load".to_owned(),
            clock_nanos: 30,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quick_run_says_so() {
        let text = Preamble::sample().text(true);
        assert!(text.contains("- Quick: ") && text.contains("- Date: 2026-01-02"), "{text}");
        assert!(text.lines().all(|line| line.starts_with("- ")), "{text}");
    }
}
