// The daemon's parts that need no database: token, lock, API.

#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/api.hpp"
#include "app/serve_token.hpp"

namespace signalbox::app {
namespace {

using testing::HasSubstr;

class FolderTest : public testing::Test {
  protected:
    FolderTest() { std::filesystem::create_directories(folder_); }
    ~FolderTest() override { std::filesystem::remove_all(folder_); }
    const std::string folder_ = "/tmp/signalbox-serve-test-" + std::to_string(::getpid());
};

using TokenTest = FolderTest;
using StoreLockTest = FolderTest;

TEST_F(TokenTest, is_made_once_for_the_user_alone_and_kept) {
    const auto token = load_or_make_token(folder_ + "/t");
    ASSERT_TRUE(token) << token.error().text();
    EXPECT_EQ(token->size(), 64U);
    struct stat file {};
    ASSERT_EQ(::stat((folder_ + "/t").c_str(), &file), 0);
    EXPECT_EQ(file.st_mode & 0777U, 0600U);
    EXPECT_EQ(load_or_make_token(folder_ + "/t").value(), *token);
    EXPECT_NE(load_or_make_token(folder_ + "/u").value(), *token);
}

TEST_F(TokenTest, a_file_that_others_can_read_or_that_is_too_short_is_refused) {
    std::ofstream(folder_ + "/t") << std::string(64, 'a');
    ::chmod((folder_ + "/t").c_str(), 0644);
    EXPECT_THAT(load_or_make_token(folder_ + "/t").error().text(), HasSubstr("mode 0600"));
    ::chmod((folder_ + "/t").c_str(), 0600);
    EXPECT_TRUE(load_or_make_token(folder_ + "/t"));
    std::ofstream(folder_ + "/t") << "short";
    EXPECT_THAT(load_or_make_token(folder_ + "/t").error().text(), HasSubstr("at least 32 characters, found 5"));
    EXPECT_THAT(load_or_make_token(folder_ + "/no/t").error().text(), HasSubstr("No such file"));
}

TEST_F(StoreLockTest, a_second_holder_is_refused_until_the_first_is_gone) {
    {
        const auto first = StoreLock::take(folder_ + "/s.db");
        ASSERT_TRUE(first);
        const auto second = StoreLock::take(folder_ + "/s.db");
        ASSERT_FALSE(second);
        EXPECT_EQ(second.error().kind, base::ErrorKind::Conflict);
        EXPECT_THAT(second.error().text(), HasSubstr("process " + std::to_string(::getpid())));
    }
    EXPECT_TRUE(StoreLock::take(folder_ + "/s.db"));
}

class FakeSource final : public api::Source {
  public:
    base::json::object status() override { return {{"clusters", base::json::array()}}; }
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
    ports::JournalQuery asked;
    bool broken = false;
};

class ApiTest : public testing::Test {
  protected:
    api::Response get(const std::string& path, std::map<std::string, std::string> query = {},
                      const std::string& authorization = "Bearer secret") {
        return api_.answer({"GET", path, std::move(query), authorization});
    }
    FakeSource source_;
    api::Api api_{source_, "secret"};
};

TEST_F(ApiTest, only_health_is_answered_without_the_token) {
    for (const char* wrong : {"", "Bearer", "Bearer ", "Bearer secre", "Bearer secret2", "bearer secret", "secret"}) {
        EXPECT_EQ(get("/v1/health", {}, wrong).status, 200U);
        for (const char* path : {"/v1/status", "/v1/journal", "/metrics", "/nothing"}) {
            const auto response = get(path, {}, wrong);
            EXPECT_EQ(response.status, 401U) << path << " with '" << wrong << "'";
            EXPECT_THAT(response.body, HasSubstr("\"kind\":\"permission denied\""));
        }
    }
    EXPECT_EQ(get("/v1/status").status, 200U);
    EXPECT_EQ(get("/metrics").body, "up 1\n");
}

TEST_F(ApiTest, unknown_paths_and_methods_are_told) {
    EXPECT_EQ(get("/v2/status").status, 404U);
    EXPECT_EQ(api_.answer({"POST", "/v1/status", {}, "Bearer secret"}).status, 405U);
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

TEST(ConstantTime, equal_means_equal) {
    EXPECT_TRUE(api::equal_in_constant_time("abc", "abc"));
    EXPECT_FALSE(api::equal_in_constant_time("abc", "abd"));
    EXPECT_FALSE(api::equal_in_constant_time("abc", "ab"));
    EXPECT_FALSE(api::equal_in_constant_time("ab", "abc"));
    EXPECT_FALSE(api::equal_in_constant_time(std::string("a\0", 2), "a"));
}

}  // namespace
}  // namespace signalbox::app
