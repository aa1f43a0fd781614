// The daemon's API: who may ask, what is answered, what is passed on.

#include "api/api.hpp"

#include <gmock/gmock.h>
#include <optional>

#include "api/event.hpp"

namespace signalbox::app {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

class FakeSource final : public api::Source {
  public:
    base::json::object status() override {
        return {{"clusters", {{{"name", "orders"}, {"epoch", 3}}, {{"name", "stock"}, {"epoch", 1}}}},
                {"endpoints",
                 {{{"name", "rw"}, {"cluster", "orders"}},
                  {{"name", "rw2"}, {"cluster", "stock"}},
                  {{"name", "lost"}, {"state", "not open"}}}}};
    }
    std::string metrics() override { return "up 1\n"; }
    base::Result<std::vector<ports::JournalEntry>> journal(const ports::JournalQuery& query) override {
        asked = query;
        if (broken) return base::fail(base::ErrorKind::Unavailable, "the store is away");
        ports::JournalEntry entry;
        entry.sequence = 8;
        entry.kind = "routed";
        entry.subject = "orders";
        entry.epoch = 2;
        return std::vector{entry};
    }
    base::Result<bool> event(const ports::ExternalEvent& event) override {
        if (event.cluster != "orders") return base::fail(base::ErrorKind::NotFound, "no cluster");
        events.push_back(event);
        return !flooded;
    }
    base::Status switchover(const ports::SwitchoverRequest& request) override {
        wished = request;
        if (refused) return tl::unexpected<base::Error>(*refused);
        return {};
    }
    ports::JournalQuery asked;
    bool broken = false;
    std::vector<ports::ExternalEvent> events;
    bool flooded = false;
    ports::SwitchoverRequest wished;
    std::optional<base::Error> refused;
};

class ApiTest : public testing::Test {
  protected:
    api::Response get(const std::string& path, std::map<std::string, std::string> query = {},
                      const std::string& authorization = "Bearer secret") {
        return api_.answer({"GET", path, std::move(query), authorization, {}});
    }
    api::Response post(const std::string& path, const std::string& body, std::map<std::string, std::string> query = {},
                       const std::string& authorization = "Bearer secret") {
        return api_.answer({"POST", path, std::move(query), authorization, body});
    }
    FakeSource source_;
    api::Api api_{source_, "secret"};
};

TEST_F(ApiTest, only_health_is_answered_without_the_token) {
    for (const char* wrong : {"", "Bearer", "Bearer ", "Bearer secre", "Bearer secret2", "bearer secret", "secret"}) {
        EXPECT_EQ(get("/v1/health", {}, wrong).status, 200U);
        for (const char* path : {"/v1/status", "/v1/journal", "/metrics", "/nothing", "/v1/clusters/orders"}) {
            const auto response = get(path, {}, wrong);
            EXPECT_EQ(response.status, 401U) << path << " with '" << wrong << "'";
            EXPECT_THAT(response.body, HasSubstr("\"kind\":\"permission denied\""));
        }
        EXPECT_EQ(post("/v1/events", R"({"cluster": "orders"})", {}, wrong).status, 401U);
        EXPECT_EQ(post("/v1/clusters/orders/switchover", R"({"to": "orders-2"})", {}, wrong).status, 401U);
    }
    EXPECT_EQ(get("/v1/status").status, 200U);
    EXPECT_EQ(get("/metrics").body, "up 1\n");
    EXPECT_THAT(source_.events, IsEmpty());
    EXPECT_THAT(source_.wished.to, IsEmpty());
}

TEST_F(ApiTest, unknown_paths_and_methods_are_told) {
    EXPECT_EQ(get("/v2/status").status, 404U);
    for (const char* path : {"/v1/clusters/", "/v1/clusters/a b", "/v1/clusters/orders/", "/v1/clusters/orders/x",
                             "/v1/clusters/orders/switchover/x", "/v2/clusters/orders", "//v1/events", ""})
        EXPECT_EQ(get(path).status, 404U) << path;
    EXPECT_EQ(post("/v1/status", "").status, 405U);
    EXPECT_EQ(post("/v1/clusters/orders", "").status, 405U);
    EXPECT_THAT(get("/v1/events").body, HasSubstr("/v1/events takes POST, found GET"));
    EXPECT_EQ(get("/v1/clusters/orders/switchover").status, 405U);
}

TEST_F(ApiTest, the_journal_takes_its_query_and_says_how_to_go_on) {
    const auto response =
        get("/v1/journal",
            {{"subject", "orders"}, {"kind", "routed"}, {"after", "5"}, {"limit", "9"}, {"order", "newest"}});
    EXPECT_EQ(response.status, 200U) << response.body;
    EXPECT_EQ(source_.asked.subject, "orders");
    EXPECT_EQ(source_.asked.kind, "routed");
    EXPECT_EQ(source_.asked.after, 5);
    EXPECT_EQ(source_.asked.limit, 9U);
    EXPECT_TRUE(source_.asked.newest_first);
    EXPECT_THAT(response.body, HasSubstr("\"last\":8"));
    EXPECT_THAT(response.body, HasSubstr("\"epoch\":2"));
}

TEST_F(ApiTest, a_wrong_query_is_refused_with_what_was_expected) {
    using Query = std::map<std::string, std::string>;
    for (const Query& query : {Query{{"limit", "0"}}, Query{{"limit", "100001"}}, Query{{"after", "-1"}},
                               Query{{"after", "x"}}, Query{{"order", "up"}}, Query{{"colour", "blue"}}}) {
        const auto response = get("/v1/journal", query);
        EXPECT_EQ(response.status, 400U) << query.begin()->first;
        EXPECT_THAT(response.body, HasSubstr("expected"));
    }
    source_.broken = true;
    EXPECT_EQ(get("/v1/journal").status, 503U);
}

TEST_F(ApiTest, one_cluster_is_shown_with_its_endpoints) {
    const auto response = get("/v1/clusters/orders");
    EXPECT_EQ(response.status, 200U);
    EXPECT_EQ(response.body, R"({"name":"orders","epoch":3,"endpoints":[{"name":"rw","cluster":"orders"}]})"
                             "\n");
    EXPECT_EQ(get("/v1/clusters/nobody").status, 404U);
    EXPECT_THAT(get("/v1/clusters/nobody").body, HasSubstr("it follows orders, stock"));
}

TEST_F(ApiTest, a_switchover_is_accepted_or_refused_with_the_reason) {
    const auto begun = post("/v1/clusters/orders/switchover", R"({"to": "orders-2"})");
    EXPECT_EQ(begun.status, 202U);
    EXPECT_EQ(begun.body, R"({"cluster":"orders","to":"orders-2","state":"accepted"})"
                          "\n");
    EXPECT_EQ(source_.wished.cluster, "orders");
    EXPECT_EQ(source_.wished.to, "orders-2");
    source_.wished = {};
    for (const char* wrong : {"", "{}", "[]", "3", R"({"to": 3})", R"({"to": ""})", R"({"to": "a b"})",
                              R"({"To": "a"})", R"({"to": "a", "force": true})", R"({"to": "a")"})
        EXPECT_EQ(post("/v1/clusters/orders/switchover", wrong).status, 400U) << wrong;
    EXPECT_THAT(source_.wished.to, IsEmpty());
    const std::pair<base::ErrorKind, unsigned> refusals[] = {{base::ErrorKind::NotFound, 404},
                                                             {base::ErrorKind::Conflict, 409},
                                                             {base::ErrorKind::InvalidArgument, 400},
                                                             {base::ErrorKind::NotSupported, 501}};
    for (const auto& [kind, status] : refusals) {
        source_.refused = base::Error{kind, "because", {}, 0};
        const auto refused = post("/v1/clusters/orders/switchover", R"({"to": "orders-2"})");
        EXPECT_EQ(refused.status, status);
        EXPECT_THAT(refused.body, HasSubstr("because"));
    }
}

TEST_F(ApiTest, an_event_is_passed_on_and_nothing_more) {
    const auto response =
        post("/v1/events",
             R"({"cluster": "orders", "id": 17, "kind": "failover", "text": "bang", "source": "pager", "x": []})");
    EXPECT_EQ(response.status, 202U);
    EXPECT_EQ(response.body, "{\"cluster\":\"orders\"}\n");
    ASSERT_EQ(source_.events.size(), 1U);
    EXPECT_EQ(source_.events[0].cluster, "orders");
    EXPECT_EQ(source_.events[0].id, "17");
    EXPECT_EQ(source_.events[0].kind, "failover");
    EXPECT_EQ(source_.events[0].text, "bang");
    EXPECT_EQ(source_.events[0].source, "webhook:pager") << "nobody can call himself another source";
    EXPECT_EQ(post("/v1/events", R"({"cluster": "orders"})").status, 202U);
    EXPECT_EQ(source_.events[1].source, "webhook");
    EXPECT_EQ(post("/v1/events", R"({"cluster": "nobody"})").status, 404U);
    source_.flooded = true;
    EXPECT_EQ(post("/v1/events", R"({"cluster": "orders"})").status, 429U);
}

TEST_F(ApiTest, an_event_of_a_cloud_is_understood_and_can_be_given_another_name) {
    const char* rds = R"({"version": "0", "id": "844e2571", "detail-type": "RDS DB Cluster Event", "source": "aws.rds",
        "account": "123456789012", "time": "2026-01-02T03:04:05Z", "region": "us-east-1", "resources": ["arn:x"],
        "detail": {"EventCategories": ["failover"], "SourceType": "CLUSTER", "SourceIdentifier": "orders",
                   "Message": "Started failover", "EventID": "RDS-EVENT-0073"}})";
    EXPECT_EQ(post("/v1/events", rds).status, 202U);
    ASSERT_EQ(source_.events.size(), 1U);
    EXPECT_EQ(source_.events[0].cluster, "orders");
    EXPECT_EQ(source_.events[0].id, "844e2571");
    EXPECT_EQ(source_.events[0].kind, "RDS-EVENT-0073");
    EXPECT_EQ(source_.events[0].text, "Started failover");
    EXPECT_EQ(source_.events[0].source, "webhook:aws.rds");
    EXPECT_EQ(post("/v1/events", rds, {{"cluster", "stock"}}).status, 404U) << "the query's name counts";
    EXPECT_EQ(post("/v1/events", rds, {{"clutser", "stock"}}).status, 400U);
}

TEST_F(ApiTest, what_is_no_event_is_refused_and_what_is_too_long_is_cut) {
    for (const char* wrong : {"", "x", "[]", "{}", R"({"cluster": ""})", R"({"cluster": 1.5})", R"({"cluster": "a b"})",
                              R"({"cluster": "orders", "text": []})", R"({"detail-type": "x", "detail": {}})",
                              "{\"cluster\": \"orders\", \"text\": \"\xff\"}"})
        EXPECT_EQ(post("/v1/events", wrong).status, 400U) << wrong;
    EXPECT_EQ(post("/v1/events", std::string(20'000, ' ') + R"({"cluster": "orders"})").status, 400U);
    EXPECT_THAT(source_.events, IsEmpty());
    std::string umlauts;
    for (int i = 0; i < 400; ++i) umlauts += "\u00e4";
    umlauts.insert(0, "\\u001b[2J");
    EXPECT_EQ(post("/v1/events", R"({"cluster": "orders", "text": ")" + umlauts + "\"}").status, 202U);
    ASSERT_EQ(source_.events.size(), 1U);
    const std::string& text = source_.events[0].text;
    EXPECT_EQ(text.substr(0, 4), " [2J");
    EXPECT_EQ(text.size(), 500U);
    EXPECT_EQ(text.substr(498), "\u00e4") << "cut between two characters";
}

TEST(EventLimit, each_source_has_its_share_and_all_together_have_one) {
    api::EventLimit limit;
    const base::MonoTime start(std::chrono::hours(1));
    const auto taken = [&](const std::string& source, base::MonoTime now, int tries = 1000) {
        int count = 0;
        for (int i = 0; i < tries; ++i) count += limit.allow(source, now) ? 1 : 0;
        return count;
    };
    EXPECT_EQ(taken("a", start), 50);
    EXPECT_EQ(taken("b", start), 50) << "one that floods does not silence another";
    EXPECT_EQ(taken("a", start + std::chrono::milliseconds(100)), 5);
    EXPECT_EQ(taken("a", start - std::chrono::seconds(1)), 0) << "time never goes back";
    EXPECT_EQ(taken("a", start + std::chrono::seconds(100)), 50);
    const auto later = start + std::chrono::seconds(200);
    int count = 0;
    for (int i = 0; i < 1000; ++i) count += taken("forged-" + std::to_string(i), later, 10);
    EXPECT_EQ(count, 200) << "many names do not make more";
}

TEST(ConstantTime, equal_means_equal) {
    EXPECT_TRUE(api::equal_in_constant_time("abc", "abc"));
    EXPECT_FALSE(api::equal_in_constant_time("abc", "abd"));
    EXPECT_FALSE(api::equal_in_constant_time("abc", "ab"));
    EXPECT_FALSE(api::equal_in_constant_time("ab", "abc"));
    EXPECT_FALSE(api::equal_in_constant_time(std::string("a\0", 2), "a"));
}

}  // namespace
}  // namespace signalbox::app
