//! The typed interface `hongbao:functions/balance`: the same function without HTTP.

use domain::ids::UserId;
use domain::order_number::OrderNumber;
use edge::config::Config;
use edge::stages::monotonic_ns;
use edge::wit::types::{self, Error};

use crate::parse::Command;
use crate::refusal::{Failure, Refusal};
use crate::{Done, settings};

#[allow(missing_docs, reason = "generated; the documentation stands in wit/balance.wit")]
mod generated {
    spin_sdk::wit_bindgen::generate!({
        path: "../../wit",
        world: "balance-component",
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        with: { "hongbao:functions/types@0.1.0": edge::wit::types },
    });
}

use generated::exports::hongbao::functions::balance as wit;

struct Component;

generated::export!(Component with_types_in generated);

impl wit::Guest for Component {
    async fn read(user: u64) -> Result<wit::View, Error> {
        view(Command::View(UserId(user))).await
    }

    async fn post(user: u64) -> Result<wit::View, Error> {
        view(Command::Post(UserId(user))).await
    }

    async fn look_up(user: u64, order_number: String) -> Result<Option<wit::Grant>, Error> {
        let number = OrderNumber::parse(&order_number, "order-number")?;
        match done(Command::LookUp(UserId(user), number)).await {
            Ok(Done::Found(token, posted)) => Ok(Some(wit::Grant {
                activity: token.activity,
                scene: token.scene,
                amount: token.amount.minor_units(),
                at: token.open_time.0,
                posted,
            })),
            Err(Failure::Refused(Refusal::UnknownOrder)) => Ok(None),
            Err(failure) => Err(error(failure)),
            Ok(_) => Err(Error::Misconfigured),
        }
    }
}

async fn view(command: Command) -> Result<wit::View, Error> {
    match done(command).await.map_err(error)? {
        Done::View(_, view, _) => Ok(wit::View {
            balance: view.balance,
            pending: view.pending,
            income: view.income,
            withdrawn: view.withdrawn,
            held: view.held,
            incomplete: view.unreadable > 0,
        }),
        _ => Err(Error::Misconfigured),
    }
}

/// Carries a command out.
async fn done(command: Command) -> Result<Done, Failure> {
    edge::log::catch_panics();
    let unreadable = |error: edge::config::ConfigError| {
        Failure::Store(domain::transaction::CommitError::Unreadable(error.to_string()))
    };
    let config = Config::load(monotonic_ns()).await.map_err(unreadable)?;
    let settings = settings(&config).await.map_err(unreadable)?;
    let store = edge::store::open(&config).await?;
    let context = crate::context(&config, store.as_ref());
    crate::perform(&context, &config.stage, &settings, command).await
}

fn error(failure: Failure) -> Error {
    match failure {
        Failure::Invalid(error) => error.into(),
        Failure::Store(error) => error.into(),
        Failure::Refused(refusal) => Error::Refused(types::Refusal {
            code: refusal.code().to_owned(),
            detail: refusal.detail().to_owned(),
            retry_after: None,
        }),
    }
}
