//! Where a server comes from: what tells whether two of one name are the same.

use std::sync::Arc;
use std::time::Duration;

use toolweir_core::{Error, Server};
use toolweir_wire::Watchdog;

use crate::catalogue::{Place, Shelf};
use crate::config::{self, Text, Transport};
use crate::configured::{self, Reached};
use crate::isolated::Isolated;

/// What holds for all servers that are made from the configuration.
pub(crate) struct Around {
    pub(crate) connect_timeout: Duration,
    /// Ends children where this process is killed.
    pub(crate) watchdog: Option<Watchdog>,
    /// Where lists are kept.
    pub(crate) shelf: Option<Arc<Shelf>>,
}

/// A server, or what one is made of.
#[derive(Clone)]
pub(crate) enum Origin {
    /// Given by the program that this is a part of.
    Given(Arc<dyn Server>),
    /// The same, with an instance for each client.
    Isolated(Arc<Isolated>),
    /// Made from the configuration.
    Configured(Box<config::Server>),
}

impl Origin {
    /// The server itself.
    pub(crate) fn reached(&self, name: &Arc<str>, around: &Around) -> Result<Reached, Error> {
        match self {
            Self::Given(server) => Ok(Reached { server: server.clone(), isolated: None }),
            Self::Isolated(isolated) => Ok(Reached::isolated(isolated.clone())),
            Self::Configured(server) => configured::transport(name, server, around),
        }
    }

    /// Where its lists are kept, if they are.
    pub(crate) fn place(&self, name: &Arc<str>, around: &Around) -> Option<Place> {
        let (Self::Configured(server), Some(shelf)) = (self, &around.shelf) else { return None };
        let (identity, secrets) = match server.transport.as_ref()? {
            Transport::Stdio(stdio) => {
                let args: Vec<&str> = stdio.args.iter().map(Text::written).collect();
                let names: Vec<&String> = stdio.env.iter().map(|(name, _)| name).collect();
                let folder = stdio.cwd.as_ref().map(Text::written);
                let identity =
                    format!("{:?}", (name, stdio.command.written(), args, names, folder));
                (identity, &stdio.env)
            }
            Transport::Http(http) => {
                let names: Vec<&String> = http.headers.iter().map(|(name, _)| name).collect();
                (format!("{:?}", (name, http.url.written(), names)), &http.headers)
            }
        };
        let secrets = secrets.iter().map(|(_, value)| value.expose().to_owned()).collect();
        Some(shelf.place(name.clone(), &identity, secrets))
    }

    /// Whether both are reached in the same way, so that the one that runs can stay.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Given(one), Self::Given(other)) => Arc::ptr_eq(one, other),
            (Self::Isolated(one), Self::Isolated(other)) => one.is_same(other),
            (Self::Configured(one), Self::Configured(other)) => {
                one.transport == other.transport && one.isolate == other.isolate
            }
            _ => false,
        }
    }
}
