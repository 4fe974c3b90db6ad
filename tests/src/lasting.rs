//! What all tests of a process share: a runtime that outlives each of them, and a folder that does not outlive it.

use embedded::child::{Program, Tied};
use std::{
    fs,
    future::Future,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::runtime::{Builder, Runtime};

/// A test's own runtime ends with the test; what is shared runs here.
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap());

static SCRATCH: LazyLock<Scratch> = LazyLock::new(Scratch::make);

/// Runs `future` where it outlives the calling test.
pub async fn run<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    RUNTIME.spawn(future).await.unwrap()
}

/// A new folder that every user may enter, as Postgres must; it is gone when this process is.
pub fn folder(name: &str) -> PathBuf {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let path = SCRATCH.path.join(format!("{name}-{}", NUMBER.fetch_add(1, Ordering::Relaxed)));
    fs::create_dir(&path).unwrap();
    path
}

struct Scratch {
    path: PathBuf,
    /// Removes the folder after this process, however that ends.
    _janitor: Tied,
}

const JANITOR: &str = r#"trap 'until rm -rf "$1" 2>/dev/null; do sleep 1; done; exit' TERM; while :; do sleep 1; done"#;

impl Scratch {
    fn make() -> Self {
        let path = tempfile::Builder::new().prefix("nest-tests-").tempdir().unwrap().keep();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Self { _janitor: janitor(&path), path }
    }
}

fn janitor(path: &Path) -> Tied {
    let _runtime = RUNTIME.enter();
    // A test runner waits until nobody holds its output any more, so the janitor gets none.
    let nowhere = || std::process::Stdio::null();
    let program = Program::new("/bin/sh").args(["-c", JANITOR, "janitor"]).arg(path).current_dir("/");
    program.stdout(nowhere()).stderr(nowhere()).spawn().unwrap()
}
