//! Pages and the blocks of text in them.

use serde_json::{Value, json};

use super::in_memory::{Prompt, Resource, System};
use super::tool::Shape::{List, Number, Object, Text};
use super::tool::{Answer, Arguments, Effect, Refusal, Tool, may, need, push_within};

const MAX_PAGES: usize = 200;
const MAX_BLOCKS: usize = 500;

/// Demonstrates `@notionhq/notion-mcp-server`.
pub(super) struct Notion {
    pages: Vec<Page>,
}

struct Page {
    id: String,
    parent: Value,
    title: String,
    blocks: Vec<Value>,
}

impl System for Notion {
    const KIND: &'static str = "notion";
    const INSTRUCTIONS: &'static str = "Two pages: `welcome` and `runbook`.";
    const TOOLS: &'static [Tool<Self>] = &[
        Tool {
            name: "API-post-search",
            description: "Search pages by title",
            effect: Effect::Reads,
            parameters: &[
                may("query", Text, "Words in the title; all pages where left out"),
                may("page_size", Number, "How many at most"),
            ],
            run: Notion::search,
        },
        Tool {
            name: "API-retrieve-a-page",
            description: "Get a page's title and parent",
            effect: Effect::Reads,
            parameters: &[need("page_id", Text, "Identifier of the page")],
            run: Notion::retrieve,
        },
        Tool {
            name: "API-get-block-children",
            description: "Get the blocks of a page",
            effect: Effect::Reads,
            parameters: &[
                need("block_id", Text, "Identifier of the page"),
                may("page_size", Number, "How many at most"),
            ],
            run: Notion::children,
        },
        Tool {
            name: "API-post-page",
            description: "Create a page below another",
            effect: Effect::Adds,
            parameters: &[
                need("parent", Object, "`{\"page_id\": ..}`"),
                need("properties", Object, "`{\"title\": [{\"text\": {\"content\": ..}}]}`"),
                may("children", List, "Blocks to begin with"),
            ],
            run: Notion::post_page,
        },
        Tool {
            name: "API-patch-block-children",
            description: "Append blocks to a page",
            effect: Effect::Adds,
            parameters: &[
                need("block_id", Text, "Identifier of the page"),
                need("children", List, "Blocks to append"),
            ],
            run: Notion::append,
        },
    ];
    const PROMPTS: &'static [Prompt<Self>] = &[Prompt {
        name: "summarize_page",
        description: "Summarize a page for someone who has a minute",
        parameters: &[
            need("page_id", Text, "Identifier of the page"),
            may("audience", Text, "Whom the summary is for"),
        ],
        write: Notion::summarize,
    }];
    const RESOURCES: &'static [Resource<Self>] = &[
        Resource {
            uri: "notion://page/welcome",
            name: "Welcome",
            description: "The first page",
            mime_type: "text/markdown",
            read: |notion| notion.markdown("welcome"),
        },
        Resource {
            uri: "notion://page/runbook",
            name: "Runbook",
            description: "What to do at high water",
            mime_type: "text/markdown",
            read: |notion| notion.markdown("runbook"),
        },
    ];

    fn new() -> Self {
        let page = |id: &str, title: &str, text: &str| Page {
            id: id.to_owned(),
            parent: json!({"type": "workspace", "workspace": true}),
            title: title.to_owned(),
            blocks: vec![paragraph(text)],
        };
        Self {
            pages: vec![
                page("welcome", "Welcome", "Everything about the river."),
                page("runbook", "Runbook", "At high water: open the gate, tell #alerts."),
            ],
        }
    }
}

impl Notion {
    fn find(&self, id: &str) -> Result<usize, Refusal> {
        self.pages
            .iter()
            .position(|page| page.id == id)
            .ok_or_else(|| Refusal::new(format!("object_not_found: page {id}")))
    }

    fn search(&mut self, arguments: &Arguments<'_>) -> Result<Answer, Refusal> {
        let query = arguments.text("query").to_lowercase();
        let limit = arguments.count("page_size", 100);
        let fits = |page: &&Page| page.title.to_lowercase().contains(&query);
        let results: Vec<Value> =
            self.pages.iter().filter(fits).take(limit).map(Page::json).collect();
        Ok(Answer::json(&json!({"object": "list", "results": results, "has_more": false})))
    }

    fn retrieve(&mut self, arguments: &Arguments<'_>) -> Result<Answer, Refusal> {
        let index = self.find(arguments.text("page_id"))?;
        Ok(Answer::json(&self.pages[index].json()))
    }

    fn children(&mut self, arguments: &Arguments<'_>) -> Result<Answer, Refusal> {
        let blocks = &self.pages[self.find(arguments.text("block_id"))?].blocks;
        let limit = arguments.count("page_size", 100);
        let shown: Vec<&Value> = blocks.iter().take(limit).collect();
        let has_more = blocks.len() > shown.len();
        Ok(Answer::json(&json!({"object": "list", "results": shown, "has_more": has_more})))
    }

    fn post_page(&mut self, arguments: &Arguments<'_>) -> Result<Answer, Refusal> {
        let parent = arguments.value("parent").and_then(|parent| parent["page_id"].as_str());
        let parent = parent.ok_or_else(|| Refusal::new("`parent` must name a `page_id`"))?;
        self.find(parent)?;
        let properties = arguments.value("properties").unwrap_or(&Value::Null);
        let title =
            title_of(properties).ok_or_else(|| Refusal::new("`properties` must hold a `title`"))?;
        let children = arguments.list("children");
        if children.len() > MAX_BLOCKS {
            return Err(Refusal::new(format!("a page holds at most {MAX_BLOCKS} blocks")));
        }
        let page = Page {
            id: format!("page-{}", self.pages.len() + 1),
            parent: json!({"type": "page_id", "page_id": parent}),
            title,
            blocks: children.to_vec(),
        };
        let created = page.json();
        push_within(&mut self.pages, MAX_PAGES, page)?;
        Ok(Answer::json(&created))
    }

    fn append(&mut self, arguments: &Arguments<'_>) -> Result<Answer, Refusal> {
        let index = self.find(arguments.text("block_id"))?;
        let blocks = &mut self.pages[index].blocks;
        let children = arguments.list("children");
        if children.is_empty() {
            return Err(Refusal::new("`children` is empty"));
        }
        if blocks.len() + children.len() > MAX_BLOCKS {
            return Err(Refusal::new(format!("a page holds at most {MAX_BLOCKS} blocks")));
        }
        blocks.extend_from_slice(children);
        Ok(Answer::json(&json!({"object": "list", "results": children})))
    }

    fn summarize(&self, arguments: &Arguments<'_>) -> Result<String, Refusal> {
        let page = &self.pages[self.find(arguments.text("page_id"))?];
        let audience = arguments.optional_text("audience").unwrap_or("a busy reader");
        Ok(format!("Summarize this page for {audience}:\n\n{}", page.markdown()))
    }

    fn markdown(&self, id: &str) -> String {
        self.pages.iter().find(|page| page.id == id).map(Page::markdown).unwrap_or_default()
    }
}

impl Page {
    fn json(&self) -> Value {
        json!({
            "object": "page",
            "id": self.id,
            "parent": self.parent,
            "properties": {"title": {"type": "title", "title": rich_text(&self.title)}},
        })
    }

    fn markdown(&self) -> String {
        let mut text = format!("# {}\n", self.title);
        for block in &self.blocks {
            text.push('\n');
            text.push_str(&text_of(block));
            text.push('\n');
        }
        text
    }
}

fn rich_text(text: &str) -> Value {
    json!([{"type": "text", "text": {"content": text}}])
}

fn paragraph(text: &str) -> Value {
    json!({"object": "block", "type": "paragraph", "paragraph": {"rich_text": rich_text(text)}})
}

/// The text of a title, in either of the two forms that the published server takes.
fn title_of(properties: &Value) -> Option<String> {
    let title = &properties["title"];
    let spans = title.as_array().or_else(|| title["title"].as_array())?;
    Some(join(spans)).filter(|text| !text.is_empty())
}

/// The text of a block of any type.
fn text_of(block: &Value) -> String {
    let of_type = block["type"].as_str().map(|kind| &block[kind]);
    let spans = of_type.and_then(|body| body["rich_text"].as_array());
    spans.map(|spans| join(spans)).unwrap_or_default()
}

fn join(spans: &[Value]) -> String {
    spans.iter().filter_map(|span| span["text"]["content"].as_str()).collect()
}
