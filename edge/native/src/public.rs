//! The static files, which this program carries with it.

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_bytes!(concat!("../../public/", $name)))),*]
    };
}

/// Every file of `edge/public`.
const FILES: &[(&str, &[u8])] = files!["account.html", "account.js", "index.html", "openapi.json", "page.css"];

/// The file with this name.
pub(crate) fn read(name: &str) -> Option<Vec<u8>> {
    FILES.iter().find(|(it, _)| *it == name).map(|(_, bytes)| bytes.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::Path};

    /// The files below `folder`, named from `root` on.
    fn names(root: &Path, folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path());
        entries.flat_map(|it| if it.is_dir() { names(root, &it) } else { vec![named(root, &it)] }).collect()
    }

    fn named(root: &Path, file: &Path) -> String {
        file.strip_prefix(root).unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn every_file_that_other_hosts_serve_is_carried() {
        let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../public"));
        let mut there = names(root, root);
        there.sort_unstable();
        assert_eq!(
            FILES.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
            there,
            "edge/native/src/public.rs lists them"
        );
    }
}
