//! Writes the bindings to Spin's own interfaces from the WIT files of the `spin-sdk` that the edge is built with, so that
//! the two cannot drift apart and no copy lies in the tree.

use std::{env, error::Error, fs, path::PathBuf, process::Command};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../../Cargo.lock");
    let wit = spin_sdk()?.join("wit");
    let bindings = format!(
        r##"wasmtime::component::bindgen!({{
    path: {wit:?},
    inline: r#"
        package nest:spin-host;
        world guest {{
            import spin:postgres/postgres@4.2.0;
            import spin:variables/variables@3.0.0;
        }}
    "#,
    world: "nest:spin-host/guest",
    imports: {{ default: async }},
    with: {{
        "spin:postgres/postgres.connection": crate::postgres::Connection,
        "spin:postgres/postgres.connection-builder": crate::postgres::ConnectionBuilder,
    }},
}});
"##
    );
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("bindings.rs"), bindings)?;
    Ok(())
}

/// The folder that cargo unpacked `spin-sdk` into.
fn spin_sdk() -> Result<PathBuf, Box<dyn Error>> {
    let output = Command::new(env::var("CARGO")?)
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", "wasm32-wasip2"])
        .current_dir(env::var("CARGO_MANIFEST_DIR")?)
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().ok_or("cargo metadata lists no packages")?;
    let package = packages.iter().find(|it| it["name"] == "spin-sdk").ok_or("the workspace has no spin-sdk")?;
    let manifest = PathBuf::from(package["manifest_path"].as_str().ok_or("spin-sdk has no path")?);
    Ok(manifest.parent().ok_or("a manifest lies in a folder")?.to_owned())
}
