//! What is still written by hand, in `parts.json` beside the manifest: operations of functions whose contract does not
//! describe them yet, and what these refer to. It shrinks; at last it is gone.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use edge::Access;
use edge::contract::Described;
use serde_json::{Map, Value};

use crate::operations::{in_pascal_case, names};

const PATH: &str = "crates/contract/parts.json";

/// Parts of the document.
pub struct Parts {
    paths: Map<String, Value>,
    components: Map<String, Value>,
}

impl Parts {
    /// All of them.
    ///
    /// # Errors
    /// The file is not what it should be.
    pub fn read(repository: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(repository.join(PATH)).context(PATH)?;
        let mut value: Value = serde_json::from_str(&text).context(PATH)?;
        let mut take = |name: &str| match value[name].take() {
            Value::Object(members) => Ok(members),
            _ => bail!("parts.json has no {name}"),
        };
        Ok(Self { paths: take("paths")?, components: take("components")? })
    }

    /// Takes the operation of a route.
    ///
    /// # Errors
    /// There is none, or it contradicts the route.
    pub fn take(&mut self, route: &Described) -> anyhow::Result<Value> {
        let name = route.verb.name().to_lowercase();
        let here = || format!("parts.json: {name} {}", route.path);
        let operations = self.paths.get_mut(route.path).and_then(Value::as_object_mut);
        let operation = operations.and_then(|all| all.remove(&name)).with_context(here)?;
        let access = match &operation["security"] {
            Value::Null => Access::Caller,
            Value::Array(schemes) if schemes.is_empty() => Access::Open,
            _ => Access::Operator,
        };
        ensure!(access == route.access, "{}: the route is for others", here());
        let mut named = BTreeSet::new();
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let name = parameter["$ref"].as_str().and_then(|path| path.rsplit('/').next());
            let by_hand = name.map(|name| &self.components["parameters"][name]);
            let parameter = by_hand.unwrap_or(parameter);
            // What is not by hand follows from a contract, and is called after its parameter.
            let follows =
                || names(route.path).into_iter().find(|one| Some(&*in_pascal_case(one)) == name);
            match parameter["in"].as_str() {
                Some("path") => named.extend(parameter["name"].as_str()),
                Some(_) => {}
                None => named.extend(follows()),
            }
        }
        ensure!(named == names(route.path), "{}: it has other parameters", here());
        Ok(operation)
    }

    /// What is left: components of the document, by kind.
    ///
    /// # Errors
    /// A path is left as well.
    pub fn components(self) -> anyhow::Result<Map<String, Value>> {
        let left =
            self.paths.iter().find(|(_, operations)| **operations != Value::Object(Map::new()));
        if let Some((path, _)) = left {
            bail!("parts.json: no route needs {path} any more");
        }
        Ok(self.components)
    }
}
