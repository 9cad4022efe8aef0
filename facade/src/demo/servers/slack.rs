//! Channels, messages and threads.

use serde_json::{Value, json};

use super::in_memory::System;
use super::tool::Shape::{Number, Text};
use super::tool::{Answer, Arguments, Effect, Refusal, Tool, may, need, push_within};

const MAX_MESSAGES: usize = 1_000;

/// Demonstrates `@modelcontextprotocol/server-slack`.
pub(super) struct Slack {
    messages: Vec<Message>,
}

struct Message {
    channel: &'static str,
    /// Names the message, and orders it.
    timestamp: String,
    /// The message that it replies to.
    thread: Option<String>,
    text: String,
    reactions: Vec<String>,
}

/// Identifier and name.
const CHANNELS: [(&str, &str); 2] = [("C0001", "general"), ("C0002", "alerts")];

impl System for Slack {
    const KIND: &'static str = "slack";
    const INSTRUCTIONS: &'static str = "Two channels: C0001 (general) and C0002 (alerts).";
    const TOOLS: &'static [Tool<Self>] = &[
        Tool {
            name: "slack_list_channels",
            description: "List the channels of the workspace",
            effect: Effect::Reads,
            parameters: &[may("limit", Number, "How many at most")],
            run: Slack::list_channels,
        },
        Tool {
            name: "slack_post_message",
            description: "Post a message to a channel",
            effect: Effect::Adds,
            parameters: &[
                need("channel_id", Text, "Identifier or name of the channel"),
                need("text", Text, "Text of the message"),
            ],
            run: Slack::post_message,
        },
        Tool {
            name: "slack_reply_to_thread",
            description: "Reply to a message",
            effect: Effect::Adds,
            parameters: &[
                need("channel_id", Text, "Identifier or name of the channel"),
                need("thread_ts", Text, "Timestamp of the message, such as 1700000000.000001"),
                need("text", Text, "Text of the reply"),
            ],
            run: Slack::reply_to_thread,
        },
        Tool {
            name: "slack_add_reaction",
            description: "Add an emoji to a message",
            effect: Effect::Sets,
            parameters: &[
                need("channel_id", Text, "Identifier or name of the channel"),
                need("timestamp", Text, "Timestamp of the message"),
                need("reaction", Text, "Name of the emoji, without colons"),
            ],
            run: Slack::add_reaction,
        },
        Tool {
            name: "slack_get_channel_history",
            description: "Get the newest messages of a channel, newest first",
            effect: Effect::Reads,
            parameters: &[
                need("channel_id", Text, "Identifier or name of the channel"),
                may("limit", Number, "How many at most; 10 by default"),
            ],
            run: Slack::history,
        },
        Tool {
            name: "slack_get_thread_replies",
            description: "Get a message and all replies to it",
            effect: Effect::Reads,
            parameters: &[
                need("channel_id", Text, "Identifier or name of the channel"),
                need("thread_ts", Text, "Timestamp of the message"),
            ],
            run: Slack::thread,
        },
    ];

    fn new() -> Self {
        Self {
            messages: vec![Message {
                channel: CHANNELS[0].0,
                timestamp: timestamp(0),
                thread: None,
                text: "The weir is up.".to_owned(),
                reactions: Vec::new(),
            }],
        }
    }
}

impl Slack {
    fn list_channels(&mut self, arguments: &Arguments<'_>) -> Result<Answer, Refusal> {
        let json = |(id, name)| json!({"id": id, "name": name});
        let limit = arguments.count("limit", CHANNELS.len());
        let channels: Vec<Value> = CHANNELS.into_iter().take(limit).map(json).collect();
        Ok(Answer::json(&json!({"ok": true, "channels": channels})))
    }

    fn post_message(&mut self, arguments: &Arguments<'_>) -> Result<Answer, Refusal> {
        self.post(channel(arguments)?, None, arguments.text("text"))
    }

    fn reply_to_thread(&mut self, arguments: &Arguments<'_>) -> Result<Answer, Refusal> {
        let channel = channel(arguments)?;
        let thread = self.find(channel, arguments.text("thread_ts"))?.timestamp.clone();
        self.post(channel, Some(thread), arguments.text("text"))
    }

    fn post(
        &mut self,
        channel: &'static str,
        thread: Option<String>,
        text: &str,
    ) -> Result<Answer, Refusal> {
        if text.trim().is_empty() {
            return Err(Refusal::new("no_text: the message is empty"));
        }
        let message = Message {
            channel,
            timestamp: timestamp(self.messages.len()),
            thread,
            text: text.to_owned(),
            reactions: Vec::new(),
        };
        let posted = json!({
            "ok": true, "channel": channel, "ts": message.timestamp, "message": message.json(),
        });
        push_within(&mut self.messages, MAX_MESSAGES, message)?;
        Ok(Answer::json(&posted))
    }

    fn add_reaction(&mut self, arguments: &Arguments<'_>) -> Result<Answer, Refusal> {
        let message = self.find(channel(arguments)?, arguments.text("timestamp"))?;
        let reaction = arguments.text("reaction");
        if !message.reactions.iter().any(|own| own == reaction) {
            push_within(&mut message.reactions, 20, reaction.to_owned())?;
        }
        Ok(Answer::json(&json!({"ok": true})))
    }

    fn history(&mut self, arguments: &Arguments<'_>) -> Result<Answer, Refusal> {
        let channel = channel(arguments)?;
        let limit = arguments.value("limit").map_or(10, |_| arguments.count("limit", 100));
        let messages: Vec<Value> = self
            .messages
            .iter()
            .rev()
            .filter(|message| message.channel == channel && message.thread.is_none())
            .take(limit)
            .map(Message::json)
            .collect();
        Ok(Answer::json(&json!({"ok": true, "messages": messages})))
    }

    fn thread(&mut self, arguments: &Arguments<'_>) -> Result<Answer, Refusal> {
        let first = self.find(channel(arguments)?, arguments.text("thread_ts"))?.timestamp.clone();
        let belongs = |message: &&Message| {
            message.timestamp == first || message.thread.as_deref() == Some(first.as_str())
        };
        let messages: Vec<Value> =
            self.messages.iter().filter(belongs).map(Message::json).collect();
        Ok(Answer::json(&json!({"ok": true, "messages": messages})))
    }

    fn find(&mut self, channel: &str, timestamp: &str) -> Result<&mut Message, Refusal> {
        self.messages
            .iter_mut()
            .find(|message| message.channel == channel && message.timestamp == timestamp)
            .ok_or_else(|| Refusal::new(format!("message_not_found: {timestamp} in {channel}")))
    }
}

impl Message {
    fn json(&self) -> Value {
        let mut json = json!({"type": "message", "ts": self.timestamp, "text": self.text});
        if let Some(thread) = &self.thread {
            json["thread_ts"] = json!(thread);
        }
        if !self.reactions.is_empty() {
            json["reactions"] = json!(self.reactions);
        }
        json
    }
}

fn channel(arguments: &Arguments<'_>) -> Result<&'static str, Refusal> {
    let given = arguments.text("channel_id").trim_start_matches('#');
    CHANNELS
        .into_iter()
        .find(|(id, name)| *id == given || *name == given)
        .map(|(id, _)| id)
        .ok_or_else(|| Refusal::new(format!("channel_not_found: {given}")))
}

/// Made up from the count, so that a run is like the one before.
fn timestamp(count: usize) -> String {
    format!("1700000000.{:06}", count + 1)
}
