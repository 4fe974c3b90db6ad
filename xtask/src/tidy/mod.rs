//! Checks by text search: what neither the compiler nor clippy can see.
//!
//! Each rule is a plain function over the files' text. A line that has to break one says so on itself or on the line
//! above, with its reason: `tidy: allow(paths): the image's own home`.

mod migrations;
mod slices;
mod source;
mod text;

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::cargo::output;

/// A text file of the project, by its path from the root.
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Problem {
    path: String,
    line: usize,
    rule: &'static str,
    what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, rule, what } = self;
        write!(f, "{path}:{line}: {rule}: {what}")
    }
}

/// Every rule over every file that git tracks or would track.
pub(crate) fn check(root: &Path) -> Result<Vec<Problem>> {
    let files = files(root)?;
    let mut problems = [slices::check(&files), text::check(&files), migrations::check(&files)].concat();
    problems.retain(|problem| !allowed(&files, problem));
    problems.sort();
    problems.dedup();
    Ok(problems)
}

fn files(root: &Path) -> Result<Vec<File>> {
    // In CI's container the folder may belong to another user, which git would mind.
    let list = ["-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let list = output(Command::new("git").args(list).current_dir(root))?;
    let mut files = Vec::new();
    for path in list.split_terminator('\0') {
        let on_disk = root.join(path);
        // A file that was deleted is still in git's list; a link's target has its own entry.
        if !fs::symlink_metadata(&on_disk).is_ok_and(|metadata| metadata.is_file()) {
            continue;
        }
        let bytes = fs::read(&on_disk).with_context(|| format!("cannot read {path}"))?;
        // What is not text has no lines to check.
        if let Ok(text) = String::from_utf8(bytes) {
            files.push(File { path: path.to_owned(), text });
        }
    }
    Ok(files)
}

fn allowed(files: &[File], problem: &Problem) -> bool {
    let Some(file) = files.iter().find(|file| file.path == problem.path) else { return false };
    let mark = format!("tidy: allow({}): ", problem.rule);
    let own = problem.line.saturating_sub(1);
    file.text.lines().skip(own.saturating_sub(1)).take(own.min(1) + 1).any(|line| line.contains(&mark))
}

impl File {
    /// The folder name at `depth`, or the file name: `edge/core/src` is 0, 1, 2.
    fn part(&self, depth: usize) -> Option<&str> {
        self.path.split('/').nth(depth)
    }

    fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    fn extension(&self) -> Option<&str> {
        self.name().rsplit_once('.').map(|(_, extension)| extension)
    }

    fn problem(&self, line: usize, rule: &'static str, what: impl Into<String>) -> Problem {
        Problem { path: self.path.clone(), line, rule, what: what.into() }
    }
}

#[cfg(test)]
fn file(path: &str, text: &str) -> File {
    File { path: path.to_owned(), text: text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_shown_as_an_editor_finds_it() {
        let problem = file("a/b.rs", "").problem(7, "length", "too long");
        assert_eq!(problem.to_string(), "a/b.rs:7: length: too long");
    }

    #[test]
    fn a_line_is_excused_by_itself_or_the_line_above() {
        let text = "one\n# tidy: allow(paths): why\nthree\nfour # tidy: allow(paths): why\nfive\n";
        let files = [file("a", text)];
        for (line, rule, expected) in
            [(1, "paths", false), (2, "paths", true), (3, "paths", true), (3, "length", false), (4, "paths", true)]
        {
            assert_eq!(allowed(&files, &files[0].problem(line, rule, "")), expected, "{line} {rule}");
        }
    }
}
