//! Repositories, files and issues.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::in_memory::System;
use super::tool::Shape::{List, Number, OneOf, Text};
use super::tool::{Answer, Arguments, Effect, Refusal, Tool, may, need, push_within};

const MAX_FILES: usize = 200;
const MAX_ISSUES: usize = 1_000;

/// Demonstrates `@modelcontextprotocol/server-github`.
pub(super) struct GitHub {
    repositories: Vec<Repository>,
}

struct Repository {
    owner: &'static str,
    name: &'static str,
    description: &'static str,
    files: BTreeMap<String, String>,
    issues: Vec<Issue>,
}

struct Issue {
    title: String,
    body: String,
    labels: Vec<Value>,
    state: String,
}

impl System for GitHub {
    const KIND: &'static str = "github";
    const INSTRUCTIONS: &'static str = "Two repositories of the owner `river`: `weir` and `gauge`.";
    const TOOLS: &'static [Tool<Self>] = &[
        Tool {
            name: "search_repositories",
            description: "Search for repositories by words in their names and descriptions",
            effect: Effect::Reads,
            parameters: &[
                need("query", Text, "Words to look for"),
                may("page", Number, "Page number, from 1"),
                may("perPage", Number, "Results per page"),
            ],
            run: GitHub::search_repositories,
        },
        Tool {
            name: "get_file_contents",
            description: "Get the contents of a file, or the files of a directory",
            effect: Effect::Reads,
            parameters: &[
                need("owner", Text, "Owner of the repository"),
                need("repo", Text, "Name of the repository"),
                need("path", Text, "Path of the file or directory"),
            ],
            run: GitHub::get_file_contents,
        },
        Tool {
            name: "create_or_update_file",
            description: "Create or update one file in a repository",
            effect: Effect::Sets,
            parameters: &[
                need("owner", Text, "Owner of the repository"),
                need("repo", Text, "Name of the repository"),
                need("path", Text, "Path of the file"),
                need("content", Text, "The whole new content"),
                need("message", Text, "Commit message"),
                need("branch", OneOf(&["main"]), "Branch; there is only `main` here"),
            ],
            run: GitHub::create_or_update_file,
        },
        Tool {
            name: "create_issue",
            description: "Create an issue in a repository",
            effect: Effect::Adds,
            parameters: &[
                need("owner", Text, "Owner of the repository"),
                need("repo", Text, "Name of the repository"),
                need("title", Text, "Title of the issue"),
                may("body", Text, "Text of the issue"),
                may("labels", List, "Names of labels"),
            ],
            run: GitHub::create_issue,
        },
        Tool {
            name: "list_issues",
            description: "List the issues of a repository",
            effect: Effect::Reads,
            parameters: &[
                need("owner", Text, "Owner of the repository"),
                need("repo", Text, "Name of the repository"),
                may(
                    "state",
                    OneOf(&["open", "closed", "all"]),
                    "Which issues; open ones by default",
                ),
                may("page", Number, "Page number, from 1"),
                may("per_page", Number, "Results per page"),
            ],
            run: GitHub::list_issues,
        },
        Tool {
            name: "update_issue",
            description: "Change an issue, or close it",
            effect: Effect::Sets,
            parameters: &[
                need("owner", Text, "Owner of the repository"),
                need("repo", Text, "Name of the repository"),
                need("issue_number", Number, "Number of the issue"),
                may("title", Text, "New title"),
                may("body", Text, "New text"),
                may("state", OneOf(&["open", "closed"]), "New state"),
            ],
            run: GitHub::update_issue,
        },
    ];

    fn new() -> Self {
        let repository = |name, description, readme: &str, issue: &str| Repository {
            owner: "river",
            name,
            description,
            files: BTreeMap::from([("README.md".to_owned(), readme.to_owned())]),
            issues: vec![Issue {
                title: issue.to_owned(),
                body: String::new(),
                labels: vec![json!("bug")],
                state: "open".to_owned(),
            }],
        };
        Self {
            repositories: vec![
                repository(
                    "weir",
                    "A small dam that steadies and meters a river",
                    "# weir\n\nSteadies and meters a river.\n",
                    "The gate sticks at high water",
                ),
                repository(
                    "gauge",
                    "Measures the level of a river",
                    "# gauge\n\nMeasures the level.\n",
                    "Wrong level after frost",
                ),
            ],
        }
    }
}

impl GitHub {
    fn repository(&mut self, arguments: &Arguments<'_>) -> Result<&mut Repository, Refusal> {
        let (owner, name) = (arguments.text("owner"), arguments.text("repo"));
        self.repositories
            .iter_mut()
            .find(|repository| repository.owner == owner && repository.name == name)
            .ok_or_else(|| Refusal::new(format!("not found: repository {owner}/{name}")))
    }

    fn search_repositories(&mut self, arguments: &Arguments<'_>) -> Result<Answer, Refusal> {
        let query = arguments.text("query").to_lowercase();
        let fits = |repository: &&Repository| {
            let text = format!("{} {}", repository.name, repository.description).to_lowercase();
            query.split_whitespace().all(|word| text.contains(word))
        };
        let found: Vec<Value> =
            self.repositories.iter().filter(fits).map(Repository::json).collect();
        let items = page(&found, arguments, "perPage");
        Ok(Answer::json(&json!({"total_count": found.len(), "items": items})))
    }

    fn get_file_contents(&mut self, arguments: &Arguments<'_>) -> Result<Answer, Refusal> {
        let path = arguments.text("path").trim_matches('/');
        let repository = self.repository(arguments)?;
        if let Some(content) = repository.files.get(path) {
            return Ok(Answer::json(&json!({
                "type": "file", "path": path, "size": content.len(), "content": content,
            })));
        }
        let is_within = |file: &&String| {
            path.is_empty() || file.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'))
        };
        let files: Vec<&String> = repository.files.keys().filter(is_within).collect();
        if files.is_empty() {
            return Err(Refusal::new(format!("not found: {path}")));
        }
        Ok(Answer::json(&json!(files)))
    }

    fn create_or_update_file(&mut self, arguments: &Arguments<'_>) -> Result<Answer, Refusal> {
        let path = arguments.text("path").trim_matches('/');
        if path.is_empty() {
            return Err(Refusal::new("`path` must name a file"));
        }
        let files = &mut self.repository(arguments)?.files;
        if files.len() >= MAX_FILES && !files.contains_key(path) {
            return Err(Refusal::new(format!(
                "this demonstration keeps at most {MAX_FILES} files"
            )));
        }
        files.insert(path.to_owned(), arguments.text("content").to_owned());
        let message = arguments.text("message");
        Ok(Answer::json(&json!({"content": {"path": path}, "commit": {"message": message}})))
    }

    fn create_issue(&mut self, arguments: &Arguments<'_>) -> Result<Answer, Refusal> {
        let issue = Issue {
            title: arguments.text("title").to_owned(),
            body: arguments.text("body").to_owned(),
            labels: arguments.list("labels").to_vec(),
            state: "open".to_owned(),
        };
        let repository = self.repository(arguments)?;
        push_within(&mut repository.issues, MAX_ISSUES, issue)?;
        let number = repository.issues.len();
        Ok(Answer::json(&repository.issue_json(number, &repository.issues[number - 1])))
    }

    fn list_issues(&mut self, arguments: &Arguments<'_>) -> Result<Answer, Refusal> {
        let state = arguments.optional_text("state").unwrap_or("open");
        let repository = self.repository(arguments)?;
        let issues: Vec<Value> = (1..)
            .zip(&repository.issues)
            .filter(|(_, issue)| state == "all" || issue.state == state)
            .map(|(number, issue)| repository.issue_json(number, issue))
            .collect();
        Ok(Answer::json(&json!(page(&issues, arguments, "per_page"))))
    }

    fn update_issue(&mut self, arguments: &Arguments<'_>) -> Result<Answer, Refusal> {
        let repository = self.repository(arguments)?;
        let number = arguments.number("issue_number").unwrap_or_default();
        let index = (1_u32..).zip(&repository.issues).position(|(own, _)| f64::from(own) == number);
        let index = index.ok_or_else(|| Refusal::new(format!("not found: issue {number}")))?;
        let issue = &mut repository.issues[index];
        let set = |field: &mut String, name| {
            if let Some(text) = arguments.optional_text(name) {
                text.clone_into(field);
            }
        };
        set(&mut issue.title, "title");
        set(&mut issue.body, "body");
        set(&mut issue.state, "state");
        Ok(Answer::json(&repository.issue_json(index + 1, &repository.issues[index])))
    }
}

impl Repository {
    fn json(&self) -> Value {
        json!({
            "full_name": format!("{}/{}", self.owner, self.name),
            "description": self.description,
            "open_issues": self.issues.iter().filter(|issue| issue.state == "open").count(),
        })
    }

    fn issue_json(&self, number: usize, issue: &Issue) -> Value {
        json!({
            "number": number,
            "repository": format!("{}/{}", self.owner, self.name),
            "title": issue.title,
            "body": issue.body,
            "labels": issue.labels,
            "state": issue.state,
        })
    }
}

fn page<'a>(items: &'a [Value], arguments: &Arguments<'_>, size: &str) -> Vec<&'a Value> {
    let size = arguments.count(size, 30);
    let page = arguments.value("page").map_or(1, |_| arguments.count("page", usize::MAX));
    items.iter().skip(size.saturating_mul(page - 1)).take(size).collect()
}
