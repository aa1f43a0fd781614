// Target groups at work: with a router that fails as told, and with a real HAProxy.

#include <atomic>
#include <condition_variable>
#include <gmock/gmock.h>
#include <mutex>

#include "adapters/haproxy/router.hpp"
#include "adapters/targetgroup/target_groups.hpp"
#include "unit/adapters/haproxy_process.hpp"

namespace signalbox::test {
namespace {

using base::ErrorKind;
using ports::RegisteredTarget;
using ports::TargetState;
using targetgroup::TargetGroupOptions;
using targetgroup::TargetGroups;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using namespace std::chrono_literals;

const base::HostPort first{"10.0.0.1", 3306};
const base::HostPort second{"10.0.0.2", 3306};
const base::HostPort stranger{"10.0.0.9", 3306};

// A balancer in memory, which others can change and that can be away. Outlives its routers.
struct Balancer {
    std::mutex mutex;
    std::vector<RegisteredTarget> targets;
    bool away = false;
    bool can_drain = true;
    bool deaf = false;      // accepts, and does nothing
    int initial_lists = 0;  // a new target shows as initial in so many lists
    std::vector<std::string> calls;

    bool has(const base::HostPort& address, TargetState state = TargetState::Healthy) {
        const std::lock_guard guard(mutex);
        for (const auto& one : targets) {
            if (one.address == address && one.state == state) return true;
        }
        return false;
    }
    std::size_t size() {
        const std::lock_guard guard(mutex);
        return targets.size();
    }
    std::uint32_t weight(std::size_t index) {
        const std::lock_guard guard(mutex);
        return targets.at(index).weight.value_or(0);
    }
    void change(const std::function<void()>& how) {
        const std::lock_guard guard(mutex);
        how();
    }
};

class MemoryRouter final : public ports::Router {
  public:
    MemoryRouter(Balancer& balancer, std::string name) : balancer_(balancer), name_(std::move(name)) {}

    base::Result<std::vector<RegisteredTarget>> targets() override {
        const std::lock_guard guard(balancer_.mutex);
        if (balancer_.away) return base::fail(ErrorKind::Timeout, "{}: no answer", name_);
        auto listed = balancer_.targets;
        if (balancer_.initial_lists > 0) {
            for (auto& one : listed) one.state = TargetState::Initial;
            --balancer_.initial_lists;
        }
        return listed;
    }
    base::Status register_target(const base::HostPort& address, std::uint32_t weight) override {
        return act(
            "register",
            [&] {
                std::erase_if(balancer_.targets, [&](const auto& one) { return one.address == address; });
                balancer_.targets.push_back({address, TargetState::Healthy, weight, 0});
            },
            address);
    }
    base::Status drain_target(const base::HostPort& address) override {
        if (!balancer_.can_drain) return base::fail(ErrorKind::NotSupported, "no drains here");
        return act(
            "drain",
            [&] {
                for (auto& one : balancer_.targets) {
                    if (one.address == address) one.state = TargetState::Draining;
                }
            },
            address);
    }
    base::Status deregister_target(const base::HostPort& address) override {
        return act(
            "deregister",
            [&] { std::erase_if(balancer_.targets, [&](const auto& one) { return one.address == address; }); },
            address);
    }
    void cancel() override {}
    std::string describe() const override { return name_; }

  private:
    base::Status act(const char* name, const std::function<void()>& how, const base::HostPort& address) {
        const std::lock_guard guard(balancer_.mutex);
        balancer_.calls.push_back(fmt::format("{} {}", name, address.host));
        if (balancer_.away) return base::fail(ErrorKind::UnknownOutcome, "{}: no answer", name_);
        if (!balancer_.deaf) how();
        return {};
    }
    Balancer& balancer_;
    const std::string name_;
};

// What a plane reported.
class Reports {
  public:
    TargetGroupOptions options() {
        TargetGroupOptions options;
        options.on_barrier = [this](ports::BarrierDone done) { note([&] { barriers.push_back(std::move(done)); }); };
        options.on_verified = [this](const targetgroup::Verified& one) { note([&] { verified.push_back(one); }); };
        options.on_step = [this](const targetgroup::StepTaken& one) { note([&] { steps.push_back(one); }); };
        options.on_problem = [this](const std::string&, const std::string&, const std::string& text) {
            note([&] { problems.push_back(text); });
        };
        return options;
    }
    template <typename Condition>
    bool until(Condition condition, base::Duration limit = 10s) {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, limit, condition);
    }
    std::vector<ports::BarrierDone> barriers;
    std::vector<targetgroup::Verified> verified;
    std::vector<targetgroup::StepTaken> steps;
    std::vector<std::string> problems;

  private:
    template <typename Change>
    void note(Change change) {
        {
            const std::lock_guard guard(mutex_);
            change();
        }
        changed_.notify_all();
    }
    std::mutex mutex_;
    std::condition_variable changed_;
};

template <typename Condition>
bool eventually(Condition condition, base::Duration limit = 10s) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > end) return false;
        std::this_thread::sleep_for(1ms);
    }
    return true;
}

class TargetGroupsTest : public testing::Test {
  protected:
    routing::EndpointConfig config(const std::string& name, routing::Role role = routing::Role::Writer) {
        routing::EndpointConfig config;
        config.name = name;
        config.cluster = "orders";
        config.role = role;
        config.mode = routing::Mode::TargetGroup;
        config.target_group.backend = name;
        config.target_group.reconcile = 50ms;
        config.target_group.deadline = 300ms;
        return config;
    }
    TargetGroupOptions options() {
        auto options = reports_.options();
        options.make_router =
            [this](const routing::TargetGroupConfig& group) -> base::Result<std::unique_ptr<ports::Router>> {
            if (group.backend == "bad") return base::fail(ErrorKind::InvalidArgument, "no such name");
            return std::make_unique<MemoryRouter>(balancers_[group.backend], group.backend);
        };
        return options;
    }
    std::string note(std::size_t index = 0) { return groups_.stats().at(index).note; }

    std::map<std::string, Balancer> balancers_;
    Balancer& writer_ = balancers_["writer"];
    Balancer& reader_ = balancers_["reader"];
    Reports reports_;
    TargetGroups groups_{options()};
};

TEST_F(TargetGroupsTest, before_anybody_said_anything_the_group_stays_as_it_is) {
    writer_.targets = {{stranger, TargetState::Healthy, 100, 3}};
    ASSERT_EQ(groups_.open(config("writer")).value(), "writer");
    groups_.hold("orders", 4);
    ASSERT_TRUE(eventually([&] { return groups_.stats().at(0).sessions == 3 && note().empty(); }));
    EXPECT_TRUE(writer_.has(stranger));
    EXPECT_THAT(writer_.calls, IsEmpty());
    EXPECT_EQ(groups_.writer_sessions("orders"), 3U);
    EXPECT_EQ(groups_.writer_sessions("others"), 0U);
}

TEST_F(TargetGroupsTest, a_route_leaves_the_writer_alone_there_and_says_when_it_was_seen) {
    writer_.targets = {{stranger, TargetState::Healthy, 100, 2}, {second, TargetState::Healthy, 100, 0}};
    writer_.initial_lists = 5;
    ASSERT_TRUE(groups_.open(config("writer")));
    groups_.route("orders", 7, "orders-1", first);
    ASSERT_TRUE(reports_.until([&] { return !reports_.verified.empty(); }));
    EXPECT_EQ(writer_.size(), 1U);
    EXPECT_TRUE(writer_.has(first));
    const auto& verified = reports_.verified.front();
    EXPECT_EQ(verified.cluster, "orders");
    EXPECT_EQ(verified.endpoint, "writer");
    EXPECT_EQ(verified.epoch, 7U);
    EXPECT_EQ(verified.member, "orders-1");
    EXPECT_GT(verified.after, 0ns);
    std::size_t foreign = 0;
    reports_.until([&] { return true; });
    for (const auto& step : reports_.steps) foreign += step.foreign ? 1 : 0;
    EXPECT_EQ(foreign, 2U);
    EXPECT_EQ(groups_.stats().at(0).fenced, 2U);
}

TEST_F(TargetGroupsTest, a_fence_is_acknowledged_when_the_list_shows_nobody) {
    ASSERT_TRUE(groups_.open(config("writer")));
    groups_.route("orders", 1, "orders-1", first);
    ASSERT_TRUE(reports_.until([&] { return !reports_.verified.empty(); }));
    writer_.change([&] {
        writer_.targets[0].sessions = 5;
        writer_.targets.push_back({stranger, TargetState::Draining, 100, 1});
    });
    groups_.fence("orders", 2);
    ASSERT_TRUE(reports_.until([&] { return !reports_.barriers.empty(); }));
    EXPECT_EQ(writer_.size(), 0U);
    EXPECT_EQ(reports_.barriers[0].cluster, "orders");
    EXPECT_EQ(reports_.barriers[0].epoch, 2U);
    EXPECT_THAT(reports_.barriers[0].result.unfenced, IsEmpty());
    EXPECT_EQ(reports_.barriers[0].result.sessions_closed, 6U);
    groups_.route("orders", 2, "orders-2", second);
    ASSERT_TRUE(reports_.until([&] { return reports_.verified.size() == 2; }));
    EXPECT_EQ(reports_.verified[1].epoch, 2U);
    EXPECT_TRUE(writer_.has(second));
}

TEST_F(TargetGroupsTest, a_cluster_without_groups_is_fenced_at_once_and_other_clusters_are_not_touched) {
    writer_.targets = {{first, TargetState::Healthy, 100, 0}};
    ASSERT_TRUE(groups_.open(config("writer")));
    groups_.fence("others", 1);
    ASSERT_TRUE(reports_.until([&] { return !reports_.barriers.empty(); }));
    EXPECT_TRUE(writer_.has(first));
}

TEST_F(TargetGroupsTest, a_balancer_that_is_away_or_deaf_at_a_fence_is_named_at_the_deadline_and_mended_later) {
    ASSERT_TRUE(groups_.open(config("writer")));
    groups_.route("orders", 1, "orders-1", first);
    ASSERT_TRUE(reports_.until([&] { return !reports_.verified.empty(); }));
    writer_.change([&] { writer_.away = true; });
    const auto before = std::chrono::steady_clock::now();
    groups_.fence("orders", 2);
    ASSERT_TRUE(reports_.until([&] { return reports_.barriers.size() == 1; }));
    EXPECT_GE(std::chrono::steady_clock::now() - before, 300ms);
    ASSERT_EQ(reports_.barriers[0].result.unfenced.size(), 1U);
    EXPECT_THAT(reports_.barriers[0].result.unfenced[0],
                HasSubstr("target group of endpoint 'writer', not verified within 300ms: writer: no answer"));
    EXPECT_THAT(note(), HasSubstr("no answer"));
    writer_.change([&] {
        writer_.away = false;
        writer_.deaf = true;
    });
    groups_.fence("orders", 3);
    ASSERT_TRUE(reports_.until([&] { return reports_.barriers.size() == 2; }));
    EXPECT_THAT(reports_.barriers[1].result.unfenced, ElementsAre(HasSubstr("not seen in the list yet")));
    writer_.change([&] { writer_.deaf = false; });
    EXPECT_TRUE(eventually([&] { return writer_.size() == 0 && note().empty(); }));
}

TEST_F(TargetGroupsTest, nobody_new_comes_in_while_the_former_can_not_be_removed) {
    writer_.targets = {{first, TargetState::Healthy, 100, 0}};
    ASSERT_TRUE(groups_.open(config("writer")));
    ASSERT_TRUE(eventually([&] { return note().empty(); }));
    // Lists are answered, changes are not.
    struct Stubborn final : ports::Router {
        base::Result<std::vector<RegisteredTarget>> targets() override {
            return std::vector<RegisteredTarget>{{first, TargetState::Healthy, 100, 0}};
        }
        base::Status register_target(const base::HostPort&, std::uint32_t) override {
            ++*registered;
            return {};
        }
        base::Status drain_target(const base::HostPort&) override { return {}; }
        base::Status deregister_target(const base::HostPort&) override {
            ++*deregistered;
            return base::fail(ErrorKind::UnknownOutcome, "still has sessions");
        }
        void cancel() override {}
        std::string describe() const override { return "stubborn"; }
        std::shared_ptr<std::atomic<int>> registered = std::make_shared<std::atomic<int>>(0);
        std::shared_ptr<std::atomic<int>> deregistered = std::make_shared<std::atomic<int>>(0);
    };
    auto router = std::make_unique<Stubborn>();
    const auto registered = router->registered;
    const auto deregistered = router->deregistered;
    auto given = options();
    given.make_router = [&](const auto&) -> base::Result<std::unique_ptr<ports::Router>> { return std::move(router); };
    TargetGroups groups(given);
    ASSERT_TRUE(groups.open(config("writer")));
    groups.route("orders", 1, "orders-2", second);
    ASSERT_TRUE(eventually([&] { return *deregistered >= 3; }));
    EXPECT_EQ(*registered, 0);
    EXPECT_THAT(groups.stats().at(0).note, HasSubstr("still has sessions"));
}

TEST_F(TargetGroupsTest, calls_of_an_older_epoch_are_ignored) {
    ASSERT_TRUE(groups_.open(config("writer")));
    groups_.route("orders", 5, "orders-1", first);
    groups_.route("orders", 4, "orders-2", second);
    groups_.fence("orders", 3);
    groups_.hold("orders", 2);
    ASSERT_TRUE(reports_.until([&] { return !reports_.verified.empty(); }));
    std::this_thread::sleep_for(100ms);
    EXPECT_EQ(writer_.size(), 1U);
    EXPECT_TRUE(writer_.has(first));
    EXPECT_THAT(reports_.barriers, IsEmpty());
}

TEST_F(TargetGroupsTest, what_others_change_is_mended_at_the_interval) {
    ASSERT_TRUE(groups_.open(config("writer")));
    groups_.route("orders", 1, "orders-1", first);
    ASSERT_TRUE(reports_.until([&] { return !reports_.verified.empty(); }));
    writer_.change([&] { writer_.targets = {{stranger, TargetState::Healthy, 100, 0}}; });
    EXPECT_TRUE(eventually([&] { return writer_.size() == 1 && writer_.has(first); }));
    EXPECT_EQ(reports_.verified.size(), 1U) << "a mended group is no news of the epoch";
}

TEST_F(TargetGroupsTest, a_hold_drains_where_that_can_be_taken_back_and_else_leaves_the_target) {
    ASSERT_TRUE(groups_.open(config("writer")));
    groups_.route("orders", 1, "orders-1", first);
    ASSERT_TRUE(reports_.until([&] { return reports_.verified.size() == 1; }));
    groups_.hold("orders", 1);
    ASSERT_TRUE(eventually([&] { return writer_.has(first, TargetState::Draining); }));
    groups_.route("orders", 1, "orders-1", first);
    ASSERT_TRUE(reports_.until([&] { return reports_.verified.size() == 2; }));
    EXPECT_TRUE(writer_.has(first));
    writer_.change([&] { writer_.can_drain = false; });
    groups_.hold("orders", 1);
    std::this_thread::sleep_for(100ms);
    EXPECT_TRUE(writer_.has(first));
    EXPECT_THAT(note(), IsEmpty());
}

TEST_F(TargetGroupsTest, readers_are_a_set_with_weights_and_a_fence_takes_the_former_writer_out_until_the_route) {
    ASSERT_TRUE(groups_.open(config("reader", routing::Role::Reader)));
    groups_.set_readers("orders", "reader", {{"orders-1", first, 10}, {"orders-2", second, 90}});
    groups_.set_readers("others", "reader", {});
    groups_.set_readers("orders", "elsewhere", {});
    ASSERT_TRUE(eventually([&] { return reader_.has(first) && reader_.has(second); }));
    EXPECT_EQ(reader_.weight(0), 10U);
    groups_.route("orders", 1, "orders-1", first);
    groups_.hold("orders", 1);
    groups_.fence("orders", 2);
    ASSERT_TRUE(reports_.until([&] { return reports_.barriers.size() == 1; }));
    EXPECT_FALSE(reader_.has(first));
    EXPECT_TRUE(reader_.has(second));
    groups_.set_readers("orders", "reader", {{"orders-1", first, 20}, {"orders-2", second, 80}});
    ASSERT_TRUE(eventually([&] { return reader_.weight(0) == 80; }));
    EXPECT_FALSE(reader_.has(first)) << "the set says so, but the fence is not over";
    groups_.route("orders", 2, "orders-1", first);
    EXPECT_TRUE(eventually([&] { return reader_.has(first); }));
    groups_.set_readers("orders", "reader", {});
    EXPECT_TRUE(eventually([&] { return reader_.size() == 0; }));
}

TEST_F(TargetGroupsTest, a_reader_that_the_balancer_finds_unhealthy_does_not_keep_a_fence_waiting) {
    reader_.targets = {{second, TargetState::Unhealthy, 100, 0}};
    ASSERT_TRUE(groups_.open(config("reader", routing::Role::Reader)));
    groups_.set_readers("orders", "reader", {{"orders-2", second, 100}});
    ASSERT_TRUE(eventually([&] { return note().find("unhealthy") != std::string::npos; }));
    groups_.fence("orders", 1);
    ASSERT_TRUE(reports_.until([&] { return reports_.barriers.size() == 1; }));
    EXPECT_THAT(reports_.barriers[0].result.unfenced, IsEmpty());
}

TEST_F(TargetGroupsTest, an_endpoint_opened_later_gets_what_holds_and_a_closed_one_leaves_its_group) {
    groups_.route("orders", 3, "orders-1", first);
    ASSERT_TRUE(groups_.open(config("writer")));
    ASSERT_TRUE(reports_.until([&] { return !reports_.verified.empty(); }));
    EXPECT_EQ(reports_.verified[0].epoch, 3U);
    groups_.close("writer");
    groups_.close("writer");
    EXPECT_TRUE(writer_.has(first));
    EXPECT_THAT(groups_.stats(), IsEmpty());
    groups_.fence("orders", 4);
    EXPECT_TRUE(reports_.until([&] { return reports_.barriers.size() == 1; }));
    EXPECT_TRUE(writer_.has(first)) << "a closed endpoint's group is nobody's business";
}

TEST_F(TargetGroupsTest, names_that_can_not_be_and_groups_of_another_endpoint_are_refused) {
    EXPECT_THAT(groups_.open(config("bad")).error().text(), HasSubstr("endpoint 'bad': no such name"));
    ASSERT_TRUE(groups_.open(config("writer")));
    auto same = config("other");
    same.target_group.backend = "writer";
    const auto refused = groups_.open(same);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().kind, ErrorKind::AlreadyExists);
    EXPECT_THAT(refused.error().text(),
                HasSubstr("endpoint 'other': writer is the group of endpoint 'writer' already"));
    EXPECT_TRUE(groups_.open(config("writer"))) << "its own, once more";
}

// With a real HAProxy.

class TargetGroupsHaproxy : public testing::Test {
  protected:
    TargetGroupOptions options() {
        auto options = reports_.options();
        options.make_router = [](const routing::TargetGroupConfig& group) {
            return haproxy::Router::create({group.socket, group.backend});
        };
        return options;
    }
    routing::EndpointConfig config() {
        routing::EndpointConfig config;
        config.name = "balanced";
        config.cluster = "orders";
        config.mode = routing::Mode::TargetGroup;
        config.target_group = {process_.socket(), "targets", 100ms, 2s};
        return config;
    }
    HaproxyProcess process_;
    Listener one_;
    Listener two_;
    Reports reports_;
};

TEST_F(TargetGroupsHaproxy, a_switch_moves_new_connections_and_ends_the_old_ones) {
    TargetGroups groups(options());
    ASSERT_TRUE(groups.open(config()));
    groups.route("orders", 1, "orders-1", {"127.0.0.1", one_.port()});
    ASSERT_TRUE(reports_.until([&] { return reports_.verified.size() == 1; }));
    const int before = connect_to(process_.port());
    const int served = one_.accept(5000);
    ASSERT_GE(served, 0);
    process_.command(fmt::format("add server targets/rogue 127.0.0.1:{}", one_.port()));
    process_.command("enable server targets/rogue");
    groups.fence("orders", 2);
    ASSERT_TRUE(reports_.until([&] { return reports_.barriers.size() == 1; }));
    EXPECT_THAT(reports_.barriers[0].result.unfenced, IsEmpty());
    EXPECT_EQ(reports_.barriers[0].result.sessions_closed, 1U);
    EXPECT_TRUE(ends(before, 0)) << "acknowledged, so its session is over";
    const int between = connect_to(process_.port());
    EXPECT_TRUE(ends(between, 5000)) << "nobody is there";
    groups.route("orders", 2, "orders-2", {"127.0.0.1", two_.port()});
    ASSERT_TRUE(reports_.until([&] { return reports_.verified.size() == 2; }));
    RecordProperty("route_to_verified_us", static_cast<int>(reports_.verified[1].after / 1us));
    const int after = connect_to(process_.port());
    const int moved = two_.accept(5000);
    EXPECT_GE(moved, 0);
    EXPECT_LT(one_.accept(20), 0);
    for (const int fd : {before, served, between, after, moved}) ::close(fd);
}

TEST_F(TargetGroupsHaproxy, a_balancer_that_starts_again_is_filled_again_and_a_hanging_one_is_left_within_moments) {
    auto groups = std::make_unique<TargetGroups>(options());
    ASSERT_TRUE(groups->open(config()));
    groups->route("orders", 1, "orders-1", {"127.0.0.1", one_.port()});
    ASSERT_TRUE(reports_.until([&] { return reports_.verified.size() == 1; }));
    process_.stop();
    ASSERT_TRUE(eventually([&] { return groups->stats().at(0).note.find("can't connect") != std::string::npos; }));
    process_.start();
    ASSERT_TRUE(eventually([&] { return groups->stats().at(0).note.empty(); }));
    const int client = connect_to(process_.port());
    const int served = one_.accept(5000);
    EXPECT_GE(served, 0);
    process_.pause();
    std::this_thread::sleep_for(150ms);
    const auto begin = std::chrono::steady_clock::now();
    groups.reset();
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 200ms) << "a call under way is cancelled";
    for (const int fd : {client, served}) ::close(fd);
}

}  // namespace
}  // namespace signalbox::test
