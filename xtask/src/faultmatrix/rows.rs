//! What must survive, and which tests prove it.

/// One fault.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) target: &'static str,
    /// What the names of its tests hold. Each must stand for one test at least.
    pub(super) proofs: &'static [&'static str],
}

/// A test that tells a row's figure once more as it is released: of a debug build, a time says nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Released {
    pub(super) row: &'static str,
    pub(super) package: &'static str,
    pub(super) test: &'static str,
}

/// All of those.
pub(super) const RELEASED: &[Released] = &[Released {
    row: "7",
    package: "toolweir-wire",
    test: "upstream::linear::ten_times_the_size_takes_ten_times_as_long",
}];

/// All of them. The numbers are those by which they are spoken of; they stay when rows go.
pub(super) const ROWS: &[Row] = &[
    Row {
        id: "1",
        name: "clients that reuse ids; one id twice in flight",
        target: "200 clients, 100,000 calls and 10,000,000 simulated steps, 0 wrong",
        proofs: &[
            "sim::whatever_goes_wrong_everybody_gets_their_own",
            "fidelity::many::two_hundred_clients_that_count_alike_get_their_own_answers",
            "listen::legacy::the_same_id_twice_in_flight_is_answered_twice",
        ],
    },
    Row {
        id: "2",
        name: "answers out of order, twice, with an unknown id",
        target: "10,000 permuted scripts, 0 calls left hanging",
        proofs: &[
            "upstream::faults::ten_thousand_permuted_scripts_end_every_call",
            "upstream::calls::answers_out_of_order_reach_their_calls",
            "upstream::calls::answers_that_nobody_awaits_are_dropped",
        ],
    },
    Row {
        id: "3",
        name: "a server that crashes in the middle of a call",
        target: "a typed error within 50 ms; the next success within 1 s; a crash loop holds nobody else up",
        proofs: &[
            "orchestrator::starting::after_a_crash_the_next_success_is_there_within_a_second",
            "upstream::life::a_crash_fails_the_calls_in_flight_and_the_next_call_starts_it_again",
            "upstream::life::a_large_answer_written_just_before_the_end_is_not_lost",
            "upstream::life::a_server_that_leaves_after_the_handshake_never_wedges",
            "cli::gateway::a_killed_child_is_replaced_and_the_next_call_answers",
            "orchestrator::lists::a_dead_server_neither_blocks_nor_empties_the_others_and_is_tried_again",
        ],
    },
    Row {
        id: "4",
        name: "a server that accepts and never answers",
        target: "every call ends at its deadline, within 10 ms; cancelled at the server",
        proofs: &[
            "upstream::faults::every_call_ends_by_its_deadline",
            "fidelity::bursts::a_hundred_calls_beside_a_hung_one_take_no_time_at_all",
            "upstream::faults::a_server_that_never_answers_costs_a_call_its_deadline_and_no_more",
            "upstream::faults::a_silent_server_over_http_costs_a_call_its_deadline_and_no_more",
            "upstream::calls::a_call_without_an_answer_ends_at_its_deadline_and_the_server_is_told",
            "orchestrator::limits::a_call_ends_at_its_deadline_and_is_cancelled_at_the_server",
            "orchestrator::limits::a_hung_call_slows_nobody_else",
        ],
    },
    Row {
        id: "5",
        name: "huge payload, endless line, endless body",
        target: "a typed error at the cap; the connection lives where framing allows",
        proofs: &[
            "upstream::hostile::a_line_over_the_cap_fails_its_call_and_the_connection_lives",
            "upstream::hostile::an_answer_over_the_cap_fails_its_own_call_at_once",
            "upstream::hostile::a_request_over_the_cap_is_never_written",
            "upstream::http::a_body_over_the_cap_is_not_read_on",
            "listen::life::bodies_are_bounded_in_size_depth_and_time",
        ],
    },
    Row {
        id: "6",
        name: "malformed JSON, bad UTF-8, a BOM, batches, wrong shapes",
        target: "an error for the one call that it can belong to; the others go on",
        proofs: &[
            "upstream::faults::a_broken_answer_over_http_fails_its_call_and_no_other",
            "listen::faults::a_request_cut_at_any_byte_is_no_call",
            "listen::faults::a_line_cut_at_any_byte_is_no_call",
            "upstream::hostile::a_broken_answer_fails_its_call_and_no_other",
            "upstream::hostile::a_byte_order_mark_does_not_hide_an_answer",
            "upstream::hostile::noise_before_and_between_is_ignored",
            "listen::stdio::a_bad_line_is_answered_and_the_next_goes_on",
            "batches_are_taken_in_one_revision_alone",
        ],
    },
    Row {
        id: "7",
        name: "depth bombs, duplicate members, their case, huge numbers",
        target: "depth 128; a member of the envelope twice is refused; numbers pass as they are spelled; linear time, 5 MB in less than 50 ms",
        proofs: &[
            "upstream::linear::ten_times_the_size_takes_ten_times_as_long",
            "upstream::faults::a_broken_answer_over_http_fails_its_call_and_no_other",
            "listen::life::bodies_are_bounded_in_size_depth_and_time",
            "fidelity::bytes::what_others_lose_is_kept",
        ],
    },
    Row {
        id: "8",
        name: "one slow server among others",
        target: "its calls are bounded; its neighbours lose no time at all (paused clock)",
        proofs: &[
            "orchestrator::concurrency::a_full_server_refuses_in_time_and_its_neighbour_never_notices",
            "orchestrator::concurrency::who_sends_much_waits_behind_its_own_calls",
        ],
    },
    Row {
        id: "9",
        name: "half-open TCP, silent drop",
        target: "found by the call's deadline; the pool is never wedged",
        proofs: &[
            "upstream::faults::a_half_open_connection_is_found_by_the_deadline_and_wedges_nothing",
        ],
    },
    Row {
        id: "10",
        name: "an event stream cut at any byte",
        target: "every offset of 4 KiB: all of a frame or nothing, and no call sent twice",
        proofs: &[
            "upstream::faults::a_stream_of_four_kilobytes_cut_at_every_byte_gives_all_or_nothing",
            "upstream::streams::a_stream_cut_at_any_byte_gives_no_part_of_a_result",
            "upstream::streams::a_body_cut_short_gives_no_part_of_a_result",
        ],
    },
    Row {
        id: "11",
        name: "a legacy session that is gone",
        target: "one round trip more, no error for what is safe to send again",
        proofs: &[
            "upstream::http::a_session_that_is_gone_is_opened_again_once",
            "upstream::http::a_call_that_was_read_is_not_sent_again_in_a_new_session",
            "upstream::http::an_unknown_method_is_no_lost_session",
        ],
    },
    Row {
        id: "12",
        name: "children: zombies, grandchildren, a gateway killed with -9",
        target: "1,000 lives: 0 zombies, 0 orphans, descriptors as before",
        proofs: &[
            "upstream::life::cycles_of_a_tree_leave_no_process_and_no_descriptor",
            "cli::watchdog::nothing_outlives_a_killed_gateway",
            "cli::watchdog::nothing_outlives_a_gateway_that_is_killed_as_it_begins",
            "upstream::life::fifty_lives_leave_no_descriptor_and_no_zombie",
            "upstream::life::what_the_child_started_ends_with_it",
            "upstream::life::a_child_that_ignores_the_closing_of_its_input_is_terminated",
            "effects::left::nothing_is_left_however_often",
            "cli::gateway::a_signal_ends_it_and_no_child_is_left",
        ],
    },
    Row {
        id: "13",
        name: "a flood on stderr; a child that stops reading",
        target: "always drained into a bounded ring; a write deadline",
        proofs: &[
            "upstream::hostile::a_flood_on_stderr_blocks_nothing",
            "upstream::hostile::a_child_that_stops_reading_is_left_for_another",
        ],
    },
    Row {
        id: "14",
        name: "a client that stops reading its stream",
        target: "no server's reader waits for it; past the cap its stream is closed with its calls",
        proofs: &[
            "fidelity::bursts::a_client_that_reads_nothing_slows_nobody",
            "listen::faults::a_client_that_reads_nothing_slows_nobody",
            "listen::life::a_client_that_stops_reading_is_dropped",
            "listen::streams::a_client_that_reads_too_slowly_loses_its_call_alone",
            "listen::stdio::a_client_that_does_not_read_is_given_up",
            "listen::stdio::a_slow_reader_loses_the_call_that_floods_it_and_no_answer",
        ],
    },
    Row {
        id: "15",
        name: "a storm of list changes",
        target: "100,000 in a second: at most two fetches of a list a second, and the first at once",
        proofs: &[
            "fidelity::bursts::a_storm_of_changes_asks_for_two_lists_a_second",
            "orchestrator::lists::a_storm_of_list_changes_is_one_or_two",
        ],
    },
    Row {
        id: "16",
        name: "slow and many connections, large heads and bodies",
        target: "deadlines and caps; quiet connections make room",
        proofs: &[
            "listen::faults::good_clients_wait_for_none_of_two_hundred_slow_ones",
            "listen::life::bodies_are_bounded_in_size_depth_and_time",
            "listen::life::connections_are_bounded_and_the_next_waits_its_turn",
            "listen::life::quiet_connections_make_room_for_new_ones",
        ],
    },
    Row {
        id: "17",
        name: "a retry storm after an outage",
        target: "≤ 1.1 × the calls, ten more, and one more a second; 95 % answered 10 s after; nothing unsafe repeated",
        proofs: &[
            "orchestrator::pressure::after_an_outage_enough_is_answered_within_ten_seconds",
            "orchestrator::retries::an_outage_does_not_multiply_the_load",
            "orchestrator::retries::a_server_that_stays_away_is_asked_three_times",
            "orchestrator::failover::what_may_have_been_carried_out_is_repeated_only_where_that_is_harmless",
        ],
    },
    Row {
        id: "18",
        name: "breaker: stampede, wedge, stale verdict, cancelled probe, clock jump",
        target: "0 departures from the model",
        proofs: &[
            "every_step_does_what_the_model_says",
            "p3_a_thousand_callers_in_half_open_send_exactly_the_probes",
            "p3_live_probes_never_exceed_the_permitted",
            "a_verdict_from_before_a_trip_decides_nothing",
            "a_probe_of_one_half_open_decides_nothing_in_the_next",
            "a_clock_that_goes_back_prolongs_nothing",
            "open_never_lasts_longer_than_its_cap_on_any_clock",
            "orchestrator::breakers::",
        ],
    },
    Row {
        id: "19",
        name: "every server's breaker open",
        target: "refused at once with `retryAfterMs`, or an old reply, marked",
        proofs: &[
            "orchestrator::limits::the_breaker_opens_on_failures_and_recovers_by_one_probe",
            "orchestrator::stale::while_the_breaker_is_open_nothing_is_asked_and_the_old_reply_stands_in",
            "orchestrator::stale::whoever_may_not_have_it_gets_no_old_reply_either",
        ],
    },
    Row {
        id: "20",
        name: "cache: another's reply, stale after 401, a leader that leaves, invalidation during a fetch",
        target: "0 departures from the model",
        proofs: &[
            "the_cache_does_what_the_model_says",
            "a_reply_reaches_whom_the_model_says",
            "a_flight_survives_its_leader",
            "invalidation_during_a_fetch_is_not_lost",
            "a_panic_is_an_error_for_every_waiter_and_poisons_nothing",
            "after_an_authorization_error_nothing_stands_in",
            "what_is_remembered_and_shared_stays_with_its_principal",
            "a_million_keys_stay_within_the_bytes",
        ],
    },
    Row {
        id: "21",
        name: "limiter: a flood of keys, starvation, a cancelled waiter",
        target: "first come, first served; Jain's index ≥ 0.95",
        proofs: &[
            "every_decision_and_every_retry_after_is_the_models",
            "every_answer_and_every_turn_is_the_models",
            "five_hundred_waiters_go_in_order_on_two_polls_at_the_full_rate",
            "a_cancelled_waiter_gives_its_place_to_the_next",
            "shares_are_even_while_all_want_more",
            "a_flood_of_keys_spares_the_heavy_and_costs_newcomers_a_call_each_round",
        ],
    },
    Row {
        id: "22",
        name: "a new configuration in the middle of calls, a broken one, half of one",
        target: "1,000 reloads under load, 0 calls failed; a bad file changes nothing",
        proofs: &[
            "orchestrator::reload::a_thousand_reloads_under_load_fail_no_call",
            "orchestrator::reload::a_call_goes_on_at_the_server_that_it_began_with",
            "orchestrator::reload::nothing_of_a_hundred_reloads_is_left_behind",
            "cli::reload::",
        ],
    },
    Row {
        id: "23",
        name: "SIGTERM",
        target: "calls in flight finish within the grace, streams end, then children",
        proofs: &[
            "cli::drain::",
            "listen::life::shutdown_lets_calls_finish_and_leaves_nothing",
            "listen::life::what_does_not_end_within_the_grace_is_ended",
            "cli::gateway::a_signal_ends_it_and_no_child_is_left",
        ],
    },
    Row {
        id: "24",
        name: "a panic in a part that somebody else wrote",
        target: "that call fails; nothing leaks; the process lives",
        proofs: &[
            "orchestrator::limits::a_panic_in_a_server_fails_its_call_alone",
            "upstream::calls::a_caller_whose_part_panics_costs_no_other_call",
            "a_panic_that_drops_a_permit_is_a_failure",
            "a_panic_frees_the_place",
            "a_panicking_fetch_is_an_internal_error",
        ],
    },
    Row {
        id: "25",
        name: "DNS rebinding",
        target: "every case of the table refused before any work",
        proofs: &["listen::gate::hosts_and_origins_are_checked_before_any_work"],
    },
    Row {
        id: "31",
        name: "memory pressure: ten times the load",
        target: "at most 256 MiB of memory; at least 80 % of what can be done is done",
        proofs: &[
            "cli::pressure::ten_times_the_load_stays_within_its_memory",
            "orchestrator::pressure::ten_times_the_load_takes_nothing_from_what_can_be_done",
        ],
    },
];
