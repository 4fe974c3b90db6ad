//! Migrations are `V0001__words.sql`, numbered without a gap, so that two branches that add one each collide at once.

use super::{File, Problem};

pub(super) fn check(files: &[File]) -> Vec<Problem> {
    let mut migrations: Vec<&File> =
        files.iter().filter(|file| file.part(0) == Some("migrations") && file.extension() == Some("sql")).collect();
    migrations.sort_by(|a, b| a.path.cmp(&b.path));
    let mut problems = Vec::new();
    let mut last = 0;
    for file in migrations {
        let Some(number) = number(file.name()) else {
            problems.push(file.problem(1, "migrations", "its name is not V0001__words.sql"));
            continue;
        };
        if number != last + 1 {
            let what = format!("V{number:04} follows V{last:04}: number them without a gap, and each once");
            problems.push(file.problem(1, "migrations", what));
        }
        last = number;
    }
    problems
}

fn number(name: &str) -> Option<u32> {
    let (number, words) = name.strip_prefix('V')?.strip_suffix(".sql")?.split_once("__")?;
    let words_fit =
        !words.is_empty() && words.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if number.len() == 4 && words_fit { number.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;

    fn shown(names: &[&str]) -> Vec<String> {
        let files: Vec<File> = names.iter().map(|name| file(&format!("migrations/{name}"), "")).collect();
        check(&files).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn migrations_are_numbered_without_gaps() {
        assert!(shown(&["V0002__keys.sql", "V0001__orgs.sql", "README.md"]).is_empty());
        let gap = "V0003 follows V0001: number them without a gap, and each once";
        assert_eq!(
            shown(&["V0001__orgs.sql", "V0003__keys.sql"]),
            [format!("migrations/V0003__keys.sql:1: migrations: {gap}")]
        );
        let twice = "V0001 follows V0001: number them without a gap, and each once";
        assert_eq!(
            shown(&["V0001__a.sql", "V0001__b.sql"]),
            [format!("migrations/V0001__b.sql:1: migrations: {twice}")]
        );
        for name in ["V1__orgs.sql", "V0001_orgs.sql", "V0001__Orgs.sql", "orgs.sql", "V0001__.sql"] {
            assert_eq!(shown(&[name]), [format!("migrations/{name}:1: migrations: its name is not V0001__words.sql")]);
        }
    }
}
