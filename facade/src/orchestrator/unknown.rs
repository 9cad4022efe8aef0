//! Requests of methods that are not known here: extensions, and what later revisions bring.
//!
//! They go to the one server that can be meant: that offers the method's namespace among its capabilities (`skills/get`
//! by `skills`, or by an extension `…/skills`), or whose prefix, tool, prompt or resource the params name. Where several
//! can be meant, nobody is asked.

use std::sync::Arc;

use toolweir_core::{Call, Error, Kind as ErrorKind, RawJson};

use super::Orchestrator;
use super::resolve::{Aim, Aimed};
use super::untried::LIST_PATIENCE;
use crate::catalogue::Kind;
use crate::endpoint::Endpoint;

impl Orchestrator {
    pub(super) async fn unknown(&self, call: &Call) -> Result<Aimed, Error> {
        self.settled(LIST_PATIENCE, || false).await;
        let offering = self.offering(call.method.as_str());
        let may = |id| offering.is_empty() || offering.iter().any(|endpoint| endpoint.id == id);
        let named = self.named_in(call).filter(|(endpoint, _)| may(endpoint.id));
        let sole = match &self.view().endpoints[..] {
            [only] => Some(only.clone()),
            _ => None,
        };
        let (server, name) = match (&offering[..], named, sole) {
            (_, Some(named), _) => named,
            ([only], None, _) => (only.clone(), None),
            ([], None, Some(only)) => (only, None),
            ([], None, None) => {
                let text = format!("method `{}`", call.method);
                return Err(Error::new(ErrorKind::NotFound).message(text));
            }
            (several, None, _) => {
                let (method, count) = (&call.method, several.len());
                let text = format!(
                    "method `{method}`: of {count} servers that offer it, the params name none"
                );
                return Err(Error::new(ErrorKind::NotFound).message(text));
            }
        };
        let mut call = call.clone();
        if let (Some(name), Some(params)) = (name, &call.params) {
            let name = RawJson::of(&name);
            let edited = name.and_then(|name| params.edit().set("name", &name).finish());
            call.params = Some(edited.map_err(|error| {
                Error::new(ErrorKind::InvalidRequest).message(format!("params: {error}"))
            })?);
        }
        Ok(Aimed::At(Aim::new(call, vec![server])))
    }

    /// The servers among whose capabilities the method's namespace is.
    fn offering(&self, method: &str) -> Vec<Arc<Endpoint>> {
        let Some((namespace, _)) = method.split_once('/') else { return Vec::new() };
        let offers = |endpoint: &Endpoint| {
            let Some(info) = endpoint.vitals.info() else { return false };
            let is_extension = |name: &str| name.rsplit('/').next() == Some(namespace);
            info.capabilities.members().any(|member| match member.key.as_ref() {
                "extensions" | "experimental" => {
                    member.value.to_json().members().any(|member| is_extension(&member.key))
                }
                key => key == namespace,
            })
        };
        self.view().endpoints.iter().filter(|endpoint| offers(endpoint)).cloned().collect()
    }

    /// The server that the params name by a URI or a name, and the name there.
    fn named_in(&self, call: &Call) -> Option<(Arc<Endpoint>, Option<String>)> {
        let member = |key| {
            let member = call.params.as_ref()?.member(key)?;
            member.string().map(std::borrow::Cow::into_owned)
        };
        if let Some(uri) = member("uri") {
            return Some((self.known_resource(&uri).into_iter().next()?, None));
        }
        let (name, view) = (member("name")?, self.view());
        let mut found = [Kind::Tool, Kind::Prompt]
            .into_iter()
            .filter_map(|kind| view.catalogue.find(kind, &name));
        if let Some(found) = found.next() {
            let endpoint = view.endpoint(*found.servers.first()?)?;
            return Some((endpoint.clone(), Some(found.name.to_string())));
        }
        let by_prefix = view.endpoints.iter().filter_map(|endpoint| {
            let prefix = endpoint.settings.prefix.as_str();
            let rest = name.strip_prefix(prefix)?.strip_prefix("__")?;
            (!prefix.is_empty() && !rest.is_empty()).then_some((endpoint, rest))
        });
        let (endpoint, rest) = by_prefix.max_by_key(|(it, _)| it.settings.prefix.len())?;
        Some((endpoint.clone(), Some(rest.to_owned())))
    }
}
