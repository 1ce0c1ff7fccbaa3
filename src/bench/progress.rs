//! A line on a terminal that says what is being measured and how long it still takes.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::Duration;

/// Progress of a whole command. Silent when stderr is no terminal.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A command that takes about this many seconds.
    pub fn new(seconds: u64) -> Progress {
        if !std::io::stderr().is_terminal() {
            return Progress { bar: ProgressBar::hidden() };
        }
        let bar = ProgressBar::new(seconds);
        let template = "{bar:24} {pos}/{len} s  {msg}";
        bar.set_style(
            ProgressStyle::with_template(template).unwrap_or(ProgressStyle::default_bar()),
        );
        bar.enable_steady_tick(Duration::from_millis(500));
        Progress { bar }
    }

    /// What is being done now.
    pub fn say(&self, what: String) {
        self.bar.set_message(what);
    }

    /// A second has passed.
    pub fn second(&self) {
        self.seconds(1);
    }

    /// So many seconds have passed.
    pub fn seconds(&self, count: u64) {
        self.bar.inc(count);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
