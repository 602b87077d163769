//! The commands of docs/from-metallb.md, as its reader runs them.

use std::{collections::BTreeMap, fs, os::unix::fs::symlink, path::PathBuf};

use lodestone_tests::{Cluster, checkout};

/// The indentation of a command below the text of a step.
const COMMAND: &str = "       ";

/// The guide, and a directory to run its commands in.
pub(super) struct Guide<'a> {
    cluster: &'a Cluster,
    directory: PathBuf,
    /// The commands of each step, by the heading above it and its number.
    steps: BTreeMap<(String, u32), Vec<String>>,
}

impl<'a> Guide<'a> {
    /// Reads the guide. Its commands find both charts below the directory that they run in.
    pub(super) fn read(cluster: &'a Cluster) -> Self {
        let directory = cluster.state().path().join("change-over");
        fs::create_dir_all(directory.join("metallb")).unwrap();
        symlink(checkout().join("charts"), directory.join("charts")).unwrap();
        let metallb = checkout().join("tests/e2e/change_over/metallb");
        symlink(metallb, directory.join("metallb/metallb")).unwrap();
        let text = fs::read_to_string(checkout().join("docs/from-metallb.md")).unwrap();
        Self {
            cluster,
            directory,
            steps: steps(&text),
        }
    }

    /// Runs the commands of a step, and returns their output.
    pub(super) fn follow(&self, heading: &str, step: u32) -> String {
        let commands = self.steps.get(&(heading.to_owned(), step));
        let commands = commands.unwrap_or_else(|| panic!("no commands in step {step} of {heading:?}"));
        commands.iter().map(|command| self.run(command)).collect()
    }

    /// Runs a command in the directory of the guide.
    pub(super) fn run(&self, command: &str) -> String {
        eprintln!("$ {command}");
        let script = format!("cd {}\n{command}", self.directory.display());
        let output = self.cluster.shell(&script).unwrap();
        eprintln!("{output}");
        output
    }
}

fn steps(text: &str) -> BTreeMap<(String, u32), Vec<String>> {
    let mut steps = BTreeMap::<_, Vec<String>>::new();
    let (mut heading, mut step) = (String::new(), 0);
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            (heading, step) = (title.to_owned(), 0);
        } else if let Some((Ok(number), _)) = line.split_once(". ").map(|(number, text)| (number.parse(), text)) {
            step = number;
        } else if let Some(command) = line.strip_prefix(COMMAND) {
            steps
                .entry((heading.clone(), step))
                .or_default()
                .push(command.to_owned());
        }
    }
    steps
}
