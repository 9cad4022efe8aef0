//! One tool, prompt, resource or resource template.

use std::sync::Arc;

use toolweir_core::{Hints, Method, RawJson};

/// The four kinds of things that servers list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Tool,
    Prompt,
    Resource,
    Template,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Tool, Self::Prompt, Self::Resource, Self::Template];

    /// The method that lists them.
    pub(crate) fn method(self) -> Method {
        match self {
            Self::Tool => Method::TOOLS_LIST,
            Self::Prompt => Method::PROMPTS_LIST,
            Self::Resource => Method::RESOURCES_LIST,
            Self::Template => Method::RESOURCE_TEMPLATES_LIST,
        }
    }

    /// The kind that `method` lists.
    pub(crate) fn listed_by(method: &Method) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.method() == *method)
    }

    /// The member of a list's result that holds them.
    pub(crate) fn member(self) -> &'static str {
        match self {
            Self::Tool => "tools",
            Self::Prompt => "prompts",
            Self::Resource => "resources",
            Self::Template => "resourceTemplates",
        }
    }

    /// The member that names each of them.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Tool | Self::Prompt => "name",
            Self::Resource => "uri",
            Self::Template => "uriTemplate",
        }
    }

    /// The capability that a server states where it has any.
    pub(crate) fn capability(self) -> &'static str {
        match self {
            Self::Tool => "tools",
            Self::Prompt => "prompts",
            Self::Resource | Self::Template => "resources",
        }
    }

    /// Whether its name carries the server's prefix; URIs stay as they are.
    pub(crate) fn is_prefixed(self) -> bool {
        matches!(self, Self::Tool | Self::Prompt)
    }

    /// What tells clients that the list has changed.
    pub(crate) fn changed(self) -> Method {
        match self {
            Self::Tool => Method::TOOLS_CHANGED,
            Self::Prompt => Method::PROMPTS_CHANGED,
            Self::Resource | Self::Template => Method::RESOURCES_CHANGED,
        }
    }

    pub(crate) fn index(self) -> usize {
        match self {
            Self::Tool => 0,
            Self::Prompt => 1,
            Self::Resource => 2,
            Self::Template => 3,
        }
    }
}

/// One thing as its server lists it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Item {
    /// The server's own name for it.
    pub(crate) name: Arc<str>,
    /// The whole entry.
    pub(crate) json: RawJson,
    /// What a tool's annotations claim of its effects.
    pub(crate) claimed: Hints,
}

impl Item {
    /// Reads an entry of a list; `None` where it has no name.
    pub(crate) fn read(kind: Kind, json: RawJson) -> Option<Self> {
        let name = Arc::from(json.member(kind.key())?.string()?);
        let claimed = if kind == Kind::Tool { claimed(&json) } else { Hints::default() };
        Some(Self { name, json, claimed })
    }

    /// Replaces those annotations of which `hints` says anything.
    pub(crate) fn annotate(&mut self, hints: Hints) {
        let said = [
            ("readOnlyHint", hints.read_only),
            ("idempotentHint", hints.idempotent),
            ("destructiveHint", hints.destructive),
            ("openWorldHint", hints.open_world),
        ];
        let mut annotations = match self.json.member("annotations").map(|part| part.to_json()) {
            Some(annotations) if annotations.is_object() => annotations,
            _ => RawJson::EMPTY_OBJECT,
        };
        for (name, said) in said {
            let Some(said) = said else { continue };
            let said = RawJson::from(serde_json::Value::Bool(said));
            let Ok(edited) = annotations.edit().set(name, &said).finish() else { return };
            annotations = edited;
        }
        if hints != Hints::default()
            && let Ok(json) = self.json.edit().set("annotations", &annotations).finish()
        {
            self.json = json;
        }
    }
}

fn claimed(tool: &RawJson) -> Hints {
    let Some(annotations) = tool.member("annotations").map(|part| part.to_json()) else {
        return Hints::default();
    };
    let hint = |name| annotations.member(name).and_then(|value| value.get::<bool>().ok());
    let mut hints = Hints::default();
    hints.read_only = hint("readOnlyHint");
    hints.idempotent = hint("idempotentHint");
    hints.destructive = hint("destructiveHint");
    hints.open_world = hint("openWorldHint");
    hints
}
