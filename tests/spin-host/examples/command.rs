//! Runs a WASI command in the engine that Spin has: `command FILE.wasm`. What it prints comes out here.

use anyhow::Context as _;
use wasmtime::{
    Config, Engine, Store,
    component::{Component, Linker, ResourceTable},
};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView, p2::bindings::sync::Command};

struct Guest {
    context: WasiCtx,
    table: ResourceTable,
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.context, table: &mut self.table }
    }
}

fn main() -> anyhow::Result<()> {
    let file = std::env::args().nth(1).context("usage: command FILE.wasm")?;
    run(&file).map_err(|error| anyhow::anyhow!("{error:?}"))
}

fn run(file: &str) -> wasmtime::Result<()> {
    let engine = Engine::new(&Config::new())?;
    let component = Component::from_file(&engine, file)?;
    let mut linker = Linker::new(&engine);
    wasmtime_wasi::p2::add_to_linker_sync(&mut linker)?;
    let context = WasiCtx::builder().inherit_stdio().build();
    let mut store = Store::new(&engine, Guest { context, table: ResourceTable::new() });
    let command = Command::instantiate(&mut store, &component, &linker)?;
    match command.wasi_cli_run().call_run(&mut store)? {
        Ok(()) => Ok(()),
        Err(()) => Err(wasmtime::Error::msg("the command failed")),
    }
}
