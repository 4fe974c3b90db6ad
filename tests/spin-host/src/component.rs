//! The engine, and the components that it has compiled: each file once per process, and once per machine.

use anyhow::Context as _;
use std::{
    collections::HashMap,
    env,
    path::{Path, PathBuf},
    sync::{LazyLock, Mutex, PoisonError},
    time::SystemTime,
};
use wasmtime::{Cache, CacheConfig, Config, Engine, component::Component};

/// A file as it was when it was compiled.
type Seen = (PathBuf, u64, SystemTime);

static ENGINE: LazyLock<Result<Engine, String>> = LazyLock::new(|| engine().map_err(|error| format!("{error:#}")));
static COMPILED: Mutex<Option<HashMap<Seen, Component>>> = Mutex::new(None);

/// Compiles the component in `path`, or gives what it was compiled to before.
///
/// Blocks; callers of the same file wait for one another, so that it is compiled once.
pub(crate) fn compile(path: &Path) -> anyhow::Result<Component> {
    let path = path.canonicalize().with_context(|| format!("there is no component {}", path.display()))?;
    let metadata = path.metadata()?;
    let seen = (path.clone(), metadata.len(), metadata.modified()?);
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    let compiled = compiled.get_or_insert_default();
    if let Some(component) = compiled.get(&seen) {
        return Ok(component.clone());
    }
    let engine = ENGINE.as_ref().map_err(|error| anyhow::anyhow!("no engine: {error}"))?;
    let component = Component::from_file(engine, &path).map_err(anyhow::Error::from);
    let component = component.with_context(|| format!("{} cannot run", path.display()))?;
    compiled.insert(seen, component.clone());
    Ok(component)
}

fn engine() -> anyhow::Result<Engine> {
    let mut config = Config::new();
    config.wasm_component_model_async(true);
    let mut cache = CacheConfig::new();
    cache.with_directory(cache_folder()?);
    config.cache(Some(Cache::new(cache)?));
    Ok(Engine::new(&config)?)
}

fn cache_folder() -> anyhow::Result<PathBuf> {
    let given = env::var_os("XDG_CACHE_HOME").filter(|it| !it.is_empty()).map(PathBuf::from);
    let folder = given.or_else(|| env::home_dir().map(|home| home.join(".cache")));
    Ok(folder.context("neither XDG_CACHE_HOME nor HOME is set")?.join("nest/wasmtime"))
}
