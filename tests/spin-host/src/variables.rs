//! `spin:variables`: the component's own variables, already resolved.

use crate::{
    bindings::spin::variables::variables::{Error, Host, HostWithStore},
    guest::{Guest, Spin},
};
use wasmtime::component::Accessor;

impl Host for Guest {}

impl<T: Send> HostWithStore<T> for Spin {
    async fn get(accessor: &Accessor<T, Self>, name: String) -> Result<String, Error> {
        let good = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '_';
        if !name.starts_with(|it: char| it.is_ascii_lowercase()) || !name.chars().all(good) {
            return Err(Error::InvalidName(name));
        }
        let value = accessor.with(|mut access| access.get().app.settings.variables.get(&name).cloned());
        value.ok_or(Error::Undefined(name))
    }
}
