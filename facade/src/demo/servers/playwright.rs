//! A browser with three pages, one of which has a form.

use std::time::Duration;

use super::in_memory::System;
use super::tool::Shape::{Flag, Number, Text};
use super::tool::{Answer, Arguments, Effect, Refusal, Tool, may, need, push_within};

const MAX_HISTORY: usize = 100;
/// In seconds.
const MAX_WAIT: f64 = 30.0;

/// Demonstrates `@playwright/mcp`.
pub(super) struct Playwright {
    /// Every page that was opened; the last is shown.
    history: Vec<String>,
    form: Option<String>,
    sent: Vec<String>,
}

const HOME: &str = "https://river.example/";
const REPORT: &str = "https://river.example/report";
const ELSEWHERE: &str = "https://example.com/";

impl System for Playwright {
    const KIND: &'static str = "playwright";
    const INSTRUCTIONS: &'static str =
        "Two pages: https://river.example/ and https://river.example/report.";
    const TOOLS: &'static [Tool<Self>] = &[
        Tool {
            name: "browser_navigate",
            description: "Open a page; reports its progress",
            effect: Effect::Adds,
            parameters: &[need("url", Text, "Address of the page")],
            run: Playwright::navigate,
        },
        Tool {
            name: "browser_navigate_back",
            description: "Go back to the page before",
            effect: Effect::Adds,
            parameters: &[],
            run: Playwright::back,
        },
        Tool {
            name: "browser_snapshot",
            description: "Tell what the page shows, with a reference for each element",
            effect: Effect::Reads,
            parameters: &[may("target", Text, "Only this element")],
            run: Playwright::snapshot,
        },
        Tool {
            name: "browser_click",
            description: "Click an element",
            effect: Effect::Adds,
            parameters: &[
                need("target", Text, "Reference of the element from the snapshot"),
                may("element", Text, "The element in words"),
            ],
            run: Playwright::click,
        },
        Tool {
            name: "browser_type",
            description: "Type into an element",
            effect: Effect::Sets,
            parameters: &[
                need("target", Text, "Reference of the element from the snapshot"),
                need("text", Text, "What to type"),
                may("element", Text, "The element in words"),
                may("submit", Flag, "Whether to send the form too"),
            ],
            run: Playwright::type_text,
        },
        Tool {
            name: "browser_wait_for",
            description: "Wait for a time, at most 30 seconds; reports its progress",
            effect: Effect::Reads,
            parameters: &[may("time", Number, "Seconds to wait")],
            run: Playwright::wait_for,
        },
    ];

    fn new() -> Self {
        Self { history: Vec::new(), form: None, sent: Vec::new() }
    }
}

impl Playwright {
    fn navigate(&mut self, arguments: &Arguments<'_>) -> Result<Answer, Refusal> {
        let url = arguments.text("url");
        let page = [HOME, REPORT, ELSEWHERE]
            .into_iter()
            .find(|page| page.trim_end_matches('/') == url.trim_end_matches('/'));
        self.open(page.ok_or_else(|| {
            Refusal::new(format!(
                "net::ERR_NAME_NOT_RESOLVED at {url}; there are {HOME} and {REPORT}"
            ))
        })?)?;
        let steps = ["name resolved", "connected", "page loaded"];
        Ok(Answer::text(self.page()?).steps(steps))
    }

    fn back(&mut self, _: &Arguments<'_>) -> Result<Answer, Refusal> {
        if self.history.len() < 2 {
            return Err(Refusal::new("there is no page before this one"));
        }
        self.history.pop();
        Ok(Answer::text(self.page()?))
    }

    fn snapshot(&mut self, arguments: &Arguments<'_>) -> Result<Answer, Refusal> {
        let page = self.page()?;
        let Some(target) = arguments.optional_text("target") else { return Ok(Answer::text(page)) };
        let reference = format!("[ref={target}]");
        let line = page.lines().find(|line| line.contains(&reference));
        line.map(Answer::text).ok_or_else(|| no_element(target))
    }

    fn click(&mut self, arguments: &Arguments<'_>) -> Result<Answer, Refusal> {
        match (self.url()?, arguments.text("target")) {
            (HOME, "e2") => self.open(REPORT)?,
            (REPORT, "e3") => self.send()?,
            (REPORT, "e4") => self.open(HOME)?,
            (_, other) => return Err(no_element(other)),
        }
        Ok(Answer::text(self.page()?))
    }

    fn type_text(&mut self, arguments: &Arguments<'_>) -> Result<Answer, Refusal> {
        match (self.url()?, arguments.text("target")) {
            (REPORT, "e2") => self.form = Some(arguments.text("text").to_owned()),
            (_, other) => return Err(no_element(other)),
        }
        if arguments.flag("submit") == Some(true) {
            self.send()?;
        }
        Ok(Answer::text(self.page()?))
    }

    fn wait_for(&mut self, arguments: &Arguments<'_>) -> Result<Answer, Refusal> {
        let seconds = arguments.number("time").ok_or_else(|| Refusal::new("give `time`"))?;
        if !(0.0..=MAX_WAIT).contains(&seconds) {
            return Err(Refusal::new(format!("`time` must lie between 0 and {MAX_WAIT} seconds")));
        }
        let steps =
            (1..=10).map(|tenth| format!("waited {:.2} s", seconds * f64::from(tenth) / 10.0));
        Ok(Answer::text(format!("Waited for {seconds} s"))
            .steps(steps)
            .takes(Duration::from_secs_f64(seconds)))
    }

    fn url(&self) -> Result<&str, Refusal> {
        let shown = self.history.last().map(String::as_str);
        shown.ok_or_else(|| Refusal::new("no page is open: call browser_navigate first"))
    }

    fn open(&mut self, url: &str) -> Result<(), Refusal> {
        push_within(&mut self.history, MAX_HISTORY, url.to_owned())
    }

    fn send(&mut self) -> Result<(), Refusal> {
        let text = self.form.take().ok_or_else(|| Refusal::new("the form is empty"))?;
        push_within(&mut self.sent, MAX_HISTORY, text)
    }

    fn page(&self) -> Result<String, Refusal> {
        let url = self.url()?;
        Ok(if url == HOME {
            format!(
                "Page URL: {url}\n- heading \"The river\" [ref=e1]\n- link \"Report\" [ref=e2]\n"
            )
        } else if url == ELSEWHERE {
            format!("Page URL: {url}\n- heading \"Example Domain\" [ref=e1]\n")
        } else {
            let typed = self.form.as_deref().unwrap_or_default();
            let sent = self.sent.len();
            format!(
                "Page URL: {url}\n- heading \"Report ({sent} sent)\" [ref=e1]\n- textbox \"Level\" [ref=e2]: {typed:?}\n\
                 - button \"Send\" [ref=e3]\n- link \"Home\" [ref=e4]\n"
            )
        })
    }
}

fn no_element(target: &str) -> Refusal {
    Refusal::new(format!("no element {target} in the page snapshot"))
}
