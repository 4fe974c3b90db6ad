//! What an instance of the component works with, and everything that it may import.

use crate::{
    allowed::AllowedHosts,
    bindings,
    manifest::Settings,
    outbound::{Clients, Outbound},
    postgres::Pools,
};
use anyhow::Context as _;
use std::{
    fs::{File, OpenOptions},
    path::Path,
    sync::Arc,
};
use wasmtime::component::{HasData, Linker, ResourceTable};
use wasmtime_wasi::{DirPerms, FilePerms, WasiCtx, WasiCtxView, WasiView, cli::OutputFile};
use wasmtime_wasi_http::{
    WasiHttpCtx,
    p3::{WasiHttpCtxView, WasiHttpView},
};

/// What all instances of a running component share.
pub(crate) struct App {
    pub(crate) settings: Settings,
    pub(crate) allowed: Arc<AllowedHosts>,
    pub(crate) pools: Pools,
    clients: Arc<Clients>,
    log: Option<File>,
}

impl App {
    pub(crate) fn new(settings: Settings, log: Option<&Path>) -> anyhow::Result<Self> {
        let allowed = Arc::new(AllowedHosts::parse(&settings.allowed_outbound_hosts)?);
        let open = |path: &Path| {
            let file = OpenOptions::new().append(true).create(true).open(path);
            file.with_context(|| format!("{} cannot be written", path.display()))
        };
        let (pools, clients) = (Pools::default(), Arc::default());
        Ok(Self { settings, allowed, pools, clients, log: log.map(open).transpose()? })
    }
}

/// What one instance owns.
pub(crate) struct Guest {
    pub(crate) app: Arc<App>,
    pub(crate) table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    outbound: Outbound,
}

/// Names the guest's own data to the bindings of Spin's interfaces.
pub(crate) struct Spin;

impl HasData for Spin {
    type Data<'a> = &'a mut Guest;
}

impl Guest {
    pub(crate) fn new(app: Arc<App>) -> anyhow::Result<Self> {
        let mut wasi = WasiCtx::builder();
        match &app.log {
            Some(log) => wasi.stderr(OutputFile::new(log.try_clone()?)),
            None => wasi.inherit_stderr(),
        };
        for (name, value) in &app.settings.environment {
            wasi.env(name, value);
        }
        for mount in &app.settings.files {
            let mounted = wasi.preopened_dir(&mount.source, &mount.destination, DirPerms::READ, FilePerms::READ);
            mounted
                .map_err(anyhow::Error::from)
                .with_context(|| format!("{} cannot be mounted", mount.source.display()))?;
        }
        let outbound = Outbound { allowed: app.allowed.clone(), clients: app.clients.clone() };
        Ok(Self { table: ResourceTable::new(), wasi: wasi.build(), http: WasiHttpCtx::new(), outbound, app })
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.outbound, table: &mut self.table, ctx: &mut self.http }
    }
}

/// Everything that a guest may import: WASI 0.2 for Rust's standard library, WASI 0.3, and Spin's own.
pub(crate) fn imports(linker: &mut Linker<Guest>) -> anyhow::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    wasmtime_wasi::p3::add_to_linker(linker)?;
    wasmtime_wasi_http::p3::add_to_linker(linker)?;
    bindings::spin::postgres::postgres::add_to_linker::<_, Spin>(linker, |guest| guest)?;
    bindings::spin::variables::variables::add_to_linker::<_, Spin>(linker, |guest| guest)?;
    Ok(())
}
