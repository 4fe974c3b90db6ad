//! Rules for any text file: its length, its name, its end, and words that may not stay.

use super::source::Source;
use super::{File, Problem};

const MOST_LINES: usize = 500;

/// Languages that are written by hand here; data and generated text may be as long as they are.
const HAND_WRITTEN: [&str; 10] = ["rs", "ts", "tsx", "js", "mjs", "py", "sh", "sql", "css", "lua"];

/// Names that say nothing of what is inside.
const DRAWERS: [&str; 6] = ["utils", "util", "helpers", "helper", "common", "misc"];

pub(super) fn check(files: &[File]) -> Vec<Problem> {
    files
        .iter()
        .flat_map(|file| [length(file), unfinished(file), drawers(file), paths(file), lock(file), end(file)].concat())
        .collect()
}

fn length(file: &File) -> Vec<Problem> {
    let lines = file.text.lines().count();
    if lines <= MOST_LINES || !file.extension().is_some_and(|extension| HAND_WRITTEN.contains(&extension)) {
        return Vec::new();
    }
    vec![file.problem(
        MOST_LINES + 1,
        "length",
        format!("{lines} lines; past {MOST_LINES}, look for the second subject"),
    )]
}

fn unfinished(file: &File) -> Vec<Problem> {
    if file.extension() != Some("rs") {
        return Vec::new();
    }
    let code = Source::new(&file.text).code;
    let banned = [
        ("#[ignore", "no test is skipped: assert today's wrong answer and say so"),
        ("todo!", "nothing unfinished stays"),
        ("unimplemented!", "nothing unfinished stays"),
    ];
    let lines = code.lines().enumerate();
    let found = lines.flat_map(|(at, line)| {
        let here = banned.iter().filter(move |(word, _)| line.contains(word));
        here.map(move |(word, why)| (at + 1, format!("`{word}`: {why}")))
    });
    // An example that is not compiled counts as a test that is skipped.
    let examples = file.text.lines().enumerate().filter(|(_, line)| {
        let comment = ["///", "//!"].iter().find_map(|it| line.trim_start().strip_prefix(it));
        comment.is_some_and(|it| it.trim_start().starts_with("```ignore"))
    });
    let examples = examples.map(|(at, _)| (at + 1, "```ignore: an example that is no test is ```text".to_owned()));
    found.chain(examples).map(|(line, what)| file.problem(line, "unfinished", what)).collect()
}

fn drawers(file: &File) -> Vec<Problem> {
    let stem = |part: &str| part.split('.').next().unwrap_or_default().to_lowercase();
    let drawer = file.path.split('/').map(stem).find(|stem| DRAWERS.contains(&stem.as_str()));
    let what = drawer.map(|name| format!("`{name}` says nothing: name it by what it holds"));
    what.map(|what| file.problem(1, "drawers", what)).into_iter().collect()
}

/// Folders that exist on one machine only.
fn paths(file: &File) -> Vec<Problem> {
    // Spelt in parts, since this file is read, too.
    let roots = [concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Us", "ers/"), concat!("/wo", "rk/")];
    let begins_path = |line: &str, at: usize, root: &str| {
        let before = line[..at].chars().next_back();
        let after = line[at + root.len()..].chars().next();
        // Inside a longer path, such as a URL's, the same word is no root; a variable stands for any user.
        !before.is_some_and(|c| c.is_alphanumeric() || "_-./~}".contains(c)) && after.is_some_and(char::is_alphanumeric)
    };
    let mut problems = Vec::new();
    for (number, line) in file.text.lines().enumerate() {
        for root in roots {
            if line.match_indices(root).any(|(at, _)| begins_path(line, at, root)) {
                let what = format!("a path under {root} exists on one machine only");
                problems.push(file.problem(number + 1, "paths", what));
            }
        }
    }
    problems
}

/// An npm lock file that names a registry ties every machine to it; the digests are enough.
fn lock(file: &File) -> Vec<Problem> {
    if !["package-lock.json", "npm-shrinkwrap.json"].contains(&file.name()) {
        return Vec::new();
    }
    let lines = file.text.lines().enumerate().filter(|(_, line)| line.trim_start().starts_with("\"resolved\": \"http"));
    let first = lines.map(|(at, _)| at + 1).next();
    let what = "it names a registry: npm install with omit-lockfile-registry-resolved=true (.npmrc)";
    first.map(|line| file.problem(line, "lock", what)).into_iter().collect()
}

fn end(file: &File) -> Vec<Problem> {
    if file.text.is_empty() || file.text.ends_with('\n') {
        return Vec::new();
    }
    vec![file.problem(file.text.lines().count(), "end", "the file does not end with a newline")]
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;

    fn shown(path: &str, text: &str) -> Vec<String> {
        check(&[file(path, text)]).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_file_has_one_subject() {
        let (long, enough) = ("//\n".repeat(501), "//\n".repeat(500));
        assert_eq!(shown("a.rs", &long), ["a.rs:501: length: 501 lines; past 500, look for the second subject"]);
        for (path, text) in [("a.rs", &enough), ("openapi.json", &long), ("README.md", &long)] {
            assert!(shown(path, text).is_empty(), "{path}");
        }
    }

    #[test]
    fn nothing_is_skipped_or_unfinished() {
        let text = "#[ignore = \"slow\"]\nfn f() { todo!() }\n// todo!\nlet s = \"#[ignore]\";\n";
        assert_eq!(
            shown("a.rs", text),
            [
                "a.rs:1: unfinished: `#[ignore`: no test is skipped: assert today's wrong answer and say so",
                "a.rs:2: unfinished: `todo!`: nothing unfinished stays",
            ]
        );
        assert!(shown("a.md", text).is_empty());
        let example = "//! ```ignore\n//! f();\n//! ```\n/// ```text\n/// ```\n";
        let problem = "a.rs:1: unfinished: ```ignore: an example that is no test is ```text";
        assert_eq!(shown("a.rs", example), [problem]);
    }

    #[test]
    fn a_name_says_what_is_inside() {
        for (path, drawer) in [
            ("edge/core/src/utils.rs", true),
            ("tests/common/mod.rs", true),
            ("console/src/helpers.test.ts", true),
            ("edge/core/src/commonality.rs", false),
            ("deploy/helm/templates/_helpers.tpl", false),
        ] {
            assert_eq!(!shown(path, "").is_empty(), drawer, "{path}");
        }
    }

    #[test]
    fn no_path_belongs_to_one_machine() {
        let home = concat!("/ho", "me/");
        for (text, expected) in [
            (format!("dir = \"{home}ann/x\"\n"), 1),
            (format!("cd {home}ann && ls {home}bob\n"), 1),
            (format!("https://example.com{home}page\n"), 0),
            (format!("{home}$USER/x\n"), 0),
            (format!("see /srv{home}x\n"), 0),
        ] {
            assert_eq!(shown("a.txt", &text).len(), expected, "{text}");
        }
    }

    #[test]
    fn a_lock_file_names_no_registry() {
        let text = "{\n  \"resolved\": \"https://registry/x.tgz\",\n  \"resolved\": \"https://registry/y.tgz\"\n}\n";
        assert_eq!(shown("console/package-lock.json", text).len(), 1);
        assert!(shown("console/package-lock.json", text)[0].starts_with("console/package-lock.json:2: lock: "));
        assert!(shown("console/package.json", text).is_empty());
        assert!(shown("package-lock.json", "{ \"resolved\": \"packages/a\" }\n").is_empty());
    }

    #[test]
    fn a_file_ends_with_a_newline() {
        assert_eq!(shown("a.txt", "one\ntwo"), ["a.txt:2: end: the file does not end with a newline"]);
        assert!(shown("a.txt", "one\n").is_empty() && shown("a.txt", "").is_empty());
    }
}
