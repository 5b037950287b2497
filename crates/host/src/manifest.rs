//! The manifest, `spin.toml` of version 2, read strictly: whatever this host does not support is
//! refused with the path of the field, because a field that is silently ignored here would still act
//! in production.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

/// A manifest that this host can run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Where it was read from, for messages.
    pub path: PathBuf,
    /// Name of the application.
    pub name: String,
    /// Application variables.
    pub variables: BTreeMap<String, Variable>,
    /// HTTP triggers, in order.
    pub http: Vec<HttpTrigger>,
    /// Redis triggers, in order.
    pub redis: Vec<RedisTrigger>,
    /// Components by id.
    pub components: BTreeMap<String, Component>,
}

/// An application variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// `None` is required.
    pub default: Option<String>,
    /// Whether the value must not be shown.
    pub secret: bool,
}

/// `[[trigger.http]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpTrigger {
    /// The route, as written.
    pub route: String,
    /// Id of the component.
    pub component: String,
}

/// `[[trigger.redis]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisTrigger {
    /// Address, its own or the application's; may hold templates.
    pub address: String,
    /// Channel; may hold templates.
    pub channel: String,
    /// Id of the component.
    pub component: String,
}

/// `[component.<id>]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// The component or core module, resolved against the manifest's folder.
    pub source: PathBuf,
    /// Labels of the key-value stores that it may open.
    pub key_value_stores: Vec<String>,
    /// Patterns of the addresses that it may connect to; may hold templates.
    pub allowed_outbound_hosts: Vec<String>,
    /// The variables that it sees, as templates over those of the application.
    pub variables: BTreeMap<String, String>,
}

/// Why a manifest is refused.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The file cannot be read.
    #[error("{}: {error}", path.display())]
    Unreadable {
        /// The manifest.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// It is not TOML.
    #[error("{}: {error}", path.display())]
    Syntax {
        /// The manifest.
        path: PathBuf,
        /// Where and what.
        error: toml::de::Error,
    },
    /// A field is missing, wrong, or not supported.
    #[error("{}: {field}: {reason}", path.display())]
    Field {
        /// The manifest.
        path: PathBuf,
        /// The path of the field, as in `component.new-user.files`.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
}

const UNSUPPORTED: &str = "not supported by this host";

/// A wrong field: its path and the reason.
type Wrong = (String, String);

impl Manifest {
    /// Reads and checks a manifest.
    pub fn read(path: &Path) -> Result<Self, ManifestError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| ManifestError::Unreadable { path: path.to_owned(), error })?;
        Self::parse(path, &text)
    }

    /// Checks the text of a manifest that lies at `path`.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ManifestError> {
        let table = text
            .parse::<Table>()
            .map_err(|error| ManifestError::Syntax { path: path.to_owned(), error })?;
        read_manifest(path, table).map_err(|(field, reason)| ManifestError::Field {
            path: path.to_owned(),
            field,
            reason,
        })
    }
}

fn read_manifest(path: &Path, table: Table) -> Result<Manifest, Wrong> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut root = Section::root(table);
    match root.take("spin_manifest_version") {
        Some(Value::Integer(2)) => {}
        Some(_) => {
            return Err(("spin_manifest_version".into(), "only version 2 is supported".into()));
        }
        None => return Err(missing("spin_manifest_version")),
    }
    let mut application = root.section("application")?.ok_or_else(|| missing("application"))?;
    let name = application.required_string("name")?;
    for field in ["version", "description"] {
        application.string(field)?;
    }
    application.strings("authors")?;
    let default_address = redis_address(&mut application)?;
    application.end()?;

    let variables = root.sections("variables")?;
    let components = root.sections("component")?;
    let mut trigger = root.section("trigger")?.unwrap_or_default();
    let http = trigger.list("http")?;
    let redis = trigger.list("redis")?;
    trigger.end()?;
    root.end()?;

    let manifest = Manifest {
        path: path.to_owned(),
        name,
        variables: each(variables, read_variable)?,
        http: http.into_iter().map(read_http_trigger).collect::<Result<_, _>>()?,
        redis: redis
            .into_iter()
            .map(|section| read_redis_trigger(section, default_address.as_deref()))
            .collect::<Result<_, _>>()?,
        components: each(components, |section| read_component(section, folder))?,
    };
    check_references(&manifest)?;
    Ok(manifest)
}

fn redis_address(application: &mut Section) -> Result<Option<String>, Wrong> {
    let Some(mut trigger) = application.section("trigger")? else {
        return Ok(None);
    };
    let address = match trigger.section("redis")? {
        None => None,
        Some(mut redis) => {
            let address = redis.required_string("address")?;
            redis.end()?;
            Some(address)
        }
    };
    trigger.end()?;
    Ok(address)
}

fn read_variable(mut section: Section) -> Result<Variable, Wrong> {
    let default = section.string("default")?;
    let required = section.boolean("required")?;
    section.string("description")?;
    let secret = section.boolean("secret")?;
    if default.is_some() == required {
        return Err((section.path, "has either a default, or `required = true`".into()));
    }
    section.end()?;
    Ok(Variable { default, secret })
}

fn read_http_trigger(mut section: Section) -> Result<HttpTrigger, Wrong> {
    section.string("id")?;
    let trigger = HttpTrigger {
        route: section.required_string("route")?,
        component: section.required_string("component")?,
    };
    section.end()?;
    Ok(trigger)
}

fn read_redis_trigger(
    mut section: Section,
    default_address: Option<&str>,
) -> Result<RedisTrigger, Wrong> {
    section.string("id")?;
    let address = section
        .string("address")?
        .or_else(|| default_address.map(str::to_owned))
        .ok_or_else(|| missing(&section.field("address")))?;
    let trigger = RedisTrigger {
        address,
        channel: section.required_string("channel")?,
        component: section.required_string("component")?,
    };
    section.end()?;
    Ok(trigger)
}

fn read_component(mut section: Section, folder: &Path) -> Result<Component, Wrong> {
    section.string("description")?;
    if let Some(mut build) = section.section("build")? {
        // Only `spin build` and our own tooling read this; the host runs what has been built.
        build.take("command");
        build.string("workdir")?;
        build.strings("watch")?;
        build.end()?;
    }
    let component = Component {
        source: folder.join(section.required_string("source")?),
        key_value_stores: section.strings("key_value_stores")?,
        allowed_outbound_hosts: section.strings("allowed_outbound_hosts")?,
        variables: match section.section("variables")? {
            None => BTreeMap::new(),
            Some(variables) => variables.all_strings()?,
        },
    };
    section.end()?;
    Ok(component)
}

fn check_references(manifest: &Manifest) -> Result<(), Wrong> {
    let http = manifest.http.iter().map(|trigger| &trigger.component);
    let redis = manifest.redis.iter().map(|trigger| &trigger.component);
    let named = http.map(|id| ("http", id)).chain(redis.map(|id| ("redis", id)));
    for (kind, id) in named {
        if !manifest.components.contains_key(id) {
            return Err((format!("trigger.{kind}"), format!("there is no component {id:?}")));
        }
    }
    Ok(())
}

fn each<T>(
    sections: Vec<(String, Section)>,
    read: impl Fn(Section) -> Result<T, Wrong>,
) -> Result<BTreeMap<String, T>, Wrong> {
    sections.into_iter().map(|(name, section)| Ok((name, read(section)?))).collect()
}

fn missing(field: &str) -> Wrong {
    (field.to_owned(), "is missing".to_owned())
}

/// A table of the manifest, emptied field by field: what is left at the end is not supported.
#[derive(Default)]
struct Section {
    path: String,
    table: Table,
}

impl Section {
    fn root(table: Table) -> Self {
        Self { path: String::new(), table }
    }

    fn field(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    fn wrong(&self, name: &str, reason: &str) -> Wrong {
        (self.field(name), reason.to_owned())
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        self.table.remove(name)
    }

    fn string(&mut self, name: &str) -> Result<Option<String>, Wrong> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(Value::Table(_)) => Err(self.wrong(name, "only a string is supported here")),
            Some(_) => Err(self.wrong(name, "is not a string")),
        }
    }

    fn required_string(&mut self, name: &str) -> Result<String, Wrong> {
        self.string(name)?.ok_or_else(|| missing(&self.field(name)))
    }

    fn boolean(&mut self, name: &str) -> Result<bool, Wrong> {
        match self.take(name) {
            None => Ok(false),
            Some(Value::Boolean(value)) => Ok(value),
            Some(_) => Err(self.wrong(name, "is not a boolean")),
        }
    }

    fn strings(&mut self, name: &str) -> Result<Vec<String>, Wrong> {
        let wrong = self.wrong(name, "is not a list of strings");
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(values)) => values
                .into_iter()
                .map(|value| match value {
                    Value::String(text) => Ok(text),
                    _ => Err(wrong.clone()),
                })
                .collect(),
            Some(_) => Err(wrong),
        }
    }

    fn all_strings(mut self) -> Result<BTreeMap<String, String>, Wrong> {
        let names = self.table.keys().cloned().collect::<Vec<_>>();
        names.into_iter().map(|name| Ok((name.clone(), self.required_string(&name)?))).collect()
    }

    fn section(&mut self, name: &str) -> Result<Option<Self>, Wrong> {
        let path = self.field(name);
        match self.take(name) {
            None => Ok(None),
            Some(Value::Table(table)) => Ok(Some(Self { path, table })),
            Some(_) => Err((path, "is not a table".to_owned())),
        }
    }

    fn sections(&mut self, name: &str) -> Result<Vec<(String, Self)>, Wrong> {
        let Some(mut outer) = self.section(name)? else {
            return Ok(Vec::new());
        };
        let names = outer.table.keys().cloned().collect::<Vec<_>>();
        names
            .into_iter()
            .filter_map(|name| {
                let section = outer.section(&name).transpose()?;
                Some(section.map(|section| (name, section)))
            })
            .collect()
    }

    fn list(&mut self, name: &str) -> Result<Vec<Self>, Wrong> {
        let path = self.field(name);
        let wrong = (path.clone(), "is not a list of tables".to_owned());
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(values)) => values
                .into_iter()
                .map(|value| match value {
                    Value::Table(table) => Ok(Self { path: path.clone(), table }),
                    _ => Err(wrong.clone()),
                })
                .collect(),
            Some(_) => Err(wrong),
        }
    }

    fn end(self) -> Result<(), Wrong> {
        match self.table.keys().next() {
            None => Ok(()),
            Some(name) => Err(self.wrong(name, UNSUPPORTED)),
        }
    }
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
