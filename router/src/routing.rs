//! Which capabilities a type of request needs, whether it is known or not.

use crate::errors::UnknownRoute;
use crate::{Config, Routes};

/// The routes, and what stands in where there is none.
#[derive(Debug)]
pub(crate) struct Routing {
    routes: Routes,
    /// What a request of unknown type needs.
    fallback: Option<String>,
}

impl Routing {
    pub(crate) fn of(config: Config) -> Self {
        Self { routes: config.routes, fallback: config.default_capability }
    }

    /// The capabilities that a request of this type needs.
    pub(crate) fn needed(&self, request_type: &str) -> Result<Vec<String>, UnknownRoute> {
        let fallback = self.fallback.as_ref().map(std::slice::from_ref);
        let needed = self.routes.get(request_type).or(fallback);
        needed.map(<[String]>::to_vec).ok_or_else(|| UnknownRoute {
            request_type: request_type.to_owned(),
            known: self.routes.iter().map(|(known, _)| known.to_owned()).collect(),
        })
    }
}
