//! The names of MCP's methods.

use std::borrow::Cow;
use std::fmt;

/// A method's name, such as `tools/call`; any name is allowed.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Method(Cow<'static, str>);

macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        impl Method {
            $($(#[$doc])* pub const $name: Method = Method(Cow::Borrowed($text));)*
        }
        impl From<&str> for Method {
            fn from(name: &str) -> Self {
                match name {
                    $($text => Self::$name,)*
                    _ => Self(Cow::Owned(name.to_owned())),
                }
            }
        }
    };
}

methods! {
    /// `initialize`: opens a legacy connection.
    INITIALIZE = "initialize";
    /// `notifications/initialized`: the legacy handshake's third step.
    INITIALIZED = "notifications/initialized";
    /// `server/discover`: what a modern server offers.
    DISCOVER = "server/discover";
    /// `ping`: is the other side there (legacy)?
    PING = "ping";
    /// `tools/list`: one page of tools.
    TOOLS_LIST = "tools/list";
    /// `tools/call`: calls a tool.
    TOOLS_CALL = "tools/call";
    /// `prompts/list`: one page of prompts.
    PROMPTS_LIST = "prompts/list";
    /// `prompts/get`: fills in a prompt.
    PROMPTS_GET = "prompts/get";
    /// `resources/list`: one page of resources.
    RESOURCES_LIST = "resources/list";
    /// `resources/templates/list`: one page of resource templates.
    RESOURCE_TEMPLATES_LIST = "resources/templates/list";
    /// `resources/read`: reads a resource.
    RESOURCES_READ = "resources/read";
    /// `resources/subscribe`: asks for a resource's updates (legacy).
    RESOURCES_SUBSCRIBE = "resources/subscribe";
    /// `resources/unsubscribe`: ends them (legacy).
    RESOURCES_UNSUBSCRIBE = "resources/unsubscribe";
    /// `subscriptions/listen`: opens a stream of notifications (modern).
    SUBSCRIPTIONS_LISTEN = "subscriptions/listen";
    /// `completion/complete`: completes an argument.
    COMPLETE = "completion/complete";
    /// `logging/setLevel`: sets the least level of log messages (legacy).
    SET_LEVEL = "logging/setLevel";
    /// `sampling/createMessage`: asks the client's model.
    SAMPLING = "sampling/createMessage";
    /// `elicitation/create`: asks the client's user.
    ELICITATION = "elicitation/create";
    /// `roots/list`: asks for the client's roots.
    ROOTS_LIST = "roots/list";
    /// `tasks/get`: how far a task has come; of 2026-07-28 its result, too.
    TASKS_GET = "tasks/get";
    /// `tasks/result`: waits for a task's result (2025-11-25).
    TASKS_RESULT = "tasks/result";
    /// `tasks/list`: one page of tasks (2025-11-25).
    TASKS_LIST = "tasks/list";
    /// `tasks/cancel`: a task is no longer wanted.
    TASKS_CANCEL = "tasks/cancel";
    /// `tasks/update`: answers to what a task asks (the extension of 2026-07-28).
    TASKS_UPDATE = "tasks/update";
    /// Not of the protocol, and never written to a peer: tell of this task from now on, on the stream of
    /// `subscriptions/listen` that a modern server is heard on.
    TASK_WATCH = "toolweir/tasks/watch";
    /// Ends [`TASK_WATCH`](Self::TASK_WATCH).
    TASK_UNWATCH = "toolweir/tasks/unwatch";
    /// `notifications/tasks/status`: how far a task has come (2025-11-25).
    TASK_STATUS = "notifications/tasks/status";
    /// `notifications/tasks`: how far a task has come (the extension of 2026-07-28).
    TASK_CHANGED = "notifications/tasks";
    /// `notifications/cancelled`: a request is no longer wanted.
    CANCELLED = "notifications/cancelled";
    /// `notifications/progress`: how far a request has come.
    PROGRESS = "notifications/progress";
    /// `notifications/message`: a log message.
    MESSAGE = "notifications/message";
    /// `notifications/tools/list_changed`.
    TOOLS_CHANGED = "notifications/tools/list_changed";
    /// `notifications/prompts/list_changed`.
    PROMPTS_CHANGED = "notifications/prompts/list_changed";
    /// `notifications/resources/list_changed`.
    RESOURCES_CHANGED = "notifications/resources/list_changed";
    /// `notifications/resources/updated`.
    RESOURCE_UPDATED = "notifications/resources/updated";
    /// `notifications/roots/list_changed`.
    ROOTS_CHANGED = "notifications/roots/list_changed";
}

impl Method {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where a request of this method names its target: the member of `params` that holds a tool's or
    /// prompt's name, a resource's URI or a task's id.
    ///
    /// `completion/complete` names it one level deeper, in `ref`, and is not among them.
    #[must_use]
    pub fn target_member(&self) -> Option<&'static str> {
        match self.as_str() {
            "tools/call" | "prompts/get" => Some("name"),
            "resources/read" | "resources/subscribe" | "resources/unsubscribe" => Some("uri"),
            "tasks/get"
            | "tasks/result"
            | "tasks/cancel"
            | "tasks/update"
            | "toolweir/tasks/watch"
            | "toolweir/tasks/unwatch" => Some("taskId"),
            _ => None,
        }
    }
}

impl From<String> for Method {
    fn from(name: String) -> Self {
        Self::from(name.as_str())
    }
}

impl PartialEq<str> for Method {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
