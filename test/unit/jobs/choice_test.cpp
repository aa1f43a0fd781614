// What a decision depends on, joined; and a recorded one taken again.

#include <gmock/gmock.h>

#include "engine/run_choice.hpp"
#include "unit/jobs/runs_bench.hpp"

namespace signalbox::engine {
namespace {

using namespace std::chrono_literals;
using jobs::t0;
using testing::HasSubstr;

network::Facts facts_with(std::uint64_t free_addresses, base::WallTime read_at = t0) {
    network::Facts facts;
    facts.read_at = read_at;
    facts.zones.push_back({"a", "available"});
    facts.networks.push_back({"main", *network::parse_range("10.0.0.0/16"), "available"});
    facts.subnets.push_back({"data-a", "main", "a", *network::parse_range("10.0.1.0/24"), "available", free_addresses});
    facts.nat_gateways.push_back({"nat-a", "data-a", "a", "available"});
    network::RouteTable table{"out", "main", true, {}, {}};
    table.routes.push_back({*network::parse_range("0.0.0.0/0"), network::TargetKind::Nat, "nat-a", false});
    facts.route_tables.push_back(table);
    facts.security_groups.push_back({"default",
                                     "main",
                                     {{"all", 0, 65535, "default", {}}},
                                     {{"all", 0, 65535, "", *network::parse_range("0.0.0.0/0")}}});
    return facts;
}

jobs::Run run_of_job(jobs::Strategy strategy = jobs::Strategy::Ordered) {
    jobs::Run run = jobs::waiting_run(2);
    run.job.strategy = strategy;
    run.job.connections = {{"via-a", "data-a", {"default"}, {}, true}, {"theirs", "", {}, {}, false}};
    return run;
}

ports::LedgerState promised(int count) {
    ports::LedgerState state;
    for (int i = 0; i < count; ++i)
        state.rows.push_back({fmt::format("other-{}", i), "other", "data-a", jobs::AddressKind::Starting, t0, ""});
    for (const jobs::AddressRow& row : state.rows) state.nodes.push_back({row.token, "", false, {}, {}});
    return state;
}

Surroundings around(std::uint64_t free_addresses, const ports::LedgerState& ledger) {
    Surroundings around;
    around.facts = facts_with(free_addresses);
    around.ledger = settled_ledger(ledger, around.facts);
    return around;
}

TEST(Choice, addresses_promised_to_others_are_not_available_and_unmanaged_connections_stay_as_they_are) {
    const auto input = decision_input(run_of_job(), around(10, promised(4)), t0 + 1234567ns);
    ASSERT_EQ(input.candidates.size(), 2u);
    EXPECT_EQ(input.candidates[0].free_addresses, 10u);
    EXPECT_EQ(input.candidates[0].available, 6u);
    EXPECT_EQ(input.candidates[0].zone, "a");
    EXPECT_EQ(input.candidates[1].zone, "");
    EXPECT_EQ(input.at, t0 + 1ms) << "as the journal keeps it";
}

TEST(Choice, a_node_that_started_after_the_facts_were_read_is_still_reserved_and_then_no_more) {
    ports::LedgerState ledger = promised(1);
    ledger.nodes[0].address = "10.0.1.9";
    ledger.nodes[0].started_at = t0 + 1s;
    EXPECT_EQ(settled_ledger(ledger, facts_with(10, t0)).reserved("data-a"), 1u);
    EXPECT_EQ(settled_ledger(ledger, facts_with(9, t0 + 2s)).reserved("data-a"), 0u);
}

TEST(Choice, what_changed_in_the_ledger_is_stored_and_nothing_else) {
    ports::LedgerState ledger = promised(3);
    EXPECT_TRUE(ledger_change(ledger, settled_ledger(ledger, facts_with(10))).empty());
    ledger.nodes[0].address = "10.0.1.9";
    ledger.nodes[0].started_at = t0 - 1s;
    ledger.nodes[1].dropped = true;
    jobs::AddressLedger settled = settled_ledger(ledger, facts_with(10));
    const std::vector<std::string> tokens = {"new-0"};
    settled.reserve("new", "data-a", tokens, t0);
    const ports::LedgerChange change = ledger_change(ledger, settled);
    EXPECT_THAT(change.gone, testing::ElementsAre("other-1"));
    ASSERT_EQ(change.put.size(), 2u);
    EXPECT_EQ(change.put[0].kind, jobs::AddressKind::Held);
    EXPECT_EQ(change.put[1].token, "new-0");
}

TEST(Choice, a_run_waits_for_addresses_only_where_ours_are_in_its_way) {
    const auto decide = [](std::uint64_t free, const ports::LedgerState& ledger) {
        const Surroundings all = around(free, ledger);
        return waits_for_addresses(jobs::decide(decision_input(run_of_job(), all, t0)), all.ledger);
    };
    EXPECT_THAT(decide(4, promised(4)), HasSubstr("data-a"));
    EXPECT_EQ(decide(0, {}), "") << "others' addresses may never come back";
    Surroundings broken = around(4, promised(4));
    broken.facts.nat_gateways.clear();
    EXPECT_EQ(waits_for_addresses(jobs::decide(decision_input(run_of_job(), broken, t0)), broken.ledger), "")
        << "addresses would not help";
}

class FakeJournal final : public ports::Journal {
  public:
    base::Result<std::int64_t> append(const ports::JournalEntry& entry, ports::Durability) override {
        entries.push_back(entry);
        entries.back().sequence = static_cast<std::int64_t>(entries.size());
        return entries.back().sequence;
    }
    base::Result<std::vector<ports::JournalEntry>> read(const ports::JournalQuery& query) override {
        std::vector<ports::JournalEntry> found;
        for (const auto& entry : entries) {
            const bool wanted = entry.sequence > query.after && entry.kind == query.kind &&
                                (query.subject.empty() || entry.subject == query.subject) &&
                                (query.run.empty() || entry.run == query.run) &&
                                (!query.until || entry.at <= *query.until);
            if (wanted) found.push_back(entry);
        }
        if (query.newest_first) std::reverse(found.begin(), found.end());
        if (found.size() > query.limit) found.resize(query.limit);
        return found;
    }
    void record(const jobs::DecisionInput& input, base::WallTime at) {
        const auto add = [&](const char* kind, base::json::object data) {
            ASSERT_TRUE(append({0, at, kind, "load", 0, "jr_1", std::move(data)}, ports::Durability::Full));
        };
        // As the store gives them back: read from their text.
        add("run-decision-input", base::parse_json(base::json::serialize(jobs::to_json(input)))->as_object());
        add("run-decision", base::parse_json(base::json::serialize(jobs::to_json(jobs::decide(input))))->as_object());
    }
    std::vector<ports::JournalEntry> entries;
};

TEST(Choice, every_strategys_decision_is_taken_again_byte_for_byte) {
    for (const auto strategy : {jobs::Strategy::Ordered, jobs::Strategy::Random, jobs::Strategy::Capacity,
                                jobs::Strategy::Resilient, jobs::Strategy::Program}) {
        FakeJournal journal;
        jobs::DecisionInput input = decision_input(run_of_job(strategy), around(10, promised(3)), t0);
        if (strategy == jobs::Strategy::Program) input.program = jobs::ProgramAnswer{{"via-a"}, ""};
        journal.record(input, t0);
        const auto replayed = replay_decision(journal, "load", t0 + 1h);
        ASSERT_TRUE(replayed) << jobs::to_string(strategy) << ": " << replayed.error().text();
        EXPECT_EQ(base::json::serialize(replayed->decision), base::json::serialize(journal.entries.back().data));
    }
}

TEST(Choice, the_latest_decision_at_that_time_is_found_and_a_changed_record_is_told) {
    FakeJournal journal;
    EXPECT_EQ(replay_decision(journal, "load", t0).error().kind, base::ErrorKind::NotFound);
    journal.record(decision_input(run_of_job(), around(10, {}), t0), t0 + 400us);
    journal.record(decision_input(run_of_job(), around(0, {}), t0 + 1min), t0 + 1min);
    EXPECT_EQ(replay_decision(journal, "load", t0)->at, t0 + 400us) << "the whole millisecond counts";
    EXPECT_EQ(replay_decision(journal, "load", t0 + 59s)->at, t0 + 400us);
    EXPECT_EQ(replay_decision(journal, "load", t0 + 1min)->at, t0 + 1min);
    EXPECT_FALSE(replay_decision(journal, "other", t0 + 1min));
    journal.entries[0].data["candidates"].as_array()[0].as_object()["available"] = 0;
    const auto changed = replay_decision(journal, "load", t0);
    ASSERT_FALSE(changed);
    EXPECT_EQ(changed.error().kind, base::ErrorKind::CorruptData);
    EXPECT_THAT(changed.error().text(), HasSubstr("comes out differently"));
}

}  // namespace
}  // namespace signalbox::engine
