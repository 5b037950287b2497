//! The typed interface `hongbao:functions/new-user`: the same function without HTTP.

use domain::ids::UserId;
use domain::paid::Unknown;
use edge::config::Config;
use edge::stages::monotonic_ns;
use edge::wit::types::Error;

use crate::decide::Standing;
use crate::parse::{self, Check};

#[allow(missing_docs, reason = "generated; the documentation stands in wit/new-user.wit")]
mod generated {
    spin_sdk::wit_bindgen::generate!({
        path: "../../wit",
        world: "new-user-component",
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        with: { "hongbao:functions/types@0.1.0": edge::wit::types },
    });
}

use generated::exports::hongbao::functions::new_user as wit;

struct Component;

generated::export!(Component with_types_in generated);

impl wit::Guest for Component {
    async fn check(
        users: Vec<u64>,
        unknown_users: wit::UnknownUsers,
    ) -> Result<Vec<wit::Standing>, Error> {
        edge::log::catch_panics();
        parse::count(users.len())?;
        let users = users.into_iter().map(UserId).collect();
        let unknown = match unknown_users {
            wit::UnknownUsers::New => Unknown::New,
            wit::UnknownUsers::Ask => Unknown::Ask,
        };
        let config = Config::load(monotonic_ns()).await?;
        let standings = crate::check(&Check { users, unknown }, &config).await?;
        let standing = |standing| match standing {
            Standing::New => wit::Standing::New,
            Standing::Paid => wit::Standing::Paid,
            Standing::Unknown => wit::Standing::Unknown,
        };
        Ok(standings.into_iter().map(standing).collect())
    }

    async fn mark_paid(users: Vec<u64>) -> Result<(), Error> {
        parse::count(users.len())?;
        let users: Vec<_> = users.into_iter().map(UserId).collect();
        let config = Config::load(monotonic_ns()).await?;
        Ok(crate::mark_paid(&users, &config).await?)
    }
}
