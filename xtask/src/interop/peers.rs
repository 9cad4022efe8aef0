//! Who takes part, and how each is started.

/// What is tried, in this order.
pub(super) const STEPS: [&str; 8] =
    ["initialise", "list", "call", "progress", "cancel", "sampling", "elicitation", "subscribe"];

/// A client in one era.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) name: &'static str,
    pub(super) era: Era,
    /// The program, up to what it is told of the era.
    pub(super) program: &'static [&'static str],
    /// How it is told what to speak; empty where it chooses by itself.
    pub(super) mode: &'static str,
}

/// Which of the protocol's two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Era {
    Legacy,
    Modern,
}

impl Era {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Modern => "modern",
        }
    }
}

const fn client(
    name: &'static str,
    era: Era,
    program: &'static [&'static str],
    mode: &'static str,
) -> Client {
    Client { name, era, program, mode }
}

/// The Inspector's command line, which is asked for one thing at a time.
pub(super) const INSPECTOR: &str = "mcp-inspector";
const V1: &[&str] = &["node", "typescript_v1.mjs"];
const V2: &[&str] = &["node", "typescript_v2.mjs"];
const PYTHON: &[&str] = &["python", "python.py"];
const RMCP: &[&str] = &["rmcp:client"];

/// All clients.
pub(super) static CLIENTS: [Client; 8] = [
    client("typescript-v1", Era::Legacy, V1, "legacy"),
    client("typescript-v2", Era::Legacy, V2, "legacy"),
    client("typescript-v2", Era::Modern, V2, "2026-07-28"),
    client("python", Era::Legacy, PYTHON, "legacy"),
    client("python", Era::Modern, PYTHON, "2026-07-28"),
    client("rmcp", Era::Legacy, RMCP, "legacy"),
    client("rmcp", Era::Modern, RMCP, "2026-07-28"),
    client("inspector", Era::Legacy, &[INSPECTOR], ""),
];

/// A server; it speaks all eras that its SDK speaks.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) name: &'static str,
    program: &'static [&'static str],
    /// What it is told to be served over HTTP; its port follows, unless that is in `PORT`.
    http: &'static str,
    /// What its SDK speaks.
    pub(super) eras: &'static [Era],
}

/// All servers.
pub(super) static SERVERS: [Server; 4] = [
    Server {
        name: "everything",
        program: &["mcp-server-everything"],
        http: "streamableHttp",
        eras: &[Era::Legacy],
    },
    Server {
        name: "typescript-v2",
        program: &["node", "servers/typescript_v2.mjs"],
        http: "http",
        eras: &[Era::Legacy, Era::Modern],
    },
    Server {
        name: "python",
        program: &["python", "servers/python.py"],
        http: "http",
        eras: &[Era::Legacy, Era::Modern],
    },
    Server {
        name: "rmcp",
        program: &["rmcp:server"],
        http: "http",
        eras: &[Era::Legacy, Era::Modern],
    },
];

impl Server {
    /// Its command over stdio.
    pub(super) fn stdio(&self) -> Vec<String> {
        self.program.iter().copied().chain(["stdio"]).map(str::to_owned).collect()
    }

    /// Its command over HTTP.
    pub(super) fn http(&self, port: u16) -> Vec<String> {
        let port = port.to_string();
        self.program.iter().copied().chain([self.http, &port]).map(str::to_owned).collect()
    }
}
