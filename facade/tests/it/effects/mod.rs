//! Every key of a configuration does something: each is changed, and the difference seen.

mod alerts;
mod broken;
mod concurrency;
mod failing;
mod left;
mod listeners;
mod policies;
mod pools;
mod quotas;
mod resting;
mod routing;
mod rules;
mod servers;
mod tools;
mod transport;
pub(crate) mod upstream;
mod variables;
mod zones;

use std::collections::BTreeSet;
use std::time::Duration;

use toolweir::config::{Config, ConfigErrors, keys};
use toolweir::core::{Call, Error, RawJson, Reply};
use toolweir::{Builder, Orchestrator};

/// The program itself, whose `demo-server` is a child that speaks MCP.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_toolweir");
/// Longer than anything here takes; only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// Each key, and the test that changes it.
const EFFECTS: &[(&str, fn())] = &[
    ("mcpServers", servers::one_under_mcp_servers_is_there),
    ("mcpServers.*.args", transport::args_reach_the_child),
    ("mcpServers.*.breaker", policies::a_server_can_do_without_its_breaker),
    ("mcpServers.*.breaker.cooldownMs", policies::a_servers_own_cooldown_holds),
    ("mcpServers.*.breaker.failures", policies::a_servers_own_failures_hold),
    ("mcpServers.*.breaker.toolFailures", policies::a_single_tool_may_fail_so_often),
    ("mcpServers.*.cache", policies::a_server_can_do_without_the_cache),
    ("mcpServers.*.cache.maxBytes", policies::the_size_of_the_cache_is_no_servers_matter),
    ("mcpServers.*.cache.maxEntries", policies::the_size_of_the_cache_is_no_servers_matter),
    ("mcpServers.*.cache.staleIfErrorMs", policies::the_size_of_the_cache_is_no_servers_matter),
    ("mcpServers.*.cache.ttlMs", policies::a_servers_own_ttl_holds),
    ("mcpServers.*.capabilities", servers::capabilities_are_what_a_server_is_found_by),
    ("mcpServers.*.command", transport::the_command_is_started),
    ("mcpServers.*.concurrency", concurrency::a_server_can_have_any_number_of_calls),
    ("mcpServers.*.concurrency.adaptive", concurrency::a_slow_answer_lowers_an_adaptive_bound),
    ("mcpServers.*.concurrency.maxInFlight", concurrency::so_many_calls_at_once),
    ("mcpServers.*.concurrency.maxWaitMs", concurrency::so_long_may_one_wait),
    ("mcpServers.*.concurrency.maxWaiting", concurrency::so_many_may_wait),
    ("mcpServers.*.concurrency.slowMs", concurrency::a_slow_answer_lowers_an_adaptive_bound),
    ("mcpServers.*.cwd", transport::the_child_runs_in_cwd),
    ("mcpServers.*.disabled", servers::a_disabled_server_is_not_there),
    ("mcpServers.*.env", transport::env_reaches_the_child),
    ("mcpServers.*.headers", transport::headers_are_sent),
    ("mcpServers.*.hedge", failing::a_server_can_do_without_a_second),
    ("mcpServers.*.hedge.budgetPercent", failing::a_server_can_do_without_a_second),
    ("mcpServers.*.httpUrl", transport::the_url_is_called),
    ("mcpServers.*.isolate", servers::each_client_can_have_an_instance_of_its_own),
    ("mcpServers.*.isolate.by", servers::each_client_can_have_an_instance_of_its_own),
    ("mcpServers.*.isolate.idleMs", servers::an_idle_instance_ends_after_so_long),
    ("mcpServers.*.isolate.max", servers::so_many_clients_have_one_at_once),
    ("mcpServers.*.prefix", servers::the_prefix_stands_before_names),
    ("mcpServers.*.rateLimit", policies::a_server_can_do_without_a_limit),
    ("mcpServers.*.rateLimit.burst", policies::a_servers_own_burst_holds),
    ("mcpServers.*.rateLimit.maxWaitMs", policies::a_servers_own_wait_holds),
    ("mcpServers.*.rateLimit.requestsPerSecond", policies::a_servers_own_rate_holds),
    ("mcpServers.*.rateLimitPerUser", quotas::each_user_has_a_limit),
    ("mcpServers.*.rateLimitPerUser.burst", quotas::each_user_has_a_limit),
    ("mcpServers.*.rateLimitPerUser.maxWaitMs", quotas::only_a_servers_own_limit_is_waited_for),
    ("mcpServers.*.rateLimitPerUser.requestsPerSecond", quotas::each_user_has_a_limit),
    ("mcpServers.*.retry", failing::a_server_can_do_without_a_second_attempt),
    ("mcpServers.*.retry.attempts", failing::a_servers_own_attempts_hold),
    ("mcpServers.*.retry.budgetPercent", failing::a_server_can_do_without_a_second_attempt),
    ("mcpServers.*.serverUrl", transport::the_url_is_called),
    ("mcpServers.*.timeoutMs", policies::a_servers_own_timeout_holds),
    ("mcpServers.*.idleStopMs", resting::a_server_that_nobody_needs_is_ended),
    ("mcpServers.*.start", resting::a_lazy_server_is_started_by_its_first_call),
    ("mcpServers.*.tools", tools::a_tool_can_be_described),
    ("mcpServers.*.tools.*.hints", tools::a_tool_can_be_described),
    ("mcpServers.*.tools.*.hints.destructive", tools::destructive_is_told_to_clients),
    ("mcpServers.*.tools.*.hints.idempotent", tools::an_idempotent_call_is_made_again_elsewhere),
    ("mcpServers.*.tools.*.hints.openWorld", tools::open_world_is_told_to_clients),
    ("mcpServers.*.tools.*.hints.readOnly", tools::only_reads_are_cached),
    ("mcpServers.*.tools.*.rateLimit", quotas::a_tool_has_a_limit),
    ("mcpServers.*.tools.*.rateLimit.burst", quotas::a_tool_has_a_limit),
    ("mcpServers.*.tools.*.rateLimit.maxWaitMs", quotas::only_a_servers_own_limit_is_waited_for),
    ("mcpServers.*.tools.*.rateLimit.requestsPerSecond", quotas::a_tool_has_a_limit),
    ("mcpServers.*.tools.*.rateLimitPerUser", quotas::each_user_has_a_limit_at_a_tool),
    ("mcpServers.*.tools.*.rateLimitPerUser.burst", quotas::each_user_has_a_limit_at_a_tool),
    (
        "mcpServers.*.tools.*.rateLimitPerUser.maxWaitMs",
        quotas::only_a_servers_own_limit_is_waited_for,
    ),
    (
        "mcpServers.*.tools.*.rateLimitPerUser.requestsPerSecond",
        quotas::each_user_has_a_limit_at_a_tool,
    ),
    ("mcpServers.*.tools.*.ttlMs", tools::a_tools_own_ttl_holds),
    ("mcpServers.*.trusted", servers::a_trusted_server_is_believed),
    ("mcpServers.*.type", transport::the_type_decides),
    ("mcpServers.*.url", transport::the_url_is_called),
    ("mcpServers.*.zone", zones::the_own_zone_is_asked),
    ("servers", servers::one_under_servers_is_there),
    ("toolweir", routing::a_route_leads_to_a_capability),
    ("toolweir.admin", listeners::admin_opens_the_dashboard),
    ("toolweir.alerts", alerts::a_slow_call_raises_one),
    ("toolweir.alerts.errorRate", alerts::the_error_rate_is_checked),
    ("toolweir.alerts.errorsInLast100", alerts::errors_raise_one),
    ("toolweir.alerts.highLatencyMs", alerts::a_slow_call_raises_one),
    ("toolweir.alerts.latencyP50Ms", alerts::the_median_is_checked),
    ("toolweir.alerts.latencyP99Ms", alerts::the_slowest_are_checked),
    ("toolweir.alerts.rules", rules::a_rule_raises_one),
    ("toolweir.alerts.rules.*.above", rules::a_figure_may_be_so_high),
    ("toolweir.alerts.rules.*.aboveMs", rules::one_may_take_so_long),
    ("toolweir.alerts.rules.*.abovePercent", rules::more_than_its_share_has_to_fail),
    ("toolweir.alerts.rules.*.below", rules::a_figure_may_be_so_low),
    ("toolweir.alerts.rules.*.clearPercent", rules::it_ends_below_a_share_of_its_threshold),
    ("toolweir.alerts.rules.*.forMs", rules::it_has_to_hold_for_so_long),
    ("toolweir.alerts.rules.*.kind", rules::a_rule_raises_one),
    ("toolweir.alerts.rules.*.longWindow", rules::both_windows_count),
    ("toolweir.alerts.rules.*.minOperations", rules::fewer_operations_say_nothing),
    ("toolweir.alerts.rules.*.objectivePercent", rules::what_was_promised_may_be_used_up_so_fast),
    ("toolweir.alerts.rules.*.percentile", rules::its_percentile_is_looked_at),
    ("toolweir.alerts.rules.*.servers", rules::it_is_for_the_servers_that_it_names),
    ("toolweir.alerts.rules.*.severity", rules::the_severity_is_said),
    ("toolweir.alerts.rules.*.shortWindow", rules::both_windows_count),
    ("toolweir.alerts.rules.*.window", rules::it_looks_at_its_window),
    ("toolweir.allowedHosts", listeners::further_hosts_are_let_in),
    ("toolweir.allowedOrigins", listeners::further_origins_are_let_in),
    ("toolweir.breaker", policies::the_breaker_can_be_off),
    ("toolweir.breaker.cooldownMs", policies::the_cooldown_holds),
    ("toolweir.breaker.failures", policies::the_failures_hold),
    ("toolweir.breaker.toolFailures", policies::a_single_tool_may_fail_so_often),
    ("toolweir.cache", policies::the_cache_can_be_off),
    ("toolweir.cache.maxBytes", policies::the_cache_holds_so_many_bytes),
    ("toolweir.cache.maxEntries", policies::the_cache_holds_so_many_entries),
    ("toolweir.cache.staleIfErrorMs", failing::an_old_reply_stands_in_for_so_long),
    ("toolweir.cache.ttlMs", policies::the_ttl_holds),
    ("toolweir.concurrency", concurrency::so_many_calls_at_once),
    ("toolweir.concurrency.adaptive", concurrency::a_slow_answer_lowers_an_adaptive_bound),
    ("toolweir.concurrency.maxInFlight", concurrency::so_many_calls_at_once),
    ("toolweir.concurrency.maxWaitMs", concurrency::so_long_may_one_wait),
    ("toolweir.concurrency.maxWaiting", concurrency::so_many_may_wait),
    ("toolweir.concurrency.slowMs", concurrency::a_slow_answer_lowers_an_adaptive_bound),
    ("toolweir.connectTimeoutMs", policies::a_server_may_take_so_long_to_be_there),
    ("toolweir.defaultCapability", routing::an_unknown_type_needs_the_default_capability),
    ("toolweir.handlers", routing::a_handler_names_the_tool),
    ("toolweir.hedge", failing::a_slow_server_is_not_waited_for),
    ("toolweir.hedge.budgetPercent", failing::a_slow_server_is_not_waited_for),
    ("toolweir.listen", listeners::clients_come_in_where_it_says),
    ("toolweir.pools", pools::a_pool_offers_its_members_tools),
    ("toolweir.pools.*.hideMembers", pools::members_can_be_hidden),
    ("toolweir.pools.*.servers", pools::a_pool_offers_its_members_tools),
    ("toolweir.pools.*.sticky", pools::a_client_can_stay_with_one_member),
    ("toolweir.pools.*.tools", pools::tools_can_be_declared_to_be_equivalents),
    ("toolweir.pools.*.tools.*.definition", pools::a_pooled_tool_can_be_described),
    ("toolweir.pools.*.tools.*.members", pools::tools_can_be_declared_to_be_equivalents),
    ("toolweir.pools.*.tools.*.members.*.defaults", pools::arguments_can_be_mapped),
    ("toolweir.pools.*.tools.*.members.*.drop", pools::arguments_can_be_mapped),
    ("toolweir.pools.*.tools.*.members.*.rename", pools::arguments_can_be_mapped),
    ("toolweir.pools.*.tools.*.members.*.set", pools::arguments_can_be_mapped),
    ("toolweir.pools.*.tools.*.members.*.tool", pools::tools_can_be_declared_to_be_equivalents),
    ("toolweir.rateLimit", policies::the_limit_can_be_off),
    ("toolweir.rateLimit.burst", policies::the_burst_holds),
    ("toolweir.rateLimit.maxWaitMs", policies::the_wait_holds),
    ("toolweir.rateLimit.requestsPerSecond", policies::the_rate_holds),
    ("toolweir.rateLimitPerUser", quotas::each_user_has_a_limit),
    ("toolweir.rateLimitPerUser.burst", quotas::each_user_has_a_limit),
    ("toolweir.rateLimitPerUser.maxWaitMs", quotas::only_a_servers_own_limit_is_waited_for),
    ("toolweir.rateLimitPerUser.requestsPerSecond", quotas::each_user_has_a_limit),
    ("toolweir.retry", failing::the_attempts_hold),
    ("toolweir.retry.attempts", failing::the_attempts_hold),
    ("toolweir.retry.budgetPercent", failing::the_attempts_hold),
    ("toolweir.routes", routing::a_route_leads_to_a_capability),
    ("toolweir.shutdownGraceMs", listeners::the_grace_holds),
    ("toolweir.idleStopMs", resting::servers_that_nobody_needs_are_ended),
    ("toolweir.slowStartMs", zones::a_server_that_is_back_starts_slowly),
    ("toolweir.start", resting::lazy_servers_are_started_by_their_first_calls),
    ("toolweir.stateDir", resting::lists_are_kept),
    ("toolweir.timeoutMs", policies::the_timeout_holds),
    ("toolweir.token", listeners::a_token_is_asked_for),
    ("toolweir.zone", zones::the_own_zone_is_asked),
    ("toolweir.zoneSpillMs", zones::what_is_too_much_goes_to_another_zone),
];

/// For editors: it says where the file's schema is, and is meant to do nothing here.
const WITHOUT_EFFECT: [&str; 1] = ["$schema"];

#[test]
fn every_key_has_a_test_of_its_effect() {
    let known: BTreeSet<String> = keys().into_iter().collect();
    let tested: BTreeSet<String> = EFFECTS
        .iter()
        .map(|(key, _)| *key)
        .chain(WITHOUT_EFFECT)
        // The entries of both are read by the same code.
        .map(str::to_owned)
        .collect();
    assert_eq!(tested.len(), EFFECTS.len() + WITHOUT_EFFECT.len(), "a key stands there twice");
    let untested: Vec<_> = known.difference(&tested).collect();
    let unknown: Vec<_> = tested.difference(&known).collect();
    assert!(untested.is_empty(), "keys without a test of their effect: {untested:?}");
    assert!(unknown.is_empty(), "tests of keys that are not read: {unknown:?}");
}

fn read(text: &str, url: &str) -> Result<Config, ConfigErrors> {
    let env = |name: &str| match name {
        "URL" => Some(url.to_owned()),
        "PROGRAM" => Some(PROGRAM.to_owned()),
        "NINE" => Some("nine".to_owned()),
        _ => None,
    };
    Config::from_str(text, "test.jsonc", &env).map(|(config, _)| config)
}

/// Starts what `text` says, `${URL}` being `url`, and waits until every server has been tried.
async fn started(text: &str, url: &str) -> Orchestrator {
    let config = read(text, url).unwrap_or_else(|errors| panic!("{errors}"));
    let orchestrator = Builder::from_config(&config).unwrap().start().unwrap();
    orchestrator.ready(PATIENCE).await;
    orchestrator
}

/// A file with one server, `s`, of which `entry` is the inside, and the inside of `toolweir`.
fn one(entry: &str, settings: &str) -> String {
    format!(r#"{{"mcpServers":{{"s":{{{entry}}}}},"toolweir":{{{settings}}}}}"#)
}

/// The same with a server at `${URL}`.
fn at_url(entry: &str, settings: &str) -> String {
    let comma = if entry.is_empty() { "" } else { "," };
    one(&format!(r#""url":"${{URL}}"{comma}{entry}"#), settings)
}

async fn call(orchestrator: &Orchestrator, tool: &str) -> Result<Reply, Error> {
    call_with(orchestrator, tool, serde_json::json!({})).await
}

async fn call_with(
    orchestrator: &Orchestrator,
    tool: &str,
    arguments: serde_json::Value,
) -> Result<Reply, Error> {
    let call = Call::tool(tool, &RawJson::from(arguments)).unwrap();
    tokio::time::timeout(PATIENCE, orchestrator.call(&call)).await.expect("every call ends")
}

const FIVE_SECONDS: Duration = Duration::from_secs(5);

/// Moves the runtime's clock on; nobody waits.
async fn later(by: Duration) {
    tokio::time::pause();
    tokio::time::advance(by).await;
    tokio::time::resume();
}
