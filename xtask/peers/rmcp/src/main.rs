//! The Rust SDK: URL, name of an echo tool and `legacy` or `modern` in, one line of JSON out.

use std::error::Error;

use rmcp::model::{CallToolRequestParams, ProtocolVersion};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::{ClientLifecycleMode, ClientServiceExt};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |what: &str| arguments.next().ok_or_else(|| format!("{what} is missing"));
    let (url, tool, era) = (next("the URL")?, next("the tool")?, next("the era")?);
    let mode = match era.as_str() {
        "legacy" => ClientLifecycleMode::Initialize,
        _ => ClientLifecycleMode::Discover {
            preferred_versions: vec![ProtocolVersion::V_2026_07_28],
        },
    };
    let client = ().serve_with_lifecycle(StreamableHttpClientTransport::from_uri(url), mode).await?;
    let info = client.peer_info().ok_or("the server has not said who it is")?;
    let tools = client.list_all_tools().await?;
    let mut message = serde_json::Map::new();
    message.insert("message".to_owned(), "from rust".into());
    let result = client.call_tool(CallToolRequestParams::new(tool).with_arguments(message)).await?;
    let result = serde_json::to_value(&result)?;
    let said = serde_json::json!({
        "server": serde_json::to_value(&*info)?["serverInfo"]["name"],
        "version": info.protocol_version,
        "tools": tools.iter().map(|tool| tool.name.to_string()).collect::<Vec<_>>(),
        "text": result["content"][0]["text"],
    });
    println!("{said}");
    client.cancel().await?;
    Ok(())
}
