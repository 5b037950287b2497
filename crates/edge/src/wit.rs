//! The types that the typed interfaces of all functions share.

use domain::error::InvalidInput;
use domain::transaction::CommitError;

use crate::config::ConfigError;

#[allow(missing_docs, reason = "generated; the documentation stands in wit/types.wit")]
mod generated {
    spin_sdk::wit_bindgen::generate!({
        path: "../../wit",
        inline: "package hongbao:edge; world edge { import hongbao:functions/types@0.1.0; }",
        world: "hongbao:edge/edge",
        generate_all,
        runtime_path: "::spin_sdk::wit_bindgen::rt",
    });
}

pub use generated::hongbao::functions::types;

impl From<InvalidInput> for types::Error {
    fn from(error: InvalidInput) -> Self {
        let InvalidInput { code, field, detail } = error;
        Self::Invalid(types::InvalidArgument { code: code.to_owned(), field, detail })
    }
}

impl From<CommitError> for types::Error {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Unavailable(_) => Self::Unavailable,
            CommitError::Unknown(_) => Self::Unknown,
            error if error.is_unreadable() => Self::RecordUnreadable,
            // A transaction that the binding refuses is a fault of ours, as is a store that we cannot read: an operator
            // has to look.
            _ => Self::Misconfigured,
        }
    }
}

impl From<ConfigError> for types::Error {
    fn from(error: ConfigError) -> Self {
        match error {
            ConfigError::Wrong { .. } => Self::Misconfigured,
            ConfigError::Unreadable { .. } => Self::Unavailable,
        }
    }
}
