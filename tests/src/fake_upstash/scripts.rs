//! Scripts that only Upstash runs as they are.

use sha1::{Digest as _, Sha1};
use std::{collections::HashMap, sync::Mutex};

/// What a Redis refuses that is not Upstash's; there it lets a script lock its keys alone.
const FLAG: &str = "allow-key-locking";

/// The names under which the real Redis knows the scripts that were changed for it.
#[derive(Default)]
pub(super) struct Scripts(Mutex<HashMap<String, String>>);

impl Scripts {
    /// The command with what the real Redis takes in place of such a script or of its name.
    pub(super) fn prepared(&self, command: &[String]) -> Vec<String> {
        let mut command = command.to_vec();
        let verb = command.first().map(|it| it.to_ascii_uppercase()).unwrap_or_default();
        match (verb.as_str(), command.get(1).map(|it| it.to_ascii_uppercase()).as_deref()) {
            ("EVAL" | "EVAL_RO", Some(_)) => command[1] = self.plain(&command[1]),
            ("SCRIPT", Some("LOAD")) if command.len() > 2 => command[2] = self.plain(&command[2]),
            ("EVALSHA" | "EVALSHA_RO", Some(_)) => {
                let known = self.0.lock().unwrap();
                if let Some(name) = known.get(&command[1]) {
                    command[1].clone_from(name);
                }
            }
            _ => {}
        }
        command
    }

    fn plain(&self, script: &str) -> String {
        match script.split_once('\n') {
            Some((first, rest)) if first.starts_with("#!lua") && first.contains(FLAG) => {
                // The line stays, so that errors name the script's own lines.
                let plain = format!("\n{rest}");
                self.0.lock().unwrap().insert(name(script), name(&plain));
                plain
            }
            _ => script.to_owned(),
        }
    }
}

fn name(script: &str) -> String {
    Sha1::digest(script).iter().map(|byte| format!("{byte:02x}")).collect()
}
