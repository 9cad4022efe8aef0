//! Text in headers comes back as it was; any header can be read; what our client writes, our listener takes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use toolweir_core::RawJson;
use toolweir_wire::fuzzing::{agree, decode, encode};

/// A tool whose arguments `s`, `n`, `b` and `o.s` are repeated in headers.
const TOOLS: &str = r#"{"tools":[{"name":"t","inputSchema":{"properties":{
    "s":{"type":"string","x-mcp-header":"S"},"n":{"type":"integer","x-mcp-header":"N"},
    "b":{"type":["boolean","null"],"x-mcp-header":"B"},
    "o":{"properties":{"s":{"type":"string","x-mcp-header":"O"}}}}}}]}"#;

fuzz_target!(|input: &[u8]| {
    let _ = decode(input);
    if let Ok(text) = std::str::from_utf8(input) {
        let encoded = encode(text);
        assert!(encoded.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{encoded:?}");
        assert_eq!(encoded.trim(), encoded);
        assert_eq!(decode(encoded.as_bytes()).as_deref(), Some(text));
        assert_eq!(decode(format!(" \t{encoded}\t").as_bytes()).as_deref(), Some(text));
        let arguments = serde_json::json!({ "s": text, "o": { "s": text } });
        assert!(agreed(&RawJson::from(arguments)), "{text:?}");
    }
    if let Ok(number) = serde_json::from_slice::<serde_json::Number>(input) {
        let arguments = format!(r#"{{"n":{}}}"#, std::str::from_utf8(input).unwrap_or_default());
        assert!(agreed(&RawJson::new(arguments).expect("a number")), "{number}");
    }
    if let Ok(json) = RawJson::new(input.to_vec()) {
        // Any arguments, and any list of tools.
        let _ = agreed(&json);
        let _ = agree(&json, "t", &json);
    }
});

fn agreed(arguments: &RawJson) -> bool {
    agree(&RawJson::new(TOOLS).expect("it is well-formed"), "t", arguments)
}
