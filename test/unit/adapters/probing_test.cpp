#include <condition_variable>
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <unistd.h>

#include "adapters/probing/killer.hpp"
#include "adapters/probing/probes.hpp"
#include "adapters/probing/topology.hpp"

namespace signalbox::probing {
namespace {

using clusters::Evidence;
using clusters::Observation;
using clusters::ProbeFailure;
using clusters::ProbeFailureKind;
using namespace std::chrono_literals;

constexpr auto patience = 10s;
constexpr auto rarely = 10'000h;  // longer than any machine has been up: the first probe must not wait for it

// What a link of the tests is asked and says, shared with the test.
struct Script {
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<Answer> answers;  // given in turn; then evidence
    int asked = 0;
    int made = 0;
    bool block = false;  // until cancelled
    bool cancelled = false;
    int pair[2] = {-1, -1};
    bool connected = false;
    std::uint64_t ended = 0;

    Script() { EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0); }
    ~Script() {
        for (const int fd : pair) ::close(fd);
    }
};

class ScriptedLink final : public MemberLink {
  public:
    explicit ScriptedLink(Script& script) : script_(script) { ++script_.made; }

    Answer ask(Clock::time_point until) override {
        std::unique_lock lock(script_.mutex);
        ++script_.asked;
        script_.changed.notify_all();
        if (script_.block) {
            script_.changed.wait_until(lock, until, [this] { return script_.cancelled; });
            return ProbeFailure{ProbeFailureKind::TimedOut, 0, "no answer in time"};
        }
        Answer answer = Evidence{};
        if (!script_.answers.empty()) {
            answer = std::move(script_.answers.front());
            script_.answers.erase(script_.answers.begin());
        }
        const auto* failure = std::get_if<ProbeFailure>(&answer);
        script_.connected = failure == nullptr;
        return answer;
    }
    base::Status keep_warm(Clock::time_point) override {
        const std::lock_guard guard(script_.mutex);
        script_.connected = true;
        ++script_.asked;
        script_.changed.notify_all();
        return {};
    }
    Ended end_sessions(const std::vector<clusters::ServerSession>& sessions, Clock::time_point until) override {
        std::unique_lock lock(script_.mutex);
        if (script_.block) {
            script_.changed.wait_until(lock, until, [this] { return script_.cancelled; });
            return {0, "no answer in time"};
        }
        return {std::min<std::uint64_t>(script_.ended, sessions.size()), "why"};
    }
    int socket() const override {
        const std::lock_guard guard(script_.mutex);
        return script_.connected ? script_.pair[0] : -1;
    }
    void close() override {
        const std::lock_guard guard(script_.mutex);
        script_.connected = false;
    }
    void cancel() override {
        const std::lock_guard guard(script_.mutex);
        script_.cancelled = true;
        script_.changed.notify_all();
    }

  private:
    Script& script_;
};

Engines scripted(Script& script) {
    return {{clusters::Engine::MariaDb, [&script](const Target&) { return std::make_unique<ScriptedLink>(script); }}};
}

clusters::ClusterConfig cluster(const char* host = "10.0.0.1") {
    clusters::ClusterConfig config;
    config.name = "orders";
    config.members = {{"a", {host, 3306}}};
    return config;
}

template <typename T>
class Inbox {
  public:
    void put(T value) {
        const std::lock_guard guard(mutex_);
        values_.push_back(std::move(value));
        changed_.notify_all();
    }
    T at(std::size_t index) {
        std::unique_lock lock(mutex_);
        EXPECT_TRUE(changed_.wait_for(lock, patience, [&] { return values_.size() > index; }));
        return values_.at(index);
    }
    std::size_t size() {
        const std::lock_guard guard(mutex_);
        return values_.size();
    }

  private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<T> values_;
};

bool failed(const Observation& seen, ProbeFailureKind kind) {
    const auto* failure = std::get_if<ProbeFailure>(&seen.result);
    return failure != nullptr && failure->kind == kind;
}

TEST(Probes, a_member_rests_until_it_has_a_cadence_and_a_wake_is_a_probe) {
    Script script;
    Inbox<Observation> inbox;
    Probes probes([&](Observation seen) { inbox.put(std::move(seen)); }, scripted(script));
    probes.configure(cluster());
    std::this_thread::sleep_for(30ms);
    EXPECT_EQ(inbox.size(), 0U);
    probes.set_cadence("orders", "a", rarely, 1s);
    const auto first = inbox.at(0);
    EXPECT_TRUE(std::holds_alternative<Evidence>(first.result));
    EXPECT_LE(first.sent_at, first.completed_at);
    probes.wake("orders");
    EXPECT_GT(inbox.at(1).sequence, first.sequence);
    EXPECT_EQ(inbox.size(), 2U);
}

TEST(Probes, an_idle_connection_that_ends_is_probed_at_once) {
    Script script;
    Inbox<Observation> inbox;
    Probes probes([&](Observation seen) { inbox.put(std::move(seen)); }, scripted(script));
    probes.configure(cluster());
    probes.set_cadence("orders", "a", rarely, 1s);
    inbox.at(0);
    {
        const std::lock_guard guard(script.mutex);
        script.answers = {ProbeFailure{ProbeFailureKind::Reset, 2013, "lost"},
                          ProbeFailure{ProbeFailureKind::Refused, 2003, "refused"}};
    }
    ::shutdown(script.pair[1], SHUT_RDWR);
    EXPECT_TRUE(failed(inbox.at(1), ProbeFailureKind::Refused)) << "the second look is the decisive one";
}

TEST(Probes, a_connection_that_chatters_but_answers_is_no_busy_loop) {
    Script script;
    Inbox<Observation> inbox;
    Probes probes([&](Observation seen) { inbox.put(std::move(seen)); }, scripted(script));
    probes.configure(cluster());
    probes.set_cadence("orders", "a", rarely, 1s);
    inbox.at(0);
    EXPECT_EQ(::send(script.pair[1], "x", 1, 0), 1);
    EXPECT_TRUE(std::holds_alternative<Evidence>(inbox.at(1).result));
    std::this_thread::sleep_for(50ms);
    EXPECT_EQ(inbox.size(), 2U);
}

TEST(Probes, what_ends_a_warm_connection_is_looked_at_once_more) {
    const auto outcome = [](std::vector<Answer> answers) {
        Script script;
        Inbox<Observation> inbox;
        Probes probes([&](Observation seen) { inbox.put(std::move(seen)); }, scripted(script));
        probes.configure(cluster());
        probes.set_cadence("orders", "a", rarely, 1s);
        inbox.at(0);
        {
            const std::lock_guard guard(script.mutex);
            script.answers = std::move(answers);
        }
        probes.wake("orders");
        return inbox.at(1);
    };
    const ProbeFailure reset{ProbeFailureKind::Reset, 2013, "lost"};
    EXPECT_TRUE(std::holds_alternative<Evidence>(outcome({reset}).result)) << "somebody ended this one connection";
    EXPECT_TRUE(failed(outcome({reset, ProbeFailure{ProbeFailureKind::ServerError, 1040, "too many"}}),
                       ProbeFailureKind::Reset));
    EXPECT_TRUE(failed(outcome({reset, ProbeFailure{ProbeFailureKind::TimedOut, 0, ""}}), ProbeFailureKind::Reset));
}

TEST(Probes, a_silent_member_times_out_and_an_end_does_not_wait_for_it) {
    Script script;
    script.block = true;
    Inbox<Observation> inbox;
    auto probes = std::make_unique<Probes>([&](Observation seen) { inbox.put(std::move(seen)); }, scripted(script));
    probes->configure(cluster());
    probes->set_cadence("orders", "a", 1ms, 50ms);
    const auto seen = inbox.at(0);
    EXPECT_TRUE(failed(seen, ProbeFailureKind::TimedOut) || failed(seen, ProbeFailureKind::OurOwnDelay));
    EXPECT_GE(seen.completed_at - seen.sent_at, 50ms);
    probes->set_cadence("orders", "a", 1ms, 1h);
    std::this_thread::sleep_for(80ms);
    const auto from = Clock::now();
    probes.reset();
    EXPECT_LT(Clock::now() - from, patience);
}

TEST(Probes, a_member_keeps_its_connection_unless_it_changed) {
    Script script;
    Inbox<Observation> inbox;
    Probes probes([&](Observation seen) { inbox.put(std::move(seen)); }, scripted(script));
    probes.configure(cluster());
    probes.set_cadence("orders", "a", rarely, 1s);
    const auto first = inbox.at(0);
    probes.configure(cluster());
    EXPECT_EQ(script.made, 1);
    probes.configure(cluster("10.0.0.2"));
    EXPECT_EQ(script.made, 2);
    EXPECT_GT(inbox.at(1).sequence, first.sequence) << "the cadence and the sequence go on";
    probes.remove("orders");
    probes.wake("orders");
}

TEST(Killer, what_was_ended_is_told_once_and_the_rest_has_a_reason) {
    Script script;
    script.ended = 2;
    Inbox<ports::SessionsKilled> inbox;
    Killer killer([&](ports::SessionsKilled killed) { inbox.put(std::move(killed)); }, scripted(script));
    killer.configure(cluster());
    killer.kill("orders", 7, "a", {{1, ""}, {2, ""}, {0, "10.0.0.9:1"}}, 1s);
    const auto killed = inbox.at(0);
    EXPECT_EQ(killed.epoch, 7U);
    EXPECT_EQ(killed.killed, 2U);
    EXPECT_EQ(killed.failed, 1U);
    EXPECT_EQ(killed.text, "why");
    killer.kill("orders", 8, "nobody", {{1, ""}}, 1s);
    EXPECT_EQ(inbox.at(1).failed, 1U);
    killer.remove("orders");
    killer.kill("orders", 9, "a", {{1, ""}}, 1s);
    EXPECT_EQ(inbox.at(2).failed, 1U);
}

TEST(Killer, the_connection_is_warm_before_it_is_needed_and_opened_again_when_it_ends) {
    Script script;
    Inbox<ports::SessionsKilled> inbox;
    Killer killer([&](ports::SessionsKilled killed) { inbox.put(std::move(killed)); }, scripted(script));
    killer.configure(cluster());
    std::unique_lock lock(script.mutex);
    EXPECT_TRUE(script.changed.wait_for(lock, patience, [&] { return script.asked == 1 && script.connected; }));
    ::shutdown(script.pair[1], SHUT_RDWR);
    EXPECT_TRUE(script.changed.wait_for(lock, patience, [&] { return script.asked >= 2; }));
}

TEST(Killer, a_kill_under_way_ends_with_the_killer_and_is_told) {
    Script script;
    script.block = true;
    Inbox<ports::SessionsKilled> inbox;
    {
        Killer killer([&](ports::SessionsKilled killed) { inbox.put(std::move(killed)); }, scripted(script));
        killer.configure(cluster());
        killer.kill("orders", 7, "a", {{1, ""}}, 1h);
        killer.kill("orders", 8, "a", {{1, ""}}, 1h);
    }
    EXPECT_EQ(inbox.size(), 2U);
    EXPECT_EQ(inbox.at(1).failed, 1U);
}

ResultSet topology(std::vector<std::string> columns, std::vector<std::vector<std::optional<std::string>>> rows) {
    ResultSet set;
    set.columns = std::move(columns);
    set.rows = std::move(rows);
    return set;
}

TEST(Topology, columns_are_found_by_name_whatever_their_order_or_case) {
    const auto read = read_topology(topology({"LAG_MS", "Writer", "NAME", "updated", "address", "port"},
                                             {{"12.5", "t", "a", "2026-01-02 03:04:05.5+01", "10.0.0.1", "3306"},
                                              {std::nullopt, "0", "b", std::nullopt, std::nullopt, std::nullopt}}));
    const auto& rows = std::get<std::vector<clusters::TopologyRow>>(read);
    ASSERT_EQ(rows.size(), 2U);
    EXPECT_TRUE(rows[0].writer);
    EXPECT_EQ(rows[0].lag, 12'500us);
    EXPECT_EQ(rows[0].address.text(), "10.0.0.1:3306");
    EXPECT_EQ(rows[0].updated_us, 1767319445500000);
    EXPECT_FALSE(rows[1].writer);
    EXPECT_EQ(rows[1].updated_us, 0);
    EXPECT_EQ(rows[1].lag, std::nullopt);
}

TEST(Topology, what_is_unclear_is_no_topology) {
    const auto fails = [](std::vector<std::string> columns, std::vector<std::vector<std::optional<std::string>>> rows) {
        const auto read = read_topology(topology(std::move(columns), std::move(rows)));
        const auto* failure = std::get_if<ProbeFailure>(&read);
        return failure != nullptr && failure->kind == ProbeFailureKind::Incomplete;
    };
    EXPECT_TRUE(fails({"name", "writer"}, {}));
    EXPECT_TRUE(fails({"name"}, {{"a"}}));
    EXPECT_TRUE(fails({"writer"}, {{"1"}}));
    EXPECT_TRUE(fails({"name", "writer"}, {{"a", std::nullopt}}));
    EXPECT_TRUE(fails({"name", "writer"}, {{"", "1"}}));
    EXPECT_TRUE(fails({"name", "writer"}, {{"a", "perhaps"}}));
    EXPECT_TRUE(fails({"name", "writer", "updated"}, {{"a", "1", "yesterday"}}));
    EXPECT_TRUE(fails({"name", "writer", "lag_ms"}, {{"a", "1", "much"}}));
    EXPECT_TRUE(fails({"name", "writer", "port"}, {{"a", "1", "70000"}}));
}

TEST(Topology, stamps_have_the_forms_of_both_databases) {
    EXPECT_EQ(parse_stamp("1970-01-01 00:00:01"), 1'000'000);
    EXPECT_EQ(parse_stamp("1970-01-01T00:00:01.000001Z"), 1'000'001);
    EXPECT_EQ(parse_stamp("1970-01-01 02:00:01+02"), 1'000'000);
    EXPECT_EQ(parse_stamp("1969-12-31 18:30:01.5-05:30"), 1'500'000);
    for (const char* wrong :
         {"", "1970-01-01", "1970-13-01 00:00:00", "1970-01-01 00:00:00 noon", "1970-01-01 00:00:00+2"}) {
        EXPECT_EQ(parse_stamp(wrong), std::nullopt) << wrong;
    }
}

}  // namespace
}  // namespace signalbox::probing
