//! The rules of the edge: which slice may know which, what a rule may be, who writes a table, how small a host stays.

use std::collections::BTreeMap;

use super::source::{Named, Source, before_tests, line};
use super::{File, Problem};

/// In the order of `docs/architecture.md`: a slice may use those before it.
const SLICES: [&str; 13] = [
    "audit", "mail", "limits", "auth", "orgs", "keys", "nodes", "usage", "billing", "proxy", "tools", "research",
    "admin",
];

const HOSTS: [&str; 3] = ["native", "cloudflare", "spin"];
const HOST_LINES: usize = 200;

pub(super) fn check(files: &[File]) -> Vec<Problem> {
    let rust: Vec<&File> = files.iter().filter(|file| file.extension() == Some("rs")).collect();
    let slices: Vec<Slice> = rust.iter().filter_map(|file| Slice::of(file)).collect();
    let mut problems = Vec::new();
    for slice in &slices {
        problems.extend(slice.uses(&slices));
        problems.extend(slice.rules());
    }
    problems.extend(tables(&slices));
    problems.extend(rust.iter().flat_map(|file| host(file)));
    problems
}

/// A file of a slice.
struct Slice<'a> {
    file: &'a File,
    name: &'a str,
    rank: usize,
    source: Source,
}

impl<'a> Slice<'a> {
    fn of(file: &'a File) -> Option<Self> {
        let name = file.path.strip_prefix("edge/core/src/")?.split_once('/')?.0;
        let rank = rank(name)?;
        Some(Self { file, name, rank, source: Source::new(&file.text) })
    }

    /// Rule 5: only slices further up, and those only through their `mod.rs`.
    fn uses(&self, slices: &[Slice]) -> Vec<Problem> {
        let named = [self.source.paths("crate"), self.source.paths("super")].concat();
        named.iter().filter_map(|named| self.misuse(named, slices)).collect()
    }

    fn misuse(&self, named: &Named, slices: &[Slice]) -> Option<Problem> {
        let mut segments =
            named.segments.iter().map(String::as_str).skip_while(|word| ["crate", "super"].contains(word));
        let other = segments.next()?;
        let rank = rank(other).filter(|_| other != self.name)?;
        let in_folder = |folder: &str, file: &str| {
            let names = [format!("edge/core/src/{folder}/{file}.rs"), format!("edge/core/src/{folder}/{file}/mod.rs")];
            slices.iter().any(|slice| names.contains(&slice.file.path))
        };
        // `super::usage` may be this slice's own file of that name.
        if named.segments[0] == "super" && in_folder(self.name, other) {
            return None;
        }
        if rank > self.rank {
            let what = format!("{} may not use {other}, which is below it in docs/architecture.md", self.name);
            return Some(self.file.problem(named.line, "slices", what));
        }
        let inside = segments.next().filter(|file| in_folder(other, file))?;
        let what = format!("{other}::{inside} is {other}'s own: use what its mod.rs exports");
        Some(self.file.problem(named.line, "slices", what))
    }

    /// Rule 6: a rule is a plain function.
    fn rules(&self) -> Vec<Problem> {
        if self.file.name() != "rules.rs" {
            return Vec::new();
        }
        let banned = ["async", "await", "Store"];
        let found =
            banned.iter().flat_map(|word| self.source.lines_with(word).into_iter().map(move |line| (line, word)));
        found.map(|(line, word)| self.file.problem(line, "rules", format!("rules.rs has no `{word}`"))).collect()
    }
}

fn rank(name: &str) -> Option<usize> {
    SLICES.iter().position(|slice| *slice == name)
}

/// Rule 7: a table is written by one slice.
fn tables(slices: &[Slice]) -> Vec<Problem> {
    let mut writers: BTreeMap<String, BTreeMap<&str, Vec<Problem>>> = BTreeMap::new();
    for slice in slices {
        let text = before_tests(&slice.source.uncommented);
        for (at, table) in written(text) {
            let problem = slice.file.problem(line(text, at), "tables", String::new());
            writers.entry(table).or_default().entry(slice.name).or_default().push(problem);
        }
    }
    let mut problems = Vec::new();
    for (table, by) in writers.into_iter().filter(|(_, by)| by.len() > 1) {
        let who = by.keys().copied().collect::<Vec<_>>().join(" and ");
        for mut problem in by.into_values().flatten() {
            problem.what = format!("{table} is written by {who}: write it in one slice, and call that slice's method");
            problems.push(problem);
        }
    }
    problems
}

/// The tables that SQL in `text` writes, each with the place where it says so.
fn written(text: &str) -> Vec<(usize, String)> {
    let words: Vec<(usize, String)> = words(text);
    let word = |at: usize| words.get(at).map(|(_, word)| word.as_str()).unwrap_or_default();
    let mut tables = Vec::new();
    for (at, (place, _)) in words.iter().enumerate() {
        let table = match (word(at), word(at + 1)) {
            ("insert" | "merge", "into") | ("delete", "from") | ("truncate", "table") => at + 2,
            // A name, an alias at most, and `set`: other uses of the word are prose or locks.
            ("update", _) => at + 1,
            _ => continue,
        };
        let table = if word(table) == "only" { table + 1 } else { table };
        let is_update = word(at) == "update";
        let sets = (1..=3).any(|after| word(table + after) == "set");
        let name = word(table);
        if (is_update && (!sets || name == "set")) || !name.starts_with(|c: char| c.is_ascii_lowercase()) {
            continue;
        }
        tables.push((*place, name.to_owned()));
    }
    tables
}

/// The words of SQL in lower case, each with its place; `schema.table` and `"table"` are one word.
fn words(text: &str) -> Vec<(usize, String)> {
    let mut words = Vec::new();
    let mut at = 0;
    for piece in text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.')) {
        if !piece.is_empty() {
            words.push((at, piece.to_lowercase()));
        }
        at += piece.len();
        at += text[at..].chars().next().map_or(0, char::len_utf8);
    }
    words
}

/// Rule 4: a host crate has a `Host`, a `main`, and no decisions.
fn host(file: &File) -> Vec<Problem> {
    let is_host = file.part(0) == Some("edge") && file.part(1).is_some_and(|name| HOSTS.contains(&name));
    if !is_host || file.part(2) != Some("src") {
        return Vec::new();
    }
    let mut problems = Vec::new();
    let lines = before_tests(&file.text).lines().count();
    if lines > HOST_LINES {
        let what =
            format!("{lines} lines; past {HOST_LINES} a host decides too much, and the core is missing something");
        problems.push(file.problem(HOST_LINES + 1, "hosts", what));
    }
    if file.name() == "rules.rs" {
        problems.push(file.problem(1, "hosts", "a host crate has no rules: decide in edge/core"));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;

    fn shown(files: &[File]) -> Vec<String> {
        check(files).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_slice_uses_those_above_it_through_their_front_door() {
        let files = [
            file("edge/core/src/keys/mod.rs", "use crate::{orgs, proxy::{relay, Route}};\nuse super::usage;\n"),
            file("edge/core/src/keys/rules.rs", ""),
            file("edge/core/src/keys/sql.rs", "// crate::proxy\nuse crate::{Store, sql::Row, orgs::Member};\n"),
            file("edge/core/src/proxy/mod.rs", "use crate::keys::{Caller, rules::admit};\nuse super::keys;\n"),
            file("edge/core/src/proxy/usage.rs", ""),
            file("edge/core/src/proxy/relay.rs", "use super::usage::Tail;\n"),
            file("edge/core/src/app.rs", "use crate::proxy;\n"),
            file("edge/core/src/sql/mod.rs", "use crate::proxy;\n"),
        ];
        let below = "which is below it in docs/architecture.md";
        assert_eq!(
            shown(&files),
            [
                format!("edge/core/src/keys/mod.rs:1: slices: keys may not use proxy, {below}"),
                format!("edge/core/src/keys/mod.rs:1: slices: keys may not use proxy, {below}"),
                format!("edge/core/src/keys/mod.rs:2: slices: keys may not use usage, {below}"),
                "edge/core/src/proxy/mod.rs:1: slices: keys::rules is keys's own: use what its mod.rs exports"
                    .to_owned(),
            ]
        );
    }

    #[test]
    fn rules_are_plain_functions() {
        let text = "//! No async here.\nfn f() {}\nasync fn g(store: &Store) { h().await }\n";
        let found = shown(&[file("edge/core/src/keys/rules.rs", text), file("edge/core/src/keys/sql.rs", text)]);
        assert_eq!(
            found,
            ["async", "await", "Store"]
                .map(|word| { format!("edge/core/src/keys/rules.rs:3: rules: rules.rs has no `{word}`") })
        );
    }

    #[test]
    fn a_table_has_one_writer() {
        let found = shown(&[
            file("edge/core/src/keys/sql.rs", "const A: &str = \"\n  insert into api_keys (id)\n  values ($1)\";"),
            file("edge/core/src/usage/sql.rs", "const B: &str = \"UPDATE api_keys k SET used = now()\";"),
            file("edge/core/src/orgs/sql.rs", "const C: &str = \"select 1 from api_keys for update of api_keys\";"),
            file(
                "edge/core/src/admin/sql.rs",
                "// delete from api_keys\n#[cfg(test)]\nmod t { \"delete from api_keys\" }",
            ),
        ]);
        let what = "api_keys is written by keys and usage: write it in one slice, and call that slice's method";
        let expected = ["keys/sql.rs:2", "usage/sql.rs:1"].map(|at| format!("edge/core/src/{at}: tables: {what}"));
        assert_eq!(found, expected);
    }

    #[test]
    fn writes_are_read_from_sql() {
        for (sql, expected) in [
            ("insert into usage (id) values ($1) on conflict (id) do update set n = 1", vec!["usage"]),
            (
                "with gone as (delete from sessions where id = $1 returning id) update users as u set x = 1",
                vec!["sessions", "users"],
            ),
            ("update only public.leases set x = 1", vec!["public.leases"]),
            ("select id from jobs for update skip locked", vec![]),
            ("merge into ledger using x on true", vec!["ledger"]),
            ("insert into {table} values", vec!["table"]),
            ("please update the price list", vec![]),
        ] {
            let tables: Vec<String> = written(sql).into_iter().map(|(_, table)| table).collect();
            assert_eq!(tables, expected, "{sql}");
        }
    }

    #[test]
    fn a_host_stays_small_and_decides_nothing() {
        let long = "fn f() {}\n".repeat(201);
        let tested = format!("{}\n#[cfg(test)]\n{}", "fn f() {}\n".repeat(150), "// test\n".repeat(100));
        let found = shown(&[
            file("edge/native/src/host.rs", &long),
            file("edge/native/src/main.rs", &tested),
            file("edge/spin/src/rules.rs", ""),
            file("edge/native/tests/host.rs", &long),
            file("edge/core/src/app.rs", &long),
        ]);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("edge/native/src/host.rs:201: hosts: 201 lines"), "{found:?}");
        assert_eq!(found[1], "edge/spin/src/rules.rs:1: hosts: a host crate has no rules: decide in edge/core");
    }
}
