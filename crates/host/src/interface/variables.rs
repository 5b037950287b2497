//! `spin:variables`: what the component's own section of the manifest defines, with Spin's errors.

use wasmtime::component::{Accessor, HasSelf};

use crate::bindings::spin::variables::variables::{Error, Host, HostWithStore};
use crate::call::Call;
use crate::calls::Broken;
use crate::instance::{Component, Instance};
use crate::lock::lock;
use crate::variables::check_name;

impl Host for Instance {}

impl Broken for Error {
    fn broken(_: Call) -> Option<Self> {
        Some(Self::Provider("injected: provider is unavailable".into()))
    }
}

impl<T: Send> HostWithStore<T> for HasSelf<Instance> {
    async fn get(
        accessor: &Accessor<T, Self>,
        name: String,
    ) -> wasmtime::Result<Result<String, Error>> {
        let (shared, component) = accessor.with(|mut access| {
            let instance = access.get();
            (instance.shared.clone(), instance.component.clone())
        });
        lock(&component.asked).insert(name.clone());
        let detail = name.clone();
        let effect = move || std::future::ready(Ok(look_up(&component, &name)));
        shared.gate.pass(Call::VariablesGet, || detail, effect).await
    }
}

fn look_up(component: &Component, name: &str) -> Result<String, Error> {
    check_name(name).map_err(Error::InvalidName)?;
    component.variables.get(name).cloned().ok_or_else(|| {
        Error::Undefined(if component.variables.is_empty() {
            format!("no variable for component {:?}", component.id)
        } else {
            format!("no variable for {:?}.{name:?}", component.id)
        })
    })
}
